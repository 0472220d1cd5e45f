//! An image: manifest and configuration in memory, layers read on demand.

use std::collections::HashSet;

use crate::blobs::{BlobError, Blobs};
use crate::layer::{Layer, LayerError, LayerReader, ReadLimits};
use crate::model::{
    DOCUMENT_LIMIT, Descriptor, ImageConfiguration, ImageIndex, ImageManifest, REF_NAME, Role,
    digest_of, from_json, platform_in, platform_of, role,
};
use crate::wasm::{self, ConfigFault};
use crate::{Digest, Platform};

/// One image for one platform, wherever it lives.
#[derive(Debug, Clone)]
pub struct Image {
    /// The manifest's descriptor.
    pub descriptor: Descriptor,
    /// The same digest, typed.
    pub digest: Digest,
    /// The manifest.
    pub manifest: ImageManifest,
    /// The configuration.
    pub config: ImageConfiguration,
    /// What it is for.
    pub platform: Platform,
    /// Lowest first.
    pub layers: Vec<Layer>,
    /// Where the blobs are.
    pub blobs: Blobs,
}

/// An image cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// There is no image for the platform.
    #[error("{name} has no image for {wanted}")]
    NoPlatform {
        /// What was asked for.
        name: String,
        /// The platform.
        wanted: Platform,
        /// Those there are.
        available: Vec<Platform>,
    },
    /// A document is not what its media type says.
    #[error("{what} {digest} is not valid")]
    Document {
        /// `manifest`, `index`, `configuration`.
        what: &'static str,
        /// The blob.
        digest: Digest,
        /// Why not.
        #[source]
        source: serde_json::Error,
    },
    /// A document contradicts itself.
    #[error("{what} {digest}: {why}")]
    Invalid {
        /// `manifest`, `index`, `configuration`.
        what: &'static str,
        /// The blob.
        digest: Digest,
        /// The rule it breaks.
        why: String,
    },
    /// A blob of a kind that does not belong where it stands.
    #[error("{digest} is of type {media_type:?} where {expected} is expected")]
    MediaType {
        /// The blob.
        digest: Digest,
        /// Its type.
        media_type: String,
        /// What it should be.
        expected: &'static str,
    },
    /// A blob.
    #[error(transparent)]
    Blob(#[from] BlobError),
}

/// How deep an index may lie within indexes. More than two levels are unheard of.
const DEEPEST: u32 = 8;

/// Most manifests that one name may reach.
const MOST_MANIFESTS: usize = 1000;

impl Image {
    /// Opens a layer to be read entry by entry.
    ///
    /// # Errors
    /// The blob is absent or its media type is not a layer's.
    pub fn open_layer(&self, layer: &Layer, limits: ReadLimits) -> Result<LayerReader, LayerError> {
        LayerReader::open(&self.blobs, layer, limits)
    }

    /// Whether it is WebAssembly, in an image of whatever layout.
    pub fn is_wasm(&self) -> bool {
        self.platform.architecture == wasm::ARCHITECTURE
    }

    /// Bytes that a registry would send: manifest, configuration and layers.
    pub fn pulled_bytes(&self) -> u64 {
        self.descriptor.size()
            + self.manifest.config().size()
            + self
                .layers
                .iter()
                .map(|layer| layer.descriptor.size())
                .sum::<u64>()
    }

    /// The image that `root`, a manifest or an index, has for `platform`.
    pub(crate) fn select(
        blobs: Blobs,
        root: &Descriptor,
        platform: &Platform,
        name: &str,
    ) -> Result<Self, ImageError> {
        let no_platform = |available| ImageError::NoPlatform {
            name: name.to_owned(),
            wanted: platform.clone(),
            available,
        };
        if role(root.media_type()) == Role::Manifest {
            let image = Self::read(blobs, root)?;
            return if platform.accepts(&image.platform) {
                Ok(image)
            } else {
                Err(no_platform(vec![image.platform]))
            };
        }
        // An index usually states the platforms, so that one manifest is read.
        let mut offered = Vec::new();
        for manifest in manifests(&blobs, root)? {
            match platform_in(&manifest) {
                Some(platform) => offered.push((platform, manifest)),
                None => offered.push((Self::read(blobs.clone(), &manifest)?.platform, manifest)),
            }
        }
        match platform.best(offered.iter().map(|(platform, _)| platform)) {
            Some(at) => Self::read(blobs, &offered[at].1),
            None => {
                let known = offered.into_iter().map(|(platform, _)| platform);
                Err(no_platform(
                    known.filter(|known| known.os != "unknown").collect(),
                ))
            }
        }
    }

