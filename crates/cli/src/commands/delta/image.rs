//! Deltas between images: layer by layer, each of them file by file. What comes out
//! is the same blobs: a layer is sent as a delta of its tar only if the blob can be
//! made anew from that, which is so for those that ounce has written.

use std::io::Cursor;
use std::process::ExitCode;

use ounce_delta::apply::Fault;
use ounce_delta::pack::bundle::{self, File, Tally};
use ounce_oci::layer::{Effort, Layer, ReadLimits, tarball};
use ounce_oci::model::{DOCUMENT_LIMIT, Descriptor, ImageManifest, Role, role};
use ounce_oci::place::Source;
use ounce_oci::store::StoreError;
use ounce_oci::{Digest, Image, Place, Platform, Reference, Store};
use serde::{Deserialize, Serialize};

use super::{Applied, Document, LayerRow, not_made, refused, told};
use crate::arguments::delta::DeltaApplyArguments;
use crate::commands::{self, Context};
use crate::failure::{Failure, Kind};

/// The first bytes of an image's delta.
pub(super) const MAGIC: [u8; 4] = *b"oz\xd3\x01";

/// Most bytes of an image's tars, unpacked: they are held in memory.
const MOST_UNPACKED: u64 = 2 << 30;

/// Most bytes of the index.
const MOST_INDEX: usize = 8 << 20;

/// What stands behind the first bytes: lengths, and how each blob is made.
#[derive(Debug, Serialize, Deserialize)]
struct Index {
    schema: String,
    /// The old image's manifest.
    old: String,
    /// The new one's.
    new: Descriptor,
    blobs: Vec<Blob>,
}

/// A blob of the new image.
#[derive(Debug, Serialize, Deserialize)]
struct Blob {
    descriptor: Descriptor,
    how: How,
    /// Its part of the file.
    bytes: usize,
}

/// How a blob is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum How {
    /// The old image has it.
    Same,
    /// It is sent as it is.
    Whole,
    /// A delta of its tar, compressed again with little or with much effort.
    Quick,
    /// With much.
    Once,
    /// A delta of a document.
    Document,
}

fn effort(how: How) -> Effort {
    match how {
        How::Once => Effort::Once,
        _ => Effort::Quick,
    }
}

/// An image, opened.
fn open(
    context: &Context,
    store: &Store,
    name: &str,
    platform: Option<&Platform>,
) -> Result<Image, Failure> {
    let platform = platform.cloned().unwrap_or_else(Platform::host);
    let place = commands::place(name)?;
    if let Place::Registry(remote) = &place {
        let registry = context.registry(&Default::default());
        return Ok(registry.image(remote, store, &platform, &mut |_| ())?);
    }
    Ok(place.image(store, &platform)?)
}

/// The tars of all layers one after the other, and the files in them.
fn tars(image: &Image, most: u64) -> Result<(Vec<u8>, Vec<File>), Failure> {
    let mut bytes = Vec::new();
    let mut files = Vec::new();
    for layer in &image.layers {
        let tar = unpacked(image, layer, most - bytes.len() as u64)?;
        files.extend(files_in(&tar, layer, bytes.len())?);
        bytes.extend_from_slice(&tar);
    }
    Ok((bytes, files))
}

fn unpacked(image: &Image, layer: &Layer, most: u64) -> Result<Vec<u8>, Failure> {
    let limits = ReadLimits {
        uncompressed_bytes: most,
        ..ReadLimits::default()
    };
    let tar = tarball::unpacked(&image.blobs, layer, limits).map_err(StoreError::from);
    Ok(tar?)
}

fn files_in(tar: &[u8], layer: &Layer, start: usize) -> Result<Vec<File>, Failure> {
    let files = tarball::files(tar).map_err(|fault| {
        let why = format!("layer {}: {fault}", layer.digest);
        Failure::new(Kind::Input, why)
    })?;
    let at = |(name, range): (String, std::ops::Range<usize>)| File {
        name,
        range: range.start + start..range.end + start,
    };
    Ok(files.into_iter().map(at).collect())
}

/// Makes the delta from one image to another.
pub(super) fn between(
    context: &Context,
    old: &str,
    new: &str,
    platform: Option<&Platform>,
) -> Result<(Document, Vec<u8>), Failure> {
    let store = context.store()?;
    let (before, after) = (
        open(context, &store, old, platform)?,
        open(context, &store, new, platform)?,
    );
    let (delta, layers) = make(&before, &after)?;
    let full_bytes = lacking(&before, &after);
    let document = Document {
        schema: "ounce.delta/1",
        kind: "image",
        profile: "host",
        old: old.to_owned(),
        new: new.to_owned(),
        old_bytes: before.pulled_bytes(),
        new_bytes: after.pulled_bytes(),
        delta_bytes: delta.len() as u64,
        full_bytes,
        output: None,
        regions: Vec::new(),
        layers,
    };
    Ok((document, delta))
}

