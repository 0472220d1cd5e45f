//! What hangs on an image: signatures, bills of materials, provenance (OCI
//! distribution spec 1.1, "Referrers API"), by the API where there is one, else by
//! a tag that is made of the image's digest.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::{Value, json};
use ureq::http::Method;

use super::api::{Action, Ask, Registry, Session};
use super::documents::Document;
use super::fault::RegistryError;
use super::remote::Remote;
use crate::Digest;
use crate::blobs::BlobError;
use crate::fetch::url::Url;
use crate::fetch::{FetchError, Watch};
use crate::model::{
    DOCUMENT_LIMIT, Descriptor, ImageIndex, ImageManifest, MediaType, Role, canonical_json,
    descriptor, digest_of, from_json, role,
};

/// What an artifact's empty configuration is (OCI image spec, "Guidance for an
/// Empty Descriptor").
const EMPTY_TYPE: &str = "application/vnd.oci.empty.v1+json";
const EMPTY: &[u8] = b"{}";

/// A blob of an artifact.
#[derive(Debug, Clone)]
pub struct ArtifactBlob {
    /// Its type.
    pub media_type: String,
    /// Its content.
    pub bytes: Vec<u8>,
    /// Said of it in the manifest.
    pub annotations: HashMap<String, String>,
}

/// Something that is no image, and may hang on one.
#[derive(Debug, Clone)]
pub struct Artifact {
    /// What it is: `application/spdx+json`, …
    pub artifact_type: String,
    /// Its configuration, where it has one: media type and bytes.
    pub config: Option<(String, Vec<u8>)>,
    /// Its content.
    pub blobs: Vec<ArtifactBlob>,
    /// Said of it.
    pub annotations: HashMap<String, String>,
}

impl Artifact {
    /// Its manifest, which names `subject` as what it hangs on, and the blobs to
    /// send. The same artifact has the same digest everywhere.
    ///
    /// # Errors
    /// It has no form in JSON.
    pub fn manifest(&self, subject: Option<&Descriptor>) -> Result<Document, serde_json::Error> {
        let config = self.config_descriptor();
        let mut layers = Vec::new();
        for blob in &self.blobs {
            let mut layer = serde_json::to_value(described(&blob.media_type, &blob.bytes))?;
            if !blob.annotations.is_empty() {
                layer["annotations"] = json!(blob.annotations);
            }
            layers.push(layer);
        }
        // A manifest has one layer at least.
        if layers.is_empty() {
            layers.push(json!(described(EMPTY_TYPE, EMPTY)));
        }
        let mut manifest = json!({
            "schemaVersion": 2,
            "mediaType": MediaType::ImageManifest.to_string(),
            "artifactType": self.artifact_type,
            "config": config,
            "layers": layers,
        });
        if let Some(subject) = subject {
            manifest["subject"] = json!({
                "mediaType": subject.media_type().to_string(),
                "digest": subject.digest().to_string(),
                "size": subject.size(),
            });
        }
        if !self.annotations.is_empty() {
            manifest["annotations"] = json!(self.annotations);
        }
        let bytes = canonical_json(&manifest)?;
        let digest = Digest::of(&bytes);
        Ok(Document {
            descriptor: descriptor(MediaType::ImageManifest, &digest, bytes.len() as u64),
            digest,
            bytes,
        })
    }

    fn config_descriptor(&self) -> Descriptor {
        match &self.config {
            Some((media_type, bytes)) => described(media_type, bytes),
            None => described(EMPTY_TYPE, EMPTY),
        }
    }

    /// Every blob that the manifest names.
    fn parts(&self) -> Vec<(Descriptor, &[u8])> {
        let config = self.config.as_ref().map_or(EMPTY, |(_, bytes)| bytes);
        let mut parts = vec![(self.config_descriptor(), config)];
        for blob in &self.blobs {
            parts.push((described(&blob.media_type, &blob.bytes), &blob.bytes));
        }
        if self.blobs.is_empty() && self.config.is_some() {
            parts.push((described(EMPTY_TYPE, EMPTY), EMPTY));
        }
        parts
    }
}

fn described(media_type: &str, bytes: &[u8]) -> Descriptor {
    descriptor(
        MediaType::from(media_type),
        &Digest::of(bytes),
        bytes.len() as u64,
    )
}

