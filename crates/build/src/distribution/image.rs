//! An assembled base as an image of its own in the store: one layer, and a
//! configuration that says what its environment is. Programs are put on it, as
//! on any other image.

use std::collections::BTreeMap;

use ounce_oci::layer::{Compression, Effort, LayerOptions};
use ounce_oci::model::{Descriptor, MediaType};
use ounce_oci::store::StoreError;
use ounce_oci::{Platform, Reference, Store};
use serde::Serialize;

use super::files::Files;

/// What a base's image says besides its files.
#[derive(Debug, Clone)]
pub struct BaseImage<'a> {
    /// For which platform.
    pub platform: &'a Platform,
    /// Its environment, in order.
    pub environment: Vec<(String, String)>,
    /// What is started where there is no program on it.
    pub command: Vec<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// How its layer is compressed.
    pub compression: Compression,
    /// Time of every file in seconds since 1970.
    pub mtime: u64,
}

/// A base's image that was written.
#[derive(Debug, Clone)]
pub struct WrittenBase {
    /// The manifest.
    pub manifest: Descriptor,
    /// Bytes of the compressed layer.
    pub layer_bytes: u64,
    /// Bytes of the tar.
    pub unpacked_bytes: u64,
}

#[derive(Serialize)]
struct Configuration<'a> {
    architecture: &'a str,
    os: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    variant: Option<&'a str>,
    config: RunConfiguration<'a>,
    rootfs: RootFs,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct RunConfiguration<'a> {
    env: Vec<String>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    cmd: &'a [String],
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: &'a BTreeMap<String, String>,
}

#[derive(Serialize)]
struct RootFs {
    #[serde(rename = "type")]
    kind: &'static str,
    diff_ids: [String; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Manifest<'a> {
    schema_version: u8,
    media_type: &'static str,
    config: &'a Descriptor,
    layers: [&'a Descriptor; 1],
}

impl BaseImage<'_> {
    /// Writes it, and names it `reference`.
    ///
    /// # Errors
    /// The store or the disk refuses; nothing is named then.
    pub fn write(
        &self,
        files: Files,
        store: &Store,
        reference: &Reference,
    ) -> Result<WrittenBase, StoreError> {
        let mut writer = store.write()?;
        let options = LayerOptions {
            compression: self.compression,
            mtime: self.mtime,
        };
        let layer = writer.layer_with(&files.into_entries(), options, Effort::Once)?;
        let environment = self.environment.iter();
        let configuration = Configuration {
            architecture: &self.platform.architecture,
            os: &self.platform.os,
            variant: self.platform.variant.as_deref(),
            config: RunConfiguration {
                env: environment
                    .map(|(name, value)| format!("{name}={value}"))
                    .collect(),
                cmd: &self.command,
                labels: &self.labels,
            },
            rootfs: RootFs {
                kind: "layers",
                diff_ids: [layer.diff_id.to_string()],
            },
        };
        let config = writer.json(MediaType::ImageConfig, &configuration)?;
        let manifest = Manifest {
            schema_version: 2,
            media_type: "application/vnd.oci.image.manifest.v1+json",
            config: &config,
            layers: [&layer.descriptor],
        };
        let manifest = writer.json(MediaType::ImageManifest, &manifest)?;
        writer.commit(reference, &manifest)?;
        Ok(WrittenBase {
            manifest,
            layer_bytes: layer.descriptor.size(),
            unpacked_bytes: layer.uncompressed_bytes,
        })
    }
}
