//! Packed sites: what the writer packs, the server's own reader gives back.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use ounce_build::site::{PackError, Packing, SiteRules, Summary, follow, pack};
use ounce_http::packed::{Encoding, FALLBACK, Kind, NOT_FOUND, Site, Variant};
use proptest::prelude::*;

/// What a client accepts that takes one coding only, or none.
const IDENTITY: [u16; 4] = [0, 0, 0, 1];
const CODINGS: [(Encoding, [u16; 4]); 4] = [
    (Encoding::Br, [1000, 0, 0, 1]),
    (Encoding::Zstd, [0, 1000, 0, 1]),
    (Encoding::Gzip, [0, 0, 1000, 1]),
    (Encoding::Identity, IDENTITY),
];

fn packed(root: &Path, rules: SiteRules) -> Result<(Vec<u8>, Summary), PackError> {
    let site = follow(root).unwrap();
    let packed = pack(&Packing { site, rules })?;
    let mut bytes = Vec::new();
    packed.write(&mut bytes).unwrap();
    assert_eq!(packed.summary.packed_bytes, bytes.len() as u64);
    Ok((bytes, packed.summary))
}

fn write(root: &Path, name: &[u8], bytes: &[u8]) {
    let path = root.join(OsStr::from_bytes(name));
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn decoded(coding: Encoding, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    match coding {
        Encoding::Identity => out.extend(bytes),
        Encoding::Br => drop(brotlic::DecompressorReader::new(bytes).read_to_end(&mut out)),
        Encoding::Zstd => out = zstd::decode_all(bytes).unwrap(),
        Encoding::Gzip => {
            // The length stands in the last four bytes (RFC 1952 section 2.3.1).
            let length = u32::from_le_bytes(*bytes.last_chunk().unwrap());
            out.resize(length as usize, 0);
            let mut decompressor = libdeflater::Decompressor::new();
            decompressor.gzip_decompress(bytes, &mut out).unwrap();
        }
    }
    out
}

fn fields<'v>(variant: &Variant<'v>) -> BTreeMap<&'v str, &'v str> {
    let text = std::str::from_utf8(variant.fields).unwrap();
    let lines = text.split_terminator("\r\n");
    let fields: Vec<_> = lines.map(|line| line.split_once(": ").unwrap()).collect();
    let map: BTreeMap<_, _> = fields.iter().copied().collect();
    assert_eq!(map.len(), fields.len(), "a field stands twice: {text}");
    map
}

fn html(bytes: usize) -> Vec<u8> {
    let mut text = b"<!doctype html><title>ounce</title>".to_vec();
    let mut number = 1_u32;
    while text.len() < bytes {
        number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        writeln!(text, "<p class=\"row\">row {}</p>", number >> 20).unwrap();
    }
    text.truncate(bytes);
    text
}

