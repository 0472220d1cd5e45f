//! What programs stand on: bases from packages, their lock, the stages.

#[path = "../../../build/tests/build/debian/archive.rs"]
#[allow(
    dead_code,
    reason = "shared with the library's tests, which use more of it"
)]
mod archive;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use archive::{Key, Mirror, file, package, small_system};
use serde_json::Value;

use crate::harness::Workbench;
use crate::programs::prints;

fn with_mirror() -> (Workbench, Mirror) {
    let bench = Workbench::new();
    let mirror = Mirror::new(&bench.path("mirror"));
    mirror.main(&small_system());
    bench.program("hi", prints("hi\n", 0));
    (bench, mirror)
}

/// `--mirror`, `--keyring` and the release of the tests' archive.
fn from(mirror: &Mirror) -> [String; 6] {
    let keyring = mirror.folder.join("keys.gpg");
    [
        "--mirror".to_owned(),
        mirror.url(),
        "--keyring".to_owned(),
        keyring.to_str().unwrap().to_owned(),
        "--suite".to_owned(),
        "bookworm".to_owned(),
    ]
}

fn arguments<'a>(first: &[&'a str], mirror: &'a [String]) -> Vec<&'a str> {
    let mirror = mirror.iter().map(String::as_str);
    first.iter().copied().chain(mirror).collect()
}

