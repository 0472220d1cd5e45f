//! Layers and documents that were made to hurt.

use std::error::Error;
use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use ounce_oci::layer::Layer;
use ounce_oci::layer::{
    Compression, Content, Entry, EntryKind, LayerError, LayerOptions, ReadEntry, ReadKind,
    ReadLimits,
};
use ounce_oci::model::{self, MediaType};
use ounce_oci::{DiffId, Image, Store};
use proptest::prelude::*;

use crate::store::{add, amd64, file, name, noise};

/// One header and its content, padded.
fn member(path: &[u8], kind: u8, link: &[u8], size: u64, content: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    let bytes = header.as_mut_bytes();
    bytes[..path.len()].copy_from_slice(path);
    bytes[157..157 + link.len()].copy_from_slice(link);
    bytes[156] = kind;
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    header.set_cksum();
    let mut out = header.as_bytes().to_vec();
    out.extend_from_slice(content);
    out.resize(out.len().next_multiple_of(512), 0);
    out
}

fn plain(path: &str) -> Vec<u8> {
    member(path.as_bytes(), b'0', b"", 0, b"")
}

/// Changes a header by hand and mends its checksum.
fn patched(mut block: Vec<u8>, at: usize, bytes: &[u8]) -> Vec<u8> {
    block[at..at + bytes.len()].copy_from_slice(bytes);
    let mut header = tar::Header::from_byte_slice(&block[..512]).clone();
    header.set_cksum();
    block[..512].copy_from_slice(header.as_bytes());
    block
}

fn pax(records: &[u8], then: Vec<u8>) -> Vec<u8> {
    let mut out = member(b"pax", b'x', b"", records.len() as u64, records);
    out.extend(then);
    out
}

