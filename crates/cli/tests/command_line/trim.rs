//! `ounce trim`: what it keeps, what it refuses, and that a proof holds.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use ounce_oci::Store;
use ounce_oci::layer::{Content, Entry, EntryKind, LayerOptions};
use ounce_oci::model::MediaType;
use serde_json::{Value, json};

use crate::harness::Workbench;
use crate::programs::{shows, waits};

/// Puts an image into the bench's store: layers of paths, with folders ending in
/// a slash, links as `path -> target`, hard links as `path = target`.
fn image(bench: &Workbench, name: &str, layers: &[&[(&str, &[u8])]], config: Value) {
    let store = Store::open(bench.path("store")).unwrap();
    let mut writer = store.write().unwrap();
    let (mut descriptors, mut diff_ids) = (Vec::new(), Vec::new());
    for layer in layers {
        let entries: Vec<_> = layer
            .iter()
            .map(|(path, bytes)| entry(path, bytes))
            .collect();
        let written = writer.layer(&entries, LayerOptions::default()).unwrap();
        descriptors.push(written.descriptor);
        diff_ids.push(written.diff_id.to_string());
    }
    let architecture = match std::env::consts::ARCH {
        "aarch64" => "arm64",
        _ => "amd64",
    };
    let config = json!({
        "architecture": architecture,
        "os": "linux",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "history": layers.iter().map(|_| json!({"created_by": "a test"})).collect::<Vec<_>>(),
    });
    let config = writer.json(MediaType::ImageConfig, &config).unwrap();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::ImageManifest,
        "config": config,
        "layers": descriptors,
        "annotations": {"kept": "yes"},
    });
    let manifest = writer.json(MediaType::ImageManifest, &manifest).unwrap();
    writer.commit(&name.parse().unwrap(), &manifest).unwrap();
}

fn entry(text: &str, bytes: &[u8]) -> Entry {
    let (path, kind, mode) = if let Some(path) = text.strip_suffix('/') {
        (path, EntryKind::Directory, 0o755)
    } else if let Some((path, target)) = text.split_once(" -> ") {
        (path, EntryKind::Symlink(target.to_owned()), 0o777)
    } else if let Some((path, target)) = text.split_once(" = ") {
        (path, EntryKind::Hardlink(target.to_owned()), 0o755)
    } else {
        let content = Content::Bytes(bytes.to_vec());
        (text, EntryKind::File(content), 0o755)
    };
    Entry {
        path: path.to_owned(),
        kind,
        mode,
        uid: 7,
        gid: 8,
    }
}

/// A program that shows a file, by way of links and two layers, beside much that
/// it does not use.
fn reader(bench: &Workbench) {
    let program = shows("/data/link");
    image(
        bench,
        "fat",
        &[
            &[
                ("app", &program),
                ("data/", b""),
                ("data/old", b"hidden"),
                ("data/real", b"old\n"),
                ("loop -> loop", b""),
                ("junk/", b""),
                ("junk/large", &[7; 100_000]),
                ("junk/small", b"x"),
            ],
            &[
                ("data/link -> ../way/real", b""),
                ("way -> data", b""),
                ("data/real", b"new\n"),
                ("data/twin = data/real", b""),
                ("data/.wh.old", b""),
            ],
        ],
        json!({"Entrypoint": ["/app"], "Labels": {"kept": "yes"}}),
    );
}

fn kept(bench: &Workbench, report: &str) -> Vec<String> {
    let text = std::fs::read(bench.path(report)).unwrap();
    let report: Value = serde_json::from_slice(&text).unwrap();
    let stayed = report["stayed"].as_array().unwrap();
    let path = |one: &Value| one["path"].as_str().unwrap().to_owned();
    stayed.iter().map(path).collect()
}

fn images(bench: &Workbench) -> String {
    bench.succeed(&["images"])
}

