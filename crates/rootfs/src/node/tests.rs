use proptest::prelude::*;

use super::*;

fn requests(source: &str) -> Vec<String> {
    scan(source.as_bytes())
        .requests
        .iter()
        .map(|it| {
            format!(
                "{}{} @{}",
                if it.import { "import " } else { "" },
                it.name,
                it.line
            )
        })
        .collect()
}

#[test]
fn requests_of_every_form_are_read() {
    let source = "#!/usr/bin/env node require('no')\n\
        const a = require('a'), b = require(\"./b\").c;\n\
        require.resolve('c'); module.require(`d`)\n\
        import 'e'; import f, { g as h } from 'f'\n\
        import * as i\n  from \"i\";\n\
        export { j } from './j'; export * from 'k'\n\
        const l = await import('l');\n\
        ({...require('m')}); x.require('no'); obj.import('no'); Array.from('no')";
    assert_eq!(
        requests(source),
        [
            "a @2",
            "./b @2",
            "c @3",
            "d @3",
            "import e @4",
            "import f @4",
            "import i @6",
            "import ./j @7",
            "import k @7",
            "import l @8",
            "m @9",
        ]
    );
}

#[test]
fn comments_texts_patterns_and_templates_ask_for_nothing() {
    let source = r#"
// require('a')
/* require('b') */ var s = "require('c')", t = 'it\'s require("d")';
var p = /require\('e'\)["'`]/.test(x) || /[/"]/ ; var q = a / b / require('real');
var u = `require('f') ${ g({a: "}"}) + `${require('inner')}` } require('h')`;
return /'/.exec(require('also'))
var broken = "no end
require('last')
"#;
    assert_eq!(
        requests(source),
        ["real @4", "inner @5", "also @6", "last @8"]
    );
}

#[test]
fn names_that_are_put_together_are_told_with_their_beginning() {
    let source = "require(name); require('./locale/' + name); import(`./x/${y}.js`); require()";
    let computed: Vec<_> = scan(source.as_bytes())
        .computed
        .into_iter()
        .map(|it| it.prefix.unwrap_or_default())
        .collect();
    assert_eq!(computed, ["", "./locale/", "./x/"]);
}

#[test]
fn files_beside_the_source_are_found() {
    let source = "path.join(__dirname, '..', 'views', 'a.html'); fs.x(__dirname + '/b.txt');\n\
        new URL('./c.wasm', import.meta.url); f(__dirname); path.join(__dirname, name)";
    assert_eq!(
        scan(source.as_bytes()).beside,
        ["../views/a.html", "b.txt", "c.wasm"]
    );
}

#[test]
fn exports_are_matched_by_condition_and_pattern() {
    let manifest = Manifest::read(
        br##"{"name":"p","main":"old.js","exports":{
            ".":{"types":"./t.d.ts","import":"./i.mjs","require":{"node":"./n.cjs","default":"./d.js"}},
            "./sub/*":"./lib/*.js","./sub/inner/*":null,"./list":["./a.js","./b.js"]},
            "imports":{"#x":"./x.js","#dep/*":"dep/*"}}"##,
    )
    .unwrap();
    assert_eq!(manifest.exported(".", true), ["./i.mjs"]);
    assert_eq!(manifest.exported(".", false), ["./n.cjs"]);
    assert_eq!(manifest.exported("./sub/q", false), ["./lib/q.js"]);
    assert!(manifest.exported("./sub/inner/q", false).is_empty());
    assert!(manifest.exported("./other", false).is_empty());
    assert_eq!(manifest.exported("./list", false), ["./a.js", "./b.js"]);
    assert_eq!(manifest.imported("#x", false), ["./x.js"]);
    assert_eq!(manifest.imported("#dep/y", false), ["dep/y"]);
    let short = Manifest::read(br#"{"exports":"./only.js","bin":{"p":"cli.js"}}"#).unwrap();
    assert_eq!(short.exported(".", false), ["./only.js"]);
    assert_eq!(short.programs, ["cli.js"]);
    assert!(short.exported("./x", false).is_empty());
    assert!(Manifest::read(b"[]").is_none() && Manifest::read(b"{").is_none());
}

#[test]
fn conditions_without_end_are_cut_off() {
    let mut deep = "\"./a.js\"".to_owned();
    for _ in 0..100 {
        deep = format!("{{\"node\":{deep}}}");
    }
    let manifest = Manifest::read(format!("{{\"exports\":{deep}}}").as_bytes()).unwrap();
    assert!(manifest.exported(".", false).is_empty());
}

#[test]
fn modules_of_node_itself_are_known() {
    assert!(is_builtin("fs") && is_builtin("node:anything") && is_builtin("fs/promises"));
    assert!(!is_builtin("express") && !is_builtin("./fs"));
}

proptest! {
    #[test]
    fn any_bytes_are_scanned_to_their_end(data in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = scan(&data);
    }

    #[test]
    fn any_mix_of_pieces_is_scanned_to_its_end(
        pieces in prop::collection::vec(prop::sample::select(vec![
            "require(", "import ", "from ", "'", "\"", "`", "${", "}", "{", "/", "*", "\\", "\n",
            "(", ")", "a", "__dirname", ",", "+", "[", "]", "//", "URL(",
        ]), 0..60),
    ) {
        let _ = scan(pieces.concat().as_bytes());
    }
}
