//! Signed statements: in-toto's statement, which says something of images by
//! their digests, in an envelope (DSSE 1.0), as cosign attests.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{ANNOTATION, ENVELOPE, Refused};
use crate::Digest;
use crate::artifact::{Artifact, Form, IN_TOTO, PART_LIMIT, PREDICATE_TYPE, Part};
use crate::blobs::Blobs;
use crate::model::{Descriptor, canonical_json};
use crate::referrers::Referrer;
use crate::signature::{KeyError, PrivateKey, PublicKey};

/// The type of a statement (in-toto attestation 1.0).
const STATEMENT: &str = "https://in-toto.io/Statement/v1";
/// The types of statements that are read; cosign still writes the older one.
const STATEMENTS: &[&str] = &[STATEMENT, "https://in-toto.io/Statement/v0.1"];
/// The annotation by which cosign tells what an envelope states.
const COSIGN_PREDICATE: &str = "predicateType";

/// What cosign and others call bills of materials and provenance when stated.
pub mod predicate {
    /// A bill of materials in SPDX's form.
    pub const SPDX: &str = "https://spdx.dev/Document";
    /// A bill of materials in CycloneDX's form.
    pub const CYCLONEDX: &str = "https://cyclonedx.org/bom";
    /// Where it comes from (SLSA 1.0).
    pub const PROVENANCE: &str = "https://slsa.dev/provenance/v1";
}

/// Most signatures in an envelope that are looked at.
const MOST_SIGNATURES: usize = 32;

/// A statement of in-toto.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Statement {
    #[serde(rename = "_type")]
    kind: String,
    /// What it is about.
    pub subject: Vec<Subject>,
    /// What it states, as a URI.
    #[serde(rename = "predicateType")]
    pub predicate_type: String,
    /// The statement.
    pub predicate: Value,
}

/// What a statement is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// Its digests by algorithm, as hexadecimal digits.
    pub digest: BTreeMap<String, String>,
}

impl Statement {
    /// A statement about the image with this digest.
    pub fn new(name: &str, image: &Digest, predicate_type: &str, predicate: Value) -> Self {
        Self {
            kind: STATEMENT.to_owned(),
            subject: vec![Subject {
                name: name.to_owned(),
                digest: BTreeMap::from([("sha256".to_owned(), image.hex())]),
            }],
            predicate_type: predicate_type.to_owned(),
            predicate,
        }
    }

    /// As it is stored and signed: compact JSON, keys sorted.
    fn bytes(&self) -> Vec<u8> {
        canonical_json(self).expect("a statement is a tree of texts")
    }

    /// The statement as an artifact that nobody has signed.
    pub fn artifact(&self) -> Artifact {
        let mut artifact = Artifact::document(IN_TOTO, self.bytes())
            .annotated(PREDICATE_TYPE, &self.predicate_type);
        let annotation = (PREDICATE_TYPE.to_owned(), self.predicate_type.clone());
        artifact.parts[0].annotations.extend([annotation]);
        artifact
    }

    /// The statement as an artifact, signed.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub fn signed(&self, key: &PrivateKey) -> Result<Artifact, KeyError> {
        let envelope = Envelope::seal(&self.bytes(), key)?;
        let bytes = serde_json::to_vec(&envelope).expect("an envelope is a tree of texts");
        let predicate = (COSIGN_PREDICATE.to_owned(), self.predicate_type.clone());
        Ok(Artifact {
            artifact_type: ENVELOPE.to_owned(),
            form: Form::Cosign,
            parts: vec![Part {
                media_type: ENVELOPE.to_owned(),
                // The signature is within; cosign wants the annotation all the same.
                annotations: BTreeMap::from([
                    (ANNOTATION.to_owned(), String::new()),
                    predicate.clone(),
                ]),
                bytes,
            }],
            annotations: BTreeMap::from([predicate]),
        })
    }
}

/// An envelope of DSSE 1.0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Envelope {
    payload_type: String,
    payload: String,
    signatures: Vec<Signature>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Signature {
    #[serde(default)]
    keyid: String,
    sig: String,
}

impl Envelope {
    /// Signs a statement's bytes.
    fn seal(payload: &[u8], key: &PrivateKey) -> Result<Self, KeyError> {
        let signature = key.sign(&encoded(IN_TOTO, payload))?;
        Ok(Self {
            payload_type: IN_TOTO.to_owned(),
            payload: STANDARD.encode(payload),
            signatures: vec![Signature {
                keyid: String::new(),
                sig: STANDARD.encode(signature),
            }],
        })
    }

