//! Alpine's bases from a repository that the tests make, since a mirror is not
//! always within reach.

mod hostile;
mod judged;
pub(crate) mod repository;
pub(crate) mod system;

use std::fs;

use ounce_build::distribution::alpine::signed::Keys;
use ounce_build::distribution::alpine::{self, AlpineError, Assembled, Kind, Source};
use ounce_build::distribution::cache::{Cache, NoNetwork};
use ounce_build::distribution::files::Files;
use ounce_build::distribution::lock::LockedBase;
use ounce_oci::Store;
use ounce_oci::layer::{Compression, Effort, EntryKind, LayerOptions};

use repository::Repository;

pub(crate) fn source(repository: &Repository, more: &[&str]) -> Source {
    Source {
        mirror: repository.mirror(),
        release: String::new(),
        repositories: vec![String::new()],
        architecture: "x86_64".to_owned(),
        packages: more.iter().map(ToString::to_string).collect(),
    }
}

/// What a base is locked to, and its files.
pub(crate) fn base(
    repository: &Repository,
    kind: Kind,
    more: &[&str],
) -> Result<(LockedBase, Assembled), AlpineError> {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::new(folder.path(), &NoNetwork, false);
    let keys = Keys::read(&[repository.keys()]).unwrap();
    let source = source(repository, more);
    let locked = alpine::resolve(kind, &source, &keys, &cache, &mut |_| {})?;
    let assembled = alpine::assemble(kind, &source, &locked, &cache, &mut |_| {})?;
    Ok((locked, assembled))
}

fn text(files: &Files, path: &str) -> String {
    let (_, node) = files.open(path).unwrap();
    String::from_utf8(node.bytes().unwrap().to_vec()).unwrap()
}

fn names(assembled: &Assembled) -> Vec<&str> {
    let names = assembled.packages.iter().map(|one| one.name.as_str());
    let mut names: Vec<&str> = names.collect();
    names.sort_unstable();
    names
}

#[test]
fn the_whole_base_is_alpines_minimal_root_file_system() {
    let folder = tempfile::tempdir().unwrap();
    let repository = system::repository(folder.path(), b"busybox");
    let (_, base) = base(&repository, Kind::Whole, &[]).unwrap();
    assert_eq!(
        names(&base),
        [
            "alpine-baselayout",
            "alpine-baselayout-data",
            "alpine-keys",
            "alpine-release",
            "apk-tools",
            "busybox",
            "busybox-binsh",
            "ca-certificates-bundle",
            "libc-utils",
            "libcrypto3",
            "libssl3",
            "musl",
            "musl-utils",
            "scanelf",
            "ssl_client",
        ]
    );
    let link = |path: &str| base.files.get(path).unwrap().kind.clone();
    let to = |target: &str| EntryKind::Symlink(target.to_owned());
    assert_eq!(link("usr/bin/env"), to("/bin/busybox"));
    assert_eq!(link("bin/sh"), to("/bin/busybox"));
    assert_eq!(
        link("usr/bin/ldd-again"),
        EntryKind::Hardlink("usr/bin/ldd".to_owned())
    );
    assert_eq!(base.files.get("tmp").unwrap().mode, 0o1777);
    let shadow = base.files.get("etc/shadow").unwrap();
    assert_eq!((shadow.mode, shadow.uid, shadow.gid), (0o640, 0, 42));
    assert_eq!(
        text(&base.files, "etc/apk/world"),
        "alpine-baselayout\nalpine-keys\nalpine-release\napk-tools\nbusybox\nlibc-utils\n"
    );
    assert_eq!(text(&base.files, "etc/apk/arch"), "x86_64\n");
    let installed = text(&base.files, "lib/apk/db/installed");
    assert!(installed.contains("\nF:etc\nR:group\nZ:Q1"), "{installed}");
    assert!(
        installed.contains("\nR:shadow\na:0:42:640\nZ:Q1"),
        "{installed}"
    );
    assert!(
        text(&base.files, "lib/apk/db/triggers")
            .ends_with(" /bin /usr/bin /sbin /usr/sbin /lib/modules/*\n")
    );
    assert!(base.notes.is_empty(), "{:?}", base.notes);
    assert!(
        base.scripts.iter().all(|note| note.skipped.is_empty()),
        "{:?}",
        base.scripts
    );
}