impl Registry {
    /// Pushes an artifact beside the image `subject` of the repository, which need
    /// not be there yet; and, if `remote` has a tag and there is no subject, under
    /// that tag. Its manifest's descriptor comes back.
    ///
    /// # Errors
    /// As of all that is asked of a registry.
    pub fn push_artifact(
        &self,
        remote: &Remote,
        subject: Option<&Descriptor>,
        artifact: &Artifact,
    ) -> Result<Descriptor, RegistryError> {
        let session = self.session(remote, Action::Push, &[])?;
        let mut tell = |_| {};
        let mut watch = Watch::none(&mut tell);
        for (part, bytes) in artifact.parts() {
            session.send_bytes(&part, bytes, &mut watch)?;
        }
        let document = artifact
            .manifest(subject)
            .map_err(|error| RegistryError::Answer {
                url: remote.to_string(),
                why: error.to_string(),
            })?;
        let name = match (subject, remote.tag()) {
            (None, Some(tag)) => tag.to_owned(),
            _ => document.digest.to_string(),
        };
        session.put_whole(&document, &name, &mut watch)?;
        Ok(document.descriptor)
    }

    /// Everything that hangs on an image, or what is of `artifact_type`.
    ///
    /// # Errors
    /// As of all that is asked of a registry; that nothing hangs there is none.
    pub fn referrers(
        &self,
        remote: &Remote,
        subject: &Digest,
        artifact_type: Option<&str>,
    ) -> Result<Vec<Descriptor>, RegistryError> {
        let session = self.session(remote, Action::Pull, &[])?;
        let mut tell = |_| {};
        let mut found = session.referrers(subject, artifact_type, &mut Watch::none(&mut tell))?;
        // A registry may, but need not, look at the type.
        found.retain(|one| {
            artifact_type.is_none_or(|wanted| {
                let kind = one.artifact_type().as_ref();
                kind.is_some_and(|kind| kind.as_ref() == wanted)
            })
        });
        Ok(found)
    }

    /// Reads an artifact: its manifest, and its blobs of at most `limit` bytes each.
    ///
    /// # Errors
    /// As of all that is asked of a registry; a blob is larger.
    pub fn artifact(
        &self,
        remote: &Remote,
        limit: u64,
    ) -> Result<(Document, ImageManifest, Vec<Vec<u8>>), RegistryError> {
        let session = self.session(remote, Action::Pull, &[])?;
        let mut tell = |_| {};
        let mut watch = Watch::none(&mut tell);
        let document = session.manifest(remote, None, &mut watch)?;
        let manifest: ImageManifest =
            from_json(&document.bytes).map_err(|error| RegistryError::Answer {
                url: remote.to_string(),
                why: format!("it is no manifest: {error}"),
            })?;
        let mut blobs = Vec::new();
        for layer in manifest.layers() {
            blobs.push(session.blob_bytes(layer, limit, &mut watch)?);
        }
        Ok((document, manifest, blobs))
    }
}

/// The part of a manifest that tells what it hangs on.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Hanging {
    subject: Option<Descriptor>,
    artifact_type: Option<String>,
    config: Option<Value>,
    annotations: Option<HashMap<String, String>>,
}

/// How often a list that others write too is tried to be changed.
const MOST_CHANGES: usize = 5;