/// The delta's bytes, and what became of the layers.
fn make(before: &Image, after: &Image) -> Result<(Vec<u8>, Vec<LayerRow>), Failure> {
    let mut blobs = Vec::new();
    let mut payload = Vec::new();
    // The configuration and the manifest, as seen from the old ones.
    let documents = [
        (before.manifest.config(), after.manifest.config()),
        (&before.descriptor, &after.descriptor),
    ];
    for (from, to) in documents {
        let from = before
            .blobs
            .read(from, DOCUMENT_LIMIT)
            .map_err(StoreError::from)?;
        let bytes = after
            .blobs
            .read(to, DOCUMENT_LIMIT)
            .map_err(StoreError::from)?;
        let (delta, _) = bundle::bundle(&from, &[], &bytes, &[]).map_err(not_made)?;
        payload.extend_from_slice(&delta);
        blobs.push(Blob {
            descriptor: to.clone(),
            how: How::Document,
            bytes: delta.len(),
        });
    }
    let (tars, files) = tars(before, MOST_UNPACKED)?;
    let mut rows = Vec::new();
    for layer in &after.layers {
        let is_same = before.layers.iter().any(|own| own.digest == layer.digest);
        let (how, delta, tally) = match is_same {
            true => (How::Same, Vec::new(), Tally::default()),
            false => of_layer(after, layer, &tars, &files)?,
        };
        rows.push(LayerRow {
            digest: layer.digest.to_string(),
            bytes: layer.descriptor.size(),
            delta_bytes: delta.len() as u64,
            how: match how {
                How::Same => "same",
                How::Whole => "whole",
                _ => "delta",
            },
            same_files: tally.same,
            patched_files: tally.patched + tally.zstd,
            whole_files: tally.whole,
        });
        payload.extend_from_slice(&delta);
        blobs.push(Blob {
            descriptor: layer.descriptor.clone(),
            how,
            bytes: delta.len(),
        });
    }
    let index = Index {
        schema: "ounce.delta.image/1".to_owned(),
        old: before.digest.to_string(),
        new: after.descriptor.clone(),
        blobs,
    };
    let index = serde_json::to_vec(&index).map_err(|error| Failure::new(Kind::Bug, error))?;
    let mut delta = MAGIC.to_vec();
    delta.extend_from_slice(&(index.len() as u32).to_le_bytes());
    delta.extend_from_slice(seal(&index).as_bytes());
    delta.extend_from_slice(&index);
    delta.extend_from_slice(&payload);
    Ok((delta, rows))
}

/// How a layer is sent that the old image does not have.
fn of_layer(
    image: &Image,
    layer: &Layer,
    tars: &[u8],
    files: &[File],
) -> Result<(How, Vec<u8>, Tally), Failure> {
    let whole = || -> Result<_, Failure> {
        let bytes = image.blobs.read(&layer.descriptor, MOST_UNPACKED);
        let bytes = bytes.map_err(StoreError::from)?;
        Ok((How::Whole, bytes, Tally::default()))
    };
    let Some(compression) = tarball::compression_of(layer) else {
        return whole();
    };
    let tar = unpacked(image, layer, MOST_UNPACKED)?;
    let is_ours = |how: &How| {
        let packed = tarball::packed(&tar, compression, effort(*how));
        packed.is_ok_and(|packed| Digest::of(&packed) == layer.digest)
    };
    let Some(how) = [How::Quick, How::Once].into_iter().find(is_ours) else {
        return whole();
    };
    let own = files_in(&tar, layer, 0)?;
    let (delta, tally) = bundle::bundle(tars, files, &tar, &own).map_err(not_made)?;
    if delta.len() as u64 >= layer.descriptor.size() {
        return whole();
    }
    Ok((how, delta, tally))
}

/// Digits of the index's digest.
const SEAL_BYTES: usize = 16;

/// The index's digest, as far as it is needed to see damage: what it names has
/// digests of its own.
fn seal(index: &[u8]) -> String {
    let mut digits = Digest::of(index).hex();
    digits.truncate(SEAL_BYTES);
    digits
}