    /// The payload, if one of the signatures is the key's.
    fn open(&self, key: &PublicKey) -> Result<Vec<u8>, Refused> {
        let payload = STANDARD.decode(&self.payload);
        let payload = payload.map_err(|_| Refused::Base64)?;
        let message = encoded(&self.payload_type, &payload);
        if self.signatures.is_empty() {
            return Err(Refused::Unsigned);
        }
        let is_signed = self.signatures.iter().take(MOST_SIGNATURES).any(|one| {
            let signature = STANDARD.decode(&one.sig);
            signature.is_ok_and(|signature| key.verifies(&message, &signature))
        });
        if !is_signed {
            return Err(Refused::Key);
        }
        if self.payload_type != IN_TOTO {
            return Err(Refused::Kind {
                found: self.payload_type.clone(),
                wanted: IN_TOTO,
            });
        }
        Ok(payload)
    }
}

/// What is signed: type and content with their lengths, so that no two of them
/// give the same bytes (DSSE 1.0, "PAE").
fn encoded(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let head = format!(
        "DSSEv1 {} {payload_type} {} ",
        payload_type.len(),
        payload.len()
    );
    [head.as_bytes(), payload].concat()
}

/// What is stated of an image among what hangs on it: each with its artifact's
/// digest, and the statement or why it does not count. With a key only what is
/// signed is looked at; without one, only what is not.
pub fn statements(
    blobs: &Blobs,
    hanging: &[Referrer],
    image: &Digest,
    key: Option<&PublicKey>,
) -> Vec<(Digest, Result<Statement, Refused>)> {
    let wanted = if key.is_some() { ENVELOPE } else { IN_TOTO };
    let of_image = hanging.iter().filter(|one| one.subject == *image);
    let parts = of_image.flat_map(|one| {
        let parts = one.parts.iter();
        parts
            .filter(|part| part.media_type().as_ref() == wanted)
            .map(|part| (one.digest, part))
    });
    parts
        .map(|(digest, part)| (digest, statement(blobs, part, image, key)))
        .collect()
}

fn statement(
    blobs: &Blobs,
    part: &Descriptor,
    image: &Digest,
    key: Option<&PublicKey>,
) -> Result<Statement, Refused> {
    let bytes = blobs.read(part, PART_LIMIT)?;
    let bytes = match key {
        None => bytes,
        Some(key) => {
            let envelope: Envelope = serde_json::from_slice(&bytes)
                .map_err(|error| Refused::Form("an envelope", error))?;
            envelope.open(key)?
        }
    };
    let statement: Statement =
        serde_json::from_slice(&bytes).map_err(|error| Refused::Form("a statement", error))?;
    if !STATEMENTS.contains(&statement.kind.as_str()) {
        return Err(Refused::Kind {
            found: statement.kind,
            wanted: STATEMENT,
        });
    }
    let hex = image.hex();
    let is_about = |subject: &Subject| subject.digest.get("sha256") == Some(&hex);
    if !statement.subject.iter().any(is_about) {
        let found = statement.subject.iter().take(3).map(|subject| {
            let digest = subject.digest.iter().next();
            digest.map_or("nothing".to_owned(), |(kind, hex)| format!("{kind}:{hex}"))
        });
        let found: Vec<String> = found.collect();
        return Err(Refused::Digest {
            found: match found.is_empty() {
                true => "nothing".to_owned(),
                false => found.join(", "),
            },
        });
    }
    Ok(statement)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signature::Algorithm;

    #[test]
    fn message_is_encoded_as_the_specification_s_example_is() {
        // DSSE 1.0, "Test vectors".
        assert_eq!(
            encoded("http://example.com/HelloWorld", b"hello world"),
            b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
        );
    }

    #[test]
    fn envelope_opens_for_its_key_and_as_what_it_was_sealed() {
        let key = PrivateKey::generate(Algorithm::EcdsaP256).unwrap();
        let other = PrivateKey::generate(Algorithm::EcdsaP256).unwrap();
        let envelope = Envelope::seal(b"{}", &key).unwrap();
        assert_eq!(envelope.open(&key.public()).unwrap(), b"{}");
        assert!(matches!(envelope.open(&other.public()), Err(Refused::Key)));
        let mut swapped = envelope.clone();
        swapped.payload = STANDARD.encode(b"[]");
        assert!(matches!(swapped.open(&key.public()), Err(Refused::Key)));
        let mut retyped = envelope.clone();
        retyped.payload_type = "text/plain".to_owned();
        assert!(matches!(retyped.open(&key.public()), Err(Refused::Key)));
        let mut bare = envelope.clone();
        bare.signatures.clear();
        assert!(matches!(bare.open(&key.public()), Err(Refused::Unsigned)));
    }
}
