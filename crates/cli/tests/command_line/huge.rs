//! Images with very many files, and such as other tools write and ounce refuses:
//! in weigh and trim, in bounded memory.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use ounce_oci::layer::{Content, Entry, EntryKind, LayerOptions};
use ounce_oci::model::MediaType;
use ounce_oci::{Digest, Platform, Store};
use serde_json::{Value, json};

use crate::harness::Workbench;
use crate::programs::shows;

/// Files of the image; a million were measured by hand (docs/weigh.md).
const FILES: usize = 40_000;
/// Of addresses, so everything that is mapped, in KB; less than 1 KB is taken for a
/// file, and 100 MB for what does not grow with them.
const ADDRESSES: usize = 100_000 + FILES * 2;

fn entry(path: String, kind: EntryKind) -> Entry {
    Entry {
        path,
        kind,
        mode: 0o755,
        uid: 0,
        gid: 0,
    }
}

/// An image with a program, what it reads, and very many files beside.
fn crowd(bench: &Workbench) {
    let store = Store::open(bench.path("store")).unwrap();
    let file = |bytes: &[u8]| EntryKind::File(Content::Bytes(bytes.to_vec()));
    let mut entries = vec![
        entry("app".into(), file(&shows("/file"))),
        entry("file".into(), file(b"text\n")),
    ];
    for number in 0..FILES {
        if number % 1000 == 0 {
            entries.push(entry(
                format!("many/{:04}", number / 1000),
                EntryKind::Directory,
            ));
        }
        let path = format!("many/{:04}/file-{number:07}", number / 1000);
        entries.push(entry(path, file(&[number as u8; 3][..number % 4])));
    }
    let mut writer = store.write().unwrap();
    let layer = writer.layer(&entries, LayerOptions::default()).unwrap();
    let platform = Platform::host();
    let config = json!({
        "architecture": platform.architecture,
        "os": "linux",
        "config": {"Entrypoint": ["/app"]},
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id.to_string()]},
    });
    let config = writer.json(MediaType::ImageConfig, &config).unwrap();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::ImageManifest,
        "config": config,
        "layers": [layer.descriptor],
    });
    let manifest = writer.json(MediaType::ImageManifest, &manifest).unwrap();
    writer.commit(&"crowd".parse().unwrap(), &manifest).unwrap();
}

/// Runs ounce with so much memory and no more.
fn bounded(bench: &Workbench, arguments: &[&str]) -> Value {
    let ounce = bench.ounce(arguments);
    let mut shell = Command::new("sh");
    let script = format!("ulimit -v {ADDRESSES}; exec \"$@\"");
    shell.args(["-c", &script, "sh"]).arg(ounce.get_program());
    shell.args(ounce.get_args()).current_dir(bench.path(""));
    for (name, value) in ounce.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    let output = shell.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn very_many_files_are_weighed_and_trimmed_in_memory_that_is_bounded() {
    let bench = Workbench::new();
    crowd(&bench);
    let weighed = bounded(&bench, &["--json", "weigh", "crowd"]);
    let image = &weighed["images"][0];
    assert_eq!(image["files"], FILES + 2);
    assert_eq!(image["folders"], FILES.div_ceil(1000) + 1);
    let trimmed = bounded(&bench, &["--json", "trim", "crowd", "-o", "small"]);
    assert_eq!(trimmed["before"]["files"], FILES + 2, "{trimmed}");
    assert_eq!(trimmed["after"]["files"], 2, "{trimmed}");
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
}

/// An archive as `docker save` writes it, of a layer that another tool made.
fn archive(bench: &Workbench, name: &str, layer: &[u8]) -> String {
    let folder: PathBuf = bench.path(name);
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("layer.tar"), layer).unwrap();
    let config = json!({
        "architecture": Platform::host().architecture,
        "os": "linux",
        "config": {"Entrypoint": ["/app"]},
        "rootfs": {"type": "layers", "diff_ids": [Digest::of(layer).to_string()]},
    });
    fs::write(folder.join("config.json"), config.to_string()).unwrap();
    let manifest = json!([{
        "Config": "config.json", "RepoTags": [format!("{name}:latest")], "Layers": ["layer.tar"],
    }]);
    fs::write(folder.join("manifest.json"), manifest.to_string()).unwrap();
    let file = bench.path(&format!("{name}.tar"));
    run(Command::new("tar")
        .arg("-cf")
        .arg(&file)
        .args(["-C", folder.to_str().unwrap()])
        .args(["manifest.json", "config.json", "layer.tar"]));
    format!("docker-archive:{}", file.display())
}

