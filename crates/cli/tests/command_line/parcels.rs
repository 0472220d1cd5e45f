//! `ship --to ssh://…` to a machine that has an older state: what is sent, and what
//! comes of it.

use std::fs;

use serde_json::Value;

use crate::harness::Workbench;
use crate::programs::waits;

#[test]
fn machine_gets_what_differs_from_what_it_has() {
    let bench = Workbench::new();
    let tools = bench.path("tools");
    fs::create_dir_all(&tools).unwrap();
    let ounce = tools.join("ounce");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_ounce"), &ounce).unwrap();
    let host = crate::sshd::Host::with_first(&bench, Some(&tools));
    let there = bench.path("there").display().to_string();
    // Programs of which the second is the first with some bytes more behind it.
    let data = crate::held::bytes(60_000);
    let ship = |round: usize, file: &str| {
        let mut program = waits();
        program.extend(crate::held::bytes(40_000 + round * 10));
        bench.program("app", program);
        bench.file("data", &data);
        bench.file("more", file);
        let files = ["--file", "data:/data", "--file", "more:/etc/more"];
        bench.succeed(&[&["build", "app", "-q"], &files[..]].concat());
        let words = [
            "ship",
            "app",
            "--no-port",
            "--apply",
            "--yes",
            "--json",
            "--to",
        ];
        let place = [host.url(), "--ssh-config", host.config(), "--root", &there];
        let output = bench.output(&[&words[..], &place[..]].concat());
        assert!(output.status.success(), "{output:?}");
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        let current = bench.path("there/current");
        assert!(fs::read(current.join("data")).unwrap() == data, "{round}");
        assert_eq!(fs::read_to_string(current.join("etc/more")).unwrap(), file);
        assert!(!current.join(".ounce-update").exists());
        let count = |key: &str| told[key].as_u64().unwrap();
        let files = ["same_files", "patched_files", "sent_files"].map(count);
        (count("sent_bytes"), count("whole_bytes"), files)
    };
    let (sent, whole, files) = ship(1, "one");
    assert_eq!(files, [0, 0, 3]);
    assert!(whole > 100_000 && sent > 50_000, "{sent} of {whole}");
    let (sent, _, files) = ship(2, "two");
    assert_eq!(files[..2], [1, 1], "{files:?}");
    assert!(sent < 3_000, "{sent}");
    // What lies there is not what it was: it is not built upon.
    fs::write(bench.path("there/current/data"), "something else").unwrap();
    let (sent, _, files) = ship(3, "two");
    assert_eq!(files, [1, 1, 1], "{sent}");
    // An ounce there that fails: all is sent.
    fs::remove_file(&ounce).unwrap();
    bench.program("tools/ounce", "#!/bin/sh\nexit 1\n");
    let (_, _, files) = ship(4, "two");
    assert_eq!(files, [0, 0, 3]);
    // None at all: what is the same is not sent, the rest is.
    fs::remove_file(&ounce).unwrap();
    let (sent, _, files) = ship(5, "two");
    assert_eq!(files, [2, 0, 1]);
    assert!(sent < 45_000, "{sent}");
    let pid = fs::read_to_string(bench.path("there/pid")).unwrap();
    let pid = pid.split_whitespace().next().unwrap();
    let killed = std::process::Command::new("kill").arg(pid).status();
    assert!(killed.unwrap().success());
}
