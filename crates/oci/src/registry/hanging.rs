//! What hangs on an image goes to a registry with it, and comes from there: as
//! referrers, and under the tags by which cosign and podman find signatures
//! (`sha256-….sig`, `sha256-….att`).

use std::collections::BTreeMap;
use std::io::Read as _;
use std::sync::Arc;

use serde_json::json;

use super::Event;
use super::api::Registry;
use super::fault::RegistryError;
use super::pull::Which;
use super::push::PushOptions;
use super::remote::Remote;
use crate::Digest;
use crate::artifact::{Artifact, DELTA, Form, PART_LIMIT, Part};
use crate::blobs::{BlobError, Blobs};
use crate::image::{ImageError, read_manifest, tree};
use crate::model::{
    Descriptor, ImageManifest, MediaType, Role, canonical_json, descriptor, digest_of, from_json,
    role,
};
use crate::referrers::{MOST_REFERRERS, Referrer, referrer};
use crate::signature::{ENVELOPE, PAYLOAD, SIGNATURE, cosign_tag};
use crate::store::{Store, StoreError};

/// Cosign's tags: what they end with, what the layers are, and what an artifact
/// of these is called.
const TAGS: &[(&str, &str, &str)] = &[("sig", PAYLOAD, SIGNATURE), ("att", ENVELOPE, ENVELOPE)];

impl Registry {
    /// Pushes artifacts of a layout beside the images that they hang on, which are
    /// in the repository of `remote`; and what is cosign's under its tags, joined
    /// with what stands there. Tells how many artifacts there were.
    ///
    /// # Errors
    /// As of all that is asked of a registry.
    pub fn push_hanging(
        &self,
        store: &Store,
        blobs: &Blobs,
        artifacts: &[Descriptor],
        remote: &Remote,
        options: &PushOptions,
        tell: &mut dyn FnMut(Event),
    ) -> Result<usize, RegistryError> {
        let mut of_cosign: BTreeMap<(Digest, usize), Vec<(Descriptor, Referrer)>> = BTreeMap::new();
        for artifact in artifacts {
            let digest = digest_of(artifact).map_err(BlobError::from)?;
            self.push(blobs, artifact, &remote.with_digest(digest), options, tell)?;
            let Some(found) = referrer(blobs, artifact)? else {
                continue;
            };
            for (number, (_, media_type, _)) in TAGS.iter().enumerate() {
                let is_such = |part: &Descriptor| part.media_type().as_ref() == *media_type;
                if !found.parts.is_empty() && found.parts.iter().all(is_such) {
                    let of_tag = of_cosign.entry((found.subject, number)).or_default();
                    of_tag.push((artifact.clone(), found.clone()));
                }
            }
        }
        for ((subject, number), found) in of_cosign {
            let tag = cosign_tag(&subject, TAGS[number].0);
            self.push_tag(store, blobs, &found, &remote.with_tag(&tag), tell)?;
        }
        Ok(artifacts.len())
    }

    /// Gives cosign's tag what it has, and `found` besides.
    fn push_tag(
        &self,
        store: &Store,
        blobs: &Blobs,
        found: &[(Descriptor, Referrer)],
        tag: &Remote,
        tell: &mut dyn FnMut(Event),
    ) -> Result<(), RegistryError> {
        let mut layers = match self.manifest(tag) {
            Ok(document) => manifest_of(tag, &document.bytes)?.layers().clone(),
            Err(RegistryError::NotFound { .. }) => Vec::new(),
            Err(error) => return Err(error),
        };
        let options = PushOptions::default();
        if let ([(only, _)], true) = (found, layers.is_empty()) {
            // The same manifest serves both ways.
            self.push(blobs, only, tag, &options, tell)?;
            return Ok(());
        }
        let before = layers.len();
        for part in found.iter().flat_map(|(_, found)| &found.parts) {
            let same = |one: &Descriptor| {
                one.digest() == part.digest() && one.annotations() == part.annotations()
            };
            if !layers.iter().any(same) {
                layers.push(part.clone());
            }
        }
        if layers.len() == before {
            return Ok(());
        }
        let diff_ids: Vec<String> = layers.iter().map(|it| it.digest().to_string()).collect();
        let config = json!({
            "architecture": "",
            "os": "",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        let (spool, mut sink) = store.spool()?;
        let mut put = |media_type: MediaType, document: &serde_json::Value| {
            let bytes = canonical_json(document).map_err(StoreError::Json)?;
            let digest = sink.put(&bytes)?;
            Ok::<_, RegistryError>(descriptor(media_type, &digest, bytes.len() as u64))
        };
        let config = put(MediaType::ImageConfig, &config)?;
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MediaType::ImageManifest.to_string(),
            "config": config,
            "layers": layers,
        });
        let root = put(MediaType::ImageManifest, &manifest)?;
        // The layers are there: those of before, and ours from the artifacts.
        let joined = Blobs::spooled(Arc::new(spool));
        self.push(&joined, &root, tag, &options, tell)?;
        Ok(())
    }