#[test]
fn the_core_is_a_shell_and_its_library() {
    let folder = tempfile::tempdir().unwrap();
    let repository = system::repository(folder.path(), b"busybox");
    let (_, base) = base(&repository, Kind::Core, &[]).unwrap();
    assert_eq!(names(&base), ["busybox", "busybox-binsh", "musl"]);
    assert!(base.files.get("usr/sbin/adduser").is_some());
}

#[test]
fn a_package_brings_its_user_and_what_is_skipped_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let repository = system::repository(folder.path(), b"busybox");
    let (_, base) = base(&repository, Kind::Whole, &["redis"]).unwrap();
    assert!(
        text(&base.files, "etc/passwd")
            .ends_with("\nredis:x:100:101:redis:/var/lib/redis:/sbin/nologin\n")
            || text(&base.files, "etc/passwd")
                .ends_with("\nredis:x:100:100:redis:/var/lib/redis:/sbin/nologin\n")
    );
    let told = base
        .scripts
        .iter()
        .find(|note| !note.skipped.is_empty())
        .unwrap();
    assert_eq!(
        (
            told.package.as_str(),
            told.script.as_str(),
            &told.skipped[..]
        ),
        (
            "redis",
            "post-install",
            &["rc-update add redis default".to_owned()][..]
        )
    );
    assert!(text(&base.files, "etc/apk/world").contains("\nredis\n"));
}

#[test]
fn the_same_lock_gives_the_same_layer_whatever_the_mirror_has_by_then() {
    let folder = tempfile::tempdir().unwrap();
    let mut repository = system::repository(folder.path(), b"busybox");
    let cache = tempfile::tempdir().unwrap();
    let cache = Cache::new(cache.path(), &NoNetwork, false);
    let keys = Keys::read(&[repository.keys()]).unwrap();
    let source = source(&repository, &[]);
    let resolve = || alpine::resolve(Kind::Whole, &source, &keys, &cache, &mut |_| {}).unwrap();
    let locked = resolve();
    let digest = || {
        let base = alpine::assemble(Kind::Whole, &source, &locked, &cache, &mut |_| {}).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let options = LayerOptions {
            compression: Compression::Gzip,
            mtime: 0,
        };
        let entries = base.files.into_entries();
        store
            .write()
            .unwrap()
            .layer(&entries, options)
            .unwrap()
            .digest
    };
    let before = digest();
    // A newer one comes, and the old ones go, as on Alpine's mirrors.
    repository
        .add(&repository::Package::new("musl", "1.2.6-r0").provides("so:libc.musl-x86_64.so.1=1"));
    repository.publish();
    for locked in &locked.packages {
        fs::remove_file(folder.path().join("x86_64").join(&locked.path)).unwrap();
    }
    assert_eq!(digest(), before);
    let moved = resolve();
    let musl = |locked: &LockedBase| {
        let found = locked.packages.iter().find(|one| one.name == "musl");
        found.unwrap().version.clone()
    };
    assert_eq!(
        (musl(&locked), musl(&moved)),
        ("1.2.5-r10".to_owned(), "1.2.6-r0".to_owned())
    );
}

/// Bytes that nothing can be made of (Marsaglia, "Xorshift RNGs", 2003).
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let mut noise = Vec::with_capacity(bytes);
    while noise.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        noise.extend_from_slice(&state.to_le_bytes());
    }
    noise
}

#[test]
fn the_core_costs_less_than_8_kilobytes_more_than_its_programs() {
    let folder = tempfile::tempdir().unwrap();
    let program = noise(100_000);
    let mut repository = Repository::new(folder.path());
    for mut package in system::packages(&program).into_iter().take(3) {
        // As many links as the true one has.
        let list: String = (0..304)
            .map(|at| format!("usr/bin/program{at}\n"))
            .collect();
        let places = package.files.iter_mut();
        for file in places.filter(|file| file.path.ends_with("paths.d/busybox")) {
            file.content = repository::Content::File(list.clone().into_bytes());
        }
        repository.add(&package);
    }
    repository.publish();
    let (_, base) = base(&repository, Kind::Core, &[]).unwrap();
    assert!(base.files.get("usr/bin/program303").is_some());
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let mut writer = store.write().unwrap();
    let options = LayerOptions {
        compression: Compression::Gzip,
        mtime: 0,
    };
    let entries = base.files.into_entries();
    let layer = writer.layer_with(&entries, options, Effort::Once).unwrap();
    let more = layer.descriptor.size() - 100_000;
    assert!(more < 8 << 10, "{more}");
    eprintln!("{more} bytes more than its programs");
}
