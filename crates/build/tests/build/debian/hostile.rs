//! What mirrors and packages may do to us: each ends in an error that says
//! what and where.

use std::error::Error as _;
use std::fs;

use ounce_build::distribution::Distroless;
use ounce_build::distribution::debian::Variant;

use super::archive::{
    self, File, Key, Mirror, file, gzip, link, member, package, small_system, tar,
};
use super::{base, lock, lock_of, sources};

const STATIC: Variant = Variant::Distroless(Distroless::Static);

/// The error of putting the small system together with one package more or other.
fn told(spoil: impl FnOnce(&mut Vec<archive::Package>), after: impl FnOnce(&Mirror)) -> String {
    let folder = tempfile::tempdir().unwrap();
    let mirror = Mirror::new(folder.path());
    let mut packages = small_system();
    spoil(&mut packages);
    mirror.main(&packages);
    after(&mirror);
    let error = base(&mirror, STATIC).map(|_| ()).unwrap_err();
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text.replace(folder.path().to_str().unwrap(), "[DIR]")
}

fn with_file(one: File) -> String {
    told(|packages| packages[0].data.push(one), |_| {})
}

#[test]
fn paths_out_of_the_image_are_refused() {
    for path in ["../../etc/passwd", "/etc/passwd", "./a/../../b"] {
        let error = with_file(file(path, "x"));
        assert!(
            error.starts_with("unpacking base-files 12: its data part"),
            "{error}"
        );
    }
    let error = told(
        |packages| {
            packages[0].data.push(link("./out", "../../../tmp"));
            packages[0].data.push(file("./out/x", "x"));
        },
        |_| {},
    );
    assert!(
        error.contains("leads out of the image by the link /out"),
        "{error}"
    );
    let hard = File {
        kind: b'1',
        ..link("./hard", "../../etc/shadow")
    };
    assert!(with_file(hard).contains("is a hard link to"));
}

#[test]
fn devices_duplicates_and_files_upon_folders_are_refused() {
    let device = File {
        kind: b'3',
        ..file("./dev/sda", "")
    };
    assert!(with_file(device).contains("/dev/sda is a device"));
    assert!(with_file(file("./etc/debian_version", "other")).contains("given twice"));
    assert!(with_file(file("./etc/debian_version/x", "")).contains("is no folder"));
    let error = told(
        |packages| packages[12].data.push(file("./etc/mime.types", "y")),
        |_| {},
    );
    assert!(
        error.contains("/etc/mime.types is in both media-types and netbase"),
        "{error}"
    );
}

#[test]
fn a_package_may_replace_the_files_of_another() {
    let folder = tempfile::tempdir().unwrap();
    let mirror = Mirror::new(folder.path());
    let mut packages = small_system();
    packages[12].fields.push_str("\nReplaces: media-types");
    packages[12].data.push(file("./etc/mime.types", "mine"));
    mirror.main(&packages);
    let files = base(&mirror, STATIC).unwrap().files;
    assert_eq!(
        files.get("etc/mime.types").unwrap().bytes(),
        Some(&b"mine"[..])
    );
}

#[test]
fn what_is_no_package_is_refused_and_no_cut_one_panics() {
    let deb = small_system()[0].deb();
    let mut cut: Vec<Vec<u8>> = (0..deb.len())
        .step_by(97)
        .map(|end| deb[..end].to_vec())
        .collect();
    let mut other_order = b"!<arch>\n".to_vec();
    member(&mut other_order, "data.tar.gz", &gzip(&tar(&[])));
    cut.push(other_order);
    let mut unknown = b"!<arch>\n".to_vec();
    member(&mut unknown, "debian-binary", b"2.0\n");
    member(&mut unknown, "control.tar.lzma", b"x");
    cut.push(unknown);
    let mut bomb = b"!<arch>\n".to_vec();
    member(&mut bomb, "debian-binary", b"2.0\n");
    member(
        &mut bomb,
        "control.tar.gz",
        &gzip(&tar(&[file("./control", "Package: x\n")])),
    );
    member(&mut bomb, "data.tar.gz", &gzip(&vec![0; 64 << 20]));
    cut.push(bomb);
    for bytes in cut {
        let error = told(
            |_| {},
            |mirror| {
                // The archive signs what is in it, however broken.
                let path = mirror.folder.join("debian/pool/base-files_12.deb");
                fs::write(path, &bytes).unwrap();
                republish(mirror, &bytes);
            },
        );
        let is_told =
            error.starts_with("unpacking base-files 12") || error.contains("base-files_12.deb");
        assert!(is_told, "{error}");
    }
}