fn ended(parts: &[Vec<u8>]) -> Vec<u8> {
    let mut tar = parts.concat();
    tar.extend([0; 1024]);
    tar
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

/// Reads `blob` as a layer whose tar is said to be `tar`.
fn read(
    blob: &[u8],
    media_type: MediaType,
    tar: &[u8],
    limits: ReadLimits,
) -> Result<Vec<ReadEntry>, LayerError> {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    add(&store, "any", &[file("x", b"")]).unwrap();
    let image = store.image(&name("any"), &amd64()).unwrap();
    let descriptor = store.write().unwrap().blob(media_type, blob).unwrap();
    let layer = Layer {
        digest: model::digest_of(&descriptor).unwrap(),
        descriptor,
        diff_id: DiffId::of(tar),
    };
    entries(&image, &layer, limits)
}

fn entries(image: &Image, layer: &Layer, limits: ReadLimits) -> Result<Vec<ReadEntry>, LayerError> {
    let mut entries = Vec::new();
    image
        .open_layer(layer, limits)?
        .for_each(|entry, content| {
            let mut bytes = Vec::new();
            // An error of the content is the layer's; it comes out whatever is returned here.
            let _ = content.read_to_end(&mut bytes);
            entries.push(entry);
            Ok::<(), LayerError>(())
        })?;
    Ok(entries)
}

fn read_tar(tar: &[u8]) -> Result<Vec<ReadEntry>, String> {
    read(tar, MediaType::ImageLayer, tar, ReadLimits::default()).map_err(|error| text(&error))
}

fn text(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[test]
fn hostile_entries_are_refused_with_layer_path_and_reason() {
    let long = vec![b'a'; 2 << 20];
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("absolute", plain("/etc/passwd")),
        ("'..'", plain("a/../../b")),
        ("'..'", plain("..")),
        ("empty", plain("./")),
        ("hard link", member(b"a", b'1', b"../../etc/shadow", 0, b"")),
        ("hard link", member(b"a", b'1', b"/etc/shadow", 0, b"")),
        ("empty", member(b"a", b'2', b"", 0, b"")),
        ("come before", [plain("a"), plain("./a")].concat()),
        (
            "come before",
            [plain("a"), member(b"a/", b'5', b"", 0, b"")].concat(),
        ),
        ("sparse", member(b"a", b'S', b"", 0, b"")),
        ("sparse", pax(b"22 GNU.sparse.major=1\n", plain("a"))),
        ("type 'V'", member(b"a", b'V', b"", 0, b"")),
        ("1 MiB", member(b"long", b'L', b"", 2 << 20, &long)),
        ("1 MiB", member(b"pax", b'x', b"", 60 << 30, b"")),
        (
            "pax record",
            pax(b"99999999999999999999 path=a\n", plain("a")),
        ),
        ("pax record", pax(b"0 path=a\n", plain("a"))),
        ("pax record", pax(b"5 a=\n\n", plain("a"))),
        ("pax record", pax(b"-1 path=a\n", plain("a"))),
        ("size", pax(b"11 size=-1\n", plain("a"))),
        ("size", pax(b"12 size=NaN\n", plain("a"))),
        ("absolute", pax(b"16 path=/passwd\n", plain("a"))),
        ("zero byte", pax(b"12 path=a\0b\n", plain("a"))),
        ("checksum", {
            let mut block = plain("a");
            block[0] = b'b';
            block
        }),
        (
            "size is not",
            patched(
                plain("a"),
                124,
                b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
            ),
        ),
        (
            "size is not",
            patched(plain("a"), 124, b"\x80\x01\0\0\0\0\0\0\0\0\0\0"),
        ),
        ("size is not", patched(plain("a"), 124, b"99999999999\0")),
        (
            "owner is not",
            patched(plain("a"), 108, b"\x80\0\0\x01\0\0\0\0"),
        ),
        ("in the middle", member(b"a", b'0', b"", 1 << 40, b"short")),
        (
            "after the end",
            [plain("a"), vec![0; 1024], plain("b")].concat(),
        ),
        (
            "after the end",
            [plain("a"), vec![0; 512], plain("b")].concat(),
        ),
        ("empty", plain("a/.wh.")),
        ("empty", plain("a/.wh...")),
    ];
    for (why, tar) in cases {
        let error = read_tar(&ended(std::slice::from_ref(&tar))).expect_err(why);
        assert!(error.contains(why), "{why}: {error}");
        assert!(error.contains("layer sha256:"), "{error}");
    }
}

#[test]
fn an_error_names_the_entry_it_was_met_at() {
    let error = read_tar(&ended(&[plain("first"), plain("second/../x")])).unwrap_err();
    assert!(error.contains("second/../x"), "{error}");
}

#[test]
fn what_looks_odd_but_is_valid_is_read() {
    let tar = ended(&[
        member(b"./", b'5', b"", 0, b""),
        member(b"./etc/", b'5', b"", 0, b""),
        member(b"etc", b'5', b"", 0, b""),
        member(b"g", b'g', b"", 11, b"11 path=zz\n"),
        member(b"a", b'0', b"", 3, b"abc"),
        member(b"s", b'2', b"/../../anywhere", 0, b""),
        member(b"h", b'1', b"./a", 0, b""),
        member(b"etc/.wh.gone", b'0', b"", 0, b""),
        member(b"etc/.wh..wh..opq", b'0', b"", 0, b""),
        member(b".wh..wh.plnk", b'5', b"", 0, b""),
        member(b"long", b'L', b"", 6, b"renam\0"),
        member(b"x", b'0', b"", 0, b""),
        pax(b"12 mtime=-1\n", plain("old")),
        patched(plain("big"), 108, b"\x80\0\0\0\0\x01\x86\xa0"),
        patched(
            member(b"dev", b'3', b"", 0, b""),
            329,
            b"0000001\x000000003\0",
        ),
        member(b"fifo", b'6', b"", 0, b""),
        member(b"seven", b'7', b"", 1, b"x"),
    ]);
    let entries = read_tar(&tar).unwrap();
    let find = |path: &str| {
        entries
            .iter()
            .find(|entry| entry.path == Path::new(path))
            .unwrap_or_else(|| panic!("{path}"))
    };
    assert_eq!(entries[0].path, Path::new(""));
    assert_eq!(find("s").kind, ReadKind::Symlink("/../../anywhere".into()));
    assert_eq!(find("h").kind, ReadKind::Hardlink("a".into()));
    assert_eq!(find("etc/gone").kind, ReadKind::Whiteout);
    assert!(
        entries
            .iter()
            .any(|entry| entry.path == Path::new("etc") && entry.kind == ReadKind::Opaque)
    );
    assert!(
        !entries
            .iter()
            .any(|entry| entry.path.to_str().unwrap().contains("plnk"))
    );
    assert_eq!(find("renam").kind, ReadKind::File);
    assert_eq!(find("old").mtime, 0);
    assert_eq!(find("big").uid, 100_000);
    assert_eq!(find("dev").kind, ReadKind::CharDevice(1, 3));
    assert_eq!(find("fifo").kind, ReadKind::Fifo);
    assert_eq!(find("seven").size, 1);
}

#[test]
fn names_of_any_bytes_are_read_from_headers_and_records() {
    let long = [b"d/".repeat(60), b"\xfe".to_vec()].concat();
    let record = [&b"path="[..], &long, b"\n"].concat();
    let record = [format!("{} ", record.len() + 4).into_bytes(), record].concat();
    let tar = ended(&[
        member(b"caf\xe9", b'0', b"", 0, b""),
        member(b"s\xff", b'2', b"caf\xe9", 0, b""),
        member(b"h", b'1', b"./caf\xe9", 0, b""),
        member(b"\xe9/.wh.gone\xfd", b'0', b"", 0, b""),
        pax(&record, plain("x")),
    ]);
    let entries = read_tar(&tar).unwrap();
    let path = |bytes| Path::new(OsStr::from_bytes(bytes));
    let paths: Vec<_> = entries.iter().map(|entry| entry.path.as_path()).collect();
    let expected = [&b"caf\xe9"[..], b"s\xff", b"h", b"\xe9/gone\xfd", &long];
    assert_eq!(paths, expected.map(path));
    assert_eq!(entries[1].kind, ReadKind::Symlink(path(b"caf\xe9").into()));
    assert_eq!(entries[2].kind, ReadKind::Hardlink(path(b"caf\xe9").into()));
    assert_eq!(entries[3].kind, ReadKind::Whiteout);
    let twice = ended(&[plain("a"), member(b"caf\xe9/..", b'5', b"", 0, b"")]);
    let error = read_tar(&twice).unwrap_err();
    assert!(error.contains(r"caf\xE9"), "{error}");
}

#[test]
fn extended_attributes_are_kept() {
    let record = b"SCHILY.xattr.user.a=v=\nw\0xyz\n";
    let records = [format!("{} ", record.len() + 3).as_bytes(), record].concat();
    let entries = read_tar(&ended(&[pax(&records, plain("a"))])).unwrap();
    let expected = ("user.a".to_owned(), b"v=\nw\0xyz".to_vec());
    assert_eq!(entries[0].xattrs, [expected]);
}

#[test]
fn a_bomb_ends_at_its_bound() {
    let mut tar = member(b"zeros", b'0', b"", 80 << 20, b"");
    tar.resize(tar.len() + (80 << 20) + 1024, 0);
    let blob = zstd::encode_all(&tar[..], 1).unwrap();
    let limits = ReadLimits {
        ratio: 2,
        ..ReadLimits::default()
    };
    let error = read(&blob, MediaType::ImageLayerZstd, b"", limits).unwrap_err();
    assert!(
        text(&error).contains("unpacks to more than"),
        "{}",
        text(&error)
    );
    let limits = ReadLimits {
        entries: 1,
        ..ReadLimits::default()
    };
    let tar = ended(&[plain("a"), plain("b")]);
    let error = read(&tar, MediaType::ImageLayer, &tar, limits).unwrap_err();
    assert!(text(&error).contains("more than 1 entries"));
}

#[test]
fn a_compressed_layer_is_read_in_every_valid_form_and_no_other() {
    let tar = ended(&[member(b"a", b'0', b"", 3, b"abc")]);
    let ok =
        |blob: &[u8], media_type: &str| read(blob, media_type.into(), &tar, ReadLimits::default());
    let gz = "application/vnd.docker.image.rootfs.diff.tar.gzip";
    let zst = "application/vnd.oci.image.layer.v1.tar+zstd";
    let two_members = [gzip(&tar[..700]), gzip(&tar[700..])].concat();
    let zstd = zstd::encode_all(&tar[..], 3).unwrap();
    // A skippable frame (RFC 8878, 3.1.2), as zstd:chunked appends.
    let skippable = [&zstd[..], &[0x50, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 1, 2]].concat();
    assert_eq!(ok(&two_members, gz).unwrap().len(), 1);
    assert_eq!(ok(&zstd, zst).unwrap().len(), 1);
    assert_eq!(ok(&skippable, zst).unwrap().len(), 1);
    let whole = gzip(&tar);
    for (blob, media_type) in [
        (&whole[..whole.len() - 1], gz),
        (&whole[..10], gz),
        (&[&whole[..], b"garbage"].concat(), gz),
        (&zstd[..zstd.len() - 1], zst),
        (&[&zstd[..], b"garbage"].concat(), zst),
        (&whole, zst),
        (&zstd, gz),
        (&whole, "application/vnd.oci.image.layer.v1.tar"),
        (&whole, "application/json"),
        (b"", gz),
    ] {
        assert!(ok(blob, media_type).is_err(), "{media_type} {}", blob.len());
    }
    assert!(matches!(
        read(
            &whole,
            MediaType::ImageLayerGzip,
            b"other",
            ReadLimits::default()
        ),
        Err(LayerError::DiffId { .. })
    ));
}

/// Writes documents into a store by hand and asks for the image.
fn ask(
    build: impl FnOnce(&mut ounce_oci::store::StoreWriter<'_>) -> model::Descriptor,
) -> Result<(), String> {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let mut writer = store.write().unwrap();
    let root = build(&mut writer);
    writer.commit(&name("hostile"), &root).unwrap();
    let image = store
        .image(&name("hostile"), &amd64())
        .map(drop)
        .map_err(|error| text(&error));
    let all = store
        .images_of(&name("hostile"))
        .map(drop)
        .map_err(|error| text(&error));
    let _ = store.verify().unwrap();
    image.and(all)
}

#[test]
fn documents_that_lie_or_are_wrong_are_refused() {
    let json = |media_type: MediaType, text: &str| {
        let text = text.to_owned();
        ask(move |writer| writer.blob(media_type, text.as_bytes()).unwrap()).unwrap_err()
    };
    let zeros = "0".repeat(64);
    assert!(json(MediaType::ImageManifest, "{").contains("not valid"));
    assert!(json(MediaType::ImageManifest, &"[".repeat(100_000)).contains("not valid"));
    assert!(json(MediaType::ImageConfig, "{}").contains("is expected"));
    assert!(
        json(
            MediaType::ImageIndex,
            r#"{"schemaVersion":1,"manifests":[]}"#
        )
        .contains("schemaVersion")
    );
    let index = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[]}}"#,
        MediaType::ImageManifest
    );
    assert!(json(MediaType::ImageIndex, &index).contains("says otherwise"));
    for (size, digest) in [("-1", "sha256:"), ("1e99", "sha256:"), ("1", "../../")] {
        let index = format!(
            r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"{}","size":{size},"digest":"{digest}{zeros}"}}]}}"#,
            MediaType::ImageManifest
        );
        assert!(
            json(MediaType::ImageIndex, &index).contains("not valid"),
            "{index}"
        );
    }
    let missing = format!(
        r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"{}","size":1,"digest":"sha256:{zeros}"}}]}}"#,
        MediaType::ImageManifest
    );
    assert!(json(MediaType::ImageIndex, &missing).contains("is missing"));
    let gigantic = missing.replace("\"size\":1", "\"size\":99999999999");
    assert!(json(MediaType::ImageIndex, &gigantic).contains("allowed here"));
}

