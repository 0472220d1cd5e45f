use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use super::*;

/// A folder to unpack into and one beside it that must stay as it is.
struct Place {
    temporary: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let temporary = tempfile::tempdir().unwrap();
        fs::create_dir(temporary.path().join("root")).unwrap();
        fs::create_dir(temporary.path().join("outside")).unwrap();
        fs::write(temporary.path().join("outside/kept"), "kept").unwrap();
        Self { temporary }
    }

    fn root(&self) -> PathBuf {
        self.temporary.path().join("root")
    }

    fn outside(&self) -> PathBuf {
        self.temporary.path().join("outside")
    }

    fn unpack(&self, layers: &[Vec<ReadEntry>]) -> Result<Unpacked, UnpackError> {
        self.unpack_with(Options::default(), layers)
    }

    fn unpack_with(
        &self,
        options: Options,
        layers: &[Vec<ReadEntry>],
    ) -> Result<Unpacked, UnpackError> {
        let mut extractor = Extractor::new(&self.root(), options)?;
        let mut outcome = Ok(());
        'all: for layer in layers {
            extractor.begin_layer();
            for entry in layer {
                outcome = extractor.entry(entry, &mut content(entry).as_bytes());
                if outcome.is_err() {
                    break 'all;
                }
            }
        }
        let outcome = outcome.and_then(|()| extractor.finish());
        let outside: Vec<_> = fs::read_dir(self.outside()).unwrap().collect();
        assert_eq!(outside.len(), 1, "nothing came or went outside");
        assert_eq!(fs::read(self.outside().join("kept")).unwrap(), b"kept");
        outcome
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.root().join(path)).unwrap()
    }

    /// Every path, sorted, folders with a slash.
    fn list(&self) -> Vec<String> {
        fn walk(at: &Path, prefix: &str, into: &mut Vec<String>) {
            for entry in fs::read_dir(at).unwrap().map(Result::unwrap) {
                let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
                if entry.file_type().unwrap().is_dir() {
                    into.push(format!("{name}/"));
                    walk(&entry.path(), &format!("{name}/"), into);
                } else {
                    into.push(name);
                }
            }
        }
        let mut list = Vec::new();
        walk(&self.root(), "", &mut list);
        list.sort();
        list
    }
}

fn content(entry: &ReadEntry) -> String {
    match entry.kind {
        ReadKind::File => format!("{}:{}", entry.path.display(), entry.mtime),
        _ => String::new(),
    }
}

fn entry(path: &str, kind: ReadKind, mode: u32) -> ReadEntry {
    ReadEntry {
        path: path.into(),
        kind,
        mode,
        uid: 0,
        gid: 0,
        mtime: 7,
        size: 0,
        xattrs: Vec::new(),
    }
}

fn file(path: &str) -> ReadEntry {
    entry(path, ReadKind::File, 0o644)
}

fn folder(path: &str) -> ReadEntry {
    entry(path, ReadKind::Directory, 0o755)
}

fn link(path: &str, target: &str) -> ReadEntry {
    entry(path, ReadKind::Symlink(target.into()), 0o777)
}

fn hard(path: &str, target: &str) -> ReadEntry {
    entry(path, ReadKind::Hardlink(target.into()), 0o644)
}

fn gone(path: &str) -> ReadEntry {
    entry(path, ReadKind::Whiteout, 0)
}

fn opaque(path: &str) -> ReadEntry {
    entry(path, ReadKind::Opaque, 0)
}

#[test]
fn files_come_with_content_mode_and_time() {
    let place = Place::new();
    let done = place
        .unpack(&[vec![
            entry("bin", ReadKind::Directory, 0o555),
            entry("bin/tool", ReadKind::File, 0o750),
            link("sh", "bin/tool"),
            hard("tool", "bin/tool"),
        ]])
        .unwrap();
    assert_eq!(
        (done.files, done.folders, done.links, done.bytes),
        (1, 1, 2, 10)
    );
    let meta = fs::metadata(place.root().join("bin/tool")).unwrap();
    assert_eq!(meta.permissions().mode() & 0o7777, 0o750);
    assert_eq!((meta.mtime(), meta.nlink()), (7, 2));
    let meta = fs::metadata(place.root().join("bin")).unwrap();
    assert_eq!(
        (meta.permissions().mode() & 0o7777, meta.mtime()),
        (0o555, 7)
    );
    assert_eq!(place.read("sh"), "bin/tool:7");
}

