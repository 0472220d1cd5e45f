//! Ordinary Rust as micro-containers: the standard library compiled anew, and
//! the list of crates in the program.

use std::path::Path;

use crate::harness::Workbench;

fn example(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let folder = folder.join(name).canonicalize().unwrap();
    folder.to_str().unwrap().to_owned()
}

/// Whether the standard library's sources are there; says so aloud if not.
fn has_sources(bench: &Workbench) -> bool {
    let output = bench.output(&["build", "--dry-run", &example("std-hello")]);
    if output.status.code() == Some(4) {
        eprintln!("SKIPPED: {}", String::from_utf8_lossy(&output.stderr));
        return false;
    }
    output.status.success()
}

#[test]
fn a_threaded_server_with_std_is_a_micro_container_and_ends_when_told() {
    let bench = Workbench::new();
    if !has_sources(&bench) {
        return;
    }
    // Its ounce.toml has the budget: a byte more is exit code 1.
    let json: serde_json::Value = serde_json::from_str(&bench.succeed(&[
        "--json",
        "build",
        &example("std-server"),
        "--measure",
        "no",
    ]))
    .unwrap();
    let image = &json["images"][0];
    println!(
        "std-server: {} bytes, {} pulled",
        image["program_bytes"], image["pulled_bytes"]
    );
    assert!(image["program_bytes"].as_u64().unwrap() <= 90_000, "{json}");
    assert!(image["pulled_bytes"].as_u64().unwrap() <= 55_000, "{json}");

    let served = bench.serve("std-server");
    let answer = served.ask(
        "POST /words HTTP/1.1\r\nContent-Length: 11\r\n\r\none two One\
                      GET /words HTTP/1.1\r\nConnection: close\r\n\r\n",
    );
    assert!(answer.contains("\"words\":3"), "{answer}");
    assert!(
        answer.contains("{\"word\":\"one\",\"times\":2}"),
        "{answer}"
    );
    served.end();
}

#[test]
fn crates_of_an_auditable_program_stand_in_its_bill_of_materials() {
    let bench = Workbench::new();
    bench.file(
        "hello/Cargo.toml",
        "[package]\nname = 'hello'\nversion = '1.2.3'\nedition = '2021'\n[workspace]\n\
         [dependencies]\ninner = { path = 'inner' }\n",
    );
    bench.file(
        "hello/src/main.rs",
        "fn main() { println!(\"{}\", inner::one()); }",
    );
    bench.file(
        "hello/inner/Cargo.toml",
        "[package]\nname = 'inner'\nversion = '0.4.0'\nedition = '2021'\n",
    );
    bench.file("hello/inner/src/lib.rs", "pub fn one() -> u8 { 1 }");
    bench.succeed(&["build", "hello", "--auditable", "--measure", "no"]);
    assert_eq!(bench.succeed(&["run", "hello"]), "1\n");
    let bill = bench.succeed(&["weigh", "--sbom", "cyclonedx", "hello"]);
    for url in ["pkg:cargo/hello@1.2.3", "pkg:cargo/inner@0.4.0"] {
        assert!(bill.contains(url), "{bill}");
    }
}