/// Signs an index that says of base-files what its file now is.
fn republish(mirror: &Mirror, bytes: &[u8]) {
    let folder = mirror.folder.join("debian/dists/bookworm");
    let mut index = String::new();
    for (at, one) in small_system().iter().enumerate() {
        let deb = if at == 0 { bytes.to_vec() } else { one.deb() };
        let name = one.fields.lines().next().unwrap().replace("Package: ", "");
        let version = one.fields.lines().nth(1).unwrap().replace("Version: ", "");
        index.push_str(&format!(
            "{}\nArchitecture: amd64\nFilename: pool/{name}_{version}.deb\nSize: {}\nSHA256: {}\n\n",
            one.fields,
            deb.len(),
            ounce_oci::Digest::of(&deb).hex()
        ));
    }
    fs::write(folder.join("main/binary-amd64/Packages"), &index).unwrap();
    let release = format!(
        "Suite: bookworm\nCodename: bookworm\nSHA256:\n {} {} main/binary-amd64/Packages\n",
        ounce_oci::Digest::of(index.as_bytes()).hex(),
        index.len()
    );
    fs::write(folder.join("InRelease"), mirror.key.clear_sign(&release)).unwrap();
}

#[test]
fn a_changed_package_or_index_never_enters() {
    let error = told(
        |_| {},
        |mirror| fs::write(mirror.folder.join("debian/pool/tzdata_1.deb"), "evil").unwrap(),
    );
    assert!(
        error.starts_with("file://[DIR]/debian/pool/tzdata_1.deb is sha256:"),
        "{error}"
    );
    let error = told(
        |_| {},
        |mirror| {
            let index = "debian/dists/bookworm/main/binary-amd64/Packages.gz";
            fs::write(mirror.folder.join(index), "evil").unwrap();
        },
    );
    assert!(error.contains("Packages.gz is sha256:"), "{error}");
}

#[test]
fn a_release_is_believed_only_if_it_is_signed_by_a_known_key() {
    let changed = |change: fn(&str) -> String| {
        move |mirror: &Mirror| {
            let text = fs::read_to_string(mirror.release()).unwrap();
            fs::write(mirror.release(), change(&text)).unwrap();
        }
    };
    let error = told(
        |_| {},
        changed(|text| text.replace("Suite: bookworm", "Suite: bookw0rm")),
    );
    assert!(error.contains("what it signs is not this text"), "{error}");
    let error = told(|_| {}, changed(|text| format!("{text}\nSuite: evil\n")));
    assert!(error.contains("something follows the signature"), "{error}");
    let error = told(
        |_| {},
        changed(|text| {
            text.split("-----BEGIN PGP SIGNATURE")
                .next()
                .unwrap()
                .to_owned()
        }),
    );
    assert!(error.contains("its signature is missing"), "{error}");
    let error = told(|_| {}, changed(|_| "Suite: bookworm\n".to_owned()));
    assert!(error.contains("not clear-signed"), "{error}");
    let error = told(
        |_| {},
        |mirror| fs::write(mirror.folder.join("keys.gpg"), Key::new().ring(None)).unwrap(),
    );
    assert!(error.contains("none of which the keyring has"), "{error}");
    let error = told(
        |_| {},
        |mirror| fs::write(mirror.folder.join("keys.gpg"), mirror.key.ring(Some(10))).unwrap(),
    );
    assert!(error.contains("the key has expired"), "{error}");
    let error = told(
        |_| {},
        |mirror| fs::remove_file(mirror.folder.join("keys.gpg")).unwrap(),
    );
    assert!(
        error.starts_with("reading the keyring [DIR]/keys.gpg"),
        "{error}"
    );
    let error = told(
        |_| {},
        |mirror| fs::write(mirror.folder.join("keys.gpg"), "x").unwrap(),
    );
    assert!(error.contains("keyring is malformed"), "{error}");
}

