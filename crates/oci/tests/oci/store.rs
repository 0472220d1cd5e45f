//! The store as its callers use it.

use std::os::unix::fs::PermissionsExt;

use ounce_oci::layer::{Content, Entry, EntryKind, LayerOptions};
use ounce_oci::model::{self, MediaType};
use ounce_oci::store::StoreError;
use ounce_oci::{Platform, Reference, Store};

/// A file that does not compress, as a small program nearly does not.
pub(crate) fn noise(bytes: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    (0..bytes)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 24) as u8
        })
        .collect()
}

pub(crate) fn file(path: &str, bytes: &[u8]) -> Entry {
    Entry {
        path: path.to_owned(),
        kind: EntryKind::File(Content::Bytes(bytes.to_vec())),
        mode: 0o755,
        uid: 0,
        gid: 0,
    }
}

pub(crate) fn name(text: &str) -> Reference {
    text.parse().unwrap()
}

pub(crate) fn amd64() -> Platform {
    "linux/amd64".parse().unwrap()
}

/// Adds an image of one layer, as `build` does.
pub(crate) fn add(store: &Store, text: &str, entries: &[Entry]) -> Result<(), StoreError> {
    let mut writer = store.write()?;
    let layer = writer.layer(entries, LayerOptions::default())?;
    let config: model::ImageConfiguration = serde_json::from_value(serde_json::json!({
        "architecture": "amd64",
        "os": "linux",
        "config": {"Entrypoint": ["/hello"], "User": "65532"},
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id.to_string()]},
    }))
    .unwrap();
    let config = writer.json(MediaType::ImageConfig, &config)?;
    let manifest: model::ImageManifest = serde_json::from_value(serde_json::json!({
        "schemaVersion": 2,
        "mediaType": MediaType::ImageManifest.to_string(),
        "config": config,
        "layers": [layer.descriptor],
    }))
    .unwrap();
    let root = writer.json(MediaType::ImageManifest, &manifest)?;
    writer.commit(&name(text), &root)
}

#[test]
fn an_image_that_was_written_is_found_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("store")).unwrap();
    add(&store, "team/hello:1", &[file("hello", &noise(9_000, 1))]).unwrap();
    let image = store.image(&name("team/hello:1"), &amd64()).unwrap();
    assert_eq!(image.layers.len(), 1);
    assert_eq!(store.names().unwrap()[0].reference, name("team/hello:1"));
    let faults = store.verify().unwrap().faults;
    assert_eq!(faults, Vec::<String>::new());
    store.tag(&name("team/hello:1"), &name("other")).unwrap();
    store.remove(&name("team/hello:1")).unwrap();
    assert_eq!(store.gc().unwrap().blobs, 0);
    store.remove(&name("other")).unwrap();
    assert_eq!(store.gc().unwrap().blobs, 3);
}

#[test]
fn what_an_image_adds_to_a_compressed_program_is_at_most_800_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    for bytes in [9_000, 20_000] {
        let program = noise(bytes, 7);
        add(&store, "hello", &[file("hello", &program)]).unwrap();
        let image = store.image(&name("hello"), &amd64()).unwrap();
        let mut compressor = libdeflater::Compressor::new(libdeflater::CompressionLvl::best());
        let mut out = vec![0; compressor.gzip_compress_bound(bytes)];
        let alone = compressor.gzip_compress(&program, &mut out).unwrap() as u64;
        let added = image.pulled_bytes() - alone;
        println!("{bytes}: {} pulled, {added} added", image.pulled_bytes());
        assert!(added <= 800, "{added}");
    }
}

#[test]
fn a_file_of_the_store_is_readable_as_the_umask_allows() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    add(&store, "hello", &[file("hello", b"x")]).unwrap();
    let mode = std::fs::metadata(folder.path().join("index.json"))
        .unwrap()
        .permissions()
        .mode();
    assert_ne!(mode & 0o400, 0);
}
