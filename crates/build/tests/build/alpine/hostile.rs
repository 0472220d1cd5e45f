//! Repositories that lie, are broken, or want out.

use std::error::Error;
use std::fs;

use ounce_build::distribution::alpine::Kind;

use super::base;
use super::repository::{Package, Repository, gzip, signature};
use super::system;

/// The whole chain of an error, as a person sees it.
fn said(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

/// What comes of the core with each of these packages added alone; they are
/// called by their places in the list.
fn with_each(packages: Vec<Package>) -> Vec<Result<(), String>> {
    let (_folder, mut repository) = core();
    let mut names = Vec::new();
    for (at, mut package) in packages.into_iter().enumerate() {
        package.name = format!("extra{at}");
        repository.add(&package);
        names.push(package.name);
    }
    repository.publish();
    names.iter().map(|name| of(&repository, &[name])).collect()
}

fn of(repository: &Repository, more: &[&str]) -> Result<(), String> {
    let place = repository.folder.display().to_string();
    let done = base(repository, Kind::Core, more).map(|_| ());
    done.map_err(|error| said(&error).replace(&place, "REPOSITORY"))
}

fn core() -> (tempfile::TempDir, Repository) {
    let folder = tempfile::tempdir().unwrap();
    let mut repository = Repository::new(folder.path());
    for package in &system::packages(b"busybox")[..3] {
        repository.add(package);
    }
    (folder, repository)
}

#[test]
fn an_index_that_nobody_trusted_signed_is_refused() {
    let (_folder, repository) = core();
    let index = repository.index();
    let signed = |signature: Vec<u8>, index: &[u8]| {
        repository.write_index(&[&signature, index].concat());
        of(&repository, &[])
    };
    signed(signature("RSA", &index), &index).unwrap();
    signed(signature("RSA256", &index), &index).unwrap();
    let at = "the index file://REPOSITORY/x86_64/APKINDEX.tar.gz: ";
    assert_eq!(
        signed(Vec::new(), &index),
        Err(format!("{at}it is not signed"))
    );
    let other = gzip(b"");
    assert_eq!(
        signed(signature("RSA", &other), &index),
        Err(format!(
            "{at}the signature by test@example.org-5f3a.rsa.pub is wrong: it was changed since it \
             was signed"
        ))
    );
    assert_eq!(
        signed(signature("RSA", &index), &[]),
        Err(format!("{at}it has no content"))
    );
    let whole = [signature("RSA", &index), index.clone()].concat();
    for cut in [0, 1, 10, 300, whole.len() / 2, whole.len() - 1] {
        repository.write_index(&whole[..cut]);
        let error = of(&repository, &[]).unwrap_err();
        assert!(error.starts_with(at), "{cut}: {error}");
    }
    // A byte changed anywhere in what is signed.
    for place in (whole.len() - index.len()..whole.len()).step_by(97) {
        let mut changed = whole.clone();
        changed[place] ^= 1;
        repository.write_index(&changed);
        assert!(of(&repository, &[]).is_err(), "{place}");
    }
    let keys = repository.keys();
    fs::rename(
        keys.join("test@example.org-5f3a.rsa.pub"),
        keys.join("another.rsa.pub"),
    )
    .unwrap();
    assert_eq!(
        signed(signature("RSA", &index), &index),
        Err(format!(
            "{at}it is signed by test@example.org-5f3a.rsa.pub, which is not among the trusted keys"
        ))
    );
}

#[test]
fn an_index_that_lies_is_found_out() {
    let (_folder, mut repository) = core();
    let good = repository.paragraphs.clone();
    let mut lie = |from: &str, to: &str| {
        repository.paragraphs = good.clone();
        let changed = repository.paragraphs[0].replace(from, to);
        assert_ne!(changed, repository.paragraphs[0]);
        repository.paragraphs[0] = changed;
        repository.publish();
        of(&repository, &[]).unwrap_err()
    };
    let size = good[0].lines().find(|line| line.starts_with("S:")).unwrap();
    let musl = "the package file://REPOSITORY/x86_64/musl-1.2.5-r10.apk: ";
    let longer = lie(size, "S:99999");
    assert!(longer.starts_with(&format!("{musl}it is ")), "{longer}");
    assert!(
        longer.ends_with(" bytes long, the index says 99999"),
        "{longer}"
    );
    let shorter = lie(size, "S:10");
    assert!(
        shorter.ends_with("musl-1.2.5-r10.apk is larger than 10 bytes"),
        "{shorter}"
    );
    let checksum = good[0].lines().next().unwrap();
    let other = lie(checksum, "C:Q1AAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    assert!(
        other.starts_with(&format!("{musl}its control part has the checksum Q1")),
        "{other}"
    );
    let gone = lie("V:1.2.5-r10", "V:9");
    assert!(
        gone.contains("reading REPOSITORY/x86_64/musl-9.apk"),
        "{gone}"
    );
    let out = lie("P:musl", "P:../../musl");
    assert!(out.contains("line 2 of the index: field P is"), "{out}");
}

#[test]
fn a_package_that_was_changed_is_refused() {
    let (folder, repository) = core();
    repository.publish();
    let path = folder.path().join("x86_64/musl-1.2.5-r10.apk");
    let good = fs::read(&path).unwrap();
    for place in (0..good.len()).step_by(61) {
        let mut changed = good.clone();
        changed[place] ^= 0x10;
        fs::write(&path, changed).unwrap();
        let error = of(&repository, &[]).unwrap_err();
        assert!(error.starts_with("the package "), "{place}: {error}");
    }
    fs::write(&path, &good).unwrap();
    of(&repository, &[]).unwrap();
}

#[test]
fn a_signed_package_is_taken_apart_as_an_unsigned_one() {
    let (_folder, mut repository) = core();
    let mut package = Package::new("extra", "1").folder("opt").file("opt/x", "x");
    package.signed = true;
    repository.add(&package);
    repository.publish();
    of(&repository, &["extra"]).unwrap();
}

#[test]
fn files_do_not_leave_the_base() {
    let extra = || Package::new("", "1");
    let wrong_checksum = |package: Package| package.last(|file| file.checksum = Some([7; 20]));
    let (refused, why): (Vec<Package>, Vec<&str>) = [
        (
            extra().file("../etc/passwd", "x"),
            "its path has a '..' part",
        ),
        (
            extra().folder("a").file("a/../../x", "x"),
            "its path has a '..' part",
        ),
        (extra().file("/etc/passwd", "x"), "its path is absolute"),
        (
            extra()
                .folder("a")
                .link("a/out", "../../..")
                .folder("a/out/b"),
            "/a/out/b leads out of the image by the link /a/out",
        ),
        (
            extra().folder("a").hard_link("a/b", "../etc/shadow"),
            "its path has a '..' part",
        ),
        (
            extra().folder("a").hard_link("a/b", "etc/shadow"),
            "which the package does not have",
        ),
        (
            extra().file("deep/down", "x"),
            "in a folder that the package does not have",
        ),
        (
            extra().folder("a").file("a/b\nR:c", "x"),
            "control character",
        ),
        (
            extra().folder("bin").file("bin/busybox", "mine"),
            "is busybox-1.37.0-r18's already",
        ),
        (
            extra().folder("bin").folder("bin/busybox"),
            "is a folder here and a file in another",
        ),
        (
            extra().file("bin", "x"),
            "is a file here and a folder in another",
        ),
        (
            wrong_checksum(extra().folder("a").file("a/b", "x")),
            "its file /a/b has not the checksum that is stated beside it",
        ),
        (extra().folder("a").link("a/b", ""), "target is empty"),
    ]
    .into_iter()
    .unzip();
    for (result, why) in with_each(refused).into_iter().zip(why) {
        let error = result.unwrap_err();
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn a_pipe_is_left_out_and_told() {
    let (_folder, mut repository) = core();
    repository.add(&Package::new("extra", "1").folder("dev").pipe("dev/initctl"));
    repository.publish();
    let (_, base) = base(&repository, Kind::Core, &["extra"]).unwrap();
    assert_eq!(
        base.notes,
        ["extra-1: /dev/initctl is a device or pipe, which a base does not hold"]
    );
}

#[test]
fn a_bomb_does_not_go_off() {
    let zeros = vec![0; 80 << 20];
    let script = "#".repeat(17 << 20);
    let results = with_each(vec![
        Package::new("", "1").folder("a").file("a/zeros", zeros),
        // In the control part.
        Package::new("", "1").script("post-install", &script),
    ]);
    for (result, bytes) in results.into_iter().zip(["67108864", "16777216"]) {
        let error = result.unwrap_err();
        assert!(
            error.ends_with(&format!("unpacks to more than {bytes} bytes")),
            "{error}"
        );
    }
}

#[test]
fn a_file_may_be_replaced_where_the_packages_say_so() {
    let mine = || {
        Package::new("", "1")
            .folder("bin")
            .program("bin/busybox", "mine")
    };
    let results = with_each(vec![
        mine().info("replaces", "busybox"),
        mine().line("origin", "busybox"),
        mine().info("replaces", "busybox<1"),
    ]);
    assert_eq!(results[..2], [Ok(()), Ok(())]);
    let error = results[2].clone().unwrap_err();
    assert!(
        error.contains("neither package replaces the other"),
        "{error}"
    );
}

#[test]
fn what_does_not_fit_together_is_explained() {
    let results = with_each(vec![
        Package::new("", "1").depends("gone"),
        Package::new("", "1").depends("musl>=2"),
        Package::new("", "1").depends("!busybox"),
    ]);
    let said: Vec<String> = results.into_iter().map(Result::unwrap_err).collect();
    let none = "no set of packages makes the base: ";
    assert_eq!(
        said[0],
        format!("{none}extra0-1 needs gone, which no package of these repositories provides")
    );
    assert_eq!(
        said[1],
        format!(
            "{none}the base needs musl, but musl-1.2.5-r10 cannot be taken: extra1-1 needs musl>=2"
        )
    );
    assert!(
        said[2].contains("excludes") && said[2].contains("busybox"),
        "{}",
        said[2]
    );
    let (_folder, repository) = core();
    let error = of(&repository, &["no such"]).unwrap_err();
    assert!(
        error.starts_with("among the packages asked for: "),
        "{error}"
    );
}
