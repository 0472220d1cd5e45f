//! From an image in the store to its files, and back.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Stdio};

use ounce_oci::layer::{Content, Entry, EntryKind, LayerOptions};
use ounce_oci::model::{ImageConfiguration, ImageManifest, MediaType};
use ounce_oci::{Image, Store};
use ounce_rootfs::content::{ContentError, read_file};
use ounce_rootfs::tree::Tree;
use ounce_rootfs::unpack::{Options, UnpackError, collect, ensure, unpack};

fn entry(path: &str, kind: EntryKind, mode: u32) -> Entry {
    Entry {
        path: path.to_owned(),
        kind,
        mode,
        uid: 0,
        gid: 0,
    }
}

fn file(path: &str, text: &str, mode: u32) -> Entry {
    let content = Content::Bytes(text.as_bytes().to_vec());
    entry(path, EntryKind::File(content), mode)
}

/// Writes an image of these layers and opens it.
fn image(store: &Store, layers: &[Vec<Entry>]) -> Image {
    let mut writer = store.write().unwrap();
    let written: Vec<_> = layers
        .iter()
        .map(|layer| writer.layer(layer, LayerOptions::default()).unwrap())
        .collect();
    let diff_ids: Vec<_> = written.iter().map(|it| it.diff_id.to_string()).collect();
    let config: ImageConfiguration = serde_json::from_value(serde_json::json!({
        "architecture": "amd64",
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    }))
    .unwrap();
    let config = writer.json(MediaType::ImageConfig, &config).unwrap();
    let layers: Vec<_> = written.iter().map(|it| &it.descriptor).collect();
    let manifest: ImageManifest = serde_json::from_value(serde_json::json!({
        "schemaVersion": 2,
        "mediaType": MediaType::ImageManifest.to_string(),
        "config": config,
        "layers": layers,
    }))
    .unwrap();
    let root = writer.json(MediaType::ImageManifest, &manifest).unwrap();
    let name = "test".parse().unwrap();
    writer.commit(&name, &root).unwrap();
    store.image(&name, &"linux/amd64".parse().unwrap()).unwrap()
}

fn small(store: &Store) -> Image {
    image(
        store,
        &[
            vec![
                entry("bin", EntryKind::Directory, 0o700),
                file("bin/app", "old program", 0o500),
                entry("app", EntryKind::Symlink("/bin/app".into()), 0o777),
                file("tmp", "no folder", 0o644),
            ],
            vec![file("bin/app", "new program", 0o4500)],
        ],
    )
}

