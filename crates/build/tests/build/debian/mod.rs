//! Bases from a Debian archive that the tests make, whole and hostile.

pub(crate) mod archive;
mod hostile;

use std::collections::BTreeMap;
use std::path::Path;

use archive::{Mirror, file, package, small_system};
use ounce_build::distribution::Distroless;
use ounce_build::distribution::cache::{Cache, NoNetwork};
use ounce_build::distribution::debian::{
    Archive, Assembled, DebianError, Sources, Variant, assemble, resolve,
};
use ounce_build::distribution::files::Files;
use ounce_build::distribution::image::BaseImage;
use ounce_build::distribution::lock::{Lock, LockedBase};
use ounce_oci::layer::{Compression, EntryKind};
use ounce_oci::{Platform, Store};

/// Some days after all was signed.
const NOW: u64 = archive::SIGNED as u64 + 1_000_000;

pub(crate) fn sources(mirror: &Mirror) -> Sources {
    Sources {
        codename: "bookworm".to_owned(),
        archives: Archive::usual(&mirror.url(), "bookworm", &["main".to_owned()]),
        keyrings: vec![mirror.folder.join("keys.gpg")],
        now: Some(NOW),
        packages: Vec::new(),
    }
}

pub(crate) fn lock(mirror: &Mirror, variant: Variant) -> Result<LockedBase, DebianError> {
    lock_of(mirror, variant, &sources(mirror))
}

fn lock_of(
    mirror: &Mirror,
    variant: Variant,
    sources: &Sources,
) -> Result<LockedBase, DebianError> {
    let cache = Cache::new(mirror.folder.join("cache"), &NoNetwork, false);
    resolve(variant, "amd64", sources, &cache, &mut |_| {})
}

pub(crate) fn base(mirror: &Mirror, variant: Variant) -> Result<Assembled, DebianError> {
    let locked = lock(mirror, variant)?;
    let cache = Cache::new(mirror.folder.join("cache"), &NoNetwork, false);
    assemble(
        variant,
        &locked,
        &sources(mirror).archives,
        &cache,
        0,
        &mut |_| {},
    )
}

fn text(files: &Files, path: &str) -> String {
    let (_, node) = files.open(path).unwrap_or_else(|| panic!("no {path}"));
    String::from_utf8(node.bytes().unwrap().to_vec()).unwrap()
}

fn names(locked: &LockedBase) -> Vec<&str> {
    locked
        .packages
        .iter()
        .map(|one| one.name.as_str())
        .collect()
}

#[test]
fn slim_is_what_is_required_and_apt_without_what_converts_an_old_system() {
    let folder = tempfile::tempdir().unwrap();
    let mirror = Mirror::new(folder.path());
    mirror.main(&small_system());
    let mut locked = lock(&mirror, Variant::Slim).unwrap();
    locked.packages.sort();
    assert_eq!(
        names(&locked),
        [
            "apt",
            "base-files",
            "base-passwd",
            "dash",
            "libc6",
            "mawk",
            "passwd",
            "usr-is-merged"
        ]
    );
}

#[test]
fn slim_has_merged_folders_accounts_alternatives_and_the_records_of_dpkg() {
    let folder = tempfile::tempdir().unwrap();
    let mirror = Mirror::new(folder.path());
    mirror.main(&small_system());
    let files = base(&mirror, Variant::Slim).unwrap().files;
    assert_eq!(
        files.get("bin").unwrap().kind,
        EntryKind::Symlink("usr/bin".to_owned())
    );
    assert_eq!(
        files.get("lib64").unwrap().kind,
        EntryKind::Symlink("usr/lib64".to_owned())
    );
    assert_eq!(text(&files, "bin/sh"), "shell");
    assert_eq!(files.open("usr/bin/awk").unwrap().0, "usr/bin/mawk");
    assert!(text(&files, "etc/passwd").starts_with("root:x:0:0"));
    assert!(text(&files, "etc/shadow").starts_with("root:*:"));
    assert_eq!(files.get("var/mail").unwrap().gid, 8);
    assert_eq!(
        files.get("var/run").unwrap().kind,
        EntryKind::Symlink("/run".to_owned())
    );
    assert!(files.get("usr/share/doc/base-files/copyright").is_some());
    assert!(files.get("usr/share/doc/base-files/README").is_none());
    assert!(files.get("usr/share/man/man1/x.1.gz").is_none());
    let status = text(&files, "var/lib/dpkg/status");
    assert!(status.contains("Package: libc6\nStatus: install ok installed\nVersion: 2.36-9\n"));
    // md5sum of "A;\n".
    assert!(
        status.contains(
            "Conffiles:\n /etc/apt/apt.conf cb96350915928366df9dc92feb8842a3\nDescription"
        ),
        "{status}"
    );
    assert!(
        text(&files, "var/lib/dpkg/info/libc6:amd64.list").contains("/lib/x86_64-linux-gnu/note\n")
    );
    // dpkg lists what its filters left out, too.
    assert!(
        text(&files, "var/lib/dpkg/info/base-files.list").contains("/usr/share/man/man1/x.1.gz\n")
    );
    assert_eq!(
        text(&files, "var/lib/dpkg/triggers/File"),
        "/lib/x libc6:amd64/noawait\n"
    );
    assert!(text(&files, "etc/apt/sources.list.d/debian.sources").contains("bookworm-security"));
}