#[test]
fn a_base_is_put_together_named_and_the_same_in_every_store() {
    let (bench, mirror) = with_mirror();
    let options = from(&mirror);
    let base = |more: &[&str]| {
        let first = [&["--json", "base", "debian-slim"], more].concat();
        let text = bench.succeed(&arguments(&first, &options));
        serde_json::from_str::<Value>(&text).unwrap()
    };
    let one = base(&[]);
    assert_eq!(one["schema"], "ounce.base/1");
    assert_eq!(one["name"], "debian-slim:latest");
    assert_eq!(one["from"], "debian bookworm");
    let names: Vec<&str> = one["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["name"].as_str().unwrap())
        .collect();
    assert!(
        names.contains(&"usr-is-merged") && !names.contains(&"usrmerge"),
        "{names:?}"
    );
    let other = base(&["--store", "other"]);
    assert_eq!(one["digest"], other["digest"]);
    bench.succeed(&["verify"]);
    let weighed = bench.succeed(&["weigh", "debian-slim"]);
    let row = weighed.lines().find(|line| line.starts_with("packages"));
    let count = row.unwrap().split_whitespace().last().unwrap();
    assert_eq!(count, names.len().to_string());
}

#[test]
fn a_program_stands_on_a_base_that_the_lock_pins() {
    let (bench, mirror) = with_mirror();
    let options = from(&mirror);
    let build = [
        "build",
        "hi",
        "--base",
        "debian-slim",
        "--lock",
        "bases.lock",
    ];
    let build = arguments(&build, &options);
    let digest = || {
        let image: Value = serde_json::from_str(&bench.succeed(&["inspect", "hi"])).unwrap();
        assert_eq!(image["manifest"]["layers"].as_array().unwrap().len(), 2);
        assert!(
            image["config"]["config"]["Env"][0]
                .as_str()
                .unwrap()
                .starts_with("PATH=")
        );
        image["digest"].as_str().unwrap().to_owned()
    };
    bench.succeed(&build);
    let first = digest();
    let lock = fs::read_to_string(bench.path("bases.lock")).unwrap();
    assert!(
        lock.contains("name = \"libc6\"\nversion = \"2.36-9\""),
        "{lock}"
    );
    let mut newer = small_system();
    newer.push(package(
        "Package: libc6\nVersion: 2.36-10\nMulti-Arch: same",
        vec![],
    ));
    mirror.main(&newer);
    bench.succeed(&build);
    assert_eq!(digest(), first);
    // What the archive has now is looked at by `update`, and nothing else.
    let update = arguments(&["update", "bases.lock", "--check"], &options);
    assert_eq!(bench.output(&update).status.code(), Some(1));
    assert_eq!(fs::read_to_string(bench.path("bases.lock")).unwrap(), lock);
    insta::assert_snapshot!(bench.picture(&arguments(&["-q", "update", "bases.lock"], &options)), @r#"
    status: 0
    -- stdout
    BASE               PACKAGE  BEFORE  AFTER
    debian-slim amd64  libc6    2.36-9  2.36-10
    -- stderr
    "#);
    bench.succeed(&build);
    assert_ne!(digest(), first);
}

#[test]
fn the_program_runs_on_its_base() {
    let (bench, mirror) = with_mirror();
    bench.succeed(&arguments(
        &["build", "hi", "--base", "distroless"],
        &from(&mirror),
    ));
    assert_eq!(bench.succeed(&["run", "hi"]), "hi\n");
    let bench_names = bench.succeed(&["images"]);
    assert!(
        bench_names.contains("base/distroless-static:bookworm-"),
        "{bench_names}"
    );
}

#[test]
fn a_program_whose_libraries_the_base_has_not_is_refused() {
    let (bench, mirror) = with_mirror();
    let own = std::env::current_exe().unwrap();
    let own = own.to_str().unwrap();
    let build = ["build", own, "--base", "distroless-static", "-t", "own"];
    let output = bench.output(&arguments(&build, &from(&mirror)));
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert!(text.contains("the base has not what /"), "{text}");
    assert!(
        text.contains("the loader /lib64/ld-linux-x86-64.so.2"),
        "{text}"
    );
    assert!(text.contains("libc.so.6 (for /"), "{text}");
    assert!(text.contains("hint: --base distroless-cc"), "{text}");
    assert_eq!(bench.output(&["inspect", "own"]).status.code(), Some(3));
}

/// A program that needs `mine` of a library of a later version than the one given, and
/// that library; linked by this machine's compiler, against nothing else.
fn linked_against_newer(bench: &Workbench) -> Vec<u8> {
    bench.file("mine.c", "int mine(void) { return 0; }");
    bench.file("app.c", "int mine(void); void _start(void) { mine(); }");
    bench.file("old.map", "MINE_1.9 { global: mine; };");
    bench.file("new.map", "MINE_1.10 { global: mine; };");
    let gcc = |arguments: &[&str]| {
        let mut gcc = Command::new("gcc");
        gcc.current_dir(bench.path("")).arg("-nostdlib");
        assert!(gcc.args(arguments).status().unwrap().success());
    };
    for age in ["old", "new"] {
        let map = format!("-Wl,--version-script={age}.map");
        let to = format!("{age}.so");
        let library = ["-shared", "-fPIC", "mine.c", "-Wl,-soname,libmine.so.1"];
        gcc(&[&library[..], &[&map, "-o", &to]].concat());
    }
    let loader = "-Wl,--dynamic-linker=/lib64/ld-mine.so.1";
    gcc(&["app.c", "./new.so", loader, "-o", "app"]);
    fs::read(bench.path("old.so")).unwrap()
}

#[test]
fn a_program_whose_libraries_are_older_in_the_base_is_refused_in_words() {
    let (bench, mirror) = with_mirror();
    let old = linked_against_newer(&bench);
    let at = "./usr/lib/x86_64-linux-gnu/libmine.so.1";
    let publish = |library: Vec<u8>, version: &str| {
        let mut packages = small_system();
        packages.push(package(
            &format!("Package: libmine1\nVersion: {version}"),
            vec![file(at, library), file("./lib64/ld-mine.so.1", "")],
        ));
        mirror.main(&packages);
    };
    let build = [
        "-q",
        "build",
        "app",
        "--base",
        "debian-slim",
        "--with",
        "libmine1",
    ];
    let options = from(&mirror);
    let build = arguments(&build, &options);
    publish(old, "1");
    insta::assert_snapshot!(bench.picture(&build), @r#"
    status: 3
    -- stdout
    -- stderr
    error: the base is older than what /app was linked against: MINE_1.10 of /usr/lib/x86_64-linux-gnu/libmine.so.1, which has MINE_1.9 at most (for /app)
    hint: take a newer base: --suite RELEASE with the same --base, as --suite trixie
    hint: or compile it where its libraries are as old as the base's, or statically: then it needs no base
    "#);
    assert_eq!(bench.output(&["inspect", "app"]).status.code(), Some(3));
    publish(fs::read(bench.path("new.so")).unwrap(), "2");
    bench.succeed(&build);
}

#[test]
fn stages_are_built_from_one_source_and_compared() {
    let (bench, mirror) = with_mirror();
    bench.file(
        "stages.toml",
        "[stage.dev]\nbase = 'debian-slim'\n[stage.dev.image]\nenv = { MODE = 'dev' }\n\
         [stage.test]\nbase = 'distroless-static'\n[stage.prod]\nbase = 'scratch'\nbudget = '1 KB'\n",
    );
    let options = from(&mirror);
    let build = ["-q", "build", "hi", "--config", "stages.toml", "--stage"];
    let all = arguments(&[&build[..], &["all"]].concat(), &options);
    let text = bench.succeed(&all);
    let rows: Vec<Vec<&str>> = text
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(rows[1][..3], ["hi:dev", "debian-slim", "linux/amd64"]);
    assert_eq!(rows[2][..2], ["hi:prod", "scratch"]);
    assert_eq!(rows[3][..2], ["hi:test", "distroless-static"]);
    assert!(
        rows.iter().skip(1).all(|row| row.last() == Some(&"yes")),
        "{text}"
    );
    let compared = bench.succeed(&["weigh", "hi:dev", "hi:prod"]);
    assert!(compared.contains("below 1 MB, the target"), "{compared}");
    let wrong = arguments(&[&build[..], &["beta"]].concat(), &options);
    insta::assert_snapshot!(bench.picture(&wrong), @r#"
    status: 3
    -- stdout
    -- stderr
    error: there is no stage "beta"
    hint: ounce.toml has dev, prod, test; --stage all builds each
    "#);
}

#[test]
fn a_lock_for_something_else_is_told() {
    let (bench, mirror) = with_mirror();
    let options = from(&mirror);
    let base = ["-q", "base", "debian-slim", "--lock", "l"];
    bench.succeed(&arguments(&base, &options));
    let with = [&base[..], &["--with", "perl"]].concat();
    insta::assert_snapshot!(bench.picture(&arguments(&with, &options)), @r#"
    status: 3
    -- stdout
    -- stderr
    error: the lock has debian-slim of debian bookworm, and debian bookworm with perl is asked for
    hint: ounce update moves the lock
    "#);
    bench.file("l", "version = 9\n");
    let output = bench.output(&arguments(&base, &options));
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(bench.output(&["update", "nothing"]).status.code(), Some(3));
}

#[test]
fn an_archive_that_cannot_be_trusted_leaves_nothing_behind() {
    let (bench, mirror) = with_mirror();
    let options = from(&mirror);
    let base = arguments(&["-q", "base", "distroless-static"], &options);
    let told = |spoil: &dyn Fn()| {
        spoil();
        let output = bench.output(&base);
        assert_eq!(output.status.code(), Some(3));
        assert!(!bench.succeed(&["images"]).contains("base/"));
        String::from_utf8(output.stderr).unwrap()
    };
    let keyring = mirror.folder.join("keys.gpg");
    let text = told(&|| fs::remove_file(&keyring).unwrap());
    assert!(
        text.contains("hint: apt install debian-archive-keyring"),
        "{text}"
    );
    let text = told(&|| fs::write(&keyring, Key::new().ring(None)).unwrap());
    assert!(text.contains("caused by: it is signed by"), "{text}");
    fs::write(&keyring, mirror.key.ring(None)).unwrap();
    let text = told(&|| {
        let until = "Valid-Until: Tue, 02 Jan 2024 00:00:00 UTC\n";
        mirror.publish("debian", "bookworm", &small_system(), until);
    });
    assert!(text.contains("is valid until Tue, 02 Jan 2024"), "{text}");
    assert!(
        text.contains("hint: the mirror has not been updated"),
        "{text}"
    );
    let text = told(&|| {
        mirror.main(&small_system());
        fs::write(mirror.folder.join("debian/pool/tzdata_1.deb"), "evil").unwrap();
    });
    assert!(text.contains("tzdata_1.deb is sha256:"), "{text}");
}

#[test]
fn a_conflict_and_an_unknown_script_are_told() {
    let (bench, mirror) = with_mirror();
    let mut packages = small_system();
    packages.push(package(
        "Package: one\nVersion: 1\nDepends: two (>= 3)",
        vec![],
    ));
    packages.push(
        package("Package: two\nVersion: 2", vec![file("./usr/bin/two", "2")])
            .with("postinst", "#!/bin/sh\nuseradd two\n"),
    );
    mirror.main(&packages);
    let options = from(&mirror);
    let base = |package| {
        let first = ["-q", "base", "debian-slim", "--with", package];
        bench.output(&arguments(&first, &options))
    };
    let output = base("one");
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert!(
        text.contains(
            "caused by: two (>= 3) cannot be had, needed by one 1: of two there is 2 only"
        ),
        "{text}"
    );
    let first = ["base", "debian-slim", "--with", "two"];
    let output = bench.output(&arguments(&first, &options));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(
        text.contains("note: left out of two: its postinst, which is not run: `useradd two`"),
        "{text}"
    );
    assert!(output.status.success());
}

#[test]
fn without_the_network_what_is_missing_is_named() {
    let (bench, mirror) = with_mirror();
    let keyring = mirror.folder.join("keys.gpg");
    let keyring = keyring.to_str().unwrap();
    insta::assert_snapshot!(bench.picture(&[
        "base", "distroless-static", "--offline", "--mirror", "http://192.0.2.1", "--suite",
        "bookworm", "--keyring", keyring,
    ]), @r#"
    status: 5
    -- stdout
    -- stderr
    error: http://192.0.2.1/debian/dists/bookworm/InRelease is not in the cache, and the network may not be used
    hint: leave --offline away
    "#);
}

#[test]
fn two_builds_at_once_both_succeed() {
    let (bench, mirror) = with_mirror();
    let options = from(&mirror);
    let base = arguments(&["--json", "base", "debian-slim"], &options);
    let running: Vec<_> = (0..3)
        .map(|_| {
            let mut command = bench.ounce(&base);
            command.stdout(Stdio::piped());
            command.spawn().unwrap()
        })
        .collect();
    let digests: Vec<Value> = running
        .into_iter()
        .map(|child| {
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success());
            serde_json::from_slice::<Value>(&output.stdout).unwrap()["digest"].clone()
        })
        .collect();
    assert!(
        digests.windows(2).all(|pair| pair[0] == pair[1]),
        "{digests:?}"
    );
    bench.succeed(&["verify"]);
}

#[test]
fn two_builds_at_once_with_one_lock_lose_nothing_of_it() {
    let (bench, mirror) = with_mirror();
    let options = from(&mirror);
    let bases = ["debian-slim", "distroless-static"];
    let running = bases.map(|base| {
        let first = ["-q", "base", base, "--lock", "bases.lock"];
        bench.ounce(&arguments(&first, &options)).spawn().unwrap()
    });
    for child in running {
        assert!(child.wait_with_output().unwrap().status.success());
    }
    let lock = fs::read_to_string(bench.path("bases.lock")).unwrap();
    for base in bases {
        assert!(lock.contains(&format!("\"{base}\"")), "no {base} in {lock}");
    }
    // What it says is what each has been made of.
    for base in bases {
        let first = ["-q", "base", base, "--lock", "bases.lock", "--offline"];
        bench.succeed(&arguments(&first, &options));
    }
}

#[test]
fn who_waits_for_another_that_puts_a_base_together_is_told_so() {
    let (bench, mirror) = with_mirror();
    let options = from(&mirror);
    let packages = bench.path("cache/ounce/packages");
    fs::create_dir_all(&packages).unwrap();
    let held = ounce_oci::lock::Lock::wait_for_folder(&packages, &mut |_| {}).unwrap();
    let base = arguments(&["base", "distroless-static"], &options);
    let mut command = bench.ounce(&base);
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    let line = said.find(|line| line.as_ref().unwrap().starts_with("waiting"));
    assert_eq!(
        line.unwrap().unwrap(),
        format!(
            "waiting for another ounce (process {}), which is putting a base together",
            std::process::id()
        )
    );
    drop(held);
    let rest: Vec<String> = said.map(Result::unwrap).collect();
    assert!(child.wait().unwrap().success(), "{rest:?}");
}

#[test]
fn what_is_no_base_is_told_with_those_there_are() {
    let bench = Workbench::new();
    assert_eq!(bench.output(&["base", "scratch"]).status.code(), Some(2));
    assert_eq!(bench.output(&["base", "No Base"]).status.code(), Some(2));
    let output = bench.output(&["base", "debian-slim", "--platform", "linux/mips"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("hint: there are linux/amd64")
    );
}
