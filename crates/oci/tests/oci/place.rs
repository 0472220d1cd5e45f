//! Images in and out of layouts and archives.

use std::path::{Path, PathBuf};

use ounce_oci::layer::{LayerError, LayerOptions, ReadLimits};
use ounce_oci::model::MediaType;
use ounce_oci::place::PlaceError;
use ounce_oci::store::StoreError;
use ounce_oci::{Image, Place, Store};

use crate::store::{add, amd64, file, name, noise};

fn place(text: &str) -> Place {
    text.parse().unwrap()
}

fn store_with_hello(folder: &Path) -> Store {
    let store = Store::open(folder.join("store")).unwrap();
    add(
        &store,
        "team/hello:1",
        &[file("hello", &noise(9_000, 1)), file("a/b", b"b")],
    )
    .unwrap();
    add(&store, "other:1", &[file("hello", &noise(900, 2))]).unwrap();
    store
}

fn digest(store: &Store, text: &str) -> String {
    store.find(&name(text)).unwrap().digest().to_string()
}

/// Everything is read to its end, so that a fault anywhere shows.
fn read_all(image: &Image) -> Result<usize, LayerError> {
    let mut count = 0;
    for layer in &image.layers {
        image
            .open_layer(layer, ReadLimits::default())?
            .for_each(|_, _| {
                count += 1;
                Ok::<(), LayerError>(())
            })?;
    }
    Ok(count)
}

#[test]
fn a_place_is_written_as_skopeo_writes_it() {
    let path = |text: &str| PathBuf::from(text);
    assert_eq!(place("hello"), Place::Store(name("hello")));
    assert_eq!(place("oci:d"), Place::OciDir(path("d"), None));
    assert_eq!(
        place("oci:/a/b:team/x:1"),
        Place::OciDir(path("/a/b"), Some("team/x:1".into()))
    );
    assert_eq!(
        place("oci-archive:f.tar:v1"),
        Place::OciArchive(path("f.tar"), Some("v1".into()))
    );
    assert_eq!(
        place("docker-archive:f:a/b"),
        Place::DockerArchive(path("f"), Some(name("a/b")))
    );
    for text in [
        "hello:latest",
        "oci:d:t",
        "oci-archive:f",
        "docker-archive:f:a/b:latest",
    ] {
        assert_eq!(place(text).to_string(), text);
    }
    let refused = |text: &str| text.parse::<Place>().unwrap_err();
    assert_eq!(
        place("docker://a/b:1"),
        Place::Registry("docker.io/a/b:1".parse().unwrap())
    );
    assert_eq!(
        place("docker://r.example:5000/b").to_string(),
        "docker://r.example:5000/b:latest"
    );
    assert!(matches!(refused("docker://A/b c"), PlaceError::Name(_)));
    assert!(matches!(
        refused("containers-storage:a"),
        PlaceError::Transport(_)
    ));
    assert!(matches!(refused("oci:"), PlaceError::NoPath("oci")));
    assert!(matches!(refused("oci:d:../x"), PlaceError::Tag(_)));
    assert!(matches!(refused("Hello"), PlaceError::Name(_)));
}

#[test]
fn an_image_comes_back_from_every_place_with_the_digest_it_left_with() {
    let folder = tempfile::tempdir().unwrap();
    let store = store_with_hello(folder.path());
    let base = folder.path().display();
    for text in [
        format!("oci:{base}/dir"),
        format!("oci:{base}/dir:v1"),
        format!("oci-archive:{base}/o.tar:x"),
        format!("docker-archive:{base}/d.tar:team/hello:1"),
    ] {
        let there = place(&text);
        there.export(&store, &name("team/hello:1")).unwrap();
        let from = if text.ends_with("/dir") {
            place(&format!("{text}:team/hello:1"))
        } else {
            there
        };
        let other = Store::open(folder.path().join("other")).unwrap();
        from.import(&other, &name("back")).unwrap();
        assert_eq!(
            digest(&other, "back"),
            digest(&store, "team/hello:1"),
            "{text}"
        );
        assert_eq!(other.verify().unwrap().faults, Vec::<String>::new());
        let image = from.image(&store, &amd64()).unwrap();
        assert_eq!(read_all(&image).unwrap(), 2);
        // A spooled archive is still there after a collection, and gone after the image.
        store.gc().unwrap();
        assert_eq!(read_all(&image).unwrap(), 2);
        drop(image);
        assert_eq!(
            std::fs::read_dir(store.root().join(".ounce/scratch"))
                .unwrap()
                .count(),
            0
        );
    }
}