#[test]
fn what_a_program_opens_stays_with_all_links_on_the_way_and_the_rest_goes() {
    let bench = Workbench::new();
    reader(&bench);
    let text = bench.succeed(&[
        "trim",
        "fat",
        "-o",
        "small",
        "--report",
        "report.json",
        "--json",
    ]);
    let document: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(document["after"]["files"], 2, "{text}");
    // Both calls that its code makes besides those of every list, used or not.
    assert_eq!(document["all_calls_known"], true, "{text}");
    let calls = document["system_calls"].as_array().unwrap();
    assert!(calls.contains(&json!("openat")) && calls.contains(&json!("sendfile")));
    assert_eq!(
        kept(&bench, "report.json"),
        ["app", "data", "data/link", "data/real", "way"]
    );
    assert_eq!(bench.succeed(&["run", "small"]), "new\n");
    let inspected: Value = serde_json::from_str(&bench.succeed(&["inspect", "small"])).unwrap();
    let text = inspected.to_string();
    assert!(
        text.contains("io.ounce.seccomp") && text.contains(r#""kept":"yes""#),
        "{text}"
    );
    assert_eq!(inspected["manifest"]["layers"].as_array().unwrap().len(), 1);
    // The same again, and under another name, is the same.
    let digest = |name: &str| {
        bench.succeed(&["trim", "fat", "-o", name, "-q"]);
        let text = bench.succeed(&["inspect", name]);
        serde_json::from_str::<Value>(&text).unwrap()["digest"].clone()
    };
    assert_eq!(digest("other"), document["trimmed_digest"]);
    assert!(
        bench.succeed(&["verify"]).contains("whole") || bench.output(&["verify"]).status.success()
    );
}

#[test]
fn a_pattern_keeps_hard_links_as_links_of_one_file() {
    let bench = Workbench::new();
    reader(&bench);
    bench.succeed(&[
        "trim", "fat", "-o", "small", "--keep", "data/*", "--keep", "loop",
    ]);
    bench.succeed(&["copy", "small", "oci:out:small"]);
    let weight: Value =
        serde_json::from_str(&bench.succeed(&["weigh", "small", "--json"])).unwrap();
    // `data/twin` is a name more, not a file more; what a whiteout hid stays hidden.
    let image = &weight["images"][0];
    assert_eq!(
        image["unpacked_bytes"],
        json!(shows("/data/link").len() + 4),
        "{image}"
    );
    assert_eq!(image["layers"][0]["entries"], 7, "{image}");
}

#[test]
fn a_test_that_fails_on_the_whole_image_or_hangs_writes_nothing() {
    let bench = Workbench::new();
    image(
        &bench,
        "blind",
        &[&[("app", &shows("/absent"))]],
        json!({"Entrypoint": ["/app"]}),
    );
    image(
        &bench,
        "idle",
        &[&[("app", &waits())]],
        json!({"Entrypoint": ["/app"]}),
    );
    let before = images(&bench);
    let refused = |arguments: &[&str], code: i32, words: &str| {
        let all = [&["trim", "-o", "small"], arguments].concat();
        let output = bench.output(&all);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
        assert!(text.contains(words) && text.contains("hint:"), "{text}");
    };
    refused(&["blind"], 1, "exit code 1");
    refused(&["blind", "--exec", "/nothing"], 1, "does not start");
    refused(&["idle", "--timeout", "0.3"], 1, "still runs");
    refused(
        &["idle", "--http", "/", "-p", "80", "--timeout", "0.3"],
        1,
        "nobody listened",
    );
    refused(&["idle", "--http", "/"], 2, "exposes no port");
    refused(&["blind", "--exec", "'a"], 2, "no end");
    assert_eq!(images(&bench), before);
    let left = std::fs::read_dir(bench.path("cache/ounce/trim"))
        .into_iter()
        .flatten();
    assert_eq!(left.count(), 0);
}

fn script(bench: &Workbench, text: &str) -> String {
    let path = bench.program("script.sh", format!("#!/bin/sh\n{text}\n"));
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_path_that_no_trace_can_see_is_searched_for_and_named() {
    let bench = Workbench::new();
    let files: [(&str, &[u8]); 5] = [
        ("app", &waits()),
        ("data/", b""),
        ("data/a", b"a"),
        ("data/seen", b"seen by the host alone"),
        ("data/z", b"z"),
    ];
    image(&bench, "fat", &[&files], json!({"Entrypoint": ["/app"]}));
    let script = script(&bench, "cat /proc/$OUNCE_CONTAINER/root/data/seen");
    let output = bench.output(&["trim", "fat", "-o", "small", "--test", &script]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("--keep '/data/seen'"), "{text}");
    assert!(
        !text.contains("data/a") && !images(&bench).contains("small"),
        "{text}"
    );
    bench.succeed(&[
        "trim",
        "fat",
        "-o",
        "small",
        "--test",
        &script,
        "--keep",
        "/data/seen",
    ]);
}

#[test]
fn a_test_that_is_not_always_the_same_is_refused() {
    let bench = Workbench::new();
    image(
        &bench,
        "fat",
        &[&[("app", &waits())]],
        json!({"Entrypoint": ["/app"]}),
    );
    let script = script(&bench, "echo $$");
    for prove in [&[][..], &["--prove"]] {
        let all = [
            &["trim", "fat", "-o", "small", "--test", &script][..],
            prove,
        ]
        .concat();
        let output = bench.output(&all);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(
            text.contains("does not always") && text.contains("--loose"),
            "{text}"
        );
        bench.succeed(&[&all[..], &["--loose"]].concat());
        bench.succeed(&["rm", "small"]);
    }
}

#[test]
fn a_proof_leaves_what_is_needed_and_its_certificate_can_be_replayed() {
    let bench = Workbench::new();
    reader(&bench);
    let proved = ["trim", "fat", "-o", "small", "--prove", "--untraced"];
    let text = bench.succeed(&[&proved[..], &["--certificate", "proof.json", "--json"]].concat());
    let document: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(document["minimal"], true, "{text}");
    let certificate: Value =
        serde_json::from_slice(&std::fs::read(bench.path("proof.json")).unwrap()).unwrap();
    let needed: Vec<_> = certificate["needed"].as_object().unwrap().keys().collect();
    assert_eq!(needed, ["app", "data/link", "data/real", "way"]);
    assert_eq!(certificate["trimmed_digest"], document["trimmed_digest"]);
    assert_eq!(bench.succeed(&["run", "small"]), "new\n");
    let check = |file: &str| bench.output(&["trim", "fat", "--check", file]);
    let holds = check("proof.json");
    assert!(
        holds.status.success(),
        "{}",
        String::from_utf8_lossy(&holds.stderr)
    );

    // Not asked for, it is in no folder of the user's, and not lost either.
    let listed = || {
        let entries = std::fs::read_dir(bench.path("")).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let before = listed();
    let place = |more: &[&str]| {
        let text = bench.succeed(&[&proved[..], more, &["--json"]].concat());
        let document: Value = serde_json::from_str(&text).unwrap();
        document["certificate"].as_str().unwrap().to_owned()
    };
    let path = place(&[]);
    assert_eq!(listed(), before);
    assert!(
        path.starts_with(bench.path("cache").to_str().unwrap()),
        "{path}"
    );
    assert!(check(&path).status.success());
    assert_eq!(place(&["--report", "why.json"]), "why.certificate.json");
    assert!(check("why.certificate.json").status.success());

    let changed = |name: &str, change: &dyn Fn(&mut Value)| {
        let mut other = certificate.clone();
        change(&mut other);
        bench.file(name, other.to_string());
        let output = check(name);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), text)
    };
    let (code, text) = changed("needless.json", &|other| {
        other["kept"] = json!(["app", "data", "data/link", "data/real", "data/twin", "way"]);
        other["needed"]["data/twin"] = json!({"trial": 1, "why": "so they say"});
    });
    assert!(
        code == Some(1) && text.contains("passes without /data/twin"),
        "{text}"
    );
    let (code, text) = changed("less.json", &|other| {
        other["kept"] = json!(["app", "data", "data/real", "way"]);
        other["needed"].as_object_mut().unwrap().remove("data/link");
    });
    assert!(code == Some(1) && text.contains("exit code 1"), "{text}");
    let (code, text) = changed("foreign.json", &|other| {
        other["image_digest"] = json!("sha256:00");
    });
    assert!(
        code == Some(3) && text.contains("about the image"),
        "{text}"
    );
    let (code, text) = changed("none.json", &|other| *other = json!([1]));
    assert!(code == Some(3) && text.contains("schema"), "{text}");
}

#[test]
fn a_bound_on_trials_leaves_a_smaller_image_that_says_it_is_not_minimal() {
    let bench = Workbench::new();
    reader(&bench);
    let proved = [
        "trim",
        "fat",
        "-o",
        "small",
        "--prove",
        "--untraced",
        "--trials",
        "6",
    ];
    let text = bench.succeed(&[&proved[..], &["--json"]].concat());
    let document: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(document["minimal"], false, "{text}");
    assert!(
        document["claim"]
            .as_str()
            .unwrap()
            .contains("not shown to be minimal")
    );
    assert_eq!(bench.succeed(&["run", "small"]), "new\n");
    // The next run goes on after them.
    let output = bench.output(&proved[..6]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && text.contains("going on after"),
        "{text}"
    );
}

#[test]
fn a_server_is_asked_in_its_own_network() {
    let bench = Workbench::new();
    bench.file("site/index.html", "<p>hello</p>");
    bench.file("site/other.html", "<p>other</p>");
    bench.succeed(&["build", "site", "-t", "site", "--site"]);
    let text = bench.succeed(&[
        "trim",
        "site",
        "-o",
        "small",
        "--http",
        "/",
        "--http",
        "/other.html",
    ]);
    assert!(
        text.contains("passes --http / --http /other.html"),
        "{text}"
    );
    let missing = bench.output(&["trim", "site", "-o", "none", "--http", "/absent"]);
    let text = String::from_utf8_lossy(&missing.stderr);
    assert!(
        missing.status.code() == Some(1) && text.contains("status 404"),
        "{text}"
    );
}

#[test]
fn a_signal_ends_a_proof_cleanly_and_a_kill_leaves_nothing_for_long() {
    let bench = Workbench::new();
    image(
        &bench,
        "fat",
        &[&[("app", &waits()), ("x", b""), ("y", b"")]],
        json!({"Entrypoint": ["/app"]}),
    );
    let script = script(&bench, "sleep 0.3; echo ok");
    let folder = bench.path("cache/ounce/trim");
    let entries = |folder: &Path| std::fs::read_dir(folder).into_iter().flatten().count();
    for (signal, code) in [(15, Some(1)), (9, None)] {
        let mut child = bench
            .ounce(&[
                "trim",
                "fat",
                "-o",
                "small",
                "--test",
                &script,
                "--prove",
                "--untraced",
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let begun = Instant::now();
        while entries(&folder) == 0 && begun.elapsed() < Duration::from_secs(30) {
            std::thread::sleep(Duration::from_millis(5));
        }
        std::thread::sleep(Duration::from_millis(200));
        let pid = rustix::process::Pid::from_child(&child);
        let signal = rustix::process::Signal::from_named_raw(signal).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), code);
        assert!(!images(&bench).contains("small"));
    }
    assert_eq!(
        entries(&folder),
        1,
        "a process that was killed cleans nothing"
    );
    bench.succeed(&["trim", "fat", "-o", "small", "--test", &script]);
    assert_eq!(entries(&folder), 0, "the next one does");
    let mode = std::fs::metadata(bench.path("script.sh"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o755);
}

#[test]
fn the_bill_of_what_remains_names_the_packages_of_which_something_stayed() {
    let bench = Workbench::new();
    let status = "Package: data\nStatus: install ok installed\nArchitecture: all\nVersion: 1.2-3\n\n\
                  Package: junk\nStatus: install ok installed\nArchitecture: all\nVersion: 4\n\n";
    image(
        &bench,
        "fat",
        &[&[
            ("app", &shows("/data/file")),
            ("data/", b""),
            ("data/file", b"text\n"),
            ("junk", b"nobody reads this"),
            ("var/lib/dpkg/status", status.as_bytes()),
            ("var/lib/dpkg/info/data.list", b"/.\n/data\n/data/file\n"),
            ("var/lib/dpkg/info/junk.list", b"/.\n/junk\n"),
        ]],
        json!({"Entrypoint": ["/app"]}),
    );
    let bill = |file: &str| -> Value {
        bench.succeed(&["trim", "fat", "-o", "small", "-q", "--sbom", file]);
        serde_json::from_slice(&std::fs::read(bench.path(file)).unwrap()).unwrap()
    };
    let spdx = bill("bill.json");
    let names = |all: &Value| -> Vec<Value> {
        let all = all.as_array().unwrap().iter();
        all.map(|one| one["name"].clone()).collect()
    };
    let digest: Value = serde_json::from_str(&bench.succeed(&["inspect", "small"])).unwrap();
    assert_eq!(
        names(&spdx["packages"]),
        [json!("small:latest"), json!("data")]
    );
    assert_eq!(spdx["packages"][0]["versionInfo"], digest["digest"]);
    let cyclone = bill("bill.cdx.json");
    assert_eq!(names(&cyclone["components"]), [json!("data")]);
    assert_eq!(cyclone["components"][0]["version"], "1.2-3");
}

/// A module with a docstring, compiled by the machine's own Python.
fn compiled(bench: &Workbench) -> Vec<u8> {
    let source = bench.file("m.py", "\"\"\"A docstring of some length.\"\"\"\nx = 1\n");
    let made = bench.path("m.pyc");
    let script = "import sys, py_compile; py_compile.compile(sys.argv[1], sys.argv[2])";
    let mut python = std::process::Command::new("python3");
    python.args(["-c", script]).arg(source).arg(&made);
    let output = python.output().unwrap_or_else(|error| {
        panic!("{error}: apt-get install python3");
    });
    assert!(output.status.success(), "{output:?}");
    std::fs::read(made).unwrap()
}

#[test]
fn each_step_of_strip_is_taken_only_if_the_test_still_passes_with_it() {
    let bench = Workbench::new();
    let (module, library) = (compiled(&bench), shows("/vendored"));
    let files: &[(&str, &[u8])] = &[
        ("app", &shows("/p/m.pyc")),
        ("other", &shows("/p/de.txt")),
        ("p/de.txt", b"text\n"),
        ("p/m.pyc", &module),
        ("p/site-packages/a.libs/libx.so", &library),
        ("p/site-packages/b.libs/libx.so", &library),
        ("p/site-packages/a/tests/one.py", b"import a\n"),
        ("p/site-packages/a/code.py", b"import b\n"),
        ("p/locale/pl/LC_MESSAGES/a.mo", b"polski"),
        ("p/locale/de/LC_MESSAGES/a.mo", b"deutsch"),
    ];
    let config = json!({"Entrypoint": ["/app"], "Env": ["LANG=de_AT.UTF-8"]});
    image(&bench, "fat", &[files], config);
    let trim = |more: &[&str]| -> (Value, String) {
        let trim = ["--json", "trim", "fat", "-o", "cut", "--keep", "/p/**"];
        let output = bench.output(&[&trim[..], more].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        (serde_json::from_slice(&output.stdout).unwrap(), said)
    };
    let names = || -> Vec<String> {
        let told = bench.succeed(&["--json", "weigh", "cut", "--all-files"]);
        let told: Value = serde_json::from_str(&told).unwrap();
        let files = told["files"][0]["files"].as_array().unwrap().clone();
        let path = |file: &Value| file["path"].as_str().unwrap().to_owned();
        files.iter().map(path).collect()
    };
    let less = json!({"tests": 9, "locales": 6, "duplicates": library.len()});

    // The test sees what the docstring's file holds.
    let (told, said) = trim(&["--strip", "all"]);
    assert!(said.contains("docstrings are not stripped"), "{said}");
    assert_eq!(told["stripped"], less);
    let kept = [
        "/app",
        "/p/de.txt",
        "/p/locale/de/LC_MESSAGES/a.mo",
        "/p/m.pyc",
        "/p/site-packages/a/code.py",
        "/p/site-packages/a.libs/libx.so",
        "/p/site-packages/b.libs/libx.so",
    ];
    assert_eq!(names(), kept);
    let weighed = bench.succeed(&["--json", "weigh", "cut"]);
    let weighed: Value = serde_json::from_str(&weighed).unwrap();
    assert_eq!(
        weighed["images"][0]["unpacked_bytes"],
        told["after"]["bytes"]
    );
    assert_eq!(
        weighed["images"][0]["duplicates"]["files"], 0,
        "one file, two names"
    );

    // This one does not look.
    let (told, said) = trim(&["--exec", "/other", "--strip", "docstrings,tests"]);
    assert_eq!(said, "");
    let docstring = "A docstring of some length.".len();
    assert_eq!(
        told["stripped"],
        json!({"docstrings": docstring, "tests": 9})
    );
    let weighed = bench.succeed(&["--json", "weigh", "cut"]);
    let weighed: Value = serde_json::from_str(&weighed).unwrap();
    assert_eq!(
        weighed["images"][0]["unpacked_bytes"],
        told["after"]["bytes"]
    );

    // As it was before there were several, a word less is symbols.
    assert_eq!(trim(&["--strip"]).0["stripped"], json!({}));
    let output = bench.output(&["trim", "fat", "-o", "cut", "--strip", "comments"]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("there are tests, locales, duplicates"),
        "{said}"
    );
}
