//! An image as Lambda accepts it: one manifest, gzip layers, a step of history for
//! each, and the adapter before a server.

use std::collections::HashMap;

use ounce_oci::layer::{Content, Entry, EntryKind, LayerOptions};
use ounce_oci::model::{Config, Descriptor, History, ImageManifest, MediaType};
use ounce_oci::store::{StoreError, StoreWriter};
use ounce_oci::{ByteSize, Image};

use super::{Architecture, LambdaError, MOST_IMAGE, PORT, adapter};
use crate::application::Application;

/// Where the adapter lies in an image.
const ADAPTER: &str = "lambda-adapter";
/// By which an image says that it may be frozen (FACTS: AWS's own documentation of
/// SnapStart for images).
const SNAP_START: &str = "com.amazonaws.lambda.feature.snapstart";

/// The command of an image's configuration.
fn command(config: Option<&Config>) -> Vec<String> {
    let words = |list: Option<&Vec<String>>| list.cloned().unwrap_or_default();
    let own = config.map(|own| (own.entrypoint().as_ref(), own.cmd().as_ref()));
    let (entrypoint, cmd) = own.unwrap_or_default();
    [words(entrypoint), words(cmd)].concat()
}

/// Writes the image for Lambda: its layers as they are, one more with the adapter
/// where it is to have one, and a configuration that says so.
///
/// # Errors
/// A layer is not compressed by gzip, there is no adapter, or the disk refuses.
pub fn write(
    image: &Image,
    application: &Application,
    is_adapted: bool,
    is_snap_start: bool,
    writer: &mut StoreWriter<'_>,
) -> Result<Descriptor, LambdaError> {
    let architecture = Architecture::of(&image.platform)?;
    if image.pulled_bytes() > MOST_IMAGE {
        return Err(LambdaError::LongImage(ByteSize(image.pulled_bytes())));
    }
    let mut layers = Vec::new();
    let mut diff_ids = Vec::new();
    for layer in &image.layers {
        let media_type = layer.descriptor.media_type().to_string();
        if !media_type.ends_with("gzip") {
            return Err(LambdaError::Compression {
                digest: layer.digest.to_string(),
                media_type,
            });
        }
        let mut blob = image
            .blobs
            .open(&layer.descriptor)
            .map_err(StoreError::from)?;
        writer.copy(&layer.descriptor, &mut blob)?;
        let mut descriptor = layer.descriptor.clone();
        // Docker's type is the same file by an older name.
        descriptor.set_media_type(MediaType::ImageLayerGzip);
        layers.push(descriptor);
        diff_ids.push(layer.diff_id.to_string());
    }
    let mut config = image.config.clone();
    let mut own = config.config().clone().unwrap_or_default();
    if is_adapted {
        let entry = Entry {
            path: ADAPTER.to_owned(),
            kind: EntryKind::File(Content::Bytes(adapter(architecture)?.to_vec())),
            mode: 0o755,
            uid: 0,
            gid: 0,
        };
        let layer = writer.layer(&[entry], LayerOptions::default())?;
        layers.push(layer.descriptor);
        diff_ids.push(layer.diff_id.to_string());
        let mut entrypoint = vec![format!("/{ADAPTER}")];
        entrypoint.extend(command(Some(&own)));
        own.set_entrypoint(Some(entrypoint));
        own.set_cmd(None);
        let mut variables = own.env().clone().unwrap_or_default();
        let port = application.port.unwrap_or(PORT);
        variables.retain(|variable| !variable.starts_with("AWS_LWA_PORT="));
        variables.push(format!("AWS_LWA_PORT={port}"));
        if !variables
            .iter()
            .any(|variable| variable.starts_with("PORT="))
        {
            variables.push(format!("PORT={port}"));
        }
        own.set_env(Some(variables));
    }
    if is_snap_start {
        let mut labels: HashMap<_, _> = own.labels().clone().unwrap_or_default();
        labels.insert(SNAP_START.to_owned(), "Allow".to_owned());
        own.set_labels(Some(labels));
    }
    config.set_config(Some(own));
    let mut rootfs = config.rootfs().clone();
    rootfs.set_diff_ids(diff_ids.clone());
    config.set_rootfs(rootfs);
    let history = config.history().clone().unwrap_or_default();
    config.set_history(Some(full(history, diff_ids.len())));
    let config = writer.json(MediaType::ImageConfig, &config)?;
    let mut manifest: ImageManifest = image.manifest.clone();
    manifest.set_media_type(Some(MediaType::ImageManifest));
    manifest.set_config(config);
    manifest.set_layers(layers);
    Ok(writer.json(MediaType::ImageManifest, &manifest)?)
}

/// A step for each layer: those that there are, as far as they go, and steps of ours
/// for the others.
fn full(mut history: Vec<History>, layers: usize) -> Vec<History> {
    let filled = |step: &&History| !step.empty_layer().unwrap_or(false);
    let mut has = history.iter().filter(filled).count();
    while has < layers {
        let mut step = History::default();
        step.set_created_by(Some("ounce ship --to lambda".to_owned()));
        history.push(step);
        has += 1;
    }
    history
}

/// How an image is named that Lambda is to be given, next to the one it is made of.
pub fn reported(name: &str) -> String {
    format!("{name}-lambda")
}