#[test]
fn paths_that_leave_the_root_are_refused() {
    for path in [
        "../outside/new",
        "a/../../outside/new",
        "/etc/passwd",
        "a//b",
        "a/./b",
        "..",
    ] {
        for kind in [
            ReadKind::File,
            ReadKind::Directory,
            ReadKind::Whiteout,
            ReadKind::Opaque,
        ] {
            let place = Place::new();
            let error = place
                .unpack(&[vec![], vec![entry(path, kind, 0o644)]])
                .unwrap_err();
            assert!(matches!(error, UnpackError::Path { .. }), "{path}: {error}");
            assert_eq!(place.list(), Vec::<String>::new());
        }
    }
}

#[test]
fn writing_through_a_link_out_of_the_root_stays_inside() {
    let place = Place::new();
    let outside = place.outside().display().to_string();
    for target in ["../outside", outside.as_str()] {
        let error = place
            .unpack(&[vec![link("way", target), file("way/kept")]])
            .unwrap_err();
        assert!(matches!(error, UnpackError::NotAFolder { .. }), "{error}");
    }
}

#[test]
fn writing_through_a_link_inside_the_root_lands_where_it_points() {
    let place = Place::new();
    let layers = [
        vec![folder("usr"), folder("usr/bin"), link("bin", "/usr/bin")],
        vec![file("bin/tool"), file("bin/deep/er")],
    ];
    place.unpack(&layers).unwrap();
    assert_eq!(place.read("usr/bin/tool"), "bin/tool:7");
    assert_eq!(
        place.list(),
        [
            "bin",
            "usr/",
            "usr/bin/",
            "usr/bin/deep/",
            "usr/bin/deep/er",
            "usr/bin/tool"
        ]
    );
}

#[test]
fn file_replaces_a_link_instead_of_writing_through_it() {
    let place = Place::new();
    let kept = place.outside().join("kept").display().to_string();
    place
        .unpack(&[
            vec![link("a", &kept), file("a")],
            vec![link("b", &kept)],
            vec![file("b")],
        ])
        .unwrap();
    assert_eq!(place.read("a"), "a:7");
    assert!(
        fs::symlink_metadata(place.root().join("b"))
            .unwrap()
            .is_file()
    );
}

#[test]
fn host_link_planted_in_the_root_is_not_followed_out() {
    let place = Place::new();
    symlink(place.outside(), place.root().join("planted")).unwrap();
    place.unpack(&[vec![file("planted/kept")]]).unwrap_err();
    place
        .unpack(&[vec![], vec![gone("planted/kept"), opaque("planted")]])
        .unwrap();
}

#[test]
fn hard_links_cannot_reach_outside() {
    let place = Place::new();
    let outside = place.outside().display().to_string();
    let tries = [
        vec![hard("a", "../outside/kept")],
        vec![hard("a", "/etc/passwd")],
        vec![link("way", &outside), hard("a", "way/kept")],
        vec![hard("a", "a")],
        vec![hard("a", "nothing")],
        vec![folder("d"), hard("a", "d")],
    ];
    for layer in tries {
        let error = place.unpack(std::slice::from_ref(&layer)).unwrap_err();
        assert!(
            matches!(
                error,
                UnpackError::Path { .. } | UnpackError::HardLink { .. }
            ),
            "{error}"
        );
        assert!(!place.root().join("a").exists());
    }
}

#[test]
fn hard_link_to_a_link_is_the_link_and_not_its_target() {
    let place = Place::new();
    let kept = place.outside().join("kept").display().to_string();
    place
        .unpack(&[vec![link("a", &kept), hard("b", "a")]])
        .unwrap();
    assert_eq!(
        fs::read_link(place.root().join("b")).unwrap(),
        Path::new(&kept)
    );
    assert_eq!(
        fs::metadata(place.outside().join("kept")).unwrap().nlink(),
        1
    );
}

#[test]
fn upper_file_does_not_change_the_other_name_of_a_lower_one() {
    let place = Place::new();
    let mut newer = file("a");
    newer.mtime = 9;
    place
        .unpack(&[vec![file("a"), hard("b", "a")], vec![newer]])
        .unwrap();
    assert_eq!(
        (place.read("a"), place.read("b")),
        ("a:9".into(), "a:7".into())
    );
}

#[test]
fn devices_are_left_out_and_told() {
    let place = Place::new();
    let done = place
        .unpack(&[vec![
            entry("dev/sda", ReadKind::BlockDevice(8, 0), 0o666),
            entry("null", ReadKind::CharDevice(1, 3), 0o666),
        ]])
        .unwrap();
    let skipped: Vec<_> = done.skipped.iter().map(|it| it.path.as_str()).collect();
    assert_eq!(skipped, ["dev/sda", "null"]);
    assert_eq!(place.list(), Vec::<String>::new());
}

