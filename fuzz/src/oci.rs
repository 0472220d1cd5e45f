//! What an image from elsewhere is made of: names, layers, documents.

use std::fs;
use std::path::{Component, Path};

use ounce_oci::layer::{Compression, Layer, LayerError, ReadKind, ReadLimits};
use ounce_oci::model::{self, MediaType};
use ounce_oci::{ByteSize, DiffId, Digest, Image, Place, Platform, Reference, Store};

/// Names, places, platforms, sizes and digests: what is read is read the same
/// once written.
pub fn names(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let _ = text.parse::<ByteSize>();
    let _ = text.parse::<Place>();
    if let Ok(reference) = text.parse::<Reference>() {
        assert_eq!(
            reference.to_string().parse::<Reference>().as_ref(),
            Ok(&reference)
        );
    }
    if let Ok(digest) = text.parse::<Digest>() {
        assert_eq!(digest.to_string().parse::<Digest>().ok(), Some(digest));
    }
    if let Ok(platform) = text.parse::<Platform>() {
        assert_eq!(
            platform.to_string().parse::<Platform>().ok(),
            Some(platform)
        );
    }
}

/// A layout of this thread's own, with one image without layers.
struct Room {
    folder: tempfile::TempDir,
    image: Image,
}

const EMPTY_IMAGE: &[u8] = b"{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"digest\":\"$1\",\"size\":#1,\"annotations\":{\"org.opencontainers.image.ref.name\":\"localhost/a:1\"}}]}\x1e{\"schemaVersion\":2,\"config\":{\"mediaType\":\"application/vnd.oci.image.config.v1+json\",\"digest\":\"$2\",\"size\":#2},\"layers\":[]}\x1e{\"architecture\":\"amd64\",\"os\":\"linux\",\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[]}}";

impl Room {
    fn new() -> Self {
        // In memory where that can be: the disk is not what is tried here.
        let memory = Path::new("/dev/shm");
        let folder = tempfile::tempdir_in(memory).or_else(|_| tempfile::tempdir());
        let folder = folder.expect("a temporary folder");
        lay_out(folder.path(), EMPTY_IMAGE);
        let store = Store::open(folder.path()).expect("a store");
        let name = &store.names().expect("names")[0].reference;
        let image = store.image(name, &amd64()).expect("the image");
        Self { folder, image }
    }
}

thread_local! {
    static ROOM: Room = Room::new();
}

fn amd64() -> Platform {
    "linux/amd64".parse().expect("a platform")
}

/// A layer: a tar, or one that is compressed. What is read of it is safe to
/// unpack, and a tar that is read to its end is all that was said of it.
pub fn layer(bytes: &[u8]) {
    ROOM.with(|room| read_layer(&room.image, bytes));
}

fn read_layer(image: &Image, bytes: &[u8]) {
    let compression = match bytes {
        [0x1f, 0x8b, ..] => Compression::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Compression::Zstd,
        _ => Compression::None,
    };
    let media_type = match compression {
        Compression::Gzip => MediaType::ImageLayerGzip,
        Compression::Zstd => MediaType::ImageLayerZstd,
        Compression::None => MediaType::ImageLayer,
    };
    let digest = Digest::of(bytes);
    let layer = Layer {
        descriptor: model::descriptor(media_type, &digest, bytes.len() as u64),
        digest,
        diff_id: DiffId::of(bytes),
    };
    let path = image.blobs.path(&digest);
    let is_own = !path.exists();
    fs::write(&path, bytes).expect("writing a blob");
    let limits = ReadLimits {
        uncompressed_bytes: 8 << 20,
        ratio: 200,
        entries: 10_000,
    };
    if let Ok(reader) = image.open_layer(&layer, limits) {
        let _ = reader.for_each(|entry, content| {
            let path = entry.path.as_os_str().as_encoded_bytes();
            assert!(!path.starts_with(b"/") && !path.contains(&0));
            let mut parts = path.split(|byte| *byte == b'/');
            assert!(path.is_empty() || parts.all(|part| !matches!(part, b"" | b"." | b"..")));
            if let ReadKind::Hardlink(target) = &entry.kind {
                assert!(
                    target
                        .components()
                        .all(|part| matches!(part, Component::Normal(_)))
                );
            }
            let mut read = Vec::new();
            if content.read_to_end(&mut read).is_ok() {
                assert_eq!(read.len() as u64, entry.size, "{:?}", entry.path);
            }
            Ok::<(), LayerError>(())
        });
    }
    if is_own {
        fs::remove_file(&path).expect("removing a blob");
    }
}