/// Names and contents: some equal, some long enough to be compressed, some noise.
fn tree() -> impl Strategy<Value = BTreeMap<Vec<u8>, Vec<u8>>> {
    let segment = prop_oneof![
        6 => "[a-c]{1,2}".prop_map(String::into_bytes),
        1 => prop::collection::vec(prop_oneof![Just(0xff_u8), Just(b' '), Just(b'%'), 0x80..=0xff_u8], 1..3),
    ];
    let name = prop_oneof![
        4 => Just(b"index.html".to_vec()),
        2 => Just(b"404.html".to_vec()),
        6 => "[a-c]{1,2}\\.(html|css|js|png|svg)".prop_map(String::into_bytes),
        1 => "[a-c]{1,2}".prop_map(String::into_bytes),
    ];
    let path = (prop::collection::vec(segment, 0..3), name).prop_map(|(mut folders, name)| {
        folders.push(name);
        folders.join(&b'/')
    });
    let body = prop_oneof![
        3 => (0..6_000_usize).prop_map(html),
        1 => Just(html(70_000)),
        2 => prop::collection::vec(any::<u8>(), 0..3_000),
    ];
    prop::collection::btree_map(path, body, 1..12).prop_map(|mut tree| {
        // A name cannot be both a file and a folder.
        let names: Vec<Vec<u8>> = tree.keys().cloned().collect();
        for name in &names {
            let within = [name, &b"/"[..]].concat();
            if names.iter().any(|other| other.starts_with(&within)) {
                tree.remove(name);
            }
        }
        tree
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn the_reader_gives_back_every_path_and_every_variant(tree in tree(), spa: bool, compress: bool) {
        let folder = tempfile::tempdir().unwrap();
        for (name, body) in &tree {
            write(folder.path(), name, body);
        }
        let rules = SiteRules { spa: Some(spa), compress: Some(compress), ..SiteRules::default() };
        let index = tree.get(&b"index.html"[..]);
        let (bytes, summary) = match packed(folder.path(), rules) {
            Err(PackError::NoIndex) => {
                prop_assert!(spa && index.is_none());
                return Ok(());
            }
            result => result.unwrap(),
        };
        let site = Site::new(&bytes).unwrap();
        let mut paths = BTreeSet::new();
        let mut tags = BTreeMap::new();
        for (name, body) in &tree {
            let path = [b"/", &name[..]].concat();
            let folder = path.strip_suffix(b"index.html").map(<[u8]>::to_vec);
            for path in [Some(path.clone()), folder.clone()].into_iter().flatten() {
                let entry = site.find(&path).unwrap();
                prop_assert_eq!(entry.kind(), Kind::File);
                let varies = CODINGS[..3].iter().any(|(coding, _)| entry.has(*coding));
                prop_assert!(compress || !varies);
                for (coding, weights) in CODINGS.iter().filter(|(coding, _)| entry.has(*coding)) {
                    let variant = entry.choose(weights);
                    prop_assert_eq!(&decoded(*coding, variant.body), body);
                    let fields = fields(&variant);
                    prop_assert_eq!(fields["ETag"].as_bytes(), variant.etag());
                    prop_assert_eq!(fields.contains_key("Vary"), varies);
                    prop_assert_eq!(fields.contains_key("Content-Encoding"), *coding != Encoding::Identity);
                    // The same tag for the same bytes, and for no others.
                    let known = tags.entry(variant.etag()).or_insert(variant.body);
                    prop_assert_eq!(*known, variant.body);
                    let again = &variant.fields[..usize::from(variant.repeated)];
                    prop_assert!(again.ends_with(b"\r\n") && !again.windows(7).any(|seven| seven == b"Content"));
                }
                paths.insert(path);
            }
            if let Some(slashed) = folder.filter(|folder| folder != b"/") {
                let path = &slashed[..slashed.len() - 1];
                let entry = site.find(path).unwrap();
                prop_assert_eq!(entry.kind(), Kind::Redirect);
                let variant = entry.choose(&IDENTITY);
                let line = variant.fields.rsplit(|&byte| byte == b'\n').next().unwrap();
                let location = line.strip_prefix(b"Location: ").unwrap();
                let mut out = [0; 256];
                prop_assert_eq!(&*ounce_http::path::decode(location, &mut out).unwrap(), &slashed[..]);
                paths.insert(path.to_vec());
            }
        }
        // Nothing else is there but the pages for what is not.
        let pages = [NOT_FOUND, FALLBACK].iter().filter(|name| site.lookup(name).is_some()).count();
        prop_assert_eq!(site.count(), paths.len() + pages);
        let lost = tree.get(&b"404.html"[..]);
        let body_of = |path: &[u8]| site.find(path).map(|entry| entry.choose(&IDENTITY).body);
        prop_assert_eq!(body_of(b"/no/such.page"), lost.map(|body| &body[..]));
        let fallback = if spa { index } else { lost };
        prop_assert_eq!(body_of(b"/no.such/page"), fallback.map(|body| &body[..]));
        prop_assert_eq!(summary.files, tree.len() as u64);
        let different: BTreeSet<_> = tree.values().collect();
        prop_assert_eq!(summary.repeated_files, (tree.len() - different.len()) as u64);
    }

    #[test]
    fn a_damaged_file_never_makes_the_reader_panic(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..40),
        cut in any::<prop::sample::Index>(),
        path in prop::sample::select(vec!["/", "/a.css", "/a", "/x", "/x.y"]),
        weights: [u16; 4],
    ) {
        let folder = tempfile::tempdir().unwrap();
        for (name, body) in [(&b"index.html"[..], 3_000), (b"a.css", 10), (b"a/index.html", 20), (b"404.html", 9)] {
            write(folder.path(), name, &html(body));
        }
        let whole = packed(folder.path(), SiteRules::default()).unwrap().0;
        prop_assert!(Site::new(&whole[..cut.index(whole.len())]).is_none());
        let mut bytes = whole.clone();
        // The tables are what can lie; the first 16 bytes only refuse.
        let tables = 12..400.min(bytes.len());
        for (at, value) in damage {
            bytes[tables.start + at.index(tables.len())] = value;
        }
        let length = (bytes.len() as u32).to_le_bytes();
        bytes[16..20].copy_from_slice(&length);
        if let Some(site) = Site::new(&bytes) && let Some(entry) = site.find(path.as_bytes()) {
            let variant = entry.choose(&weights);
            prop_assert!(variant.body.is_empty() || variant.body_offset as usize + variant.body.len() <= bytes.len());
            let _ = (entry.kind(), variant.etag(), variant.fields);
        }
    }
}

#[test]
fn the_same_folder_gives_the_same_bytes_wherever_and_whenever() {
    let make = |backwards: bool| {
        let folder = tempfile::tempdir().unwrap();
        let mut files: Vec<(String, usize)> =
            (0..30).map(|n| (format!("{n}/a.html"), n * 300)).collect();
        if backwards {
            files.reverse();
        }
        for (name, bytes) in files {
            write(folder.path(), name.as_bytes(), &html(bytes));
        }
        packed(folder.path(), SiteRules::default()).unwrap().0
    };
    assert_eq!(make(false), make(true));
}

#[test]
fn compressed_files_that_the_folder_brings_are_used_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let plain = html(9_000);
    write(folder.path(), b"index.html", &plain);
    // Worse than ounce would do, so that they can be told apart.
    let zstd = zstd::encode_all(&plain[..], 1).unwrap();
    write(folder.path(), b"index.html.zst", &zstd);
    let mut br = brotlic::CompressorWriter::new(Vec::new());
    br.write_all(b"short").unwrap();
    write(folder.path(), b"short.txt", b"short");
    write(folder.path(), b"short.txt.br", &br.into_inner().unwrap());
    for compress in [true, false] {
        let rules = SiteRules {
            compress: Some(compress),
            ..SiteRules::default()
        };
        let bytes = packed(folder.path(), rules).unwrap().0;
        let site = Site::new(&bytes).unwrap();
        let page = site.find(b"/").unwrap();
        assert_eq!(page.choose(&CODINGS[1].1).body, zstd);
        assert_eq!(page.has(Encoding::Gzip), compress);
        // A download by its own name, too, whose bytes stand once.
        let own = site.find(b"/index.html.zst").unwrap().choose(&IDENTITY);
        assert_eq!(own.body.as_ptr(), page.choose(&CODINGS[1].1).body.as_ptr());
        assert_eq!(fields(&own)["Content-Type"], "application/octet-stream");
        assert!(site.find(b"/short.txt").unwrap().has(Encoding::Br));
    }
}

