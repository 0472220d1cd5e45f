use proptest::prelude::*;

use super::*;

/// `level:module:names@line`, one a line.
fn imports(source: &str) -> Vec<String> {
    scan(source.as_bytes())
        .imports
        .iter()
        .map(|it| {
            let dots = ".".repeat(it.level);
            match it.names.is_empty() {
                true => format!("{dots}{} @{}", it.module, it.line),
                false => format!("{dots}{} {} @{}", it.module, it.names.join(","), it.line),
            }
        })
        .collect()
}

#[test]
fn statements_of_every_form_are_read() {
    let source = "\u{feff}import os, sys as system, a.b.c\n\
        from x.y import (p as q,  # why\n    r,\n)\n\
        from . import sibling\nfrom ...up import *\n\
        try: import json\nexcept ImportError: json = None\n\
        if x: from z import w; import v\n\
        import \\\n  folded\n\
        from ..a.b import c\r\nimport last";
    assert_eq!(
        imports(source),
        [
            "os @1",
            "sys @1",
            "a.b.c @1",
            "x.y p,r @2",
            ". sibling @5",
            "...up * @6",
            "json @7",
            "z w @9",
            "v @9",
            "folded @10",
            "..a.b c @12",
            "last @13",
        ]
    );
}

#[test]
fn texts_and_comments_import_nothing() {
    let source = r####"
"""
import docs
"""
# import comment
a = 'import single'; b = r'\'; c = "it's"
d = f"{x!r:'>10} import f {y['k']} {z["import nested"]}"
e = b'import bytes' b"more"
f = '''a 'quoted' import triple'''
g = "broken
import real
h = f'{{import braces}}'
yield from import_
raise x from error
"####;
    assert_eq!(imports(source), ["real @11"]);
}

#[test]
fn modules_asked_for_by_name_are_imports_and_computed_ones_are_told() {
    let source = "m = importlib.import_module('a.b')\n\
        n = __import__(\"c\", fromlist=['d'])\n\
        o = import_module('.rel', __package__)\n\
        p = import_module(name)\n\
        q = __import__('x' + y)\n\
        def import_module(name, package=None): pass\n\
        pkgutil.iter_modules(path)\n";
    let found = scan(source.as_bytes());
    assert_eq!(imports(source), ["a.b @1", "c @2", ".rel @3"]);
    let computed: Vec<_> = found
        .computed
        .iter()
        .map(|it| (it.call.as_str(), it.line))
        .collect();
    assert_eq!(
        computed,
        [("import_module", 4), ("__import__", 5), ("iter_modules", 7)]
    );
}

#[test]
fn imports_for_type_checkers_alone_are_left_out() {
    let source = "import typing as t\nif t.TYPE_CHECKING:\n    import a\n\n  # x\n    from b import c\n\
        if TYPE_CHECKING: import d\nelse:\n    import e\ndef f():\n\tif TYPE_CHECKING:\n\t\timport g\n\
        \timport h\nif not TYPE_CHECKING:\n    import i\n";
    assert_eq!(imports(source), ["typing @1", "e @9", "h @13", "i @15"]);
}

#[test]
fn names_of_all_and_texts_are_kept() {
    let source = "__all__ = ['a', \"b\"]\n__all__ += ('c',)\nopen('data/x.json', 'rb')\nf('a b')";
    let found = scan(source.as_bytes());
    assert_eq!(found.all, ["a", "b", "c"]);
    assert_eq!(found.texts, ["data/x.json", "rb"]);
}

#[test]
fn path_files_give_folders_and_code() {
    let text = "# comment\n\n../src\nimport os; os.x()\n/abs \n";
    assert_eq!(
        pth(text),
        [
            PathLine::Folder("../src".into()),
            PathLine::Code("import os; os.x()".into()),
            PathLine::Folder("/abs".into()),
        ]
    );
}

#[test]
fn environment_names_the_python_that_it_is_of() {
    let text = "home = /usr/bin\ninclude-system-site-packages = false\nversion = 3.11.2\n";
    assert_eq!(environment(text), Some(("/usr/bin".into(), false)));
    assert_eq!(environment("version = 3"), None);
}

#[test]
fn entry_points_name_their_group_and_module() {
    let text = "[console_scripts]\nflask = flask.cli:main\n[a.plugins]\nx=y.z [extra]\n# n = m\n";
    let found = entry_points(text);
    let lines: Vec<_> = found
        .iter()
        .map(|it| format!("{}/{}={}", it.group, it.name, it.module))
        .collect();
    assert_eq!(
        lines,
        ["console_scripts/flask=flask.cli", "a.plugins/x=y.z"]
    );
}

#[test]
fn compiled_form_lies_in_a_folder_beside_the_source() {
    assert_eq!(
        compiled(Path::new("a/b.py"), "cpython-311"),
        Some("a/__pycache__/b.cpython-311.pyc".into())
    );
    assert_eq!(compiled(Path::new("a/b.so"), "cpython-311"), None);
}

proptest! {
    #[test]
    fn any_bytes_are_scanned_to_their_end(data in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = scan(&data);
    }

    #[test]
    fn any_mix_of_pieces_is_scanned_to_its_end(
        pieces in prop::collection::vec(prop::sample::select(vec![
            "import ", "from ", "a", ".", "f\"", "{", "}", "'''", "\"", "\\", "\n", "(", ")",
            "__all__", "=", "[", ":", ",", "as ", "*", "import_module(", "#",
        ]), 0..60),
    ) {
        let _ = scan(pieces.concat().as_bytes());
    }

    /// A text before a statement never hides it.
    #[test]
    fn a_statement_behind_any_plain_text_is_found(text in "[a-z #\\(\\[{:;]{0,40}") {
        let source = format!("x = '{text}'\nimport wanted\n");
        prop_assert_eq!(imports(&source), ["wanted @2"]);
    }
}
