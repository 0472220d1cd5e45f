//! Signatures of images and of statements about them, in the forms of
//! sigstore's cosign, with a pair of keys: no service is asked.
//!
//! A signature of an image is a small JSON document, the payload, that names
//! the image's digest, and beside it the signature of these bytes (cosign,
//! `specs/SIGNATURE_SPEC.md`). A statement is signed in an envelope (`dsse`).
//! What verifies reads only blobs whose digests it has checked, believes no
//! annotation but the signature itself, and counts only what says of itself that
//! it is about this very digest.

mod der;
pub mod dsse;
pub mod key;
pub mod sealed;

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::Digest;
use crate::artifact::{Artifact, Form, Part};
use crate::blobs::{BlobError, Blobs};
use crate::model::Descriptor;
use crate::referrers::Referrer;

pub use dsse::{Envelope, Statement, Subject};
pub use key::{Algorithm, KeyError, PrivateKey, PublicKey};

/// The type of an artifact that holds signatures of an image.
pub const SIGNATURE: &str = "application/vnd.dev.cosign.artifact.sig.v1+json";
/// The media type of a signature's payload.
pub const PAYLOAD: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// The annotation that holds the signature of the payload.
pub const ANNOTATION: &str = "dev.cosignproject.cosign/signature";
/// The type of an artifact that holds signed statements, and of an envelope.
pub const ENVELOPE: &str = "application/vnd.dsse.envelope.v1+json";

/// What a payload says it is.
const KIND: &str = "cosign container image signature";

/// Most bytes of a signature's payload, which takes some 250.
const PAYLOAD_LIMIT: u64 = 64 << 10;