#[test]
fn image_is_unpacked_with_the_upper_layer_on_top() {
    let folder = tempfile::tempdir().unwrap();
    let image = small(&Store::open(folder.path().join("store")).unwrap());
    let dest = folder.path().join("dest");
    fs::create_dir(&dest).unwrap();
    let done = unpack(&image, &dest, &Options::default()).unwrap();
    assert_eq!((done.files, done.folders, done.links), (3, 1, 1));
    assert_eq!(done.skipped.len(), 1, "the set-id bit: {:?}", done.skipped);
    assert_eq!(fs::read(dest.join("bin/app")).unwrap(), b"new program");
    assert_eq!(
        fs::metadata(dest.join("bin")).unwrap().mode() & 0o7777,
        0o700
    );

    let listed = Tree::of_folder(&dest).unwrap();
    let merged = Tree::of_image(&image).unwrap();
    let paths = |tree: &Tree| {
        tree.iter()
            .map(|(path, _)| path.to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(paths(&listed), paths(&merged));
    assert_eq!(listed.bytes(), merged.bytes());
    assert_eq!(merged.hidden().len(), 1);
}

#[test]
fn ensured_image_is_readable_by_all_and_has_mount_points() {
    let folder = tempfile::tempdir().unwrap();
    let image = small(&Store::open(folder.path().join("store")).unwrap());
    let cache = folder.path().join("cache");
    let root = ensure(&cache, &image).unwrap();
    assert_eq!(ensure(&cache, &image).unwrap(), root);
    let mode = |path: &str| fs::metadata(root.join(path)).unwrap().permissions().mode() & 0o7777;
    assert_eq!(
        (mode("bin"), mode("bin/app"), mode("tmp")),
        (0o755, 0o555, 0o1777)
    );
    for name in ["dev", "etc", "proc", "tmp"] {
        assert!(fs::symlink_metadata(root.join(name)).unwrap().is_dir());
    }
    // It has none of its own: its containers get none.
    assert!(!root.join("sys").exists());
    assert_eq!(collect(&cache, &[image.digest]).unwrap().removed, 0);
    assert_eq!(collect(&cache, &[]).unwrap().removed, 1);
    assert!(!root.exists());
}

#[test]
fn files_are_read_out_of_the_image_without_unpacking() {
    let folder = tempfile::tempdir().unwrap();
    let image = small(&Store::open(folder.path().join("store")).unwrap());
    let tree = Tree::of_image(&image).unwrap();
    let read = |path: &str, limit| read_file(&image, &tree, Path::new(path), limit);
    assert_eq!(read("/app", 100).unwrap(), b"new program");
    assert_eq!(read("tmp", 100).unwrap(), b"no folder");
    assert!(matches!(read("bin", 100), Err(ContentError::NotAFile(_))));
    assert!(matches!(
        read("app", 5),
        Err(ContentError::TooLarge { bytes: 11, .. })
    ));
    assert!(matches!(read("absent", 5), Err(ContentError::Lookup(_))));
}

#[test]
fn damaged_layer_leaves_nothing_in_the_cache() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("store")).unwrap();
    let image = small(&store);
    let blob = store
        .root()
        .join("blobs/sha256")
        .join(image.layers[1].digest.hex());
    let mut bytes = fs::read(&blob).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::remove_file(&blob).unwrap();
    fs::write(&blob, bytes).unwrap();
    let cache = folder.path().join("cache");
    let error = ensure(&cache, &image).unwrap_err();
    assert!(
        matches!(&error, UnpackError::Layer { digest, .. } if *digest == image.layers[1].digest)
    );
    let left: Vec<_> = fs::read_dir(&cache)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(left, [format!("{}.lock", image.digest.hex())]);
}

/// Set for the child of the test below: the folder it works in.
const CHILD: &str = "OUNCE_TEST_UNPACK_IN";

/// Many small files, so that a kill mostly comes in their midst.
fn many() -> Vec<Entry> {
    let mut entries = vec![entry("d", EntryKind::Directory, 0o755)];
    entries.extend((0..400).map(|i| file(&format!("d/{i:03}"), &format!("file {i}"), 0o644)));
    entries
}

#[test]
fn unpacking_that_is_killed_at_any_point_leaves_all_or_nothing() {
    if let Some(folder) = std::env::var_os(CHILD) {
        let store = Store::open(Path::new(&folder).join("store")).unwrap();
        let image = store
            .image(&"test".parse().unwrap(), &"linux/amd64".parse().unwrap())
            .unwrap();
        ensure(&Path::new(&folder).join("cache"), &image).unwrap();
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let image = image(
        &Store::open(folder.path().join("store")).unwrap(),
        &[many()],
    );
    let cache = folder.path().join("cache");
    let made = cache.join(image.digest.hex());
    let child = || {
        Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "image::unpacking_that_is_killed_at_any_point_leaves_all_or_nothing",
            ])
            .env(CHILD, folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    };
    let making = cache.join(format!("{}.making", image.digest.hex()));
    let written = || fs::read_dir(making.join("root/d")).map_or(0, Iterator::count);
    let whole_tree = |root: &Path| Tree::of_folder(root).unwrap().iter().count() == 401 + 4;
    let (mut midway, mut done) = (0, 0);
    // Each child is killed a few files later than the one before.
    for files in (0..=420).step_by(14) {
        collect(&cache, &[]).unwrap();
        let mut child = child();
        while written() < files && !made.exists() && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        let _ = child.kill();
        child.wait().unwrap();
        midway += u32::from(making.exists());
        if made.exists() {
            assert!(
                whole_tree(&made.join("root")),
                "half an image after {files} files"
            );
            done += 1;
        }
    }
    assert!(
        midway > 0 && done > 0,
        "killed midway {midway} times, done {done} times"
    );
    assert!(whole_tree(&ensure(&cache, &image).unwrap()));
}