#[test]
fn exporting_into_a_layout_keeps_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let store = store_with_hello(folder.path());
    let there = format!("oci:{}/dir", folder.path().display());
    place(&there).export(&store, &name("team/hello:1")).unwrap();
    place(&there).export(&store, &name("other:1")).unwrap();
    place(&format!("{there}:v1"))
        .export(&store, &name("other:1"))
        .unwrap();
    let layout = Store::open(folder.path().join("dir")).unwrap();
    let names: Vec<String> = layout
        .names()
        .unwrap()
        .iter()
        .map(|named| named.reference.to_string())
        .collect();
    assert_eq!(names, ["other:1", "team/hello:1", "v1:latest"]);
    let mut left: Vec<_> = std::fs::read_dir(layout.root())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    left.sort();
    assert_eq!(
        left,
        ["blobs", "index.json", "oci-layout"],
        "nothing of ours is left in a layout"
    );
    assert!(
        place(&there)
            .image(&store, &amd64())
            .unwrap_err()
            .to_string()
            .contains("say which")
    );
}

#[test]
fn a_folder_that_is_no_layout_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let store = store_with_hello(folder.path());
    let target = folder.path().join("photos");
    std::fs::create_dir(&target).unwrap();
    std::fs::write(target.join("cat.jpg"), "x").unwrap();
    let there = place(&format!("oci:{}", target.display()));
    assert!(there.export(&store, &name("other:1")).is_err());
    assert_eq!(std::fs::read_dir(&target).unwrap().count(), 1);
}

/// A docker archive as `docker save` 20.10 makes it: a folder per layer, equal layers as links.
fn docker_archive(store: &Store, link: &str) -> Vec<u8> {
    let image = store.image(&name("other:1"), &amd64()).unwrap();
    let mut tar = Vec::new();
    let blob = store
        .blobs()
        .read(&image.layers[0].descriptor, 1 << 20)
        .unwrap();
    std::io::copy(&mut flate2::read::GzDecoder::new(&blob[..]), &mut tar).unwrap();
    let diff_id = image.layers[0].diff_id;
    let config = serde_json::json!({
        "architecture": "amd64", "os": "linux", "config": {"Entrypoint": ["/hello"], "Env": null},
        "container": "x", "docker_version": "20.10", "history": null,
        "rootfs": {"type": "layers", "diff_ids": [diff_id.to_string(), diff_id.to_string()]},
    })
    .to_string();
    let manifest = serde_json::json!([{
        "Config": "c.json", "RepoTags": ["saved:1"], "Layers": ["one/layer.tar", "two/layer.tar"],
    }])
    .to_string();
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    let mut put = |path: &str, bytes: &[u8]| {
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, path, bytes).unwrap();
    };
    put("one/layer.tar", &tar);
    put("one/VERSION", b"1.0");
    put("c.json", config.as_bytes());
    put("manifest.json", manifest.as_bytes());
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    builder
        .append_link(&mut header, "two/layer.tar", link)
        .unwrap();
    builder.into_inner().unwrap()
}

#[test]
fn a_docker_archive_with_linked_layers_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let store = store_with_hello(folder.path());
    let path = folder.path().join("saved.tar");
    std::fs::write(&path, docker_archive(&store, "../one/layer.tar")).unwrap();
    let there = place(&format!("docker-archive:{}", path.display()));
    there.import(&store, &name("in")).unwrap();
    assert_eq!(store.image(&name("in"), &amd64()).unwrap().layers.len(), 2);
    assert_eq!(store.verify().unwrap().faults, Vec::<String>::new());
    for link in ["/etc/passwd", "../../../etc/passwd", "layer.tar"] {
        std::fs::write(&path, docker_archive(&store, link)).unwrap();
        let before = store.names().unwrap().len();
        assert!(there.import(&store, &name("bad")).is_err(), "{link}");
        assert_eq!(store.names().unwrap().len(), before);
    }
}