/// Writes parts that stand between record separators (0x1e): `index.json`, then
/// blobs. `$2` stands for the digest of the second blob, `#2` for its size; a
/// part may speak of later ones only, as in a real image.
fn lay_out(folder: &Path, bytes: &[u8]) -> Vec<std::path::PathBuf> {
    let blobs = folder.join("blobs/sha256");
    fs::create_dir_all(&blobs).expect("a folder");
    fs::write(
        folder.join("oci-layout"),
        "{\"imageLayoutVersion\":\"1.0.0\"}",
    )
    .expect("a marker");
    let parts: Vec<&[u8]> = bytes.splitn(10, |&byte| byte == 0x1e).collect();
    let mut done: Vec<(String, usize)> = vec![Default::default(); parts.len()];
    let mut written = Vec::new();
    for (number, part) in parts.iter().enumerate().rev() {
        let mut text = Vec::new();
        let mut rest = *part;
        while let Some((&byte, after)) = rest.split_first() {
            rest = after;
            let named = match (byte, after.first()) {
                (b'$' | b'#', Some(digit @ b'1'..=b'9')) => usize::from(digit - b'0'),
                _ => 0,
            };
            if named > number && named < done.len() {
                let (digest, size) = &done[named];
                let told = if byte == b'$' {
                    digest.clone()
                } else {
                    size.to_string()
                };
                text.extend_from_slice(told.as_bytes());
                rest = &rest[1..];
            } else {
                text.push(byte);
            }
        }
        if number == 0 {
            fs::write(folder.join("index.json"), text).expect("an index");
        } else {
            let digest = Digest::of(&text);
            done[number] = (digest.to_string(), text.len());
            let path = blobs.join(digest.hex());
            fs::write(&path, text).expect("a blob");
            written.push(path);
        }
    }
    written
}

/// Index, manifests and configurations of a layout: each is read or refused,
/// and what is read agrees with itself.
pub fn documents(bytes: &[u8]) {
    ROOM.with(|room| {
        let folder = room.folder.path().join("other");
        let written = lay_out(&folder, bytes);
        judge_layout(&folder);
        for path in written {
            let _ = fs::remove_file(path);
        }
    });
}

fn judge_layout(folder: &Path) {
    let Ok(store) = Store::open(folder) else {
        return;
    };
    let Ok(names) = store.names() else { return };
    for named in names.iter().take(4) {
        let reference = &named.reference;
        assert_eq!(
            reference.to_string().parse::<Reference>().as_ref(),
            Ok(reference)
        );
        let one = store.image(reference, &amd64());
        let all = store.images_of(reference).unwrap_or_default();
        for image in one.iter().chain(&all) {
            assert_eq!(image.layers.len(), image.config.rootfs().diff_ids().len());
            assert_eq!(image.layers.len(), image.manifest.layers().len());
            assert_eq!(model::digest_of(&image.descriptor).ok(), Some(image.digest));
            let bytes = model::canonical_json(&image.manifest).expect("a manifest is JSON");
            assert!(bytes.starts_with(b"{"));
            let _ = image.pulled_bytes();
        }
    }
    let place: Place = format!("oci:{}", folder.display())
        .parse()
        .expect("a place");
    let _ = place.images(&store);
    let _ = store.verify();
}

/// Keys in PEM's form: what is read is read the same once written.
pub fn keys(bytes: &[u8]) {
    use ounce_oci::signature::{PrivateKey, PublicKey};

    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(key) = PublicKey::from_pem(text) {
        let again = PublicKey::from_pem(&key.to_pem()).expect("as it was written");
        assert_eq!(again.fingerprint(), key.fingerprint());
        assert!(!key.verifies(b"nothing", bytes));
    }
    if let Ok(key) = PrivateKey::from_pem(text, None) {
        let signature = key.sign(b"something").expect("a key signs");
        assert!(key.public().verifies(b"something", &signature));
        assert!(!key.public().verifies(b"anything", &signature));
    }
}
