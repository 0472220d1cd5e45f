//! The same image, its layers compressed otherwise: what is in it stays (the diff
//! IDs are the same), what is sent changes. The same input gives the same bytes.

use std::io::{self, Read as _};
use std::sync::Arc;

use super::api::Registry;
use super::fault::RegistryError;
use crate::blobs::{BlobError, Blobs};
use crate::compression::read::{Bounded, decompress};
use crate::compression::write::{Compress, Effort};
use crate::digest::Hashing;
use crate::image::{read_index, read_manifest};
use crate::layer::{Compression, ReadLimits};
use crate::model::{Descriptor, MediaType, Role, canonical_json, descriptor, digest_of, role};
use crate::sink::Sink;
use crate::store::Store;

impl Registry {
    /// Makes, in a temporary layout that lives as long as its blobs are held, what
    /// `root` is with its layers compressed as told. `None` where they are so
    /// already.
    ///
    /// # Errors
    /// A layer is damaged or grows beyond all measure, or the disk refuses.
    pub fn recompress(
        store: &Store,
        blobs: &Blobs,
        root: &Descriptor,
        compression: Compression,
    ) -> Result<Option<(Blobs, Descriptor)>, RegistryError> {
        let (spool, mut sink) = store.spool()?;
        let mut work = Work {
            blobs,
            compression,
            sink: &mut sink,
        };
        let new = work.document(root, 0)?;
        match new.digest() == root.digest() {
            true => Ok(None),
            false => Ok(Some((Blobs::spooled(Arc::new(spool)), new))),
        }
    }
}

struct Work<'a> {
    blobs: &'a Blobs,
    compression: Compression,
    sink: &'a mut Sink,
}

impl Work<'_> {
    fn document(&mut self, old: &Descriptor, depth: u32) -> Result<Descriptor, RegistryError> {
        let bytes = match role(old.media_type()) {
            Role::Index => {
                let mut index = read_index(self.blobs, old, depth)?;
                let mut children = Vec::new();
                for child in index.manifests() {
                    let mut new = self.document(child, depth + 1)?;
                    if new.digest() == child.digest() {
                        new = child.clone();
                    } else {
                        new.set_platform(child.platform().clone());
                        new.set_annotations(child.annotations().clone());
                        new.set_artifact_type(child.artifact_type().clone());
                    }
                    children.push(new);
                }
                if children == *index.manifests() {
                    return self.keep(old);
                }
                index.set_manifests(children);
                index.set_media_type(Some(MediaType::ImageIndex));
                (MediaType::ImageIndex, canonical_json(&index))
            }
            Role::Manifest => {
                let mut manifest = read_manifest(self.blobs, old)?;
                let is_done = |layer: &Descriptor| match role(layer.media_type()) {
                    Role::Layer(now) => now == self.compression,
                    _ => true,
                };
                let done = manifest.layers().iter().all(is_done);
                self.keep(manifest.config())?;
                if done {
                    for layer in manifest.layers() {
                        self.keep(layer)?;
                    }
                    return self.keep(old);
                }
                let mut layers = Vec::new();
                for layer in manifest.layers() {
                    layers.push(self.layer(layer)?);
                }
                manifest.set_layers(layers);
                manifest.set_media_type(Some(MediaType::ImageManifest));
                let mut config = manifest.config().clone();
                if role(config.media_type()) == Role::Config {
                    config.set_media_type(MediaType::ImageConfig);
                }
                manifest.set_config(config);
                (MediaType::ImageManifest, canonical_json(&manifest))
            }
            _ => return self.keep(old),
        };
        let (media_type, bytes) = bytes;
        let bytes = bytes.map_err(crate::store::StoreError::Json)?;
        let digest = self.sink.put(&bytes)?;
        Ok(descriptor(media_type, &digest, bytes.len() as u64))
    }

    /// Takes a blob over as it is.
    fn keep(&mut self, old: &Descriptor) -> Result<Descriptor, RegistryError> {
        let mut blob = self.blobs.open(old)?;
        self.sink.copy(old, &mut blob)?;
        Ok(old.clone())
    }

    fn layer(&mut self, old: &Descriptor) -> Result<Descriptor, RegistryError> {
        let now = match role(old.media_type()) {
            Role::Layer(now) => now,
            _ => return self.keep(old),
        };
        let media_type = match self.compression {
            Compression::None => MediaType::ImageLayer,
            Compression::Gzip => MediaType::ImageLayerGzip,
            Compression::Zstd => MediaType::ImageLayerZstd,
        };
        if now == self.compression {
            let mut kept = self.keep(old)?;
            kept.set_media_type(media_type);
            return Ok(kept);
        }
        let digest = digest_of(old).map_err(BlobError::from)?;
        let fault = |source| BlobError::Copy { digest, source };
        let limits = ReadLimits::default();
        let most = limits
            .uncompressed_bytes
            .min(old.size().saturating_mul(limits.ratio).max(1 << 20));
        // How large it is decides on the level, so it is read twice.
        let size = {
            let stream = decompress(self.blobs.open(old)?, now).map_err(fault)?;
            io::copy(&mut Bounded::new(stream, most), &mut io::sink()).map_err(fault)?
        };
        let stream = decompress(self.blobs.open(old)?, now).map_err(fault)?;
        let mut scratch = self.sink.scratch()?;
        let out = Hashing::new(io::BufWriter::with_capacity(1 << 17, scratch.file()));
        let mut compress =
            Compress::new(out, self.compression, Some(size), Effort::Quick).map_err(fault)?;
        io::copy(&mut Bounded::new(stream, most).take(size), &mut compress).map_err(fault)?;
        let (writer, new, count) = compress.finish().map_err(fault)?.into_digest();
        writer
            .into_inner()
            .map_err(|error| fault(error.into_error()))?;
        self.sink.place(scratch, &new, count)?;
        let mut layer = descriptor(media_type, &new, count);
        layer.set_annotations(old.annotations().clone());
        Ok(layer)
    }
}