/// Whatever byte of an archive is flipped: an error, or the same image.
#[test]
fn a_flipped_byte_of_an_archive_is_an_error_or_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = store_with_hello(folder.path());
    let base = folder.path().display();
    let other = Store::open(folder.path().join("other")).unwrap();
    let (mut refused, mut same) = (0, 0);
    for text in [
        format!("oci-archive:{base}/f"),
        format!("docker-archive:{base}/f"),
    ] {
        let there = place(&text);
        there.export(&store, &name("other:1")).unwrap();
        let path = folder.path().join("f");
        let good = std::fs::read(&path).unwrap();
        let tree = |store: &Store| {
            let image = store.image(&name("back"), &amd64()).ok()?;
            Some((
                image.layers[0].diff_id,
                image.config.clone(),
                read_all(&image).ok()?,
            ))
        };
        there.import(&other, &name("back")).unwrap();
        let expected = tree(&other);
        for (at, bit) in (0..good.len()).step_by(23).zip((0..8).cycle()) {
            let mut bad = good.clone();
            bad[at] ^= 1 << bit;
            std::fs::write(&path, bad).unwrap();
            match there.import(&other, &name("back")) {
                Err(_) => refused += 1,
                // docker's configuration is bound by nothing but its name, which is only a name.
                Ok(()) if text.starts_with("docker") => {
                    assert_eq!(
                        tree(&other).map(|tree| tree.0),
                        expected.as_ref().map(|tree| tree.0)
                    );
                    same += 1;
                }
                Ok(()) => {
                    assert_eq!(tree(&other), expected, "byte {at}");
                    same += 1;
                }
            }
        }
    }
    assert!(refused > 50 && same > 0, "{refused} {same}");
}

/// An index of two platforms, with the attestation that docker's builder puts beside them.
fn add_index(store: &Store) {
    let mut manifests = Vec::new();
    for architecture in ["amd64", "arm64"] {
        let mut writer = store.write().unwrap();
        let entries = [file("hello", architecture.as_bytes())];
        let layer = writer.layer(&entries, LayerOptions::default()).unwrap();
        let config = serde_json::json!({
            "architecture": architecture, "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": [layer.diff_id.to_string()]},
        });
        let config = writer.json(MediaType::ImageConfig, &config).unwrap();
        let manifest = serde_json::json!({
            "schemaVersion": 2, "config": config, "layers": [layer.descriptor],
        });
        let manifest = writer.json(MediaType::ImageManifest, &manifest).unwrap();
        writer.commit(&name("part"), &manifest).unwrap();
        let mut manifest = serde_json::to_value(&manifest).unwrap();
        manifest["platform"] = serde_json::json!({"architecture": architecture, "os": "linux"});
        manifests.push(manifest);
    }
    let mut writer = store.write().unwrap();
    let empty = writer
        .blob("application/vnd.in-toto+json".into(), b"{}")
        .unwrap();
    let attestation = serde_json::json!({"schemaVersion": 2, "config": empty, "layers": [empty]});
    let attestation = writer.json(MediaType::ImageManifest, &attestation).unwrap();
    let mut attestation = serde_json::to_value(&attestation).unwrap();
    attestation["platform"] = serde_json::json!({"architecture": "unknown", "os": "unknown"});
    manifests.push(attestation);
    let index = serde_json::json!({"schemaVersion": 2, "manifests": manifests});
    let index = writer.json(MediaType::ImageIndex, &index).unwrap();
    writer.commit(&name("multi"), &index).unwrap();
    store.remove(&name("part")).unwrap();
}

#[test]
fn an_index_is_copied_whole_and_gives_each_platform_its_image() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("store")).unwrap();
    add_index(&store);
    assert_eq!(store.gc().unwrap().blobs, 0);
    let there = place(&format!("oci-archive:{}/m.tar:m", folder.path().display()));
    there.export(&store, &name("multi")).unwrap();
    let other = Store::open(folder.path().join("other")).unwrap();
    there.import(&other, &name("back")).unwrap();
    assert_eq!(digest(&other, "back"), digest(&store, "multi"));
    assert_eq!(other.images_of(&name("back")).unwrap().len(), 2);
    assert_eq!(other.verify().unwrap().faults, Vec::<String>::new());
    let arm = other
        .image(&name("back"), &"linux/arm64/v8".parse().unwrap())
        .unwrap();
    assert_eq!(arm.platform.to_string(), "linux/arm64");
    match other.image(&name("back"), &"linux/riscv64".parse().unwrap()) {
        Err(StoreError::NoPlatform { available, .. }) => assert_eq!(available.len(), 2),
        other => panic!("{other:?}"),
    }
}
