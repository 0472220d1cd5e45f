//! The store: names, copies, collection, verification.

use crate::harness::Workbench;
use crate::programs::prints;

fn with_hi() -> Workbench {
    let bench = Workbench::new();
    bench.program("hi", prints("hi\n", 0));
    bench.succeed(&["build", "hi"]);
    bench
}

#[test]
fn empty_store_lists_nothing_and_says_how_to_begin() {
    insta::assert_snapshot!(Workbench::new().picture(&["images"]), @r#"
    status: 0
    -- stdout
    -- stderr
    no images yet: `ounce up PATH` or `ounce build PATH` makes one
    "#);
}

#[test]
fn built_image_is_listed_tagged_and_removed() {
    let bench = with_hi();
    bench.succeed(&["tag", "hi", "hi:v1"]);
    let json: serde_json::Value =
        serde_json::from_str(&bench.succeed(&["--json", "images"])).unwrap();
    assert_eq!(json["schema"], "ounce.images/1");
    let names: Vec<&str> = json["images"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["hi:latest", "hi:v1"]);
    assert_eq!(json["images"][0]["digest"], json["images"][1]["digest"]);
    bench.succeed(&["rm", "hi"]);
    assert!(!bench.succeed(&["images"]).contains("hi:latest"));
    assert_eq!(bench.output(&["rm", "hi"]).status.code(), Some(3));
}

#[test]
fn name_that_is_not_there_is_answered_with_the_nearest() {
    insta::assert_snapshot!(with_hi().picture(&["inspect", "hj"]), @r#"
    status: 3
    -- stdout
    -- stderr
    error: there is no image hj:latest
    hint: did you mean hi:latest?
    "#);
}

#[test]
fn digest_survives_every_way_out_and_in() {
    let bench = with_hi();
    let digest = |name: &str| {
        let json: serde_json::Value =
            serde_json::from_str(&bench.succeed(&["inspect", name])).unwrap();
        json["digest"].as_str().unwrap().to_owned()
    };
    let original = digest("hi");
    for place in ["oci:layout:hi", "oci-archive:hi.tar"] {
        bench.succeed(&["copy", "hi", place]);
        assert_eq!(digest(place), original, "{place}");
        bench.succeed(&["copy", place, "back"]);
        assert_eq!(digest("back"), original, "{place}");
    }
    // `docker save`'s form has no manifest of OCI's, so the manifest is made
    // anew; the layers, and so what runs, are the same.
    bench.succeed(&["copy", "hi", "docker-archive:hi-docker.tar:hi:latest"]);
    bench.succeed(&["copy", "docker-archive:hi-docker.tar", "back"]);
    let layers = |name: &str| {
        let json: serde_json::Value =
            serde_json::from_str(&bench.succeed(&["inspect", name])).unwrap();
        json["config"]["rootfs"]["diff_ids"].clone()
    };
    assert_eq!(layers("back"), layers("hi"));
}

#[test]
fn collection_frees_what_no_name_reaches_and_nothing_else() {
    let bench = with_hi();
    let blobs = || {
        std::fs::read_dir(bench.path("store/blobs/sha256"))
            .unwrap()
            .count()
    };
    assert_eq!(blobs(), 3);
    bench.succeed(&["gc"]);
    assert_eq!(blobs(), 3);
    bench.succeed(&["rm", "hi"]);
    let json: serde_json::Value = serde_json::from_str(&bench.succeed(&["--json", "gc"])).unwrap();
    assert_eq!((json["blobs"].as_u64(), blobs()), (Some(3), 0));
}

#[test]
fn collection_takes_unpacked_images_and_half_unpacked_ones_with_their_names() {
    let bench = with_hi();
    bench.succeed(&["run", "hi"]);
    let cache = bench.path("cache/ounce/rootfs");
    let entries = || std::fs::read_dir(&cache).unwrap().count();
    assert!(entries() > 0);
    bench.file(
        &format!("cache/ounce/rootfs/{:064x}.making/root/left", 1),
        "x",
    );
    bench.succeed(&["gc"]);
    let kept = entries();
    assert!(kept > 0 && !cache.join(format!("{:064x}.making", 1)).exists());
    bench.succeed(&["rm", "hi"]);
    let json: serde_json::Value = serde_json::from_str(&bench.succeed(&["--json", "gc"])).unwrap();
    assert_eq!((json["unpacked"].as_u64(), entries()), (Some(1), 0));
}

#[test]
fn flipped_byte_in_a_blob_is_found_and_never_served() {
    let bench = with_hi();
    bench.succeed(&["verify"]);
    let blob = std::fs::read_dir(bench.path("store/blobs/sha256"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .max_by_key(|path| std::fs::metadata(path).unwrap().len())
        .unwrap();
    let mut bytes = std::fs::read(&blob).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    // Blobs are kept read-only: replace, as bit rot would not ask.
    std::fs::remove_file(&blob).unwrap();
    std::fs::write(&blob, bytes).unwrap();
    assert_eq!(bench.output(&["verify"]).status.code(), Some(1));
    assert_eq!(bench.output(&["weigh", "hi"]).status.code(), Some(3));
    assert_eq!(
        bench.output(&["copy", "hi", "oci:out"]).status.code(),
        Some(3)
    );
    let index = std::fs::read_to_string(bench.path("out/index.json")).unwrap_or_default();
    assert!(!index.contains("digest"), "{index}");
}

#[test]
fn hostile_archive_is_refused_and_leaves_the_store_as_it_was() {
    let bench = with_hi();
    let before = bench.succeed(&["--json", "images"]);
    bench.file("cut.tar", &b"not a tar"[..]);
    for place in [
        "oci-archive:cut.tar",
        "docker-archive:cut.tar",
        "oci:nowhere",
    ] {
        let output = bench.output(&["copy", place, "evil"]);
        assert_eq!(output.status.code(), Some(3), "{place}");
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(stderr.starts_with("error: "), "{stderr}");
    }
    assert_eq!(bench.succeed(&["--json", "images"]), before);
}

#[test]
fn weigh_answers_no_to_what_is_denied_and_says_what_there_is() {
    let bench = with_hi();
    bench.succeed(&[
        "weigh",
        "hi",
        "--deny",
        "shell,setuid,secret",
        "--max-files",
        "1",
    ]);
    let output = bench.output(&["weigh", "hi", "--max-files", "0"]);
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("1 more than 0"), "{stderr}");
    let output = bench.output(&["weigh", "hi", "--deny", "shells"]);
    assert_eq!(output.status.code(), Some(2));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(
        stderr.contains("possible values: shell, setuid"),
        "{stderr}"
    );
}

#[test]
fn weigh_takes_archives_folders_and_programs_by_their_paths() {
    let bench = with_hi();
    for place in ["oci-archive:a.tar", "docker-archive:b.tar", "oci:layout"] {
        bench.succeed(&["copy", "hi", place]);
    }
    let json = |path: &str| -> serde_json::Value {
        serde_json::from_str(&bench.succeed(&["--json", "weigh", path])).unwrap()
    };
    let of_name = json("hi");
    let digest = |json: &serde_json::Value| json["images"][0]["digest"].clone();
    for path in ["./a.tar", "./layout"] {
        assert_eq!(digest(&json(path)), digest(&of_name), "{path}");
    }
    assert_eq!(json("./b.tar")["images"][0]["files"], 1);
    std::fs::create_dir_all(bench.path("folder/bin")).unwrap();
    std::fs::write(bench.path("folder/bin/x"), "text").unwrap();
    let found = json("./folder");
    assert_eq!(found["images"][0]["files"], 1);
    assert_eq!(found["images"][0]["unpacked_bytes"], 4);
    // A name that is no image's but a path's.
    assert_eq!(json("folder/bin")["images"][0]["files"], 1);
    let output = bench.output(&["weigh", "./none"]);
    assert_eq!(output.status.code(), Some(3));
    let output = bench.output(&["weigh", "./folder/bin/x", "--deny", "shell"]);
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn weigh_writes_a_page_a_bill_and_a_difference() {
    let bench = with_hi();
    bench.succeed(&["weigh", "hi", "--html", "page.html"]);
    let page = std::fs::read_to_string(bench.path("page.html")).unwrap();
    assert!(page.starts_with("<!doctype html>") && page.contains("\"name\":\"hi:latest\""));
    let left = bench.path("");
    let parts = std::fs::read_dir(left).unwrap();
    let part = parts
        .map(|entry| entry.unwrap().file_name())
        .find(|name| name.to_string_lossy().ends_with(".part"));
    assert_eq!(part, None);
    assert_eq!(
        bench
            .output(&["weigh", "hi", "--html", "no/such/page.html"])
            .status
            .code(),
        Some(4)
    );
    let bill: serde_json::Value =
        serde_json::from_str(&bench.succeed(&["weigh", "hi", "--sbom", "spdx"])).unwrap();
    assert_eq!(bill["spdxVersion"], "SPDX-2.3");
    let text = bench.succeed(&["weigh", "hi", "hi", "--diff"]);
    assert!(
        text.contains("0 files added, 0 removed, 0 changed, 1 the same"),
        "{text}"
    );
    // Told before the image, which is not there, is looked for.
    for asked in [&["--diff"][..], &["more", "--sbom", "spdx"]] {
        let output = bench.output(&[&["weigh", "none"], asked].concat());
        assert_eq!(output.status.code(), Some(2), "{asked:?}");
    }
    let json = bench.succeed(&["--json", "weigh", "hi", "--all-files"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["files"][0]["files"].as_array().unwrap().len(), 1);
}
