//! What is given: fake and foreign programs, odd folders, hostile settings.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use ounce_build::site;

use crate::{package, recipe, request, write};

fn refusal(path: &Path) -> String {
    recipe(path).unwrap_err().to_string()
}

#[test]
fn files_that_are_no_programs_are_refused_with_what_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("fake");
    for bytes in [
        &b""[..],
        b"#!/bin/sh\n",
        b"\x7fELF",
        b"\x7fELF\x02\x01\x01",
        &[0x7f; 4096],
    ] {
        fs::write(&file, bytes).unwrap();
        assert!(refusal(&file).ends_with("fake is no program"), "{bytes:?}");
    }
    assert!(refusal(&folder.path().join("absent")).starts_with("reading "));
}

#[test]
fn a_dynamic_program_is_refused_with_what_it_needs_and_the_ways_out() {
    let error = recipe(Path::new("/bin/ls")).unwrap_err();
    assert!(error.to_string().contains("dynamically linked"), "{error}");
    assert!(error.to_string().contains("libc.so.6"), "{error}");
    assert!(
        error
            .hints()
            .iter()
            .any(|hint| hint.contains("CGO_ENABLED=0"))
    );
}

#[test]
fn folders_that_hold_nothing_to_build_say_what_was_looked_for() {
    let folder = tempfile::tempdir().unwrap();
    let error = refusal(folder.path());
    assert!(
        error.contains("it has none of Cargo.toml, go.mod"),
        "{error}"
    );
    write(&folder.path().join("package.json"), "{}");
    let error = recipe(folder.path()).unwrap_err();
    assert!(error.hints()[0].contains("build the pages"));
}

#[test]
fn a_library_has_no_program() {
    let folder = tempfile::tempdir().unwrap();
    package(folder.path(), "lib", "");
    fs::rename(
        folder.path().join("src/main.rs"),
        folder.path().join("src/lib.rs"),
    )
    .unwrap();
    assert!(refusal(folder.path()).ends_with("has no program, only libraries"));
}

#[test]
fn a_faulty_ounce_toml_is_told_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    package(folder.path(), "hello", "");
    let file = folder.path().join("ounce.toml");
    fs::write(&file, "[rust]\nfeatuers = []\n").unwrap();
    assert!(
        refusal(folder.path()).ends_with(
            "ounce.toml:2:1: unknown key `rust.featuers`: did you mean `rust.features`?"
        )
    );
    fs::write(&file, vec![b'#'; 2 << 20]).unwrap();
    assert!(refusal(folder.path()).starts_with("reading "));
    fs::write(&file, b"\xff\xfe").unwrap();
    assert!(refusal(folder.path()).starts_with("reading "));
    fs::write(&file, "[[file]]\nfrom = 'absent'\nto = '/x'\n").unwrap();
    assert!(refusal(folder.path()).contains("absent"));
}

#[test]
fn flags_that_mean_nothing_for_the_input_are_refused() {
    let mut asked = request(Path::new("/bin/ls"));
    asked.settings.rust.bin = Some("x".to_owned());
    let error = ounce_build::plan(&asked).unwrap_err().to_string();
    assert_eq!(error, "--bin cannot be asked of a ready program");
}

#[test]
fn a_site_is_walked_in_order_and_what_cannot_be_served_is_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    write(&root.join("index.html"), "<p>");
    write(&root.join("b/z.css"), "z");
    write(&root.join("b/a.css"), "a");
    write(&root.join(".git/config"), "secret");
    write(&root.join("ounce.toml"), "");
    symlink("b/a.css", root.join("inside")).unwrap();
    symlink("/etc/passwd", root.join("absolute")).unwrap();
    symlink("../../../../etc/passwd", root.join("outside")).unwrap();
    symlink("loop", root.join("loop")).unwrap();
    symlink("..", root.join("b/up")).unwrap();
    let made = Command::new("mkfifo")
        .arg(root.join("pipe"))
        .status()
        .unwrap();
    assert!(made.success());
    let site = site::walk(root).unwrap();
    let packed: Vec<&str> = site.files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(
        packed,
        ["b/a.css", "b/up", "b/z.css", "index.html", "inside"]
    );
    let omitted: Vec<&str> = site.omitted.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(
        omitted,
        [".git", "absolute", "loop", "ounce.toml", "outside", "pipe"]
    );
}

#[test]
fn an_empty_site_and_a_name_that_is_not_utf8_are_refused() {
    use std::os::unix::ffi::OsStrExt as _;
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(
        site::walk(folder.path()),
        Err(site::SiteError::Empty(_))
    ));
    let name = std::ffi::OsStr::from_bytes(b"\xff.html");
    fs::write(folder.path().join(name), "x").unwrap();
    assert!(matches!(
        site::walk(folder.path()),
        Err(site::SiteError::Name(_))
    ));
}

