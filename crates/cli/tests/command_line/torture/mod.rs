//! The torture image: every way of looking at a file that a minifier is known to
//! miss, checked by a program inside of it, before and after a cut.
//!
//! `fixtures/torture` is the checker, `content` the image, and how each check is
//! made to fail: one that could not would prove nothing.

mod archive;
mod content;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use ounce_oci::Digest;
use rustix::fs::{AtFlags, CWD, Gid, Timespec, Timestamps, Uid};

use serde_json::json;

use crate::harness::Workbench;
use content::{DAMAGES, Damage};

/// The checker, built once.
fn check() -> &'static [u8] {
    static CHECK: OnceLock<Vec<u8>> = OnceLock::new();
    CHECK.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("check");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/torture/main.rs");
        let rustc = std::env::var_os("RUSTC").unwrap_or("rustc".into());
        let target = format!("{}-unknown-linux-musl", std::env::consts::ARCH);
        let output = Command::new(rustc)
            .args([
                "--edition",
                "2024",
                "-O",
                "-Cpanic=abort",
                "-Cstrip=symbols",
            ])
            .args(["-Dwarnings", "--target", &target, "-o"])
            .arg(&program)
            .arg(source)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        fs::read(program).unwrap()
    })
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Lays layers over each other as their archives say, by GNU tar: no code of
/// ours decides what comes out.
fn unpack(layers: &[PathBuf], root: &Path) {
    fs::create_dir(root).unwrap();
    for layer in layers {
        let list = tar(&["-tf"], layer, root);
        for name in String::from_utf8_lossy(&list.stdout).lines() {
            let (folder, name) = name.rsplit_once('/').unwrap_or(("", name));
            match name.strip_prefix(".wh.") {
                Some(".wh..opq") => {
                    fs::remove_dir_all(root.join(folder)).unwrap();
                    fs::create_dir(root.join(folder)).unwrap();
                }
                Some(hidden) => remove(&root.join(folder).join(hidden)),
                None => {}
            }
        }
        let output = tar(
            &[
                "--xattrs",
                "--xattrs-include=*",
                "--numeric-owner",
                "--exclude=.wh.*",
                "-xpf",
            ],
            layer,
            root,
        );
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    // Places to mount what the checker's own runtime needs.
    for place in ["proc", "dev"] {
        fs::create_dir_all(root.join(place)).unwrap();
    }
}

fn tar(options: &[&str], archive: &Path, root: &Path) -> Output {
    let mut command = Command::new("tar");
    command.args(options).arg(archive).arg("-C").arg(root);
    command.output().unwrap()
}

fn remove(path: &Path) {
    match fs::symlink_metadata(path).unwrap().is_dir() {
        true => fs::remove_dir_all(path).unwrap(),
        false => fs::remove_file(path).unwrap(),
    }
}

/// Runs the checker in a folder as its root, and gives its lines.
fn checked(root: &Path, program: &str, checks: &[&str]) -> Vec<String> {
    let script = "mount --bind /dev \"$0/dev\" && mount -t proc proc \"$0/proc\" && \
        cd / && program=$1 && shift && exec chroot \"$0\" /proc/self/root$program strict \"$@\"";
    // The name it is called by decides what it does.
    let script = script.replace("/proc/self/root$program", "$program");
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", &script]);
    command.arg(root).arg(program).args(checks).arg0("unshare");
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines: Vec<String> = text
        .lines()
        .filter(|line| line.starts_with("ok ") || line.starts_with("not ok "))
        .map(str::to_owned)
        .collect();
    assert!(
        !lines.is_empty(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    lines
}

fn failures(lines: &[String]) -> Vec<&String> {
    lines
        .iter()
        .filter(|line| line.starts_with("not ok"))
        .collect()
}

/// The image's archives in a folder.
fn archives(folder: &Path) -> Vec<PathBuf> {
    let layers = content::layers(check());
    let write = |(index, entries): (usize, &Vec<archive::Entry>)| {
        let path = folder.join(format!("layer{index}.tar"));
        fs::write(&path, archive::archive(entries)).unwrap();
        path
    };
    layers.iter().enumerate().map(write).collect()
}

fn damage(root: &Path, path: &str, how: Damage) {
    let at = match path.strip_suffix('*') {
        Some(_) => root.join(format!("t/{}", "n".repeat(255))),
        None => root.join(path),
    };
    let now = Timespec {
        tv_sec: 1_700_000_000,
        tv_nsec: 0,
    };
    let itself = AtFlags::SYMLINK_NOFOLLOW;
    match how {
        Damage::Gone => remove(&at),
        Damage::There(text) => {
            if fs::symlink_metadata(&at).is_ok() {
                remove(&at);
            }
            fs::create_dir_all(at.parent().unwrap()).unwrap();
            fs::write(&at, text).unwrap();
        }
        Damage::Mode(mode) => fs::set_permissions(&at, fs::Permissions::from_mode(mode)).unwrap(),
        Damage::Owner => {
            rustix::fs::chownat(CWD, &at, Some(Uid::ROOT), Some(Gid::ROOT), itself).unwrap();
        }
        Damage::Time => {
            let times = Timestamps {
                last_access: now,
                last_modification: now,
            };
            rustix::fs::utimensat(CWD, &at, &times, itself).unwrap();
        }
        Damage::Attribute(name) => rustix::fs::lremovexattr(&at, name).unwrap(),
        Damage::Single => {
            let content = fs::read(&at).unwrap();
            fs::remove_file(&at).unwrap();
            fs::write(&at, content).unwrap();
        }
        Damage::Elsewhere => {
            let other = root.join("t/elsewhere");
            fs::create_dir(&other).unwrap();
            fs::copy(root.join("check"), other.join("check")).unwrap();
        }
    }
}

#[test]
fn torture_image_passes_its_checks_and_every_damage_is_noticed() {
    if !is_root() {
        eprintln!("skipped: owners, devices and attributes of the torture image need root");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let archives = archives(folder.path());
    let whole = folder.path().join("whole");
    unpack(&archives, &whole);
    let lines = checked(&whole, "/check", &[]);
    assert_eq!(failures(&lines), Vec::<&String>::new());
    assert!(lines.len() >= 40, "{} checks", lines.len());

    // Every check has a way to fail, and fails by it.
    let names: BTreeSet<&str> = lines
        .iter()
        .filter_map(|line| line.strip_prefix("ok "))
        .collect();
    let damaged: BTreeSet<&str> = DAMAGES.iter().map(|one| one.0).collect();
    assert_eq!(names, damaged);
    for (index, &(check, path, how)) in DAMAGES.iter().enumerate() {
        let root = folder.path().join(format!("damaged{index}"));
        unpack(&archives, &root);
        damage(&root, path, how);
        let program = match how {
            Damage::Elsewhere => "/t/elsewhere/check",
            _ => "/check",
        };
        let lines = checked(&root, program, &[check]);
        assert_eq!(
            failures(&lines).len(),
            1,
            "{check} passes with {path} {how:?}: {lines:?}"
        );
        fs::remove_dir_all(&root).unwrap();
    }
}

/// An OCI layout of the archives, put together by hand.
fn layout(archives: &[PathBuf], folder: &Path) {
    let blobs = folder.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    let put = |media_type: &str, bytes: &[u8]| {
        let digest = Digest::of(bytes);
        fs::write(blobs.join(digest.to_string().replace("sha256:", "")), bytes).unwrap();
        json!({"mediaType": media_type, "digest": digest.to_string(), "size": bytes.len()})
    };
    let layers: Vec<_> = archives
        .iter()
        .map(|path| {
            put(
                "application/vnd.oci.image.layer.v1.tar",
                &fs::read(path).unwrap(),
            )
        })
        .collect();
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let diff_ids: Vec<_> = layers.iter().map(|layer| layer["digest"].clone()).collect();
    let config = json!({
        "architecture": architecture, "os": "linux",
        "config": {"Entrypoint": ["/check", "loose"], "Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    });
    let config = put(
        "application/vnd.oci.image.config.v1+json",
        config.to_string().as_bytes(),
    );
    let manifest_type = "application/vnd.oci.image.manifest.v1+json";
    let manifest = json!({
        "schemaVersion": 2, "mediaType": manifest_type, "config": config, "layers": layers,
    });
    let manifest = put(manifest_type, manifest.to_string().as_bytes());
    let index = json!({"schemaVersion": 2, "manifests": [manifest]});
    fs::write(folder.join("index.json"), index.to_string()).unwrap();
    fs::write(
        folder.join("oci-layout"),
        r#"{"imageLayoutVersion":"1.0.0"}"#,
    )
    .unwrap();
}

/// The layers of an image that ounce wrote as a layout, as archives that tar reads.
fn layers_of(layout: &Path) -> Vec<PathBuf> {
    let read = |path: PathBuf| -> serde_json::Value {
        serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
    };
    let blob = |value: &serde_json::Value| {
        let digest = value["digest"].as_str().unwrap();
        layout.join("blobs").join(digest.replace(':', "/"))
    };
    let index = read(layout.join("index.json"));
    let manifest = read(blob(&index["manifests"][0]));
    let layers = manifest["layers"].as_array().unwrap();
    layers.iter().map(blob).collect()
}

#[test]
fn torture_image_passes_every_check_after_a_trim() {
    let bench = Workbench::new();
    let archives = archives(&bench.path("."));
    layout(&archives, &bench.path("torture"));
    let before = bench.output(&["run", "oci:torture"]);
    let text = String::from_utf8_lossy(&before.stdout).into_owned();
    assert!(
        before.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&before.stderr)
    );
    let names: BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("ok "))
        .collect();
    let all: BTreeSet<&str> = DAMAGES.iter().map(|one| one.0).collect();
    assert_eq!(names, all);

    bench.succeed(&["trim", "oci:torture", "-o", "cut"]);
    let after = bench.succeed(&["run", "cut"]);
    assert_eq!(after, text, "as the runtime shows it");
    bench.succeed(&["copy", "cut", "oci:trimmed"]);
    let layers = layers_of(&bench.path("trimmed"));
    let list: String = layers
        .iter()
        .map(|layer| {
            String::from_utf8_lossy(&tar(&["-tf"], layer, Path::new("/")).stdout).into_owned()
        })
        .collect();
    for unused in [
        "t/unused/weight",
        "usr/share/unused",
        "t/white/hidden",
        "t/opaque/old",
    ] {
        assert!(
            !list.lines().any(|line| line == unused),
            "{unused} is still there"
        );
    }
    if !is_root() {
        eprintln!("skipped: owners, devices and attributes after a trim are looked at as root");
        return;
    }
    let root = bench.path("after");
    unpack(&layers, &root);
    let lines = checked(&root, "/check", &[]);
    assert_eq!(failures(&lines), Vec::<&String>::new());
    assert_eq!(lines.len(), all.len());
}