#[test]
fn set_id_bits_are_dropped_unless_kept() {
    let place = Place::new();
    let layer = vec![entry("su", ReadKind::File, 0o6755)];
    let mode = || fs::metadata(place.root().join("su")).unwrap().mode() & 0o7777;
    let done = place.unpack(std::slice::from_ref(&layer)).unwrap();
    assert_eq!((mode(), done.skipped[0].what), (0o755, SkippedKind::SetId));
    let keep = Options {
        set_id: true,
        ..Options::default()
    };
    place.unpack_with(keep, &[layer]).unwrap();
    assert_eq!(mode(), 0o6755);
}

#[test]
fn readable_opens_what_the_modes_close() {
    let place = Place::new();
    let layer = vec![
        entry("secret", ReadKind::Directory, 0o700),
        entry("secret/tool", ReadKind::File, 0o700),
        entry("secret/data", ReadKind::File, 0o600),
    ];
    place
        .unpack_with(
            Options {
                readable: true,
                ..Options::default()
            },
            &[layer],
        )
        .unwrap();
    let mode = |path| fs::metadata(place.root().join(path)).unwrap().mode() & 0o777;
    assert_eq!(
        (mode("secret"), mode("secret/tool"), mode("secret/data")),
        (0o755, 0o755, 0o644)
    );
}

#[test]
fn whiteout_hides_lower_files_and_spares_those_of_its_own_layer() {
    let place = Place::new();
    place
        .unpack(&[
            vec![
                file("d/a"),
                file("d/sub/b"),
                file("e"),
                file("f/g/h"),
                link("l", "d"),
            ],
            vec![
                file("d/new"),
                gone("d"),
                gone("e"),
                gone("f/g"),
                gone("l"),
                gone("never/was"),
            ],
        ])
        .unwrap();
    assert_eq!(place.list(), ["d/", "d/new", "f/"]);
}

#[test]
fn opaque_folder_hides_all_lower_content_in_either_order() {
    for late in [false, true] {
        let place = Place::new();
        let mut upper = vec![folder("d"), file("d/new"), file("d/sub/new")];
        upper.insert(if late { 3 } else { 0 }, opaque("d"));
        place
            .unpack(&[vec![file("d/a"), file("d/sub/b"), file("d/new")], upper])
            .unwrap();
        assert_eq!(place.list(), ["d/", "d/new", "d/sub/", "d/sub/new"]);
    }
}

#[test]
fn a_whiteout_spares_what_its_own_layer_made_under_another_name_of_the_folder() {
    // `l` is another name of `d`: made through one, hidden through the other.
    for (made, hidden) in [("d/f", "l/f"), ("l/f", "d/f")] {
        for sign in [gone(hidden), opaque(hidden.split('/').next().unwrap())] {
            let place = Place::new();
            let lower = vec![folder("d"), file("d/old"), link("l", "d")];
            place.unpack(&[lower, vec![file(made), sign]]).unwrap();
            assert!(place.list().contains(&"d/f".to_owned()), "{made}, {hidden}");
        }
    }
}

#[test]
fn whiteout_in_the_lowest_layer_hides_nothing() {
    let place = Place::new();
    place
        .unpack(&[vec![file("a"), gone("a"), opaque("")]])
        .unwrap();
    assert_eq!(place.list(), ["a"]);
}

#[test]
fn whiteout_through_a_link_removes_nothing_outside() {
    let place = Place::new();
    let outside = place.outside().display().to_string();
    place
        .unpack(&[
            vec![link("way", &outside), link("up", "../outside")],
            vec![
                gone("way/kept"),
                opaque("way"),
                gone("up/kept"),
                opaque("up"),
                gone("way"),
            ],
        ])
        .unwrap();
    assert_eq!(place.list(), ["up"]);
}

#[test]
fn file_and_folder_replace_each_other_across_layers() {
    let place = Place::new();
    place
        .unpack(&[
            vec![file("a"), file("b/c/d"), file("e")],
            vec![folder("a"), file("a/x"), file("b"), file("e/f/g")],
        ])
        .unwrap();
    assert_eq!(place.list(), ["a/", "a/x", "b", "e/", "e/f/", "e/f/g"]);
}

#[test]
fn file_under_a_file_of_the_same_layer_is_refused() {
    let place = Place::new();
    let error = place
        .unpack(&[vec![], vec![file("a"), file("a/b")]])
        .unwrap_err();
    assert!(matches!(error, UnpackError::NotAFolder { .. }));
    let error = Place::new()
        .unpack(&[vec![file("a"), file("a/b")]])
        .unwrap_err();
    assert!(matches!(error, UnpackError::NotAFolder { .. }));
}

#[test]
fn of_two_entries_with_one_name_the_later_stands() {
    let place = Place::new();
    let mut second = file("a");
    second.mtime = 8;
    place
        .unpack(&[vec![file("a"), second, folder("b"), file("b/x"), file("b")]])
        .unwrap();
    assert_eq!(place.read("a"), "a:8");
    assert_eq!(place.list(), ["a", "b"]);
}

