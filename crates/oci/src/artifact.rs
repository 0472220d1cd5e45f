//! Artifacts: what hangs on an image without being a part of it, such as a
//! signature, a bill of materials or a statement of where it comes from.
//!
//! An artifact is a manifest of the OCI image specification with a `subject`
//! (image spec 1.1, manifest.md, "Guidelines for Artifact Usage"). It never
//! bears a name of its own: platforms that import a layout take what is named
//! for an image and refuse what is none. What an artifact means is its reader's;
//! where it is kept, `referrers`'.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::model::{Descriptor, MediaType, digest_of};
use crate::store::{StoreError, StoreWriter};

/// The media type of the empty configuration (image spec 1.1, manifest.md,
/// "Guidance for an Empty Descriptor").
pub const EMPTY: &str = "application/vnd.oci.empty.v1+json";

/// An image configuration, which cosign's artifacts have.
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";

/// Most bytes of a part of an artifact: of a bill of materials, a statement, a
/// signature's payload. A bill of 100,000 packages takes 60 MB.
pub const PART_LIMIT: u64 = 128 << 20;

/// The media type of bills of materials in SPDX's form (IANA).
pub const SPDX: &str = "application/spdx+json";
/// The media type of bills of materials in CycloneDX's form (IANA).
pub const CYCLONEDX: &str = "application/vnd.cyclonedx+json";
/// The media type of statements of in-toto that nobody has signed.
pub const IN_TOTO: &str = "application/vnd.in-toto+json";
/// What an artifact is that makes an image of an older one: its one blob is as
/// `ounce delta` writes it.
pub const DELTA: &str = "application/vnd.ounce.delta.v1";
/// The annotation of such an artifact that names the older image: its manifest's digest.
pub const DELTA_FROM: &str = "io.ounce.delta.from";
/// The annotation by which a statement's layer tells what it states (as
/// BuildKit writes it).
pub const PREDICATE_TYPE: &str = "in-toto.io/predicate-type";

/// What is to hang on an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// What it is, as a media type.
    pub artifact_type: String,
    /// Which form its manifest has.
    pub form: Form,
    /// Its parts, in order.
    pub parts: Vec<Part>,
    /// What is said of it where it is listed.
    pub annotations: BTreeMap<String, String>,
}

/// The form of an artifact's manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// With the empty configuration, as the specification has it.
    Plain,
    /// With an image's configuration, as cosign has it: the same manifest can
    /// then be pushed under cosign's tag, where podman adds to it.
    Cosign,
}

/// A part of an artifact: a blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its media type.
    pub media_type: String,
    /// What is said of it, such as the signature of these bytes.
    pub annotations: BTreeMap<String, String>,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl Artifact {
    /// An artifact of one part, of the part's type.
    pub fn document(media_type: &str, bytes: Vec<u8>) -> Self {
        Self {
            artifact_type: media_type.to_owned(),
            form: Form::Plain,
            parts: vec![Part {
                media_type: media_type.to_owned(),
                annotations: BTreeMap::new(),
                bytes,
            }],
            annotations: BTreeMap::new(),
        }
    }

    /// With a further annotation where it is listed.
    #[must_use]
    pub fn annotated(mut self, key: &str, value: &str) -> Self {
        self.annotations.insert(key.to_owned(), value.to_owned());
        self
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Manifest<'a> {
    schema_version: u8,
    media_type: &'static str,
    artifact_type: &'a str,
    config: Descriptor,
    layers: Vec<Descriptor>,
    subject: Descriptor,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: &'a BTreeMap<String, String>,
}

/// The configuration that cosign writes, but for its time.
#[derive(Serialize)]
struct CosignConfig {
    architecture: &'static str,
    os: &'static str,
    config: Empty,
    rootfs: RootFs,
}

#[derive(Serialize)]
struct Empty {}

#[derive(Serialize)]
struct RootFs {
    #[serde(rename = "type")]
    kind: &'static str,
    diff_ids: Vec<String>,
}

impl StoreWriter<'_> {
    /// Writes an artifact that hangs on `subject`; it can be found from the
    /// writer's commit on.
    ///
    /// # Errors
    /// A digest that cannot be verified, or the disk refuses.
    pub fn artifact(
        &mut self,
        subject: &Descriptor,
        artifact: &Artifact,
    ) -> Result<Descriptor, StoreError> {
        let mut layers = Vec::with_capacity(artifact.parts.len());
        for part in &artifact.parts {
            let media_type = MediaType::Other(part.media_type.clone());
            let mut layer = self.blob(media_type, &part.bytes)?;
            if !part.annotations.is_empty() {
                layer.set_annotations(Some(part.annotations.clone().into_iter().collect()));
            }
            layers.push(layer);
        }
        let config = match artifact.form {
            Form::Plain => self.blob(MediaType::Other(EMPTY.to_owned()), b"{}")?,
            Form::Cosign => {
                let config = CosignConfig {
                    architecture: "",
                    os: "",
                    config: Empty {},
                    rootfs: RootFs {
                        kind: "layers",
                        diff_ids: layers.iter().map(|it| it.digest().to_string()).collect(),
                    },
                };
                self.json(MediaType::Other(CONFIG.to_owned()), &config)?
            }
        };
        digest_of(subject).map_err(crate::blobs::BlobError::from)?;
        let manifest = Manifest {
            schema_version: 2,
            media_type: "application/vnd.oci.image.manifest.v1+json",
            artifact_type: &artifact.artifact_type,
            config,
            layers,
            // What an index says of the image beside is no part of what is signed.
            subject: Descriptor::new(
                subject.media_type().clone(),
                subject.size(),
                subject.digest().clone(),
            ),
            annotations: &artifact.annotations,
        };
        let mut descriptor = self.json(MediaType::ImageManifest, &manifest)?;
        let kind = MediaType::Other(artifact.artifact_type.clone());
        descriptor.set_artifact_type(Some(kind));
        if !artifact.annotations.is_empty() {
            let annotations = artifact.annotations.clone().into_iter().collect();
            descriptor.set_annotations(Some(annotations));
        }
        self.refers(&descriptor);
        Ok(descriptor)
    }
}
