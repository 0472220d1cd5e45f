//! The main job: build, start, first answer, figures.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::Stdio;

use crate::harness::{Workbench, ask, signal};

fn hello() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/hello");
    folder.canonicalize().unwrap().to_str().unwrap().to_owned()
}

#[test]
fn folder_of_web_files_is_served_and_its_figures_printed() {
    let bench = Workbench::new();
    bench.file("public/index.html", "<h1>ounce</h1>");
    bench.file("public/style.css", "h1 { color: teal }");
    let json: serde_json::Value =
        serde_json::from_str(&bench.succeed(&["--json", "up", "public", "--once"])).unwrap();
    assert_eq!(json["schema"], "ounce.up/1");
    assert_eq!(json["status"], 200);
    assert!(json["pulled_bytes"].as_u64().unwrap() < 20_480, "{json}");
    assert!(
        json["start_to_first_byte_us"].as_u64().unwrap() > 0,
        "{json}"
    );
    assert!(json["private_dirty_bytes"].as_u64().unwrap() > 0, "{json}");
    assert!(
        json["system_calls_allowed"].as_u64().unwrap() > 20,
        "{json}"
    );
}

#[test]
fn hello_example_goes_from_source_to_an_answer() {
    let bench = Workbench::new();
    let json: serde_json::Value = serde_json::from_str(&bench.succeed(&[
        "--json",
        "up",
        &hello(),
        "--once",
        "--measure",
        "no",
    ]))
    .unwrap();
    assert_eq!(json["status"], 200);
    assert_eq!(json["files"], 1);
    assert!(json["pulled_bytes"].as_u64().unwrap() <= 16_384, "{json}");
}

#[test]
fn server_follows_until_it_is_told_to_stop() {
    let bench = Workbench::new();
    bench.file("public/index.html", "<h1>ounce</h1>");
    let mut child = bench
        .ounce(&["up", "public", "-p", "127.0.0.1:0:8080"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let address = lines
        .by_ref()
        .map(Result::unwrap)
        .find_map(|line| Some(line.split_once("http://")?.1.split('/').next()?.to_owned()))
        .expect("the address in the output");
    let answer = ask(
        &address,
        "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    );
    assert!(answer.ends_with("<h1>ounce</h1>"), "{answer}");
    signal(&child, "INT");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn program_that_ends_before_it_answers_is_told_with_its_code() {
    let bench = Workbench::new();
    bench.program("hi", crate::programs::prints("hi\n", 3));
    let output = bench.output(&["up", "hi", "--once"]);
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(
        stderr.contains("ended before it answered") && stderr.contains("code 3"),
        "{stderr}"
    );
}

#[test]
fn ctrl_c_ends_the_wait_for_an_answer_that_never_comes() {
    let bench = Workbench::new();
    bench.program("mute", crate::programs::waits());
    let mut child = bench
        .ounce(&["up", "mute", "-p", "127.0.0.1:0:8080", "--wait", "60"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(std::time::Duration::from_secs(2));
    let began = std::time::Instant::now();
    signal(&child, "INT");
    let status = child.wait().unwrap();
    let mut stderr = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut stderr)
        .unwrap();
    assert!(began.elapsed().as_secs() < 20, "{stderr}");
    assert_eq!(status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("stopped before"), "{stderr}");
}

#[test]
fn project_that_does_not_compile_is_told_in_the_compilers_words() {
    let bench = Workbench::new();
    bench.file(
        "broken/Cargo.toml",
        "[package]\nname = \"broken\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[workspace]\n",
    );
    bench.file("broken/src/main.rs", "fn main() { no_such_function() }\n");
    let output = bench.output(&["build", "broken", "--measure", "no"]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(
        stderr.contains("no_such_function") && stderr.contains("error: cargo could not compile"),
        "{stderr}"
    );
}