/// What is signed of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payload {
    critical: Critical,
    /// What the signer adds.
    optional: Option<BTreeMap<String, serde_json::Value>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Critical {
    identity: Identity,
    image: ImageDigest,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Identity {
    docker_reference: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct ImageDigest {
    docker_manifest_digest: String,
}

impl Payload {
    /// The name under which the image was signed.
    pub fn identity(&self) -> &str {
        &self.critical.identity.docker_reference
    }

    /// What the signer added, as text.
    pub fn annotations(&self) -> BTreeMap<String, String> {
        let all = self.optional.iter().flatten();
        all.map(|(key, value)| {
            let text = value.as_str().map_or(value.to_string(), str::to_owned);
            (key.clone(), text)
        })
        .collect()
    }
}

/// What is to be found in a signature besides.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The name under which the image was signed.
    pub identity: Option<String>,
    /// What the signer added.
    pub annotations: BTreeMap<String, String>,
}

/// Signs an image that is called `identity` (a repository, without a tag).
///
/// # Errors
/// The system gives no random numbers.
pub fn sign(
    key: &PrivateKey,
    image: &Digest,
    identity: &str,
    annotations: &BTreeMap<String, String>,
) -> Result<Artifact, KeyError> {
    let added = annotations
        .iter()
        .map(|(name, value)| (name.clone(), value.clone().into()))
        .collect();
    let payload = Payload {
        critical: Critical {
            identity: Identity {
                docker_reference: identity.to_owned(),
            },
            image: ImageDigest {
                docker_manifest_digest: image.to_string(),
            },
            kind: KIND.to_owned(),
        },
        optional: (!annotations.is_empty()).then_some(added),
    };
    // Maps and fields have an order of their own, so this cannot fail.
    let bytes = serde_json::to_vec(&payload).expect("a payload is a tree of texts");
    let signature = STANDARD.encode(key.sign(&bytes)?);
    Ok(Artifact {
        artifact_type: SIGNATURE.to_owned(),
        form: Form::Cosign,
        parts: vec![Part {
            media_type: PAYLOAD.to_owned(),
            annotations: BTreeMap::from([(ANNOTATION.to_owned(), signature)]),
            bytes,
        }],
        annotations: BTreeMap::new(),
    })
}

/// Why a signature, or what is signed, does not count.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// There is no signature where one should stand.
    #[error("it holds no signature")]
    Unsigned,
    /// The signature is not base64.
    #[error("its signature is not base64")]
    Base64,
    /// Another key's, or the content was changed.
    #[error("it is signed by another key, or was changed since")]
    Key,
    /// It is signed, but is not what it should be.
    #[error("what is signed is not {0}")]
    Form(&'static str, #[source] serde_json::Error),
    /// It is signed, but for another purpose.
    #[error("what is signed is {found:?}, not {wanted}")]
    Kind {
        /// What it says.
        found: String,
        /// What it should say.
        wanted: &'static str,
    },
    /// It is signed, but of another image.
    #[error("it is about {found}")]
    Digest {
        /// What it is about.
        found: String,
    },
    /// It is signed under another name.
    #[error("the image was signed as {found:?}, not as {wanted:?}")]
    Identity {
        /// The name.
        found: String,
        /// As asked.
        wanted: String,
    },
    /// It lacks what the signer should have added.
    #[error("the signer said {} of {key}, not {wanted:?}", .found.as_ref().map_or("nothing".to_owned(), |found| format!("{found:?}")))]
    Annotation {
        /// The name.
        key: String,
        /// What was added.
        found: Option<String>,
        /// As asked.
        wanted: String,
    },
    /// A blob of it.
    #[error(transparent)]
    Blob(#[from] BlobError),
}

/// The signatures of an image among what hangs on it: each with its artifact's
/// digest, and what it says or why it does not count.
pub fn signatures(
    blobs: &Blobs,
    hanging: &[Referrer],
    image: &Digest,
    key: &PublicKey,
    wanted: &Wanted,
) -> Vec<(Digest, Result<Payload, Refused>)> {
    let of_image = hanging.iter().filter(|one| one.subject == *image);
    let parts = of_image.flat_map(|one| {
        let parts = one.parts.iter();
        parts
            .filter(|part| part.media_type().as_ref() == PAYLOAD)
            .map(|part| (one.digest, part))
    });
    parts
        .map(|(digest, part)| (digest, signature(blobs, part, image, key, wanted)))
        .collect()
}

fn signature(
    blobs: &Blobs,
    part: &Descriptor,
    image: &Digest,
    key: &PublicKey,
    wanted: &Wanted,
) -> Result<Payload, Refused> {
    let annotations = part.annotations().as_ref();
    let text = annotations
        .and_then(|all| all.get(ANNOTATION))
        .filter(|text| !text.is_empty())
        .ok_or(Refused::Unsigned)?;
    let signature = STANDARD.decode(text).map_err(|_| Refused::Base64)?;
    let bytes = blobs.read(part, PAYLOAD_LIMIT)?;
    // Nothing of the payload is looked at before it is known whose it is.
    if !key.verifies(&bytes, &signature) {
        return Err(Refused::Key);
    }
    let payload: Payload = serde_json::from_slice(&bytes)
        .map_err(|error| Refused::Form("a signature's payload", error))?;
    let critical = &payload.critical;
    if critical.kind != KIND {
        return Err(Refused::Kind {
            found: critical.kind.clone(),
            wanted: KIND,
        });
    }
    if critical.image.docker_manifest_digest != image.to_string() {
        return Err(Refused::Digest {
            found: critical.image.docker_manifest_digest.clone(),
        });
    }
    if let Some(identity) = &wanted.identity
        && identity != payload.identity()
    {
        return Err(Refused::Identity {
            found: payload.identity().to_owned(),
            wanted: identity.clone(),
        });
    }
    let found = payload.annotations();
    for (name, value) in &wanted.annotations {
        if found.get(name) != Some(value) {
            return Err(Refused::Annotation {
                key: name.clone(),
                found: found.get(name).cloned(),
                wanted: value.clone(),
            });
        }
    }
    Ok(payload)
}

/// The tag beside an image under which cosign and podman look for its
/// signatures (`sig`) or for what was stated of it (`att`) in a registry.
pub fn cosign_tag(image: &Digest, suffix: &str) -> String {
    format!("sha256-{}.{suffix}", image.hex())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payload_is_byte_for_byte_what_cosign_signs() {
        let key = PrivateKey::generate(Algorithm::Ed25519).unwrap();
        let image = Digest::of(b"");
        let artifact = sign(&key, &image, "registry.example/hello", &BTreeMap::new()).unwrap();
        assert_eq!(
            String::from_utf8(artifact.parts[0].bytes.clone()).unwrap(),
            format!(
                "{{\"critical\":{{\"identity\":{{\"docker-reference\":\"registry.example/hello\"}},\
                 \"image\":{{\"docker-manifest-digest\":\"{image}\"}},\
                 \"type\":\"cosign container image signature\"}},\"optional\":null}}"
            )
        );
    }
}