    /// Fetches what hangs on `root`, an image or an index in the store, and on its
    /// images, and hangs it there. Tells how many artifacts there are. Deltas stay
    /// where they are: they lead to an image that is here now.
    ///
    /// # Errors
    /// As of all that is asked of a registry; more hangs there than anybody means.
    pub fn pull_hanging(
        &self,
        remote: &Remote,
        store: &Store,
        root: &Descriptor,
    ) -> Result<usize, RegistryError> {
        let is_document =
            |at: &Descriptor| matches!(role(at.media_type()), Role::Manifest | Role::Index);
        let subjects: Vec<Descriptor> = tree(&store.blobs(), root)?
            .into_iter()
            .filter(is_document)
            .collect();
        let mut count = 0;
        for subject in subjects {
            let digest = digest_of(&subject).map_err(BlobError::from)?;
            for found in self.referrers(remote, &digest, None)? {
                let kind = found.artifact_type().as_ref();
                if kind.is_some_and(|kind| kind.as_ref() == DELTA) {
                    continue;
                }
                count += 1;
                bounded(&digest, count)?;
                self.pull_artifact(remote, store, &digest, &found)?;
            }
            for (suffix, media_type, artifact_type) in TAGS {
                let tag = remote.with_tag(&cosign_tag(&digest, suffix));
                count += self.pull_tag(&tag, store, &subject, media_type, artifact_type)?;
            }
        }
        Ok(count)
    }

    fn pull_artifact(
        &self,
        remote: &Remote,
        store: &Store,
        subject: &Digest,
        found: &Descriptor,
    ) -> Result<(), RegistryError> {
        let digest = digest_of(found).map_err(BlobError::from)?;
        if store
            .referrers(subject)?
            .iter()
            .any(|one| one.digest == digest)
        {
            return Ok(());
        }
        let (blobs, pulled) =
            self.fetch(&remote.with_digest(digest), store, &Which::All, &mut |_| {})?;
        let read = read_manifest(&blobs, &pulled.root)?;
        let stated = read.subject().as_ref().map(digest_of).transpose();
        if stated.map_err(BlobError::from)? != Some(*subject) {
            // The list says so, but not the artifact itself.
            return Ok(());
        }
        let mut writer = store.write()?;
        for blob in tree(&blobs, &pulled.root)? {
            let mut content = blobs.open(&blob)?;
            writer.copy(&blob, &mut content)?;
        }
        let mut listed = pulled.root.clone();
        let kind = read.artifact_type().as_ref();
        listed.set_artifact_type(Some(kind.unwrap_or(read.config().media_type()).clone()));
        listed.set_annotations(read.annotations().clone().filter(|all| !all.is_empty()));
        writer.refers(&listed);
        writer.attach()?;
        Ok(())
    }

    /// What stands under a tag of cosign's, as artifacts that hang on the image: one
    /// for each signature, as signing here makes them.
    fn pull_tag(
        &self,
        tag: &Remote,
        store: &Store,
        subject: &Descriptor,
        media_type: &str,
        artifact_type: &str,
    ) -> Result<usize, RegistryError> {
        let digest = digest_of(subject).map_err(BlobError::from)?;
        let document = match self.manifest(tag) {
            Ok(document) => document,
            Err(RegistryError::NotFound { .. }) => return Ok(0),
            Err(error) => return Err(error),
        };
        let layers = manifest_of(tag, &document.bytes)?.layers().clone();
        bounded(&digest, layers.len())?;
        let known = store.referrers(&digest)?;
        let is_known = |layer: &Descriptor| {
            known.iter().flat_map(|one| &one.parts).any(|part| {
                part.digest() == layer.digest() && part.annotations() == layer.annotations()
            })
        };
        let is_such = |layer: &&Descriptor| layer.media_type().as_ref() == media_type;
        let new: Vec<&Descriptor> = layers
            .iter()
            .filter(is_such)
            .filter(|layer| !is_known(layer))
            .collect();
        if new.is_empty() {
            return Ok(0);
        }
        let (blobs, _) = self.fetch(tag, store, &Which::All, &mut |_| {})?;
        let mut writer = store.write()?;
        for layer in &new {
            let mut bytes = Vec::new();
            if layer.size() > PART_LIMIT {
                return Err(BlobError::TooLarge {
                    digest,
                    size_bytes: layer.size(),
                    limit_bytes: PART_LIMIT,
                }
                .into());
            }
            blobs
                .open(layer)?
                .read_to_end(&mut bytes)
                .map_err(|source| BlobError::Copy { digest, source })?;
            let annotations = layer.annotations().clone().unwrap_or_default();
            let artifact = Artifact {
                artifact_type: artifact_type.to_owned(),
                form: Form::Cosign,
                parts: vec![Part {
                    media_type: media_type.to_owned(),
                    annotations: annotations.into_iter().collect(),
                    bytes,
                }],
                annotations: BTreeMap::new(),
            };
            writer.artifact(subject, &artifact)?;
        }
        writer.attach()?;
        Ok(new.len())
    }
}

fn manifest_of(remote: &Remote, bytes: &[u8]) -> Result<ImageManifest, RegistryError> {
    from_json(bytes).map_err(|error| RegistryError::Answer {
        url: remote.to_string(),
        why: format!("it is no manifest: {error}"),
    })
}

fn bounded(subject: &Digest, count: usize) -> Result<(), RegistryError> {
    if count <= MOST_REFERRERS {
        return Ok(());
    }
    Err(ImageError::Invalid {
        what: "image",
        digest: *subject,
        why: format!("more than {MOST_REFERRERS} artifacts hang on it"),
    }
    .into())
}
