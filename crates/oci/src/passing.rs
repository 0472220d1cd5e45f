//! An image that has no name and goes with its value: what something that is no
//! image would be as one.

use std::sync::Arc;

use serde_json::json;

use crate::blobs::Blobs;
use crate::layer::{self, Effort, Entry, LayerOptions};
use crate::model::{MediaType, canonical_json, descriptor};
use crate::store::StoreError;
use crate::{Image, Platform, Store};

impl Image {
    /// Makes an image of one layer with these entries, which starts `program`.
    /// Its blobs lie in a temporary layout of the store until the last clone of
    /// the value is gone.
    ///
    /// # Errors
    /// A file of the host cannot be read, an entry is not valid, the disk refuses.
    pub fn passing(
        store: &Store,
        entries: &[Entry],
        platform: &Platform,
        program: Option<&str>,
    ) -> Result<Self, StoreError> {
        let (spool, mut sink) = store.spool()?;
        let options = LayerOptions::default();
        let layer = layer::write::write(&mut sink, entries, options, Effort::Quick)?;
        let mut config = json!({
            "architecture": platform.architecture,
            "os": platform.os,
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [layer.diff_id.to_string()]},
        });
        if let Some(variant) = &platform.variant {
            config["variant"] = json!(variant);
        }
        if let Some(program) = program {
            config["config"] = json!({"Entrypoint": [program]});
        }
        let mut put = |media_type: MediaType, document: &serde_json::Value| {
            let bytes = canonical_json(document).map_err(StoreError::Json)?;
            let digest = sink.put(&bytes)?;
            Ok::<_, StoreError>(descriptor(media_type, &digest, bytes.len() as u64))
        };
        let config = put(MediaType::ImageConfig, &config)?;
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MediaType::ImageManifest.to_string(),
            "config": config,
            "layers": [layer.descriptor],
        });
        let root = put(MediaType::ImageManifest, &manifest)?;
        Ok(Self::read(Blobs::spooled(Arc::new(spool)), &root)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::{Content, EntryKind};

    #[test]
    fn passing_image_can_be_read_and_leaves_nothing_in_the_store() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let count = || {
            let scratch = std::fs::read_dir(store.scratch()).unwrap();
            scratch.count() + store.names().unwrap().len()
        };
        let before = count();
        let entry = Entry {
            path: "app".to_owned(),
            kind: EntryKind::File(Content::Bytes(b"text".to_vec())),
            mode: 0o755,
            uid: 0,
            gid: 0,
        };
        let platform = "linux/arm/v7".parse().unwrap();
        let image = Image::passing(&store, &[entry], &platform, Some("/app")).unwrap();
        assert_eq!(image.platform, platform);
        let mut paths = Vec::new();
        let reader = image.open_layer(&image.layers[0], Default::default());
        let visit = |entry: layer::ReadEntry, _: &mut dyn std::io::Read| {
            paths.push(entry.path);
            Ok::<(), layer::LayerError>(())
        };
        reader.unwrap().for_each(visit).unwrap();
        assert_eq!(paths, [std::path::Path::new("app")]);
        assert!(count() > before);
        drop(image);
        assert_eq!(count(), before);
    }
}
