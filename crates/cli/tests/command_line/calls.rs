//! System calls read out of programs' code, held against what the programs are
//! seen to make: by strace, whose word is independent of ours.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::Workbench;

/// What `ounce weigh` says a program can call, and how many places are unresolved.
fn weighed(bench: &Workbench, what: &str) -> (BTreeSet<String>, u64) {
    let document: Value = serde_json::from_str(&bench.succeed(&["--json", "weigh", what])).unwrap();
    let calls = &document["images"][0]["program"]["system_calls"];
    let names = calls["names"]
        .as_array()
        .unwrap_or_else(|| panic!("{document}"));
    let names = names.iter().map(|name| name.as_str().unwrap().to_owned());
    (names.collect(), calls["unresolved"].as_u64().unwrap())
}

/// Of strace's lines, the calls; the first executes the program.
fn called(log: &Path) -> BTreeSet<String> {
    let text = std::fs::read_to_string(log).unwrap();
    let lines = text.lines().filter_map(|line| {
        let line = line.trim_start_matches(|byte: char| byte.is_ascii_digit() || byte == ' ');
        let (name, _) = line.split_once('(')?;
        let is_name = name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        (is_name && !name.is_empty()).then(|| name.to_owned())
    });
    let mut calls: Vec<String> = lines.collect();
    assert_eq!(calls.remove(0), "execve", "{text}");
    calls.into_iter().collect()
}

fn strace(bench: &Workbench, log: &str) -> Command {
    let mut strace = Command::new("strace");
    let output = bench.path(log);
    strace.args(["-f", "-qq", "-s", "0", "-o"]).arg(output);
    strace.stdin(Stdio::null()).stdout(Stdio::null());
    strace
}

fn missing<'a>(found: &'a BTreeSet<String>, used: &'a BTreeSet<String>) -> Vec<&'a String> {
    used.difference(found).collect()
}

#[test]
fn busybox_makes_no_call_that_is_not_found_in_its_code() {
    let bench = Workbench::new();
    std::fs::copy("/bin/busybox", bench.path("busybox")).unwrap();
    bench.file("file", "some text\n".repeat(1000));
    let (found, _) = weighed(&bench, "./busybox");
    let mut used = BTreeSet::new();
    for (number, script) in [
        "cat file | sort | uniq -c; sleep 0; kill -0 $$",
        "mkdir d; cp file d/a; mv d/a d/b; ln -s b d/l; ls -l d; chmod 700 d; rm -r d",
        "gzip -c file > z; tar -cf t file; df .; id; date; uname -a; ps; find . -newer file",
        "timeout 1 true; nice true; touch -d 2020-01-01 file; dd if=file of=/dev/null; sync file",
        "wget -q -O - http://127.0.0.1:1/; true",
    ]
    .iter()
    .enumerate()
    {
        let log = format!("log-{number}");
        let mut run = strace(&bench, &log);
        // Its own applets, whatever else is installed.
        run.args(["-E", "PATH="])
            .arg(bench.path("busybox"))
            .args(["sh", "-c", script]);
        run.current_dir(bench.path("")).stderr(Stdio::null());
        run.status().unwrap();
        used.extend(called(&bench.path(&log)));
    }
    assert!(used.len() > 30, "{used:?}");
    assert_eq!(missing(&found, &used), Vec::<&String>::new());
}

#[test]
fn the_web_server_can_make_few_calls_and_all_of_them_are_known() {
    let bench = Workbench::new();
    bench.file("public/index.html", "<!doctype html>\n".repeat(1000));
    bench.succeed(&["build", "public"]);
    let (found, unresolved) = weighed(&bench, "public");
    assert_eq!(unresolved, 0, "{found:?}");
    assert!(found.len() < 60, "{found:?}");
    // The image's own program, started as its configuration says but on another port.
    let store = ounce_oci::Store::open(bench.path("store")).unwrap();
    let platform = ounce_oci::Platform::host();
    let image = store.image(&"public".parse().unwrap(), &platform).unwrap();
    let root = bench.path("root");
    std::fs::create_dir(&root).unwrap();
    ounce_rootfs::unpack::unpack(&image, &root, &Default::default()).unwrap();
    let config = image.config.config().as_ref().unwrap();
    let program = config.entrypoint().as_ref().unwrap()[0].clone();
    let packed = std::fs::read_dir(&root).unwrap();
    let packed = packed.map(|entry| entry.unwrap().path());
    let packed = packed.filter(|path| path.is_file() && !path.ends_with(&program[1..]));
    let packed: Vec<_> = packed.collect();
    assert_eq!(packed.len(), 1, "{packed:?}");
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let mut run = strace(&bench, "log");
    run.arg(root.join(&program[1..]));
    run.args(["--port", &port.to_string()]).args(&packed);
    run.stderr(Stdio::null());
    let mut server = run.spawn().unwrap();
    let began = Instant::now();
    let answer = loop {
        let request = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        let mut text = String::new();
        if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port))
            && stream.write_all(request).is_ok()
            && stream.read_to_string(&mut text).is_ok()
            && !text.is_empty()
        {
            break text;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "{program}");
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    // Not strace, which passes no signal on while it writes to a file.
    let id = server.id();
    let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
    let mut kill = Command::new("kill");
    assert!(
        kill.arg("-TERM")
            .args(children.split_whitespace())
            .status()
            .unwrap()
            .success()
    );
    server.wait().unwrap();
    let used = called(&bench.path("log"));
    assert!(
        used.contains("sendfile") || used.contains("writev") || used.len() > 5,
        "{used:?}"
    );
    assert_eq!(missing(&found, &used), Vec::<&String>::new());
}