#[test]
fn no_cut_release_and_no_cut_keyring_panics() {
    let folder = tempfile::tempdir().unwrap();
    let mirror = Mirror::new(folder.path());
    mirror.main(&small_system());
    let release = fs::read(mirror.release()).unwrap();
    for end in (0..release.len() - 1).step_by(41) {
        fs::write(mirror.release(), &release[..end]).unwrap();
        assert!(lock(&mirror, STATIC).is_err(), "{end}");
    }
    fs::write(mirror.release(), &release).unwrap();
    let ring = fs::read(mirror.folder.join("keys.gpg")).unwrap();
    for end in 0..ring.len() {
        fs::write(mirror.folder.join("keys.gpg"), &ring[..end]).unwrap();
        // Nothing that the key needs comes after the key itself.
        let _ = lock(&mirror, STATIC);
    }
    fs::write(mirror.folder.join("keys.gpg"), &ring).unwrap();
    assert!(lock(&mirror, STATIC).is_ok());
}

#[test]
fn an_expired_release_is_refused_unless_dates_shall_not_matter() {
    let folder = tempfile::tempdir().unwrap();
    let mirror = Mirror::new(folder.path());
    let until = "Valid-Until: Mon, 01 Jun 2026 00:00:01 UTC\n";
    mirror.publish("debian", "bookworm", &small_system(), until);
    let error = lock(&mirror, STATIC).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("is valid until Mon, 01 Jun 2026 00:00:01 UTC only")
    );
    assert!(
        error
            .hints()
            .iter()
            .any(|hint| hint.contains("valid-until = false"))
    );
    let mut careless = sources(&mirror);
    careless.now = None;
    assert!(lock_of(&mirror, STATIC, &careless).is_ok());
}

#[test]
fn the_release_of_another_suite_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mirror = Mirror::new(folder.path());
    mirror.main(&small_system());
    let text = mirror
        .key
        .clear_sign("Suite: buster\nCodename: buster\nSHA256:\n");
    fs::write(mirror.release(), text).unwrap();
    let error = lock(&mirror, STATIC).unwrap_err().to_string();
    assert!(error.ends_with("is of buster, not of bookworm"), "{error}");
}

#[test]
fn a_conflict_and_a_missing_package_are_told_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let mirror = Mirror::new(folder.path());
    let mut packages = small_system();
    packages.push(package(
        "Package: one\nVersion: 1\nDepends: two (>= 3)",
        vec![],
    ));
    packages.push(package("Package: two\nVersion: 2", vec![]));
    mirror.main(&packages);
    let mut wanted = sources(&mirror);
    wanted.packages = vec!["one".to_owned()];
    let error = lock_of(&mirror, Variant::Slim, &wanted).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the packages of debian-slim cannot be had from bookworm"
    );
    assert_eq!(
        error.source().unwrap().to_string(),
        "two (>= 3) cannot be had, needed by one 1: of two there is 2 only"
    );
    mirror.main(&small_system()[..3]);
    let error = lock(&mirror, STATIC).unwrap_err();
    assert!(
        error
            .source()
            .unwrap()
            .to_string()
            .contains("no archive has ca-certificates")
    );
}

#[test]
fn a_script_that_is_not_known_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let mirror = Mirror::new(folder.path());
    let mut packages = small_system();
    let odd = package("Package: odd\nVersion: 1\nPriority: required", vec![]);
    packages.push(odd.with("postinst", "#!/bin/sh\nset -e\nuseradd odd\n"));
    mirror.main(&packages);
    let made = base(&mirror, Variant::Slim).unwrap();
    assert_eq!(made.skipped.len(), 1);
    assert_eq!(made.skipped[0].package, "odd");
    assert!(made.skipped[0].what.contains("`useradd odd`"));
}