/// The index, and what comes after it.
fn split(delta: &[u8]) -> Result<(Index, &[u8]), Fault> {
    let rest = &delta[MAGIC.len()..];
    let (length, rest) = rest.split_first_chunk::<4>().ok_or(Fault::TooShort)?;
    let length = u32::from_le_bytes(*length) as usize;
    if length > MOST_INDEX {
        return Err(Fault::Damaged);
    }
    let (stated, rest) = rest.split_at_checked(SEAL_BYTES).ok_or(Fault::TooShort)?;
    let (index, rest) = rest.split_at_checked(length).ok_or(Fault::TooShort)?;
    if seal(index).as_bytes() != stated {
        return Err(Fault::Damaged);
    }
    let index: Index = serde_json::from_slice(index).map_err(|_| Fault::Damaged)?;
    if index.schema != "ounce.delta.image/1" || role(index.new.media_type()) != Role::Manifest {
        return Err(Fault::NoPatch);
    }
    Ok((index, rest))
}

/// Makes the new image of the old one and the delta.
pub(super) fn apply(
    context: &Context,
    arguments: &DeltaApplyArguments,
    delta: &[u8],
) -> Result<ExitCode, Failure> {
    let refused = |fault| refused(fault, &arguments.old, &arguments.delta);
    let to = commands::place(&arguments.output)?;
    if matches!(to, Place::Registry(_)) {
        let why = "an image is not made in a registry";
        return Err(Failure::new(Kind::Usage, why).hint("give it a name here, then `ounce push`"));
    }
    let (index, payload) = split(delta).map_err(refused)?;
    let store = context.store()?;
    let before = open(context, &store, &arguments.old, arguments.platform.as_ref())?;
    if before.digest.to_string() != index.old {
        return Err(refused(Fault::OldImage));
    }
    let unnamed = Reference {
        name: format!("delta-{}", std::process::id()),
        tag: Some("latest".to_owned()),
        digest: None,
    };
    let name = match &to {
        Place::Store(name) => name.clone(),
        _ => unnamed,
    };
    write(&store, &before, &index, payload, &name, &refused)?;
    if !matches!(to, Place::Store(_)) {
        let source = Source {
            blobs: store.blobs(),
            root: index.new.clone(),
            hanging: Vec::new(),
        };
        let written = to.write(&store, &source, &name);
        store.remove(&name)?;
        written?;
    }
    let bytes = index.blobs.iter().map(|blob| blob.descriptor.size()).sum();
    let done = Applied {
        schema: "ounce.delta.apply/1",
        kind: "image",
        output: arguments.output.clone(),
        bytes,
        digest: Some(index.new.digest().to_string()),
    };
    told(context, &done)
}

/// Writes the new image's blobs into the store, each checked against its digest, and
/// then names it.
fn write(
    store: &Store,
    before: &Image,
    index: &Index,
    payload: &[u8],
    name: &Reference,
    refused: &dyn Fn(Fault) -> Failure,
) -> Result<(), Failure> {
    let mut manifest = Vec::new();
    let mut writer = store.write()?;
    let every = |_: &Blob| true;
    blobs(
        before,
        index,
        payload,
        &every,
        MOST_UNPACKED,
        refused,
        &mut |blob, bytes| {
            let Some(bytes) = bytes else {
                let mut from = before
                    .blobs
                    .open(&blob.descriptor)
                    .map_err(StoreError::from)?;
                return Ok(writer.copy(&blob.descriptor, &mut from)?);
            };
            let stated = blob.descriptor.digest().to_string();
            if Digest::of(bytes).to_string() != stated {
                return Err(refused(Fault::NewImage));
            }
            if blob.descriptor.digest() == index.new.digest() {
                manifest = bytes.to_vec();
            }
            Ok(writer.copy(&blob.descriptor, &mut Cursor::new(bytes))?)
        },
    )?;
    if !is_whole(&manifest, index) {
        return Err(refused(Fault::Damaged));
    }
    Ok(writer.commit(name, &index.new)?)
}

/// A blob that was made; none where the old image has it.
type Put<'a> = dyn FnMut(&Blob, Option<&[u8]>) -> Result<(), Failure> + 'a;

