//! `ounce delta`: between files and between images, made and applied.

use serde_json::Value;

use crate::harness::Workbench;
use crate::programs::prints;

/// Two firmware files that differ in a few bytes.
fn firmware(bench: &Workbench) {
    let mut bytes: Vec<u8> = (0..20_000_u32)
        .map(|at| (at.wrapping_mul(0x9e37_79b9) >> 23) as u8)
        .collect();
    bench.file("old.bin", &bytes);
    bytes.splice(9_000..9_010, *b"something quite different");
    bench.file("new.bin", &bytes);
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn a_delta_of_files_is_small_and_gives_the_new_file_for_host_and_device() {
    for target in ["host", "device"] {
        let bench = Workbench::new();
        firmware(&bench);
        let told = bench.succeed(&[
            "--json", "delta", "old.bin", "new.bin", "-o", "a.delta", "--for", target,
        ]);
        let told = json(&told);
        assert_eq!(told["schema"], "ounce.delta/1");
        assert_eq!(told["profile"], target);
        let bytes = std::fs::metadata(bench.path("a.delta")).unwrap().len();
        assert_eq!(told["delta_bytes"], bytes);
        assert!(bytes < 250, "{bytes}");
        bench.succeed(&["delta", "apply", "old.bin", "a.delta", "-o", "made.bin"]);
        let read = |name: &str| std::fs::read(bench.path(name)).unwrap();
        assert!(read("made.bin") == read("new.bin"));
    }
}

#[test]
fn a_delta_of_a_program_gives_a_program() {
    let bench = Workbench::new();
    bench.program("one", prints("one\n", 0));
    bench.program("two", prints("twenty-two\n", 0));
    bench.succeed(&["delta", "one", "two", "-o", "a.delta"]);
    bench.succeed(&["delta", "apply", "one", "a.delta", "-o", "made"]);
    let made = std::process::Command::new(bench.path("made")).output();
    assert_eq!(made.unwrap().stdout, b"twenty-two\n");
}

#[test]
fn a_delta_of_images_gives_the_same_image_in_another_store() {
    let bench = Workbench::new();
    for (name, text) in [("one", "one\n"), ("two", "twenty-two\n")] {
        bench.program("app", prints(text, 0));
        bench.succeed(&["build", "app", "--tag", name]);
    }
    let told = json(&bench.succeed(&["--json", "delta", "one", "two", "-o", "a.delta"]));
    assert_eq!(told["kind"], "image");
    assert_eq!(told["layers"][0]["how"], "delta");
    let digest = |store: &str, name: &str| {
        let told = bench.succeed(&["--store", store, "inspect", name]);
        json(&told)["digest"].as_str().unwrap().to_owned()
    };
    bench.succeed(&["copy", "one", "oci-archive:one.tar"]);
    bench.succeed(&["--store", "other", "copy", "oci-archive:one.tar", "one"]);
    let apply = ["--store", "other", "delta", "apply", "one", "a.delta", "-o"];
    let told = bench.succeed(&[&["--json"], &apply[..], &["new"]].concat());
    assert_eq!(json(&told)["digest"], digest("store", "two").as_str());
    assert_eq!(digest("other", "new"), digest("store", "two"));
    // What runs is what was built.
    assert_eq!(
        bench.succeed(&["--store", "other", "run", "new"]),
        "twenty-two\n"
    );
    // To a place beside the store, and no name is left behind.
    bench.succeed(&[&apply[..], &["oci-archive:two.tar"]].concat());
    assert_eq!(
        digest("other", "oci-archive:two.tar"),
        digest("store", "two")
    );
    assert!(
        !bench
            .succeed(&["--store", "other", "images"])
            .contains("delta-")
    );
}

#[test]
fn a_layer_that_is_not_compressed_comes_out_the_same() {
    let bench = Workbench::new();
    for (name, text) in [("one", "one\n"), ("two", "twenty-two\n")] {
        bench.program("app", prints(text, 0));
        bench.succeed(&["build", "app", "--tag", name]);
    }
    // docker's form of the image: the layer is a plain tar.
    bench.succeed(&["copy", "two", "docker-archive:two.tar:two:latest"]);
    let told = bench.succeed(&[
        "--json",
        "delta",
        "one",
        "docker-archive:two.tar",
        "-o",
        "a.delta",
    ]);
    assert_eq!(json(&told)["layers"][0]["how"], "delta");
    bench.succeed(&["delta", "apply", "one", "a.delta", "-o", "new"]);
    let digest = |name: &str| json(&bench.succeed(&["inspect", name]))["digest"].clone();
    assert_eq!(digest("new"), digest("docker-archive:two.tar"));
}

#[test]
fn a_delta_for_another_file_is_refused_and_nothing_is_written() {
    let bench = Workbench::new();
    firmware(&bench);
    bench.succeed(&["delta", "old.bin", "new.bin", "-o", "a.delta"]);
    let picture = bench.picture(&["delta", "apply", "new.bin", "a.delta", "-o", "made.bin"]);
    insta::assert_snapshot!(picture, @r#"
    status: 3
    -- stdout
    -- stderr
    error: a.delta cannot be applied: the patch is for another old image
    hint: new.bin is not what it was made from; nothing was written
    "#);
    assert!(!bench.path("made.bin").exists());
}

#[test]
fn what_is_no_delta_is_told_apart_from_a_damaged_one() {
    let bench = Workbench::new();
    firmware(&bench);
    let apply = ["delta", "apply", "old.bin", "a.delta", "-o", "made.bin"];
    bench.file("a.delta", b"something else");
    insta::assert_snapshot!(bench.picture(&apply), @r#"
    status: 3
    -- stdout
    -- stderr
    error: a.delta cannot be applied: not a patch of this format
    hint: `ounce delta OLD NEW -o FILE` makes one
    "#);
    bench.succeed(&["delta", "old.bin", "new.bin", "-o", "a.delta"]);
    let mut bytes = std::fs::read(bench.path("a.delta")).unwrap();
    let last = bytes.len() - 3;
    bytes[last] ^= 0x10;
    bench.file("a.delta", &bytes);
    let output = bench.output(&apply);
    assert_eq!(output.status.code(), Some(3));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("hint: fetch it again"), "{said}");
    assert!(!bench.path("made.bin").exists());
}

#[test]
fn damaged_deltas_of_images_leave_the_store_as_it_was() {
    let bench = Workbench::new();
    for (name, text) in [("one", "one\n"), ("two", "twenty-two\n")] {
        bench.program("app", prints(text, 0));
        bench.succeed(&["build", "app", "--tag", name]);
    }
    bench.succeed(&["delta", "one", "two", "-o", "a.delta"]);
    let good = std::fs::read(bench.path("a.delta")).unwrap();
    // All over the file, and cut.
    for at in (4..good.len()).step_by(good.len() / 12) {
        let mut bad = good.clone();
        bad[at] ^= 0x55;
        bench.file("bad.delta", &bad);
        let output = bench.output(&["delta", "apply", "one", "bad.delta", "-o", "new"]);
        assert_eq!(output.status.code(), Some(3), "{at}");
        bench.file("bad.delta", &good[..at]);
        let output = bench.output(&["delta", "apply", "one", "bad.delta", "-o", "new"]);
        assert_eq!(output.status.code(), Some(3), "{at}");
    }
    assert!(!bench.succeed(&["images"]).contains("new"));
    bench.succeed(&["verify"]);
}

#[test]
fn a_file_and_an_image_have_no_delta() {
    let bench = Workbench::new();
    firmware(&bench);
    insta::assert_snapshot!(bench.picture(&["delta", "old.bin", "app"]), @r#"
    status: 3
    -- stdout
    -- stderr
    error: old.bin is a file and app is not
    hint: give two files, or two images: an archive is oci-archive:FILE
    "#);
    insta::assert_snapshot!(bench.picture(&["delta", "--for", "device", "a", "b"]), @r#"
    status: 2
    -- stdout
    -- stderr
    error: a device's delta is between two files
    hint: give the programs or firmware files themselves
    "#);
}