#[test]
fn an_index_nested_too_deep_is_refused_and_a_fan_of_them_ends() {
    let nest = |levels: usize, fan: usize| {
        ask(move |writer| {
            let mut at = writer
                .blob(
                    MediaType::ImageIndex,
                    br#"{"schemaVersion":2,"manifests":[]}"#,
                )
                .unwrap();
            for _ in 0..levels {
                let child = serde_json::to_value(&at).unwrap();
                let index = serde_json::json!({"schemaVersion": 2, "manifests": vec![child; fan]});
                at = writer.json(MediaType::ImageIndex, &index).unwrap();
            }
            at
        })
        .unwrap_err()
    };
    assert!(nest(20, 1).contains("indexes deep"));
    // 500^7 manifests if each were followed.
    assert!(nest(7, 500).contains("no image for"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever byte of a tar is flipped: an error or a reading, never a panic.
    #[test]
    fn a_flipped_byte_of_a_tar_never_panics(at in 0_usize..6_000, bit in 0_u8..8) {
        let mut tar = ended(&[
            member(b"etc/", b'5', b"", 0, b""),
            pax(b"30 SCHILY.xattr.user.a=v=wxyz\n", plain("a")),
            member(b"long", b'L', b"", 6, b"renam\0"),
            member(b"x", b'0', b"", 600, &[7; 600]),
            member(b"h", b'1', b"x", 0, b""),
        ]);
        let at = at % tar.len();
        tar[at] ^= 1 << bit;
        let _ = read_tar(&tar);
    }

    /// Any bytes at all.
    #[test]
    fn noise_is_no_layer_and_no_panic(bytes in proptest::collection::vec(any::<u8>(), 0..4096), kind in 0..3) {
        let media_type = [MediaType::ImageLayer, MediaType::ImageLayerGzip, MediaType::ImageLayerZstd][kind as usize].clone();
        let _ = read(&bytes, media_type, &bytes, ReadLimits::default());
    }

    /// What we write, we and the `tar` crate read as it was meant.
    #[test]
    fn a_layer_reads_back_as_it_was_written(
        paths in proptest::collection::btree_set("[a-zé]{1,60}(/[a-z]{1,120}){0,3}", 1..12),
        size in 0_usize..3_000,
        uid in any::<u32>(),
        mtime in 0_u64..1 << 40,
        kind in 0..3,
    ) {
        let compression = [Compression::None, Compression::Gzip, Compression::Zstd][kind as usize];
        let mut written: Vec<Entry> = paths.iter().map(|path| Entry { uid, ..file(path, &noise(size, uid.into())) }).collect();
        let target = written[0].path.clone();
        written.push(Entry { kind: EntryKind::Symlink("t/".repeat(90)), ..file("0-symlink", b"") });
        written.push(Entry { kind: EntryKind::Hardlink(target.clone()), ..file("0-hardlink", b"") });
        written.push(Entry { kind: EntryKind::Directory, ..file(&"d/e".repeat(60), b"") });
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        add(&store, "any", &[file("x", b"")]).unwrap();
        let image = store.image(&name("any"), &amd64()).unwrap();
        let layer = store.write().unwrap().layer(&written, LayerOptions { compression, mtime }).unwrap();
        let layer = Layer { descriptor: layer.descriptor, digest: layer.digest, diff_id: layer.diff_id };
        let read = entries(&image, &layer, ReadLimits::default()).unwrap();
        prop_assert_eq!(read.len(), written.len());
        for entry in &written {
            let back = read.iter().find(|back| back.path == Path::new(&entry.path)).unwrap();
            prop_assert_eq!((back.uid, back.mode, back.mtime), (entry.uid, entry.mode, mtime));
            match &entry.kind {
                EntryKind::File(Content::Bytes(bytes)) => prop_assert_eq!(back.size, bytes.len() as u64),
                EntryKind::Symlink(to) => prop_assert_eq!(&back.kind, &ReadKind::Symlink(to.into())),
                EntryKind::Hardlink(to) => prop_assert_eq!(&back.kind, &ReadKind::Hardlink(to.into())),
                _ => prop_assert_eq!(&back.kind, &ReadKind::Directory),
            }
        }
        if compression == Compression::None {
            let bytes = std::fs::read(store.blobs().path(&layer.digest)).unwrap();
            let mut archive = tar::Archive::new(&bytes[..]);
            let mut count = 0;
            for (entry, ours) in archive.entries().unwrap().zip(&read) {
                let entry = entry.unwrap();
                let path = entry.path().unwrap();
                prop_assert_eq!(&*path, &ours.path);
                prop_assert_eq!(entry.size(), ours.size);
                count += 1;
            }
            prop_assert_eq!(count, read.len());
        }
    }
}

#[test]
fn an_archive_without_its_last_padding_is_read_and_one_cut_in_content_is_not() {
    let whole = [
        plain("first"),
        member(b"last", b'0', b"", 700, &[b'x'; 700]),
    ]
    .concat();
    let content_end = 512 + 512 + 700;
    for cut in [content_end, content_end + 1, whole.len() - 1, whole.len()] {
        let entries = read_tar(&whole[..cut]).unwrap();
        assert_eq!(entries.len(), 2, "cut at {cut}");
        assert_eq!(entries[1].size, 700);
    }
    for cut in [content_end - 1, 512 + 512, 512 + 511, 513] {
        let error = read_tar(&whole[..cut]).unwrap_err();
        assert!(
            error.contains("ends in the middle"),
            "cut at {cut}: {error}"
        );
    }
    // An extended header stands for the entry after it, which must come.
    let record = pax(b"11 path=ab\n", Vec::new());
    for cut in [512 + 11, record.len()] {
        let error = read_tar(&record[..cut]).unwrap_err();
        assert!(
            error.contains("ends in the middle"),
            "cut at {cut}: {error}"
        );
    }
}