    /// Every image that `root` reaches. Attestations, which docker's builder
    /// puts beside images for the platform `unknown`, are none.
    pub(crate) fn all(blobs: &Blobs, root: &Descriptor) -> Result<Vec<Self>, ImageError> {
        manifests(blobs, root)?
            .iter()
            .filter(|manifest| platform_in(manifest).is_none_or(|known| known.os != "unknown"))
            .map(|manifest| Self::read(blobs.clone(), manifest))
            .collect()
    }

    /// Reads manifest and configuration, both verified.
    pub(crate) fn read(blobs: Blobs, descriptor: &Descriptor) -> Result<Self, ImageError> {
        let digest = digest_of(descriptor).map_err(BlobError::from)?;
        let manifest = read_manifest(&blobs, descriptor)?;
        let config_digest = digest_of(manifest.config()).map_err(BlobError::from)?;
        let kind = role(manifest.config().media_type());
        if !matches!(kind, Role::Config | Role::WasmConfig) {
            return Err(ImageError::MediaType {
                digest: config_digest,
                media_type: manifest.config().media_type().to_string(),
                expected: "an image configuration",
            });
        }
        let bytes = blobs.read(manifest.config(), DOCUMENT_LIMIT)?;
        let document = |source| ImageError::Document {
            what: "configuration",
            digest: config_digest,
            source,
        };
        let config: ImageConfiguration = match kind {
            Role::WasmConfig => match wasm::image_config(&bytes, manifest.layers()) {
                Ok(config) => config,
                Err(ConfigFault::Json(source)) => return Err(document(source)),
                Err(fault) => {
                    return Err(ImageError::Invalid {
                        what: "configuration",
                        digest: config_digest,
                        why: fault.to_string(),
                    });
                }
            },
            _ => from_json(&bytes).map_err(document)?,
        };
        let layers = layers(&manifest, &config, config_digest)?;
        Ok(Self {
            descriptor: descriptor.clone(),
            digest,
            platform: platform_of(&config),
            manifest,
            config,
            layers,
            blobs,
        })
    }
}

fn layers(
    manifest: &ImageManifest,
    config: &ImageConfiguration,
    config_digest: Digest,
) -> Result<Vec<Layer>, ImageError> {
    let invalid = |why| ImageError::Invalid {
        what: "configuration",
        digest: config_digest,
        why,
    };
    let diff_ids = config.rootfs().diff_ids();
    if diff_ids.len() != manifest.layers().len() {
        return Err(invalid(format!(
            "it has {} diff IDs for {} layers",
            diff_ids.len(),
            manifest.layers().len()
        )));
    }
    manifest
        .layers()
        .iter()
        .zip(diff_ids)
        .map(|(descriptor, diff_id)| {
            Ok(Layer {
                descriptor: descriptor.clone(),
                digest: digest_of(descriptor).map_err(BlobError::from)?,
                diff_id: diff_id
                    .parse()
                    .map_err(|error: crate::digest::DigestError| invalid(error.to_string()))?,
            })
        })
        .collect()
}

/// Every manifest that `root` reaches, in the index's order.
pub(crate) fn manifests(blobs: &Blobs, root: &Descriptor) -> Result<Vec<Descriptor>, ImageError> {
    let mut found = Vec::new();
    collect(blobs, root, 0, &mut HashSet::new(), &mut found)?;
    Ok(found)
}

fn collect(
    blobs: &Blobs,
    from: &Descriptor,
    depth: u32,
    seen: &mut HashSet<Digest>,
    found: &mut Vec<Descriptor>,
) -> Result<(), ImageError> {
    let digest = digest_of(from).map_err(BlobError::from)?;
    // Each once: an index that names another a thousand times, and so on
    // down, would be followed for ever.
    if !seen.insert(digest) {
        return Ok(());
    }
    match role(from.media_type()) {
        Role::Manifest if found.len() < MOST_MANIFESTS => {
            found.push(from.clone());
            Ok(())
        }
        Role::Manifest => Err(ImageError::Invalid {
            what: "index",
            digest,
            why: format!("it reaches more than {MOST_MANIFESTS} manifests"),
        }),
        Role::Index => {
            let index = read_index(blobs, from, depth)?;
            index
                .manifests()
                .iter()
                .try_for_each(|child| collect(blobs, child, depth + 1, seen, found))
        }
        _ if depth > 0 => Ok(()), // The spec: ignore what is not known.
        _ => Err(ImageError::MediaType {
            digest,
            media_type: from.media_type().to_string(),
            expected: "an image manifest or index",
        }),
    }
}

