//! `--smallest`, compiled for real where the sources of the
//! standard library are there.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use ounce_build::{Measure, PlanError, ProgramSource, Request, SmallestError, plan};

use crate::{build, package, request};

fn smallest(path: &Path) -> Request {
    let mut request = request(path);
    // The standard library has crates of its own, to be fetched once.
    request.offline = false;
    request.settings.rust.smallest = Some(true);
    request.settings.measure = Some(Measure::No);
    request
}

/// Whether the sources are there; says so aloud if not.
fn is_possible(path: &Path) -> bool {
    match plan(&smallest(path)) {
        Err(PlanError::Smallest(error)) => {
            eprintln!("SKIPPED: {error}: {}", error.hints().join(", "));
            false
        }
        plan => plan.map(|_| true).unwrap(),
    }
}

fn program(folder: &Path, name: &str) -> std::path::PathBuf {
    fs::read_dir(folder.join("target/ounce"))
        .unwrap()
        .map(|entry| entry.unwrap().path().join("release").join(name))
        .find(|path| path.exists())
        .unwrap()
}

#[test]
fn hello_with_std_is_within_20_kb_anywhere_the_same_and_a_panic_says_nothing() {
    let build_in = |below: &str| {
        let folder = tempfile::tempdir().unwrap();
        let project = folder.path().join(below);
        package(&project, "hello", "[profile.release]\npanic = 'unwind'\n");
        if !is_possible(&project) {
            return None;
        }
        let (_store, built) = build(&smallest(&project));
        let program = program(&project, "hello");
        let good = Command::new(&program).output().unwrap();
        assert_eq!(
            (good.status.code(), &*good.stdout),
            (Some(0), &b"hello\n"[..])
        );
        // Printing to a full device panics.
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let bad = Command::new(&program).stdout(full).output().unwrap();
        assert_eq!((bad.status.code(), &*bad.stderr), (None, &b""[..]));
        Some((built.images[0].program_bytes, built.descriptor))
    };
    let Some((bytes, first)) = build_in("one") else {
        return;
    };
    println!("std's hello: {bytes} bytes");
    assert!(bytes <= 20_480, "std's hello is {bytes} bytes");
    let (_, second) = build_in("two/deeper").unwrap();
    assert_eq!(first, second);
}

#[test]
fn what_smallest_overrules_and_gives_up_is_said() {
    let folder = tempfile::tempdir().unwrap();
    package(
        folder.path(),
        "hello",
        "[profile.release]\npanic = 'unwind'\n",
    );
    if !is_possible(folder.path()) {
        return;
    }
    let recipe = plan(&smallest(folder.path())).unwrap();
    let advice = recipe.advice.join("\n");
    assert!(advice.contains("overrules what the project chose: panic=\"unwind\""));
    assert!(advice.contains("a panic ends the program at once and says nothing"));
    let ProgramSource::Cargo(cargo) = &recipe.programs[0].from else {
        panic!("a Rust project")
    };
    assert_eq!(cargo.arguments[0], "rustc");
    assert!(cargo.smallest.is_some());
}

#[test]
fn missing_sources_and_an_old_compiler_are_told_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    package(folder.path(), "hello", "");
    let sysroot = folder.path().join("toolchains/stable-x86_64");
    fs::create_dir_all(&sysroot).unwrap();
    let error = |release: &str| {
        let rustc = folder.path().join("rustc");
        let script = format!(
            "#!/bin/sh\ncase \"$*\" in -vV) echo 'release: {release}';; *) echo {};; esac\n",
            sysroot.display()
        );
        fs::write(&rustc, script).unwrap();
        fs::set_permissions(&rustc, fs::Permissions::from_mode(0o755)).unwrap();
        let mut request = smallest(folder.path());
        request.toolchain.rustc = rustc;
        match plan(&request) {
            Err(PlanError::Smallest(error)) => error,
            other => panic!("{:?}", other.map(|_| ())),
        }
    };
    let missing = error("1.95.0");
    assert!(
        matches!(missing, SmallestError::NoSource { .. }),
        "{missing}"
    );
    assert_eq!(
        missing.hints(),
        ["rustup component add rust-src --toolchain stable-x86_64"]
    );
    let old = error("1.88.0");
    assert_eq!(
        old.to_string(),
        "--smallest needs Rust 1.95 or newer, and this is 1.88.0"
    );
}