#[test]
fn a_compressed_file_that_is_another_is_an_error_that_names_both() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), b"a.css", b"p{}");
    write(folder.path(), b"a.css.gz", b"not gzip");
    let error = packed(folder.path(), SiteRules::default()).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("a.css.gz is not ") && text.contains("a.css compressed: "),
        "{text}"
    );
    assert!(error.hints()[0].contains("delete it"));
}

#[test]
fn equal_files_stand_once_and_variants_only_where_they_give_something() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a.html", "b.html", "c/d.html"] {
        write(folder.path(), name.as_bytes(), &html(20_000));
    }
    write(folder.path(), b"small.html", &html(1_399));
    write(
        folder.path(),
        b"noise.bin",
        &zstd::encode_all(&html(60_000)[..], 19).unwrap(),
    );
    write(folder.path(), b"photo.png", &html(20_001));
    let (bytes, summary) = packed(folder.path(), SiteRules::default()).unwrap();
    assert_eq!(summary.repeated_files, 2);
    let site = Site::new(&bytes).unwrap();
    let body = |path: &[u8]| site.find(path).unwrap().choose(&CODINGS[0].1).body.as_ptr();
    assert_eq!(body(b"/a.html"), body(b"/c/d.html"));
    for path in ["/small.html", "/noise.bin", "/photo.png"] {
        let entry = site.find(path.as_bytes()).unwrap();
        assert!(
            CODINGS[..3].iter().all(|(coding, _)| !entry.has(*coding)),
            "{path}"
        );
        assert!(!fields(&entry.choose(&IDENTITY)).contains_key("Vary"));
    }
    let br = summary
        .variants
        .iter()
        .find(|row| row.coding == "br")
        .unwrap();
    assert_eq!((br.files, br.file_bytes), (3, 60_000));
    assert!(br.variant_bytes * 100 <= br.file_bytes * 95);
}

#[test]
fn a_file_that_changes_between_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), b"index.html", b"<p>one");
    let site = follow(folder.path()).unwrap();
    write(folder.path(), b"index.html", b"<p>longer");
    let rules = SiteRules::default();
    let packing = Packing { site, rules };
    assert!(matches!(pack(&packing), Err(PackError::Read { .. })));
    write(folder.path(), b"index.html", b"<p>one");
    let packed = pack(&packing).unwrap();
    write(folder.path(), b"index.html", b"<p>two");
    assert!(packed.write(&mut Vec::new()).is_err());
}

#[test]
fn a_head_past_its_bound_is_refused_with_its_path() {
    let folder = tempfile::tempdir().unwrap();
    // Escaped three to one in the redirect.
    let name = [
        "%".repeat(230),
        "%".repeat(230),
        "%".repeat(230),
        "index.html".to_owned(),
    ]
    .join("/");
    write(folder.path(), name.as_bytes(), b"x");
    let result = packed(folder.path(), SiteRules::default()).map(drop);
    let error = result.unwrap_err().to_string();
    assert!(error.contains("and 2000 is the most"), "{error}");
}
