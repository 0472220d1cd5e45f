//! Components of web pages without a page: what they show first, as HTML.

use std::path::Path;

use crate::wasm::{Bench, leb, name, section};

/// Commands of a patch (web/ui, `Op`).
const NAME: u32 = 1;
const OPEN: u32 = 2;
const TEXT: u32 = 8;
const CLOSE: u32 = 4;

/// A component that answers each event with the words and texts that stand in
/// its memory: the head at 0, the words at 16, the texts behind them.
fn component(words: &[u32], text: &str, head: Option<[u32; 4]>) -> Vec<u8> {
    let at = 16 + 4 * words.len() as u32;
    let head = head.unwrap_or([16, words.len() as u32, at, text.len() as u32]);
    let mut data: Vec<u8> = head
        .iter()
        .chain(words)
        .flat_map(|word| word.to_le_bytes())
        .collect();
    data.extend(text.as_bytes());
    let mut bytes = b"\0asm\x01\0\0\0".to_vec();
    bytes.extend(section(1, b"\x01\x60\x04\x7f\x7f\x7f\x7f\x01\x7f"));
    bytes.extend(section(3, &[1, 0]));
    bytes.extend(section(5, &[1, 0, 1]));
    let exports = [
        vec![2],
        name("event"),
        vec![0, 0],
        name("memory"),
        vec![2, 0],
    ];
    bytes.extend(section(7, &exports.concat()));
    bytes.extend(section(10, &[1, 4, 0, 0x41, 0, 0x0b]));
    let data = [vec![1, 0, 0x41, 0, 0x0b], leb(data.len()), data].concat();
    bytes.extend(section(11, &data));
    bytes
}

/// One element with a text.
fn element(tag: &str, text: &str) -> Vec<u8> {
    let units = text.encode_utf16().count() as u32;
    let words = [
        NAME | (tag.len() as u32) << 8,
        OPEN,
        2,
        TEXT | units << 8,
        CLOSE,
    ];
    component(&words, &format!("{tag}{text}"), None)
}

#[test]
fn a_component_of_a_page_run_on_a_server_prints_its_first_view() {
    let Some(bench) = Bench::new() else { return };
    let hostile = "1 < 2 & </p><script>alert(\"é🎉\")</script>";
    bench.bench.file("view.wasm", element("p", hostile));
    bench.succeed(&["build", "view.wasm"]);
    let html = "<p>1 &#60; 2 &#38; &#60;/p&#62;&#60;script&#62;alert(&#34;é🎉&#34;)&#60;/script&#62;</p>\n";
    assert_eq!(bench.succeed(&["run", "view"]), html);
    assert_eq!(bench.succeed(&["run", "./view.wasm"]), html);
}

#[test]
fn what_a_page_would_refuse_is_not_printed_either() {
    let Some(bench) = Bench::new() else { return };
    let cases = [
        (
            "script",
            element("script", "alert(1)"),
            "<script> is forbidden",
        ),
        ("frame", element("iframe", ""), "<iframe> is forbidden"),
        (
            "outside",
            component(&[], "", Some([0x1_0000, 1, 0, 0])),
            "outside of its memory",
        ),
        (
            "beyond",
            component(&[], "", Some([u32::MAX, u32::MAX, 0, 0])),
            "outside of its memory",
        ),
        ("left", component(&[CLOSE], "", None), "the root is left"),
        (
            "unknown",
            component(&[99], "", None),
            "command 99 is unknown",
        ),
    ];
    for (name, bytes, word) in cases {
        let file = format!("{name}.wasm");
        bench.bench.file(&file, bytes);
        let output = bench.output(&["run", &format!("./{file}")]);
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(134), "{name}: {told}");
        assert!(
            told.starts_with("error: ") && told.contains(word),
            "{name}: {told}"
        );
        assert!(output.stdout.is_empty(), "{name}");
    }
    bench.bench.file("answer.wasm", element("p", ""));
    let (code, told) = bench.refused(&["run", "./answer.wasm", "--", "", "no answer"]);
    assert_eq!(code, 125, "{told}");
    assert!(told.contains("NAME=TEXT"), "{told}");
}

#[test]
fn the_same_image_that_a_browser_runs_has_its_first_view_on_a_server() {
    let Some(bench) = Bench::new() else { return };
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/counter");
    let words = [
        "build",
        project.to_str().unwrap(),
        "--target",
        "wasm32-unknown-unknown",
    ];
    bench.succeed(&[&words[..], &["--tag", "counter"]].concat());
    assert_eq!(bench.succeed(&["run", "counter"]), "<button>0</button>\n");
}

#[test]
fn a_shipped_page_shows_its_component_before_its_script_has_run() {
    let Some(bench) = Bench::new() else { return };
    bench
        .bench
        .file("view.wasm", element("p", "\"seen\" & <first>"));
    bench.succeed(&["build", "view.wasm"]);
    let words = ["ship", "view", "--to", "web", "-o", "out"];
    bench.succeed(&words);
    let page = || std::fs::read_to_string(bench.bench.path("out/index.html")).unwrap();
    assert!(!page().contains("rendered"), "{}", page());
    std::fs::remove_file(bench.bench.path("out/index.html")).unwrap();
    let said = bench.succeed(&[&words[..], &["--first-view"]].concat());
    let drawn =
        " status=\"rendered\"><p>&#34;seen&#34; &#38; &#60;first&#62;</p></ounce-component>";
    assert!(page().contains(drawn), "{}", page());
    assert!(said.contains(drawn), "{said}");
    // One that is no component of pages is told, and nothing is made up.
    bench.bench.file("other.wasm", element("script", ""));
    bench.succeed(&["build", "other.wasm"]);
    let (code, told) =
        bench.refused(&["ship", "other", "--to", "web", "-o", "none", "--first-view"]);
    assert_eq!(code, 3, "{told}");
    assert!(told.contains("<script> is forbidden"), "{told}");
    assert!(told.contains("has no first view"), "{told}");
}
