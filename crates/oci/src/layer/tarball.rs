//! A layer's tar in one piece, for what works on all of it at once: taken out of
//! the blob, looked at, and compressed again as this crate does.

use std::io::{Cursor, Read as _, Write as _};
use std::ops::Range;

use super::{Compression, Effort, Layer, LayerError, ReadLimits};
use crate::DiffId;
use crate::blobs::Blobs;
use crate::compression::read::{Bounded, decompress};
use crate::compression::write::Compress;
use crate::model::{Role, role};
use crate::tar::read::{Fault, TarReader};

/// The tar of a layer, verified.
///
/// # Errors
/// The blob is absent or damaged, its media type is not a layer's, or there is more
/// in it than `limits` allow.
pub fn unpacked(blobs: &Blobs, layer: &Layer, limits: ReadLimits) -> Result<Vec<u8>, LayerError> {
    let failed = |fault| LayerError::Entry {
        digest: layer.digest,
        path: std::path::PathBuf::new(),
        fault,
    };
    let Role::Layer(compression) = role(layer.descriptor.media_type()) else {
        return Err(LayerError::MediaType {
            digest: layer.digest,
            media_type: layer.descriptor.media_type().to_string(),
        });
    };
    let blob = blobs.open(&layer.descriptor)?;
    let stream = decompress(blob, compression).map_err(|error| failed(Fault::Io(error)))?;
    let mut tar = Vec::new();
    Bounded::new(stream, limits.uncompressed_bytes)
        .read_to_end(&mut tar)
        .map_err(|error| failed(Fault::Io(error)))?;
    let actual = DiffId::of(&tar);
    if actual != layer.diff_id {
        return Err(LayerError::DiffId {
            digest: layer.digest,
            stated: layer.diff_id,
            actual,
        });
    }
    Ok(tar)
}

/// How a layer's blob is compressed; nothing if it is no layer.
#[must_use]
pub fn compression_of(layer: &Layer) -> Option<Compression> {
    match role(layer.descriptor.media_type()) {
        Role::Layer(compression) => Some(compression),
        _ => None,
    }
}

/// The blob that this crate makes of a layer's tar.
///
/// # Errors
/// The compressor refuses.
pub fn packed(tar: &[u8], compression: Compression, effort: Effort) -> std::io::Result<Vec<u8>> {
    let size = Some(tar.len() as u64);
    let mut compress = Compress::new(Vec::new(), compression, size, effort)?;
    compress.write_all(tar)?;
    compress.finish()
}

/// The files in a tar, by their paths as they stand there (what is not UTF-8 in them
/// replaced), and where their content is.
///
/// # Errors
/// It is no tar.
pub fn files(tar: &[u8]) -> Result<Vec<(String, Range<usize>)>, Fault> {
    let mut reader = TarReader::new(Cursor::new(tar), ReadLimits::default().entries);
    let mut files = Vec::new();
    while let Some(entry) = reader.next_of_bytes()? {
        let start = usize::try_from(reader.position()).unwrap_or(usize::MAX);
        let bytes = usize::try_from(entry.size).unwrap_or(usize::MAX);
        let end = start.saturating_add(bytes);
        if entry.kind == b'0' && bytes > 0 && end <= tar.len() {
            let name = String::from_utf8_lossy(&entry.path);
            files.push((name.into_owned(), start..end));
        }
    }
    Ok(files)
}
