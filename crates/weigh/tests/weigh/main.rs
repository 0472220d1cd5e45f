//! An image made by hand weighs what it must, to the byte.

#![allow(clippy::unwrap_used, reason = "tests end here")]

use std::fs;
use std::os::unix::ffi::OsStrExt;

use ounce_oci::layer::{Content, Entry, EntryKind, LayerOptions};
use ounce_oci::model::{ImageConfiguration, ImageManifest, MediaType};
use ounce_oci::{ByteSize, Image, Store};
use ounce_weigh::budget::{Part, check};
use ounce_weigh::difference::{Changed, difference};
use ounce_weigh::kind::FileKind;
use ounce_weigh::report::{Document, SCHEMA};
use ounce_weigh::sbom::{Form, document};
use ounce_weigh::surface::denied;
use ounce_weigh::{bases, compare, measure, measure_all, plain};

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
        ByteSize(fs::metadata(path).unwrap().len())
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

/// A small Debian-like image: a shell that anybody's user raises rights by, a
/// recorded package, a copy, documentation, a key, and a file open to all.
fn debian_like(store: &Store) -> Image {
    let status = b"Package: tool\nStatus: install ok installed\nArchitecture: amd64\n\
        Version: 1.0-1\n\n";
    let list = b"/.\n/usr\n/usr/bin\n/usr/bin/tool\n/usr/share/doc/tool/readme\n";
    let body = "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v".repeat(2);
    let key = format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n");
    let key = key.as_bytes();
    image(
        store,
        &[vec![
            file("bin/sh", program(), 0o755),
            file(
                "etc/os-release",
                b"ID=debian\nPRETTY_NAME=\"Debian 12\"\n".to_vec(),
                0o644,
            ),
            file(
                "etc/passwd",
                b"root:x:0:0::/:\nnobody:x:1:1::/:\n".to_vec(),
                0o644,
            ),
            file("home/key.pem", key.to_vec(), 0o600),
            file("usr/bin/tool", noise(4000, 7), 0o4755),
            file("usr/share/doc/tool/readme", noise(3000, 8), 0o644),
            file("usr/lib/copy", noise(4000, 7), 0o666),
            file("var/lib/dpkg/info/tool.list", list.to_vec(), 0o644),
            file("var/lib/dpkg/status", status.to_vec(), 0o644),
        ]],
        &["/bin/sh"],
    )
}

#[test]
fn packages_kinds_copies_and_surface_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let (weight, inventory) = measure_all(&debian_like(&store)).unwrap();
    assert_eq!(weight.distribution.as_deref(), Some("Debian 12"));
    let [package] = &weight.packages[..] else {
        panic!("{:?}", weight.packages);
    };
    assert_eq!((&*package.name, &*package.version), ("tool", "1.0-1"));
    assert_eq!(package.url, "pkg:deb/debian/tool@1.0-1?arch=amd64");
    assert_eq!(package.share.files, 2);
    assert_eq!(package.share.bytes, ByteSize(7000));
    assert_eq!(weight.unpackaged.files, weight.files - 2);
    let kind = |wanted| {
        weight
            .kinds
            .iter()
            .find(|kind| kind.kind == wanted)
            .unwrap()
    };
    let documentation = kind(FileKind::Documentation);
    assert_eq!(documentation.share.bytes, ByteSize(3000));
    assert!(documentation.is_dispensable);
    assert_eq!(kind(FileKind::Program).share.files, 1);
    assert_eq!(weight.duplicates.share.bytes, ByteSize(4000));
    assert_eq!(
        weight.duplicates.largest[0].paths,
        ["/usr/bin/tool", "/usr/lib/copy"]
    );
    let surface = &weight.surface;
    assert_eq!(surface.shells.first, ["/bin/sh"]);
    assert_eq!(surface.setuid.first, ["/usr/bin/tool"]);
    assert_eq!(surface.world_writable.first, ["/usr/lib/copy"]);
    assert_eq!(surface.secrets.first, ["/home/key.pem: a private key"]);
    assert_eq!((surface.users, surface.executables.count), (1, 1));
    assert_eq!(surface.vulnerabilities, "not scanned");
    assert_eq!(denied(surface, "shell").unwrap().count, 1);
    assert!(denied(surface, "nothing").is_none());
    // Every file is there once, and their shares with the rest make up the blob.
    assert_eq!(inventory.files.len() as u64, weight.files);
    let shares: u64 = inventory.files.iter().map(|it| it.compressed_bytes).sum();
    let blob: u64 = weight.layers.iter().map(|it| it.compressed_bytes.0).sum();
    assert_eq!(shares + weight.overhead_bytes.0, blob);
}

#[test]
fn names_outside_the_folders_of_commands_are_no_commands() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let script = b"#!/bin/sh\n".to_vec();
    let image = image(
        &store,
        &[vec![
            file("bin/apt", program(), 0o755),
            file("etc/cron.daily/dpkg", script.clone(), 0o755),
            file("home/bash", script.clone(), 0o755),
            file("home/dash", program(), 0o755),
            file("nowhere/python3.11", program(), 0o755),
            file("opt/python3.11", program(), 0o755),
            file("usr/bin/wget", noise(50, 3), 0o644),
            file("usr/lib/apt/methods/ftp", program(), 0o755),
            file("wget", script, 0o755),
        ]],
        &["/bin/apt"],
    );
    let surface = measure(&image).unwrap().surface;
    assert_eq!(surface.package_managers.first, ["/bin/apt"]);
    // A program, wherever it lies; a script of that name is none.
    assert_eq!(surface.shells.first, ["/home/dash"]);
    // The image's PATH has /nowhere in it.
    assert_eq!(surface.interpreters.first, ["/nowhere/python3.11"]);
    assert_eq!(surface.tools.first, ["/wget"]);
    assert_eq!(surface.executables.count, 8);
}

