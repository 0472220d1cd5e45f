//! apk itself, where it is installed, makes the same base of the same
//! repository, and finds nothing wrong with ours.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::Path;
use std::process::Command;

use ounce_build::distribution::alpine::{Kind, version};
use ounce_build::distribution::files::Files;
use ounce_oci::layer::{Content, EntryKind};

use super::repository::{Package, Repository};
use super::{base, system, text};

/// `None`: it is not here, or may not own files, and that is said aloud.
fn apk(arguments: &[&str]) -> Option<(bool, String)> {
    let output = Command::new("apk").args(arguments).output();
    let Ok(output) = output else {
        eprintln!("skipped: no apk on this machine");
        return None;
    };
    let text = [output.stdout, output.stderr].concat();
    Some((output.status.success(), String::from_utf8(text).unwrap()))
}

fn unpack(files: Files, to: &Path) {
    let mut folders = Vec::new();
    for entry in files.into_entries() {
        let path = to.join(&entry.path);
        match &entry.kind {
            EntryKind::Directory => {
                fs::create_dir(&path).unwrap();
                folders.push((path.clone(), entry.mode));
            }
            EntryKind::File(Content::Bytes(bytes)) => fs::write(&path, bytes).unwrap(),
            EntryKind::File(_) => panic!("a file from elsewhere"),
            EntryKind::Symlink(target) => symlink(target, &path).unwrap(),
            EntryKind::Hardlink(target) => fs::hard_link(to.join(target), &path).unwrap(),
        }
        if !matches!(entry.kind, EntryKind::Symlink(_)) {
            chown(&path, Some(entry.uid), Some(entry.gid)).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(entry.mode)).unwrap();
        }
    }
    for (path, mode) in folders {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }
}

#[test]
fn apk_makes_the_same_base_and_finds_nothing_wrong_with_ours() {
    let Some(_) = apk(&["--version"]) else { return };
    let folder = tempfile::tempdir().unwrap();
    if chown(folder.path(), Some(1), Some(1)).is_err() {
        eprintln!("skipped: files cannot be given to others here");
        return;
    }
    chown(folder.path(), Some(0), Some(0)).unwrap();
    let repository = system::repository(&folder.path().join("repository"), b"busybox");
    let (_, base) = base(&repository, Kind::Whole, &["redis"]).unwrap();
    let (theirs, ours) = (folder.path().join("theirs"), folder.path().join("ours"));
    let list = folder.path().join("repositories");
    fs::write(&list, format!("{}\n", repository.folder.display())).unwrap();
    let (theirs_root, ours_root) = (theirs.to_str().unwrap(), ours.to_str().unwrap());
    let keys = repository.keys();
    let common = [
        "--arch",
        "x86_64",
        "--keys-dir",
        keys.to_str().unwrap(),
        "--repositories-file",
        list.to_str().unwrap(),
        "--no-network",
    ];
    let mut add = vec!["--root", theirs_root, "--initdb", "--no-scripts"];
    add.extend(common);
    add.extend(["add"]);
    let world = text(&base.files, "etc/apk/world");
    add.extend(world.lines());
    let (done, said) = apk(&add).unwrap();
    assert!(done, "{said}");
    let read = |path: &str| fs::read_to_string(theirs.join(path)).unwrap();
    for path in [
        "lib/apk/db/installed",
        "lib/apk/db/triggers",
        "etc/apk/world",
        "etc/apk/arch",
    ] {
        if theirs.join(path).exists() {
            assert_eq!(text(&base.files, path), read(path), "{path}");
        }
    }
    fs::create_dir(&ours).unwrap();
    let expected: Vec<String> = base
        .packages
        .iter()
        .map(|package| package.full_name())
        .collect();
    unpack(base.files, &ours);
    let on = |arguments: &[&str]| {
        let mut all = vec!["--root", ours_root];
        all.extend(common);
        all.extend(arguments);
        let (done, said) = apk(&all).unwrap();
        assert!(done, "{arguments:?}: {said}");
        said
    };
    let listed = on(&["info", "-v"]);
    let mut listed: Vec<&str> = listed
        .lines()
        .filter(|line| !line.starts_with("WARNING"))
        .collect();
    let mut expected: Vec<&str> = expected.iter().map(String::as_str).collect();
    listed.sort_unstable();
    expected.sort_unstable();
    assert_eq!(listed, expected);
    // Every file, folder, owner and mode is what the records say.
    assert_eq!(
        on(&["audit", "--system", "--recursive", "--check-permissions"]),
        ""
    );
    // It goes on from there: its scripts, and nothing left to do.
    let said = on(&["--simulate", "add", "redis"]);
    assert!(said.contains("OK:"), "{said}");
    let said = on(&["--no-scripts", "del", "redis"]);
    assert!(said.contains("Purging redis"), "{said}");
    assert!(!ours.join("usr/bin/redis-server").exists());
}

#[test]
fn versions_are_in_apks_order() {
    let Some(_) = apk(&["--version"]) else { return };
    let versions = [
        "1",
        "1.0",
        "1.2",
        "1.2.3",
        "1.2.3-r0",
        "1.2.3-r10",
        "1.2.3a",
        "1.2.3_alpha1",
        "1.2.3_rc2",
        "1.2.3_git20240101",
        "1.2.3_p1-r3",
        "1.10",
        "20240101",
    ];
    for (at, a) in versions.iter().enumerate() {
        for b in &versions[at..] {
            let (_, said) = apk(&["version", "-t", a, b]).unwrap();
            let ours = match version::compare(a, b) {
                std::cmp::Ordering::Less => "<",
                std::cmp::Ordering::Equal => "=",
                std::cmp::Ordering::Greater => ">",
            };
            assert_eq!(said.trim(), ours, "{a} {b}");
        }
    }
}

#[test]
fn apk_verifies_the_packages_that_the_tests_make() {
    let Some(_) = apk(&["--version"]) else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut repository = Repository::new(folder.path());
    let mut package = Package::new("extra", "1").folder("opt").file("opt/x", "x");
    package.signed = true;
    repository.add(&package);
    let keys = repository.keys();
    let path = folder.path().join("x86_64/extra-1.apk");
    let arguments = [
        "--keys-dir",
        keys.to_str().unwrap(),
        "verify",
        path.to_str().unwrap(),
    ];
    let (done, said) = apk(&arguments).unwrap();
    assert!(done, "{said}");
}