#[test]
fn distroless_takes_packages_as_they_are_and_nothing_they_need() {
    let folder = tempfile::tempdir().unwrap();
    let mirror = Mirror::new(folder.path());
    mirror.main(&small_system());
    let variant = Variant::Distroless(Distroless::Static);
    let mut locked = lock(&mirror, variant).unwrap();
    locked.packages.sort();
    assert_eq!(
        names(&locked),
        [
            "base-files",
            "ca-certificates",
            "media-types",
            "netbase",
            "tzdata"
        ]
    );
    let files = base(&mirror, variant).unwrap().files;
    assert_eq!(
        text(&files, "etc/ssl/certs/ca-certificates.crt"),
        "-----BEGIN A\n-----BEGIN B\n"
    );
    assert!(files.get("usr/share/ca-certificates").is_none());
    let users = text(&files, "etc/passwd");
    assert_eq!(
        users
            .lines()
            .filter(|line| line.contains("65532:65532"))
            .count(),
        1
    );
    assert_eq!(files.get("home/nonroot").unwrap().uid, 65532);
    assert!(text(&files, "var/lib/dpkg/status.d/tzdata").starts_with("Package: tzdata\n"));
    // Sums of what is there, and of nothing else.
    assert_eq!(
        text(&files, "var/lib/dpkg/status.d/ca-certificates.md5sums"),
        "a  usr/share/doc/ca-certificates/copyright\n"
    );
    assert!(files.get("var/lib/dpkg/status").is_none());
}

#[test]
fn further_packages_come_along_with_what_they_need() {
    let folder = tempfile::tempdir().unwrap();
    let mirror = Mirror::new(folder.path());
    let mut packages = small_system();
    packages.push(package("Package: tool\nVersion: 1\nDepends: perl", vec![]));
    mirror.main(&packages);
    let mut wanted = sources(&mirror);
    wanted.packages = vec!["tool".to_owned()];
    let locked = lock_of(&mirror, Variant::Slim, &wanted).unwrap();
    assert!(names(&locked).contains(&"tool") && names(&locked).contains(&"perl"));
    assert_eq!(locked.from, "debian bookworm with tool");
}

#[test]
fn a_security_update_wins_over_what_it_replaces() {
    let folder = tempfile::tempdir().unwrap();
    let mirror = Mirror::new(folder.path());
    mirror.main(&small_system());
    let update = package(
        "Package: libc6\nVersion: 2.36-9+deb12u1\nMulti-Arch: same",
        vec![file("./lib/x86_64-linux-gnu/note", "mended")],
    );
    mirror.publish("debian-security", "bookworm-security", &[update], "");
    let locked = lock(&mirror, Variant::Slim).unwrap();
    let libc = locked
        .packages
        .iter()
        .find(|one| one.name == "libc6")
        .unwrap();
    assert_eq!(
        (libc.version.as_str(), libc.archive.as_str()),
        ("2.36-9+deb12u1", "debian-security")
    );
    let files = base(&mirror, Variant::Slim).unwrap().files;
    assert_eq!(text(&files, "lib/x86_64-linux-gnu/note"), "mended");
}

fn image_of(mirror: &Mirror, locked: &LockedBase, store: &Path) -> String {
    let cache = Cache::new(store.join("cache"), &NoNetwork, false);
    let made = assemble(
        Variant::Slim,
        locked,
        &sources(mirror).archives,
        &cache,
        0,
        &mut |_| {},
    );
    let platform: Platform = "linux/amd64".parse().unwrap();
    let image = BaseImage {
        platform: &platform,
        environment: Variant::Slim.environment(),
        command: Variant::Slim.command(),
        labels: BTreeMap::new(),
        compression: Compression::Gzip,
        mtime: 0,
    };
    let store = Store::open(store.join("store")).unwrap();
    let name = "base".parse().unwrap();
    let written = image.write(made.unwrap().files, &store, &name).unwrap();
    assert!(store.verify().is_ok());
    written.manifest.digest().to_string()
}

#[test]
fn the_same_lock_gives_the_same_digest_whatever_the_archive_has_now() {
    let folder = tempfile::tempdir().unwrap();
    let mirror = Mirror::new(folder.path());
    mirror.main(&small_system());
    let mut all = Lock::default();
    all.set(lock(&mirror, Variant::Slim).unwrap());
    let text = all.to_text();
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let locked = Lock::parse(&text)
        .unwrap()
        .base("debian-slim", "amd64")
        .unwrap()
        .clone();
    let first = image_of(&mirror, &locked, one.path());
    let mut newer = small_system();
    newer.push(package(
        "Package: libc6\nVersion: 3\nMulti-Arch: same",
        vec![],
    ));
    mirror.main(&newer);
    assert_eq!(image_of(&mirror, &locked, other.path()), first);
    assert_ne!(lock(&mirror, Variant::Slim).unwrap(), locked);
}