#[test]
fn zstd_layers_are_shared_out_too() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let mut writer = store.write().unwrap();
    let options = LayerOptions {
        compression: ounce_oci::layer::Compression::Zstd,
        ..LayerOptions::default()
    };
    let entries = [
        file("a", noise(60_000, 1), 0o644),
        file("b", noise(20_000, 2), 0o644),
    ];
    let layer = writer.layer(&entries, options).unwrap();
    let config = writer
        .json(
            MediaType::ImageConfig,
            &serde_json::json!({
                "architecture": "amd64", "os": "linux", "config": {},
                "rootfs": {"type": "layers", "diff_ids": [layer.diff_id.to_string()]},
            }),
        )
        .unwrap();
    let manifest = serde_json::json!({
        "schemaVersion": 2, "mediaType": MediaType::ImageManifest.to_string(),
        "config": config, "layers": [layer.descriptor],
    });
    let root = writer.json(MediaType::ImageManifest, &manifest).unwrap();
    let name = "zstd".parse().unwrap();
    writer.commit(&name, &root).unwrap();
    let image = store.image(&name, &"linux/amd64".parse().unwrap()).unwrap();
    let weight = measure(&image).unwrap();
    let share = |path: &str| {
        let found = weight.largest.iter().find(|file| file.path == path);
        found.unwrap().compressed_bytes.0 as f64
    };
    // Noise does not compress: each takes about its own size.
    assert!(
        (share("/a") / 60_000.0 - 1.0).abs() < 0.05,
        "{}",
        share("/a")
    );
    assert!(
        (share("/b") / 20_000.0 - 1.0).abs() < 0.05,
        "{}",
        share("/b")
    );
}

#[test]
fn difference_names_what_came_went_and_changed() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let before = measure_all(&debian_like(&store)).unwrap();
    let after = measure_all(&two_layers(&store)).unwrap();
    let found = difference((&before.0, &before.1), (&after.0, &after.1));
    let paths = |list: &[Changed]| list.iter().map(|it| it.path.clone()).collect::<Vec<_>>();
    assert_eq!(paths(&found.added), ["/data", "/bin/app"]);
    assert_eq!(found.removed.len(), 9);
    assert_eq!(found.packages.len(), 1);
    assert_eq!(found.packages[0].after, None);
    let same = difference((&before.0, &before.1), (&before.0, &before.1));
    assert_eq!((same.same_files, same.packages.len()), (9, 0));
}

#[test]
fn bill_of_materials_lists_what_is_recorded_and_is_the_same_twice() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let weight = measure(&debian_like(&store)).unwrap();
    let time = "2026-01-02T03:04:05Z";
    let spdx = document(Form::Spdx, "test", time, &weight);
    assert_eq!(spdx["packages"].as_array().unwrap().len(), 2);
    assert_eq!(
        spdx["packages"][1]["externalRefs"][0]["referenceLocator"],
        "pkg:deb/debian/tool@1.0-1?arch=amd64"
    );
    let cyclone = document(Form::CycloneDx, "test", time, &weight);
    assert_eq!(cyclone["components"][0]["name"], "tool");
    assert_eq!(cyclone, document(Form::CycloneDx, "test", time, &weight));
}

#[test]
fn folder_and_program_are_weighed_as_the_image_they_would_make() {
    use std::os::unix::fs::symlink;
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("store")).unwrap();
    let root = folder.path().join("root");
    fs::create_dir_all(root.join("usr/bin")).unwrap();
    fs::write(root.join("usr/bin/tool"), noise(4000, 1)).unwrap();
    fs::hard_link(root.join("usr/bin/tool"), root.join("usr/bin/again")).unwrap();
    symlink("tool", root.join("usr/bin/link")).unwrap();
    symlink("/nowhere", root.join("dangling")).unwrap();
    let odd = std::ffi::OsStr::from_bytes(b"odd\xff");
    fs::write(root.join(odd), "x").unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap();
    let platform = "linux/amd64".parse().unwrap();
    let (image, omitted) = plain::image(&store, &root, &platform).unwrap();
    let weight = measure(&image).unwrap();
    assert_eq!((weight.files, weight.folders, weight.symlinks), (2, 2, 2));
    assert_eq!(weight.unpacked_bytes, ByteSize(4000));
    assert!(weight.pulled_bytes > ByteSize(4000));
    assert_eq!(omitted.len(), 2, "{omitted:?}");
    assert!(omitted[0].contains("not UTF-8") && omitted[1].contains("socket: it is neither"));

    let elf = folder.path().join("app");
    fs::write(&elf, program()).unwrap();
    let (image, omitted) = plain::image(&store, &elf, &platform).unwrap();
    let weight = measure(&image).unwrap();
    assert!(omitted.is_empty());
    let program = weight.program.unwrap();
    assert_eq!(program.path.as_deref(), Some("/app"));
    assert!(program.elf.is_some());
    for none in ["nothing", "store/../root/socket", "root/dangling"] {
        plain::image(&store, &folder.path().join(none), &platform).unwrap_err();
    }
    assert!(
        store.names().unwrap().is_empty(),
        "the store has no image of it"
    );
}
