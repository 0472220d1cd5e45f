//! An image made by hand weighs what it must, to the byte.

#![allow(clippy::unwrap_used, reason = "tests end here")]

use ounce_oci::layer::{Content, Entry, EntryKind, LayerOptions};
use ounce_oci::model::{ImageConfiguration, ImageManifest, MediaType};
use ounce_oci::{ByteSize, Image, Store};
use ounce_weigh::budget::{Part, check};
use ounce_weigh::report::{Document, SCHEMA};
use ounce_weigh::{bases, compare, measure};

/// Bytes that do not compress, so that every layout is far from the next.
fn noise(bytes: usize, seed: u64) -> Vec<u8> {
    let mut state = seed * 2 + 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 24) as u8
    };
    (0..bytes).map(|_| next()).collect()
}

fn file(path: &str, bytes: Vec<u8>, mode: u32) -> Entry {
    Entry {
        path: path.to_owned(),
        kind: EntryKind::File(Content::Bytes(bytes)),
        mode,
        uid: 0,
        gid: 0,
    }
}

fn image(store: &Store, layers: &[Vec<Entry>], command: &[&str]) -> Image {
    let mut writer = store.write().unwrap();
    let written: Vec<_> = layers
        .iter()
        .map(|layer| writer.layer(layer, LayerOptions::default()).unwrap())
        .collect();
    let diff_ids: Vec<_> = written.iter().map(|it| it.diff_id.to_string()).collect();
    let config: ImageConfiguration = serde_json::from_value(serde_json::json!({
        "architecture": "amd64",
        "os": "linux",
        "config": {"Cmd": command, "Env": ["PATH=/nowhere:/bin"], "WorkingDir": "/bin"},
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

/// The smallest static program: header, one program header, and an address.
fn program() -> Vec<u8> {
    let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0\x01\0\0\0".to_vec();
    for word in [0x40_0078_u64, 64, 0] {
        elf.extend(word.to_le_bytes());
    }
    elf.extend([0, 0, 0, 0, 64, 0, 56, 0, 1, 0, 64, 0, 0, 0, 0, 0]);
    elf.extend([1, 0, 0, 0, 5, 0, 0, 0]);
    for word in [0_u64, 0x40_0000, 0x40_0000, 124, 124, 0x1000] {
        elf.extend(word.to_le_bytes());
    }
    elf.extend([0xf4; 4]);
    elf
}

fn two_layers(store: &Store) -> Image {
    let lower = vec![
        file("bin/app", noise(3000, 1), 0o755),
        file("data", noise(2000, 2), 0o4755),
        file("gone", noise(1000, 3), 0o644),
    ];
    let upper = vec![
        file("bin/app", program(), 0o755),
        file(".wh.gone", Vec::new(), 0o644),
    ];
    image(store, &[lower, upper], &["app", "--flag"])
}

#[test]
fn sizes_of_a_hand_made_image_are_exact() {
    let folder = tempfile::tempdir().unwrap();
    let image = two_layers(&Store::open(folder.path()).unwrap());
    let weight = measure(&image).unwrap();

    let blob = |digest: String| {
        let hex = digest.strip_prefix("sha256:").unwrap().to_owned();
        let path = folder.path().join("blobs/sha256").join(hex);
        ByteSize(std::fs::metadata(path).unwrap().len())
    };
    assert_eq!(weight.manifest_bytes, blob(image.digest.to_string()));
    assert_eq!(
        weight.config_bytes,
        blob(image.manifest.config().digest().to_string())
    );
    let layers: Vec<_> = image
        .layers
        .iter()
        .map(|it| blob(it.digest.to_string()))
        .collect();
    let weighed: Vec<_> = weight.layers.iter().map(|it| it.compressed_bytes).collect();
    assert_eq!(weighed, layers);
    let all = weight.manifest_bytes.0 + weight.config_bytes.0 + layers[0].0 + layers[1].0;
    assert_eq!(weight.pulled_bytes, ByteSize(all));

    let content: Vec<_> = weight.layers.iter().map(|it| it.content_bytes.0).collect();
    assert_eq!(content, [6000, 124]);
    let hidden: Vec<_> = weight.layers.iter().map(|it| it.hidden_bytes.0).collect();
    assert_eq!(hidden, [4000, 0]);
    let entries: Vec<_> = weight.layers.iter().map(|it| it.entries).collect();
    assert_eq!(entries, [3, 2]);
    assert_eq!(weight.unpacked_bytes, ByteSize(2124));
    assert_eq!(
        (weight.files, weight.folders, weight.set_id_files),
        (2, 1, 1)
    );
    assert_eq!(weight.waste.files, 2);
    assert_eq!(weight.waste.overwritten_bytes, ByteSize(3000));
    assert_eq!(weight.waste.deleted_bytes, ByteSize(1000));
    assert_eq!(weight.waste.largest[0].path, "/bin/app");

    // Every byte of the blobs is some file's, or of what is around them.
    let shared: u64 = weight.largest.iter().map(|it| it.compressed_bytes.0).sum();
    assert_eq!(
        shared + weight.waste.compressed_bytes.0 + weight.overhead_bytes.0,
        layers[0].0 + layers[1].0
    );
    assert_eq!(weight.largest[0].path, "/data");
}

#[test]
fn program_is_found_by_path_and_looked_into() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let program = |image: &Image| measure(image).unwrap().program.unwrap();
    let found = program(&two_layers(&store));
    assert_eq!(found.path.as_deref(), Some("/bin/app"));
    assert_eq!(found.fault, None);
    assert!(found.elf.unwrap().kind.runs_alone());

    let script = b"#!/usr/bin/env python3\n".to_vec();
    let layer = vec![
        file("bin/run", script, 0o755),
        file("bin/text", b"hello".to_vec(), 0o755),
    ];
    let run = program(&image(&store, std::slice::from_ref(&layer), &["./run"]));
    assert_eq!(run.interpreter.as_deref(), Some("python3"));
    let text = program(&image(&store, std::slice::from_ref(&layer), &["/bin/text"]));
    assert!(text.fault.unwrap().starts_with("not an ELF file"));
    let absent = program(&image(&store, std::slice::from_ref(&layer), &["absent"]));
    assert_eq!(absent.fault.as_deref(), Some("nothing is at \"absent\""));
    assert_eq!(
        measure(&image(&store, &[layer], &[])).unwrap().program,
        None
    );
}

#[test]
fn budget_tells_what_is_heavy() {
    let folder = tempfile::tempdir().unwrap();
    let weight = measure(&two_layers(&Store::open(folder.path()).unwrap())).unwrap();
    assert!(check(&weight, weight.pulled_bytes).within);
    let verdict = check(&weight, ByteSize(weight.pulled_bytes.0 - 1));
    assert!(!verdict.within);
    assert_eq!(verdict.over_bytes, ByteSize(1));
    assert_eq!(verdict.heaviest[0].what, Part::Hidden);
    assert_eq!(verdict.heaviest[1].what, Part::File("/data".into()));
    let told: u64 = verdict.heaviest.iter().map(|it| it.bytes.0).sum();
    assert_eq!(told, weight.pulled_bytes.0);
}

#[test]
fn documents_carry_schema_exact_bytes_and_ratios() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let small = measure(&image(
        &store,
        &[vec![file("app", program(), 0o755)]],
        &["/app"],
    ))
    .unwrap();
    let large = measure(&two_layers(&store)).unwrap();
    let rows = compare(&[&small, &large]).rows;
    assert_eq!(
        (rows[1].measure, &rows[1].values[..]),
        ("unpacked_bytes", &[124, 2124][..])
    );
    assert_eq!(rows[1].ratios, [Some(1.0), Some(2124.0 / 124.0)]);
    assert_eq!(
        rows[2].ratios,
        [None, None],
        "the first image wastes nothing"
    );
    assert_eq!(bases::beside(&small)[0].times_pulled, 0.0);

    let pulled = small.pulled_bytes;
    let document = Document::new(vec![("a".into(), small), ("b".into(), large)], Some(pulled));
    let json = serde_json::to_value(&document).unwrap();
    assert_eq!(json["schema"], SCHEMA);
    assert_eq!(json["images"][0]["pulled_bytes"], pulled.0);
    assert_eq!(
        json["images"][0]["program"]["elf"]["platform"],
        "linux/amd64"
    );
    assert_eq!(json["budget"][0]["within"], true);
    assert_eq!(json["budget"][1]["within"], false);
}
