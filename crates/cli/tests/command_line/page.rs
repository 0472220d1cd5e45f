//! Components of pages: a project served by `up`, an image as a static folder.

use std::fs;
use std::path::{Path, PathBuf};

use crate::harness::Workbench;

fn repository() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.canonicalize().unwrap()
}

/// A project of its own: the counter with another source.
fn project(bench: &Workbench, source: &str) {
    let example = repository().join("examples/counter");
    let manifest = fs::read_to_string(example.join("Cargo.toml")).unwrap();
    let sdk = repository().join("web/ui");
    let manifest = manifest.replace("../../web/ui", sdk.to_str().unwrap());
    bench.file("counter/Cargo.toml", manifest);
    bench.file(
        "counter/Cargo.lock",
        fs::read(example.join("Cargo.lock")).unwrap(),
    );
    bench.file("counter/src/lib.rs", source);
}

#[test]
fn a_component_goes_from_source_to_a_served_page() {
    let bench = Workbench::new();
    let source = repository().join("examples/counter/src/lib.rs");
    project(&bench, &fs::read_to_string(source).unwrap());
    bench.file("counter/page/about.txt", "beside it");
    let up = |path: &str| {
        let text = bench.succeed(&["--json", "up", "counter", "--once", "--get", path]);
        serde_json::from_str::<serde_json::Value>(&text).unwrap()
    };
    for path in ["/", "/counter.json", "/ounce.js", "/about.txt"] {
        let json = up(path);
        assert_eq!(
            (&json["schema"], &json["status"]),
            (&"ounce.up/1".into(), &200.into())
        );
        assert_eq!(json["name"], "counter:latest");
    }
    let folder = bench.path("counter/target/ounce-page");
    let manifest: serde_json::Value =
        serde_json::from_slice(&fs::read(folder.join("counter.json")).unwrap()).unwrap();
    let digest = manifest["layers"][0]["digest"].as_str().unwrap();
    let blob = folder.join(format!("blobs/{}.wasm", digest.replace(':', "/")));
    let module = fs::read(blob).unwrap();
    assert!(module.starts_with(b"\0asm"));
    // No folder of this machine is in what is shown to the world.
    let home = repository();
    let home = home.to_str().unwrap().as_bytes();
    assert!(!module.windows(home.len()).any(|part| part == home));
    assert_eq!(up("/missing.json")["status"], 404);
}

#[test]
fn a_component_that_does_not_compile_is_an_answer_with_the_compilers_words() {
    let bench = Workbench::new();
    project(&bench, "compile_error!(\"not today\");");
    let output = bench.output(&["up", "counter", "--once"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("not today") && said.contains("cargo does not compile counter"),
        "{said}"
    );
}

#[test]
fn a_page_that_names_what_is_no_component_is_told_which() {
    let bench = Workbench::new();
    bench.file(
        "page/Cargo.toml",
        "[package]\nname = \"page\"\n[package.metadata.ounce]\ncomponents = [\"other\"]\n",
    );
    bench.file("page/other/Cargo.toml", "[package]\nname = \"other\"\n");
    let output = bench.output(&["up", "page", "--once"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(
        said.contains("page/other is no component") && said.contains("hint:"),
        "{said}"
    );
}

/// An exported function that does nothing.
const MODULE: &[u8] =
    b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x07\x05\x01\x01f\0\0\x0a\x04\x01\x02\0\x0b";

#[test]
fn an_image_becomes_a_folder_that_keeps_its_digest() {
    let bench = Workbench::new();
    bench.file("tiny.wasm", MODULE);
    bench.succeed(&["build", "tiny.wasm", "-t", "team/tiny:1"]);
    let text = bench.succeed(&["--json", "ship", "team/tiny:1", "--to", "web", "-o", "out"]);
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["schema"], "ounce.ship-web/1");
    let inspected = bench.succeed(&["--json", "inspect", "team/tiny:1"]);
    let digest = json["manifest_digest"].as_str().unwrap();
    assert!(inspected.contains(digest), "{digest}: {inspected}");
    for file in json["files"].as_array().unwrap() {
        let path = bench.path("out").join(file.as_str().unwrap());
        assert!(path.is_file(), "{}", path.display());
    }
    // A page that is there already stays.
    bench.file("out/index.html", "mine");
    bench.succeed(&["ship", "team/tiny:1", "--to", "web", "-o", "out"]);
    let page = fs::read_to_string(bench.path("out/index.html")).unwrap();
    assert_eq!(page, "mine");
}

#[test]
fn what_cannot_be_shipped_to_a_page_is_told() {
    let bench = Workbench::new();
    bench.file("tiny.wasm", MODULE);
    bench.succeed(&["build", "tiny.wasm", "-t", "tiny"]);
    let told = |arguments: &[&str]| {
        let output = bench.output(arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        (output.status.code(), said)
    };
    let (code, said) = told(&["ship", "tiny", "--to", "web"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("hint: --output DIR"), "{said}");
    bench.file("public/index.html", "<h1>no module</h1>");
    bench.succeed(&["build", "public", "-t", "site"]);
    let (code, said) = told(&["ship", "site", "--to", "web", "-o", "out"]);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("is no image for pages"), "{said}");
    assert!(!bench.path("out").exists());
    let (code, said) = told(&["ship", "tiny", "--to", "web", "--name", "../x", "-o", "out"]);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("no name of a file"), "{said}");
}
