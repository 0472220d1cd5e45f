//! An image: manifest and configuration in memory, layers read on demand.

use crate::blobs::Blobs;
use crate::layer::{LayerError, LayerReader, ReadLimits};
use crate::model::{Descriptor, ImageConfiguration, ImageManifest};
use crate::{DiffId, Digest, Platform};

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

/// A layer of an image.
#[derive(Debug, Clone)]
pub struct Layer {
    /// Media type, digest and size of the compressed blob.
    pub descriptor: Descriptor,
    /// The same digest, typed.
    pub digest: Digest,
    /// Digest of the tar.
    pub diff_id: DiffId,
}

impl Image {
    /// Opens a layer to be read entry by entry.
    ///
    /// # Errors
    /// The blob is absent or its media type is not a layer's.
    pub fn open_layer(
        &self,
        _layer: &Layer,
        _limits: ReadLimits,
    ) -> Result<LayerReader, LayerError> {
        todo!()
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
}