/// Makes blobs of the new image, one after the other, as far as they are `wanted`, and
/// hands them on unchecked. A layer's tar has at most `most` bytes.
fn blobs(
    before: &Image,
    index: &Index,
    payload: &[u8],
    wanted: &dyn Fn(&Blob) -> bool,
    most: u64,
    refused: &dyn Fn(Fault) -> Failure,
    put: &mut Put<'_>,
) -> Result<(), Failure> {
    let mut rest = payload;
    let mut documents = [before.manifest.config(), &before.descriptor].into_iter();
    let mut tars: Option<Vec<u8>> = None;
    for blob in &index.blobs {
        let (own, after) = rest
            .split_at_checked(blob.bytes)
            .ok_or_else(|| refused(Fault::TooShort))?;
        rest = after;
        let document = match blob.how {
            How::Document => documents.next(),
            _ => None,
        };
        if !wanted(blob) {
            continue;
        }
        let made;
        let bytes = match blob.how {
            How::Same => {
                put(blob, None)?;
                continue;
            }
            How::Whole => own,
            How::Document => {
                let from = document.ok_or_else(|| refused(Fault::Damaged))?;
                let from = before
                    .blobs
                    .read(from, DOCUMENT_LIMIT)
                    .map_err(StoreError::from)?;
                made = bundle::unbundle(&from, own, DOCUMENT_LIMIT as usize).map_err(refused)?;
                &made[..]
            }
            How::Quick | How::Once => {
                if tars.is_none() {
                    tars = Some(self::tars(before, MOST_UNPACKED)?.0);
                }
                let old = tars.as_deref().unwrap_or_default();
                let tar = bundle::unbundle(old, own, most as usize).map_err(refused)?;
                let Role::Layer(compression) = role(blob.descriptor.media_type()) else {
                    return Err(refused(Fault::Damaged));
                };
                made = tarball::packed(&tar, compression, effort(blob.how))
                    .map_err(|error| Failure::new(Kind::Host, error))?;
                &made[..]
            }
        };
        put(blob, Some(bytes))?;
    }
    match rest.is_empty() {
        true => Ok(()),
        false => Err(refused(Fault::TooLong)),
    }
}

/// How many times larger than its blob a layer's tar may be where a registry's delta
/// makes it, and how much that may be at least: what says more is not taken.
const MOST_TIMES: u64 = 64;
const LEAST_TAR: u64 = 16 << 20;

/// Makes those blobs of a new image that are `wanted` of an old one and a delta that a
/// registry has. Nothing of what comes out is checked here.
///
/// # Errors
/// It is no delta, not one for this image, damaged, or would need too much memory.
pub(crate) fn make_wanted(
    before: &Image,
    wanted: &[Descriptor],
    delta: &[u8],
) -> Result<Vec<Vec<u8>>, Failure> {
    let refused = |fault: Fault| Failure::new(Kind::Input, fault);
    if !delta.starts_with(&MAGIC) {
        return Err(refused(Fault::NoPatch));
    }
    let (index, payload) = split(delta).map_err(refused)?;
    if before.digest.to_string() != index.old {
        return Err(refused(Fault::OldImage));
    }
    let largest = wanted.iter().map(Descriptor::size).max().unwrap_or(0);
    let most = largest
        .saturating_mul(MOST_TIMES)
        .clamp(LEAST_TAR, MOST_UNPACKED);
    let is_wanted = |blob: &Blob| {
        let mut wanted = wanted.iter();
        wanted.any(|one| one.digest() == blob.descriptor.digest())
    };
    let mut made = Vec::new();
    blobs(
        before,
        &index,
        payload,
        &is_wanted,
        most,
        &refused,
        &mut |_, bytes| {
            made.extend(bytes.map(<[u8]>::to_vec));
            Ok(())
        },
    )?;
    Ok(made)
}

/// The delta from one image to another, and how many bytes whoever has the old one
/// would fetch without it.
///
/// # Errors
/// A blob is missing or damaged, or an image is too large to be held.
pub(crate) fn delta(before: &Image, after: &Image) -> Result<(Vec<u8>, u64), Failure> {
    let (delta, _) = make(before, after)?;
    Ok((delta, lacking(before, after)))
}

/// Bytes of an image's blobs that another does not have, its documents among them.
fn lacking(before: &Image, after: &Image) -> u64 {
    let known = |digest: &Digest| before.layers.iter().any(|layer| layer.digest == *digest);
    let fresh = after.layers.iter().filter(|layer| !known(&layer.digest));
    fresh.map(|layer| layer.descriptor.size()).sum::<u64>()
        + after.descriptor.size()
        + after.manifest.config().size()
}

/// Whether all that a manifest names is among the blobs.
fn is_whole(manifest: &[u8], index: &Index) -> bool {
    let Ok(manifest) = serde_json::from_slice::<ImageManifest>(manifest) else {
        return false;
    };
    let mut named = manifest.layers().iter().chain([manifest.config()]);
    named.all(|named| {
        let mut blobs = index.blobs.iter();
        blobs.any(|blob| blob.descriptor.digest() == named.digest())
    })
}