#[test]
fn a_file_that_cannot_be_read_is_told_before_anything_is_built() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("index.html");
    write(&file, "<p>");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o000)).unwrap();
    if fs::File::open(&file).is_ok() {
        eprintln!("SKIPPED: this user reads every file");
        return;
    }
    assert!(matches!(
        site::walk(folder.path()),
        Err(site::SiteError::Read { .. })
    ));
}

#[test]
fn a_site_becomes_an_image_with_the_server_and_one_packed_file_or_its_files() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("Public Pages");
    write(&root.join("index.html"), "<p>hello");
    write(&root.join("a/b.css"), "p{}");
    for (pack, expected) in [
        (None, &["httpd", "public"][..]),
        (
            Some(false),
            &["httpd", "public/index.html", "public/a/b.css"],
        ),
    ] {
        let mut asked = request(&root);
        asked.settings.rules.pack = pack;
        match ounce_build::plan(&asked) {
            Ok(found) => assert_eq!(found.image.ports, ["8080/tcp"]),
            Err(error) => {
                eprintln!("SKIPPED: {error}: {:?}", error.hints());
                return;
            }
        }
        let built = crate::build(&asked).1;
        assert_eq!(built.reference.name, "public-pages");
        assert_eq!(built.site.is_some(), pack.is_none());
        let image = &built.images[0];
        let files: Vec<&str> = image.heaviest.iter().map(|file| file.0.as_str()).collect();
        assert_eq!(files, expected);
    }
}

#[test]
fn a_file_that_vanishes_while_packing_is_an_error_and_leaves_no_image() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("index.html"), "<p>hello");
    let Ok(found) = recipe(folder.path()) else {
        eprintln!("SKIPPED: no server for this platform");
        return;
    };
    fs::remove_file(folder.path().join("index.html")).unwrap();
    let place = tempfile::tempdir().unwrap();
    let store = ounce_oci::Store::open(place.path()).unwrap();
    let error = ounce_build::execute(&found, &store, &mut |_| ()).unwrap_err();
    assert!(error.to_string().ends_with("index.html"), "{error}");
    assert!(store.names().unwrap().is_empty());
}

#[test]
fn ready_programs_for_several_platforms_become_one_index_and_the_wrong_one_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    // One segment, no sections: enough for what an image asks of a program.
    let elf = |machine: u8| {
        let mut bytes = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0".to_vec();
        bytes.extend([machine, 0, 1, 0, 0, 0]);
        for word in [0x1_0000_u64, 64, 0] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend([0, 0, 0, 0, 64, 0, 56, 0, 1, 0, 64, 0, 0, 0, 0, 0]);
        bytes.extend([1, 0, 0, 0, 5, 0, 0, 0]);
        for word in [0_u64, 0x1_0000, 0x1_0000, 120, 120, 4096] {
            bytes.extend(word.to_le_bytes());
        }
        bytes
    };
    fs::write(folder.path().join("app-amd64"), elf(62)).unwrap();
    fs::write(folder.path().join("app-arm64"), elf(183)).unwrap();
    let text = "[programs]\n'linux/amd64' = 'app-amd64'\n'linux/arm64' = 'app-arm64'\n";
    write(&folder.path().join("ounce.toml"), text);
    let (_store, built) = crate::build(&request(folder.path()));
    assert_eq!(built.reference.to_string(), "app:latest");
    assert_eq!(built.images.len(), 2);
    let mut asked = request(folder.path());
    asked.settings.platforms = vec!["linux/arm64".parse().unwrap()];
    assert_eq!(ounce_build::plan(&asked).unwrap().programs.len(), 1);
    asked.settings.platforms = vec!["linux/riscv64".parse().unwrap()];
    let error = ounce_build::plan(&asked).unwrap_err();
    assert_eq!(error.to_string(), "no program is given for linux/riscv64");
    asked.settings.platforms = Vec::new();
    asked.settings.programs = vec![(
        "linux/amd64".parse().unwrap(),
        folder.path().join("app-arm64"),
    )];
    let error = ounce_build::plan(&asked).unwrap_err().to_string();
    assert!(
        error.ends_with("is for linux/arm64, and linux/amd64 was asked for"),
        "{error}"
    );
}

#[test]
fn what_dockerignore_names_is_not_packed_with_a_site() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for path in ["index.html", "drafts/one.html", "drafts/two.html", "a.map"] {
        write(&root.join(path), "text");
    }
    write(
        &root.join(".dockerignore"),
        "drafts\n!drafts/two.html\n*.map\n",
    );
    let walked: Vec<String> = site::walk::walk(root)
        .unwrap()
        .files
        .into_iter()
        .map(|file| file.path)
        .collect();
    assert_eq!(walked, ["drafts/two.html", "index.html"]);
    let followed = site::follow::follow(root).unwrap();
    assert_eq!(followed.files.len(), 2);
    assert!(
        followed
            .omitted
            .iter()
            .any(|one| one.why == "named in .dockerignore")
    );
}