#[test]
fn odd_names_are_names() {
    let place = Place::new();
    let names = [
        "new\nline",
        "back\\slash",
        " ",
        "tab\t",
        "ünï",
        "-rf",
        "...",
    ];
    place
        .unpack(&[names.iter().map(|name| file(name)).collect()])
        .unwrap();
    assert_eq!(place.list().len(), names.len());
}

#[test]
fn deep_and_long_paths_are_made_or_refused_with_the_reason() {
    let place = Place::new();
    let deep = |parts: usize| vec!["d"; parts].join("/");
    place
        .unpack(&[vec![file(&deep(DEPTH))], vec![gone("d")]])
        .unwrap();
    assert_eq!(place.list(), Vec::<String>::new());
    for path in [
        deep(DEPTH + 1),
        "n".repeat(256),
        ["n"; 3000].join("/"),
        "n\0".into(),
    ] {
        let error = place.unpack(&[vec![file(&path)]]).unwrap_err();
        assert!(matches!(error, UnpackError::Path { .. }), "{error}");
        assert!(error.to_string().len() < 400);
    }
}

#[test]
fn more_entries_or_bytes_than_allowed_end_it() {
    let place = Place::new();
    let layer = vec![file("a"), file("b"), file("c")];
    let few = Options {
        entries: 2,
        ..Options::default()
    };
    let error = place
        .unpack_with(few, std::slice::from_ref(&layer))
        .unwrap_err();
    assert!(matches!(error, UnpackError::Limit { limit: 2, .. }));
    let small = Options {
        bytes: 8,
        ..Options::default()
    };
    let error = place.unpack_with(small, &[layer]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the image holds more than 8 bytes of files"
    );
}

#[test]
fn links_in_a_circle_end_as_an_error() {
    let place = Place::new();
    let error = place
        .unpack(&[vec![link("a", "b"), link("b", "a"), file("a/x")]])
        .unwrap_err();
    assert!(matches!(error, UnpackError::NotAFolder { .. }), "{error}");
}

#[test]
fn mount_points_are_folders_even_if_a_layer_made_them_links_or_files() {
    let place = Place::new();
    let mut extractor = Extractor::new(&place.root(), Options::default()).unwrap();
    for layer in [
        vec![folder("tmp"), file("dev")],
        vec![gone("tmp"), link("proc", "/outside")],
    ] {
        extractor.begin_layer();
        for entry in &layer {
            extractor.entry(entry, &mut io::empty()).unwrap();
        }
    }
    for name in ["dev", "proc", "tmp"] {
        extractor.mount_point(name, 0o755).unwrap();
    }
    extractor.finish().unwrap();
    assert_eq!(place.list(), ["dev/", "proc/", "tmp/"]);
}

mod against_the_tree {
    use proptest::prelude::*;

    use super::*;
    use crate::tree::{Builder, NodeKind};

    fn path() -> impl Strategy<Value = String> {
        prop::collection::vec(prop::sample::select(vec!["a", "b", "c"]), 1..4)
            .prop_map(|parts| parts.join("/"))
    }

    fn any_entry() -> impl Strategy<Value = ReadEntry> {
        let kinds = (path(), path(), any::<bool>());
        (kinds, 0..12).prop_map(|((path, target, up), kind)| match kind {
            0..=3 => file(&path),
            4..=6 => folder(&path),
            7 => hard(&path, &target),
            8 | 9 => gone(&path),
            10 => opaque(&path),
            _ if up => link(&path, &format!("../{target}")),
            _ => link(&path, &format!("/{target}")),
        })
    }

    /// Sorted paths with what is there, from the tree of the entries.
    fn expected(layers: &[Vec<ReadEntry>]) -> Option<Vec<String>> {
        let mut builder = Builder::default();
        for layer in layers {
            builder.begin_layer();
            for entry in layer {
                builder.entry(entry).ok()?;
            }
        }
        let tree = builder.finish();
        let mut list: Vec<_> = tree
            .iter()
            .map(|(path, node)| match node.kind {
                NodeKind::Folder => format!("{}/", path.display()),
                _ => path.display().to_string(),
            })
            .collect();
        list.sort();
        Some(list)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        #[test]
        fn unpacked_files_are_those_of_the_tree(
            layers in prop::collection::vec(prop::collection::vec(any_entry(), 0..9), 1..4),
        ) {
            let place = Place::new();
            let unpacked = place.unpack(&layers);
            match (expected(&layers), unpacked) {
                (Some(list), Ok(_)) => prop_assert_eq!(list, place.list()),
                (None, Err(_)) => {}
                (tree, unpacked) => prop_assert!(false, "tree {:?}, unpacked {:?}", tree, unpacked),
            }
        }
    }
}