impl Session<'_> {
    /// What is listed as hanging on `subject`. A registry may, but need not, look at the type.
    pub(super) fn referrers(
        &self,
        subject: &Digest,
        artifact_type: Option<&str>,
        watch: &mut Watch<'_>,
    ) -> Result<Vec<Descriptor>, RegistryError> {
        let mut url: Url = self.url(&format!("referrers/{subject}"))?;
        if let Some(kind) = artifact_type {
            url = url
                .with_parameter("artifactType", kind)
                .map_err(FetchError::from)?;
        }
        let ask = Ask::new(Method::GET, url.clone());
        let answer = self.ask(&ask, watch)?;
        // No such API, or a page of a web site where it would be.
        let is_index = answer
            .header(&ureq::http::header::CONTENT_TYPE)
            .is_some_and(|kind| kind.starts_with(&*MediaType::ImageIndex.to_string()));
        match answer.status {
            200..=299 if is_index => {}
            200..=299 | 400 | 404 | 405 | 501 => {
                return Ok(self.tagged_referrers(subject, watch)?.unwrap_or_default());
            }
            _ => return Err(self.refusal(answer, "")),
        }
        drop(answer);
        let mut found = Vec::new();
        self.pages(url, "referrers", |answer, bytes| {
            found.extend(list(&answer.url, bytes)?);
            Ok(())
        })?;
        Ok(found)
    }

    /// What the tag that is made of the digest lists; `None` where there is none.
    fn tagged_referrers(
        &self,
        subject: &Digest,
        watch: &mut Watch<'_>,
    ) -> Result<Option<Vec<Descriptor>>, RegistryError> {
        let url = self.url(&format!("manifests/{}", fallback_tag(subject)))?;
        let mut ask = Ask::new(Method::GET, url);
        let accept = MediaType::ImageIndex.to_string();
        ask.headers.push((ureq::http::header::ACCEPT, accept));
        let (answer, bytes) = self.ask_bytes(&ask, DOCUMENT_LIMIT, watch)?;
        match answer.status {
            200..=299 => Ok(Some(list(&answer.url, &bytes)?)),
            404 => Ok(None),
            _ => Err(self.refusal(answer, "")),
        }
    }

    /// Sends a small blob.
    fn send_bytes(
        &self,
        descriptor: &Descriptor,
        bytes: &[u8],
        watch: &mut Watch<'_>,
    ) -> Result<(), RegistryError> {
        let digest = digest_of(descriptor).map_err(BlobError::from)?;
        if self.has_blob(&digest, watch)? {
            return Ok(());
        }
        self.send_small(&digest, bytes, watch)
    }

    /// Where the registry has taken no notice of a document's subject: puts the
    /// document into the list under the subject's tag.
    pub(super) fn note_subject(
        &self,
        document: &Document,
        watch: &mut Watch<'_>,
    ) -> Result<(), RegistryError> {
        if !matches!(
            role(document.descriptor.media_type()),
            Role::Manifest | Role::Index
        ) {
            return Ok(());
        }
        let Ok(hanging) = serde_json::from_slice::<Hanging>(&document.bytes) else {
            return Ok(());
        };
        let Some(subject) = hanging.subject else {
            return Ok(());
        };
        let subject = digest_of(&subject).map_err(BlobError::from)?;
        let kind = hanging.artifact_type.or_else(|| {
            let config = hanging.config?;
            Some(config.get("mediaType")?.as_str()?.to_owned())
        });
        let mut entry = document.descriptor.clone();
        entry.set_annotations(hanging.annotations);
        entry.set_artifact_type(kind.map(|kind| MediaType::from(kind.as_str())));
        let has = |list: &[Descriptor]| list.iter().any(|one| one.digest() == entry.digest());
        // Nothing keeps two writers apart here (the specification says so): each
        // looks whether its entry has stayed.
        for _ in 0..MOST_CHANGES {
            let mut manifests = self.tagged_referrers(&subject, watch)?.unwrap_or_default();
            if has(&manifests) {
                return Ok(());
            }
            manifests.push(entry.clone());
            let index = json!({
                "schemaVersion": 2,
                "mediaType": MediaType::ImageIndex.to_string(),
                "manifests": manifests,
            });
            let bytes = canonical_json(&index).map_err(|error| RegistryError::Answer {
                url: String::new(),
                why: error.to_string(),
            })?;
            let digest = Digest::of(&bytes);
            let list = Document {
                descriptor: descriptor(MediaType::ImageIndex, &digest, bytes.len() as u64),
                digest,
                bytes,
            };
            self.put(&list, &fallback_tag(&subject), watch)?;
        }
        let manifests = self.tagged_referrers(&subject, watch)?.unwrap_or_default();
        match has(&manifests) {
            true => Ok(()),
            false => Err(RegistryError::Answer {
                url: self
                    .url(&format!("manifests/{}", fallback_tag(&subject)))?
                    .to_string(),
                why: "others change the list of referrers all the time".to_owned(),
            }),
        }
    }
}

/// `sha256-…` (OCI distribution spec, "Referrers Tag Schema").
fn fallback_tag(subject: &Digest) -> String {
    format!("sha256-{}", subject.hex())
}

fn list(url: &Url, bytes: &[u8]) -> Result<Vec<Descriptor>, RegistryError> {
    let index: ImageIndex = from_json(bytes).map_err(|error| RegistryError::Answer {
        url: url.to_string(),
        why: format!("it is no list of referrers: {error}"),
    })?;
    Ok(index.manifests().clone())
}