/// Threads, files, sockets, time, randomness and another process.
const PROGRAM: &str = r#"
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
fn main() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let other = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"hello").unwrap();
    });
    let mut text = String::new();
    TcpStream::connect(address).unwrap().read_to_string(&mut text).unwrap();
    other.join().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(1));
    let path = std::env::temp_dir().join(format!("{}-calls", std::process::id()));
    std::fs::write(&path, &text).unwrap();
    let _ = std::fs::rename(&path, path.with_extension("x"));
    let _ = std::fs::remove_file(path.with_extension("x"));
    let names: std::collections::HashMap<_, _> = std::env::vars().collect();
    let _ = std::process::Command::new("/nowhere").status();
    println!("{} {:?}", names.len(), std::fs::read_dir("/").unwrap().count());
}
"#;

/// Builds the program for a machine; for a foreign one there is no other linker.
fn built(bench: &Workbench, machine: &str, name: &str) {
    bench.file("calls.rs", PROGRAM);
    let target = format!("{machine}-unknown-linux-musl");
    let mut rustc = Command::new("rustc");
    rustc.args([
        "-O",
        "--edition",
        "2024",
        "--target",
        &target,
        "-o",
        name,
        "calls.rs",
    ]);
    if machine != std::env::consts::ARCH {
        rustc.args(["-C", "linker=rust-lld"]);
    }
    let built = rustc.current_dir(bench.path("")).output().unwrap();
    assert!(built.status.success(), "{built:?}");
}

#[test]
fn a_program_of_rusts_library_makes_no_call_that_is_not_found() {
    let bench = Workbench::new();
    built(&bench, std::env::consts::ARCH, "calls");
    let (found, unresolved) = weighed(&bench, "./calls");
    let mut run = strace(&bench, "log");
    assert!(run.arg(bench.path("calls")).status().unwrap().success());
    let used = called(&bench.path("log"));
    assert!(used.len() > 20, "{used:?}");
    assert_eq!(missing(&found, &used), Vec::<&String>::new());
    // musl tells other threads what to call by a number in memory, and Rust hands
    // the address of `syscall` around.
    assert!(
        unresolved < 4 && found.len() < 120,
        "{unresolved} {found:?}"
    );
    let text = bench.succeed(&["weigh", "./calls"]);
    assert!(text.contains("system calls in its code"), "{text}");
}

#[cfg(target_arch = "x86_64")]
#[test]
fn a_program_for_arm64_makes_no_call_that_is_not_found_either() {
    let bench = Workbench::new();
    built(&bench, "aarch64", "calls");
    let (found, unresolved) = weighed(&bench, "./calls");
    let mut emulator = Command::new("qemu-aarch64-static");
    emulator.arg("-strace").arg(bench.path("calls"));
    let ran = emulator.stdin(Stdio::null()).output().unwrap();
    assert!(ran.status.success(), "{ran:?}");
    // The same lines as strace's, but that nothing executes the program.
    bench.file(
        "log",
        [b"0 execve(".as_slice(), b"\n", &ran.stderr].concat(),
    );
    let used = called(&bench.path("log"));
    assert!(used.len() > 20, "{used:?}");
    assert_eq!(missing(&found, &used), Vec::<&String>::new());
    assert!(
        unresolved < 4 && found.len() < 120,
        "{unresolved} {found:?}"
    );
}

#[test]
fn both_tables_of_names_say_the_same_of_this_machine() {
    use ounce_rootfs::elf::calls::{Machine, names};
    let machine = match std::env::consts::ARCH {
        "aarch64" => Machine::Arm64,
        _ => Machine::Amd64,
    };
    for number in 0..=600 {
        if let Some(name) = ounce_run::syscalls::name(number) {
            assert_eq!(names::name(machine, number), Some(name), "{number}");
        }
    }
}

#[test]
fn what_weigh_says_that_ounce_allows_is_what_it_allows() {
    let bench = Workbench::new();
    bench.file("program", crate::programs::prints("hello", 0));
    let document = bench.succeed(&["--json", "weigh", "./program"]);
    let document: Value = serde_json::from_str(&document).unwrap();
    let calls = &document["images"][0]["program"]["system_calls"];
    assert_eq!(calls["unresolved"], 0, "{calls}");
    assert!(
        calls["names"].as_array().unwrap().contains(&"write".into()),
        "{calls}"
    );
    let defaults = calls["defaults"].as_array().unwrap();
    let ours = defaults.iter().find(|one| one["by"] == "ounce").unwrap();
    assert_eq!(ours["calls"], ounce_run::syscalls::allowed());
}