/// Reads a manifest, verified.
pub(crate) fn read_manifest(
    blobs: &Blobs,
    descriptor: &Descriptor,
) -> Result<ImageManifest, ImageError> {
    let digest = digest_of(descriptor).map_err(BlobError::from)?;
    let bytes = blobs.read(descriptor, DOCUMENT_LIMIT)?;
    let manifest: ImageManifest = from_json(&bytes).map_err(|source| ImageError::Document {
        what: "manifest",
        digest,
        source,
    })?;
    check_header(
        "manifest",
        digest,
        manifest.schema_version(),
        manifest.media_type().as_ref().map(role),
        Role::Manifest,
    )?;
    Ok(manifest)
}

/// Reads an index, verified, that lies `depth` deep in others.
pub(crate) fn read_index(
    blobs: &Blobs,
    descriptor: &Descriptor,
    depth: u32,
) -> Result<ImageIndex, ImageError> {
    let digest = digest_of(descriptor).map_err(BlobError::from)?;
    if depth >= DEEPEST {
        return Err(ImageError::Invalid {
            what: "index",
            digest,
            why: format!("it lies {DEEPEST} indexes deep"),
        });
    }
    let bytes = blobs.read(descriptor, DOCUMENT_LIMIT)?;
    let index: ImageIndex = from_json(&bytes).map_err(|source| ImageError::Document {
        what: "index",
        digest,
        source,
    })?;
    check_header(
        "index",
        digest,
        index.schema_version(),
        index.media_type().as_ref().map(role),
        Role::Index,
    )?;
    Ok(index)
}

/// A manifest taken for an index, or the reverse, is how one digest is made
/// to mean two images (CVE-2021-41190); so what a document says of itself counts.
fn check_header(
    what: &'static str,
    digest: Digest,
    version: u32,
    stated: Option<Role>,
    role: Role,
) -> Result<(), ImageError> {
    let invalid = |why| ImageError::Invalid { what, digest, why };
    if version != 2 {
        return Err(invalid(format!("its schemaVersion is {version}, not 2")));
    }
    match stated {
        Some(stated) if stated != role => {
            Err(invalid("its own media type says otherwise".to_owned()))
        }
        _ => Ok(()),
    }
}

/// What an index or a manifest points to; nothing for any other blob.
pub(crate) fn read_children(
    blobs: &Blobs,
    from: &Descriptor,
    depth: u32,
    children: &mut Vec<Descriptor>,
) -> Result<(), ImageError> {
    match role(from.media_type()) {
        Role::Index => {
            let index = read_index(blobs, from, depth)?;
            children.extend(index.manifests().iter().cloned());
        }
        Role::Manifest => {
            let manifest = read_manifest(blobs, from)?;
            children.push(manifest.config().clone());
            children.extend(manifest.layers().iter().cloned());
        }
        _ => {}
    }
    Ok(())
}

/// All that `root` reaches, each blob once, leaves first.
pub(crate) fn tree(blobs: &Blobs, root: &Descriptor) -> Result<Vec<Descriptor>, ImageError> {
    let mut order = Vec::new();
    let mut seen = HashSet::new();
    visit(blobs, root, 0, &mut seen, &mut order)?;
    Ok(order)
}

fn visit(
    blobs: &Blobs,
    at: &Descriptor,
    depth: u32,
    seen: &mut HashSet<Digest>,
    order: &mut Vec<Descriptor>,
) -> Result<(), ImageError> {
    if !seen.insert(digest_of(at).map_err(BlobError::from)?) {
        return Ok(());
    }
    let mut children = Vec::new();
    read_children(blobs, at, depth, &mut children)?;
    for child in &children {
        visit(blobs, child, depth + 1, seen, order)?;
    }
    order.push(at.clone());
    Ok(())
}

/// A descriptor without the annotation that names it.
pub(crate) fn unnamed(descriptor: &Descriptor) -> Descriptor {
    let mut plain = descriptor.clone();
    let annotations = plain
        .annotations()
        .clone()
        .map(|mut annotations| {
            annotations.remove(REF_NAME);
            annotations
        })
        .filter(|annotations| !annotations.is_empty());
    plain.set_annotations(annotations);
    plain
}
