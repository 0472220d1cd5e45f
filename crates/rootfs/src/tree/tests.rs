use std::fs;

use ounce_oci::layer::{ReadEntry, ReadKind};

use super::*;

fn entry(path: &str, kind: ReadKind, size: u64) -> ReadEntry {
    ReadEntry {
        path: path.into(),
        kind,
        mode: 0o755,
        uid: 0,
        gid: 0,
        mtime: 0,
        size,
        xattrs: Vec::new(),
    }
}

fn file(path: &str, size: u64) -> ReadEntry {
    entry(path, ReadKind::File, size)
}

fn link(path: &str, target: &str) -> ReadEntry {
    entry(path, ReadKind::Symlink(target.into()), 0)
}

fn hard(path: &str, target: &str) -> ReadEntry {
    entry(path, ReadKind::Hardlink(target.into()), 0)
}

fn gone(path: &str) -> ReadEntry {
    entry(path, ReadKind::Whiteout, 0)
}

fn tree(layers: &[Vec<ReadEntry>]) -> Tree {
    let mut builder = Builder::default();
    for layer in layers {
        builder.begin_layer();
        for entry in layer {
            builder.entry(entry).unwrap();
        }
    }
    builder.finish()
}

fn paths(tree: &Tree) -> Vec<&str> {
    tree.iter()
        .map(|(path, _)| path.to_str().unwrap())
        .collect()
}

#[test]
fn folder_stands_right_before_what_lies_in_it() {
    let tree = tree(&[vec![file("a.b", 1), file("a/c", 1), file("a/b/c", 1)]]);
    assert_eq!(paths(&tree), ["a", "a/b", "a/b/c", "a/c", "a.b"]);
    let names: Vec<_> = tree.names(Path::new("a")).collect();
    assert_eq!(names, ["b", "c"]);
    assert_eq!(tree.names(Path::new("")).count(), 2);
}

#[test]
fn overwritten_and_deleted_files_are_waste_and_count_once() {
    let tree = tree(&[
        vec![file("a", 10), file("b", 20), file("d/e", 5)],
        vec![file("a", 11), gone("b"), entry("d", ReadKind::Opaque, 0)],
        vec![file("a", 12)],
    ]);
    let hidden: Vec<_> = tree
        .hidden()
        .iter()
        .map(|it| {
            (
                it.content.path.to_str().unwrap(),
                it.content.bytes,
                it.by,
                it.how,
            )
        })
        .collect();
    assert_eq!(
        hidden,
        [
            ("a", 10, 1, Hiding::Overwritten),
            ("b", 20, 1, Hiding::Deleted),
            ("d/e", 5, 1, Hiding::Deleted),
            ("a", 11, 2, Hiding::Overwritten),
        ]
    );
    assert_eq!(tree.bytes(), 12);
    assert_eq!(tree.get("/a").unwrap().layer, 2);
}

#[test]
fn hard_links_share_their_bytes_and_keep_them_alive() {
    let tree = tree(&[vec![file("a", 10), hard("b", "a")], vec![gone("a")]]);
    assert_eq!(paths(&tree), ["b"]);
    assert_eq!(tree.bytes(), 10);
    assert_eq!(tree.hidden(), []);
    assert_eq!(tree.get("b").unwrap().layer, 0);
}

#[test]
fn lookup_follows_links_inside_of_the_root_only() {
    let tree = tree(&[vec![
        file("usr/bin/tool", 1),
        link("bin", "usr/bin"),
        link("abs", "/bin/tool"),
        link("up", "../../../../usr/./bin/../bin/tool"),
        link("away", "/outside"),
        link("x", "y"),
        link("y", "x"),
    ]]);
    let at = |path: &str| tree.lookup(path).map(|(path, _)| path);
    for path in [
        "bin/tool",
        "/bin/tool",
        "abs",
        "up",
        "/../bin/../bin/tool",
        "./bin/./tool",
    ] {
        assert_eq!(at(path), Ok("usr/bin/tool".into()), "{path}");
    }
    assert_eq!(at("away"), Err(LookupError::Absent("outside".into())));
    assert_eq!(at("x"), Err(LookupError::Loop("x".into())));
    assert_eq!(
        at("abs/z"),
        Err(LookupError::NotAFolder("usr/bin/tool".into()))
    );
    assert_eq!(tree.get("bin/tool"), None);
}

#[test]
fn entries_that_leave_the_root_are_refused() {
    for path in ["../a", "a/../../b", "/etc/passwd"] {
        let mut builder = Builder::default();
        builder.begin_layer();
        assert!(matches!(
            builder.entry(&file(path, 1)),
            Err(TreeError::Path(_))
        ));
    }
}

#[test]
fn folder_of_the_host_is_listed_without_following_links() {
    use std::os::unix::ffi::OsStrExt;
    let temporary = tempfile::tempdir().unwrap();
    let at = temporary.path();
    fs::create_dir(at.join("d")).unwrap();
    fs::write(at.join("d/file"), "12345").unwrap();
    fs::hard_link(at.join("d/file"), at.join("second")).unwrap();
    std::os::unix::fs::symlink("/", at.join("out")).unwrap();
    fs::write(at.join(OsStr::from_bytes(b"\xff\n")), "1").unwrap();
    let tree = Tree::of_folder(at).unwrap();
    assert_eq!(tree.iter().count(), 5);
    assert_eq!(tree.bytes(), 6);
    assert!(
        matches!(&tree.get("out").unwrap().kind, NodeKind::Symlink(to) if to == Path::new("/"))
    );
    assert!(tree.get(OsStr::from_bytes(b"\xff\n")).is_some());
    let error = Tree::of_folder(&at.join("absent")).unwrap_err();
    assert!(error.to_string().contains("absent"));
}