#[test]
fn sparse_files_are_refused_by_name_and_names_that_are_no_text_are_kept_as_they_are() {
    let bench = Workbench::new();
    let files = bench.path("files");
    fs::create_dir(&files).unwrap();
    fs::write(files.join("app"), shows("/app")).unwrap();
    fs::set_permissions(files.join("app"), fs::Permissions::from_mode(0o755)).unwrap();
    let hole = fs::File::create(files.join("hole")).unwrap();
    hole.set_len(1 << 40).unwrap();
    let odd = {
        use std::os::unix::ffi::OsStrExt as _;
        std::ffi::OsStr::from_bytes(b"odd-\xff\xfe")
    };
    fs::write(files.join(odd), "x").unwrap();
    let tar = |options: &[&str], name: &std::ffi::OsStr| {
        let mut tar = Command::new("tar");
        tar.args(options)
            .args(["-cf", "-", "-C"])
            .arg(&files)
            .args(["app"])
            .arg(name);
        let output = tar.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        output.stdout
    };
    for (name, layer, words) in [
        (
            "gnu",
            tar(&["-S", "--format=gnu"], "hole".as_ref()),
            "sparse",
        ),
        (
            "pax",
            tar(&["-S", "--format=posix"], "hole".as_ref()),
            "sparse",
        ),
    ] {
        // What stands for a terabyte takes a few blocks.
        assert!(layer.len() < 1 << 20, "{name}: {}", layer.len());
        let place = archive(&bench, name, &layer);
        for arguments in [&["weigh", &place][..], &["trim", &place, "-o", "small"]] {
            let output = bench.output(arguments);
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(
                output.status.code(),
                Some(3),
                "{name} {arguments:?}: {said}"
            );
            assert!(said.contains(words), "{name} {arguments:?}: {said}");
            assert!(output.stdout.is_empty(), "{name} {arguments:?}");
        }
        assert!(!bench.succeed(&["images"]).contains("small"), "{name}");
    }
    for format in ["gnu", "posix"] {
        let layer = tar(&[&format!("--format={format}")], odd);
        let place = archive(&bench, &format!("odd-{format}"), &layer);
        let names = |image: &str| -> Vec<String> {
            let told = bench.succeed(&["--json", "weigh", image, "--all-files"]);
            let told: Value = serde_json::from_str(&told).unwrap();
            let files = told["files"][0]["files"].as_array().unwrap().clone();
            let path = |file: &Value| file["path"].as_str().unwrap().to_owned();
            files.iter().map(path).collect()
        };
        let both = ["/app", r"/odd-\xff\xfe"];
        assert_eq!(names(&place), both);
        let report = bench.path("report.json");
        let keep = ["--keep", both[1], "--report", report.to_str().unwrap()];
        let trim = ["trim", &place, "-o", "kept"];
        bench.succeed(&[&trim[..], &keep].concat());
        assert_eq!(names("kept"), both, "{format}");
        bench.succeed(&[&trim[..], &keep[2..]].concat());
        assert_eq!(names("kept"), both[..1], "{format}");
        let told: Value = serde_json::from_slice(&fs::read(&report).unwrap()).unwrap();
        assert_eq!(told["went"][0]["path"], both[1][1..], "{format}");
    }
    // As a folder, what no layer can hold is left out, and told.
    let told = bench.succeed(&["weigh", "./files/app"]);
    assert!(told.contains("a static program"), "{told}");
    fs::remove_file(files.join("hole")).unwrap();
    let told = bench.succeed(&["weigh", "./files"]);
    assert!(told.contains("its name is not UTF-8"), "{told}");
}
