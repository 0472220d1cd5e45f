//! Cutting: from an image and the places that stay to an image of one layer, the
//! configuration kept. The same image and places give the same digest.

use std::collections::HashMap;
use std::path::Path;

use ounce_oci::Image;
use ounce_oci::layer::{Compression, Patch};
use ounce_oci::model::{Descriptor, History, ImageConfiguration, ImageManifest, MediaType};
use ounce_oci::store::{StoreError, StoreWriter};
use ounce_rootfs::tree::ContentId;

use crate::survey::Survey;

/// What the image that is cut says besides its files.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// How the layer is compressed.
    pub compression: Compression,
    /// Annotations of the manifest, over those that it has.
    pub annotations: Vec<(String, String)>,
    /// Files that are changed on the way.
    pub patches: HashMap<ContentId, Patch>,
    /// Files that become a further name of another one, which has the same content.
    pub same: HashMap<ContentId, ContentId>,
}

/// Writes the image that holds exactly `places`, which are sorted.
///
/// # Errors
/// A layer cannot be read again, or the disk refuses. No name reaches what was
/// written until the writer is committed.
pub fn cut<'a>(
    image: &Image,
    survey: &Survey,
    places: impl Iterator<Item = &'a Path>,
    options: &Options,
    writer: &mut StoreWriter<'_>,
) -> Result<Descriptor, StoreError> {
    let entries = survey.entries(places, &options.patches, &options.same)?;
    let layer = writer.layer_of(image, &entries, options.compression)?;
    let config = configuration(&image.config, &layer.diff_id.to_string());
    let config = writer.json(MediaType::ImageConfig, &config)?;
    let mut manifest: ImageManifest = image.manifest.clone();
    manifest.set_media_type(Some(MediaType::ImageManifest));
    manifest.set_config(config);
    manifest.set_layers(vec![layer.descriptor]);
    let mut annotations: HashMap<_, _> = manifest.annotations().clone().unwrap_or_default();
    annotations.extend(options.annotations.iter().cloned());
    manifest.set_annotations((!annotations.is_empty()).then_some(annotations));
    writer.json(MediaType::ImageManifest, &manifest)
}

/// The same but for its layers. Steps of the history that made one are kept as
/// steps that made none, since there has to be one for each layer.
fn configuration(old: &ImageConfiguration, diff_id: &str) -> ImageConfiguration {
    let mut config = old.clone();
    let mut rootfs = config.rootfs().clone();
    rootfs.set_diff_ids(vec![diff_id.to_owned()]);
    config.set_rootfs(rootfs);
    let mut history = config.history().clone().unwrap_or_default();
    for step in &mut history {
        step.set_empty_layer(Some(true));
    }
    let mut own = History::default();
    own.set_created(old.created().clone());
    own.set_created_by(Some("ounce trim".to_owned()));
    history.push(own);
    config.set_history(Some(history));
    config
}
