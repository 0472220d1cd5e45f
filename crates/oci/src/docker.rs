//! docker's own archive: `manifest.json`, a configuration and a tar for each
//! layer, as `docker save` (of all versions since 1.10), `podman save` and
//! `skopeo copy` write it.

use std::collections::HashSet;
use std::io::{self, Read};
use std::path::Path;

use oci_spec::image::ImageManifestBuilder;
use serde::{Deserialize, Serialize};

use crate::archive::{Archive, ArchiveError, ArchiveWriter};
use crate::blobs::BlobError;
use crate::compression::Compression;
use crate::compression::read::{Bounded, decompress};
use crate::digest::Hashing;
use crate::layer::LayerError;
use crate::layer::write::LayerWriter;
use crate::model::{
    DOCUMENT_LIMIT, Descriptor, ImageConfiguration, MediaType, Role, canonical_json, descriptor,
    from_json, role,
};
use crate::reference::some_names;
use crate::sink::Sink;
use crate::store::StoreError;
use crate::{DiffId, Digest, Image, Reference};

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Item {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

impl Item {
    fn names(&self) -> impl Iterator<Item = &str> {
        self.repo_tags.iter().flatten().map(String::as_str)
    }

    fn is(&self, wanted: &Reference) -> bool {
        self.names().any(|name| {
            name.parse::<Reference>()
                .is_ok_and(|name| name.name == wanted.name && name.tag == wanted.tag)
        })
    }
}

/// Copies the image called `wanted`, or the only one, into `sink`, its
/// uncompressed layers compressed as told. Gives the manifest's descriptor.
pub(crate) fn read(
    archive: &Archive,
    wanted: Option<&Reference>,
    compression: Compression,
    sink: &mut Sink,
) -> Result<Descriptor, StoreError> {
    let item = choose(archive, wanted)?;
    let bytes = archive.read(&item.config, DOCUMENT_LIMIT)?;
    let config: ImageConfiguration = from_json(&bytes).map_err(|source| ArchiveError::Json {
        path: archive.path().to_owned(),
        member: item.config.clone(),
        source,
    })?;
    let diff_ids = config.rootfs().diff_ids();
    if diff_ids.len() != item.layers.len() {
        return Err(content(
            archive,
            format!(
                "{} names {} layers and {} has {} diff IDs",
                "manifest.json",
                item.layers.len(),
                item.config,
                diff_ids.len()
            ),
        ));
    }
    let mut layers = Vec::new();
    for (member, diff_id) in item.layers.iter().zip(diff_ids) {
        let diff_id: DiffId = diff_id
            .parse()
            .map_err(|error| content(archive, format!("{}: {error}", item.config)))?;
        layers.push(layer(archive, member, diff_id, compression, sink)?);
    }
    let digest = sink.put(&bytes)?;
    let config = descriptor(MediaType::ImageConfig, &digest, bytes.len() as u64);
    let manifest = ImageManifestBuilder::default()
        .schema_version(2_u32)
        .media_type(MediaType::ImageManifest)
        .config(config)
        .layers(layers)
        .build()
        .map_err(|error| content(archive, error.to_string()))?;
    let bytes = canonical_json(&manifest).map_err(|source| ArchiveError::Json {
        path: archive.path().to_owned(),
        member: "manifest.json".to_owned(),
        source,
    })?;
    let digest = sink.put(&bytes)?;
    Ok(descriptor(
        MediaType::ImageManifest,
        &digest,
        bytes.len() as u64,
    ))
}

fn content(archive: &Archive, why: String) -> StoreError {
    ArchiveError::Content {
        path: archive.path().to_owned(),
        why,
    }
    .into()
}

fn choose(archive: &Archive, wanted: Option<&Reference>) -> Result<Item, StoreError> {
    if !archive.has("manifest.json") && archive.has("repositories") {
        let why = "it is an archive of docker before 1.10, save it anew with a later one";
        return Err(content(archive, why.to_owned()));
    }
    let bytes = archive.read("manifest.json", DOCUMENT_LIMIT)?;
    let mut items: Vec<Item> =
        serde_json::from_slice(&bytes).map_err(|source| ArchiveError::Json {
            path: archive.path().to_owned(),
            member: "manifest.json".to_owned(),
            source,
        })?;
    let known = || {
        let names: Vec<&str> = items.iter().flat_map(Item::names).collect();
        some_names(&names)
    };
    let at = match wanted {
        Some(wanted) => items
            .iter()
            .position(|item| item.is(wanted))
            .ok_or_else(|| {
                content(
                    archive,
                    format!("it has no image {wanted}, only: {}", known()),
                )
            })?,
        None if items.len() == 1 => 0,
        None if items.is_empty() => return Err(content(archive, "it has no image".to_owned())),
        None => {
            let why = format!("it has {} images, say which: {}", items.len(), known());
            return Err(content(archive, why));
        }
    };
    Ok(items.swap_remove(at))
}

/// Copies one layer, compressed or not, and checks its diff ID.
fn layer(
    archive: &Archive,
    member: &str,
    diff_id: DiffId,
    compression: Compression,
    sink: &mut Sink,
) -> Result<Descriptor, StoreError> {
    let (mut reader, size) = archive.member(member)?;
    let mut first = Vec::new();
    reader
        .by_ref()
        .take(4)
        .read_to_end(&mut first)
        .map_err(|source| archive.read_error(source))?;
    let (mut reader, _) = archive.member(member)?;
    let scratch = sink.scratch()?;
    let stored = Compression::sniff(&first);
    let into = match stored {
        Compression::None => LayerWriter::new(scratch, compression, Some(size))?,
        _ => LayerWriter::new(scratch, Compression::None, Some(size))?,
    };
    let written = fill(into, &mut reader)
        .map_err(|error| error.unwrap_or_else(|source| archive.read_error(source).into()))?;
    let (mut written, actual) = match stored {
        Compression::None => {
            let written = written.finish(sink)?;
            let actual = written.diff_id;
            (written, actual)
        }
        stored => {
            // The blob stays as it is; what it unpacks to is only hashed.
            let written = written.finish(sink)?;
            let (reader, size) = archive.member(member)?;
            let actual = unpacked(reader, stored, size)
                .map_err(|source| ArchiveError::Member {
                    path: archive.path().to_owned(),
                    member: member.to_owned(),
                    fault: source.into(),
                })?
                .0;
            (written, actual)
        }
    };
    if actual != diff_id {
        return Err(LayerError::DiffId {
            digest: written.digest,
            stated: diff_id,
            actual,
        }
        .into());
    }
    match stored {
        Compression::None => {}
        Compression::Gzip => drop(written.descriptor.set_media_type(MediaType::ImageLayerGzip)),
        Compression::Zstd => drop(written.descriptor.set_media_type(MediaType::ImageLayerZstd)),
    }
    Ok(written.descriptor)
}

/// Writes all of `from`; an error is a layer's, or the reader's in `Err`.
fn fill(
    mut into: LayerWriter,
    from: &mut dyn Read,
) -> Result<LayerWriter, Result<StoreError, io::Error>> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(into),
            Ok(count) => into
                .write(&buffer[..count])
                .map_err(|error| Ok(StoreError::from(error)))?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Err(error)),
        }
    }
}

/// Hashes and counts what a stream unpacks to, at most 1,100 times its size.
fn unpacked(
    from: impl Read + Send + 'static,
    compression: Compression,
    size: u64,
) -> io::Result<(DiffId, u64)> {
    let most = size.saturating_mul(1100).max(64 << 20);
    let mut stream = Hashing::new(Bounded::new(decompress(from, compression)?, most));
    io::copy(&mut stream, &mut io::sink())?;
    let (_, diff_id, count) = stream.into_diff_id();
    Ok((diff_id, count))
}

/// Writes an archive that `docker load` and `podman load` take. Layers are
/// uncompressed, as `docker save` has them: every reader takes that.
pub(crate) fn write(target: &Path, image: &Image, name: &Reference) -> Result<(), StoreError> {
    let config = image.blobs.read(image.manifest.config(), DOCUMENT_LIMIT)?;
    let config_name = format!("{}.json", Digest::of(&config).hex());
    let mut writer = ArchiveWriter::new(target)?;
    let mut members = Vec::new();
    let mut written = HashSet::new();
    for layer in &image.layers {
        let member = format!("{}.tar", layer.diff_id.hex());
        members.push(member.clone());
        if !written.insert(layer.diff_id) {
            continue;
        }
        let Role::Layer(compression) = role(layer.descriptor.media_type()) else {
            return Err(LayerError::MediaType {
                digest: layer.digest,
                media_type: layer.descriptor.media_type().to_string(),
            }
            .into());
        };
        let read_error = |source: io::Error| {
            StoreError::Blob(BlobError::Copy {
                digest: layer.digest,
                source,
            })
        };
        // Once for the size, which stands before the content, and once for the content.
        let blob = image.blobs.open(&layer.descriptor)?;
        let (actual, size) =
            unpacked(blob, compression, layer.descriptor.size()).map_err(read_error)?;
        if actual != layer.diff_id {
            return Err(LayerError::DiffId {
                digest: layer.digest,
                stated: layer.diff_id,
                actual,
            }
            .into());
        }
        let blob = image.blobs.open(&layer.descriptor)?;
        let mut stream = decompress(blob, compression).map_err(read_error)?;
        writer.stream(&member, size, &mut stream)?;
    }
    writer.bytes(&config_name, &config)?;
    let name = Reference {
        digest: None,
        tag: Some(name.tag.clone().unwrap_or_else(|| "latest".to_owned())),
        ..name.clone()
    };
    let items = [Item {
        config: config_name,
        repo_tags: Some(vec![name.to_string()]),
        layers: members,
    }];
    let manifest = serde_json::to_vec(&items).map_err(|source| ArchiveError::Json {
        path: target.to_owned(),
        member: "manifest.json".to_owned(),
        source,
    })?;
    writer.bytes("manifest.json", &manifest)?;
    writer.publish()?;
    Ok(())
}
