//! The certificate of a proof: the set, and for each path the trial that let it
//! go or that failed without it. Whoever has the image can replay it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::classes::Class;

/// What was proved.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Certificate {
    /// [`SCHEMA`].
    pub schema: String,
    /// In words.
    pub claim: String,
    /// Of the manifest of the image that was cut.
    pub image_digest: String,
    /// Of the manifest of what was cut out of it.
    pub trimmed_digest: String,
    /// The tests, as their owner wrote them down.
    pub tests: Value,
    /// What they showed on the whole image, and have to show.
    pub shown: Value,
    /// The order in which things were tried.
    pub seed: u64,
    /// Whether every path that can go was tried alone, and failed.
    pub minimal: bool,
    /// Classes that were left alone.
    pub left_alone: Vec<Class>,
    /// Paths that stayed, sorted, as [`name::shown`](ounce_rootfs::name::shown) writes them.
    pub kept: Vec<String>,
    /// Of these, the paths without which the test fails, and how it fails.
    pub needed: BTreeMap<String, Needed>,
    /// Paths that a trial let go: with each went what lay in it.
    pub removed: BTreeMap<String, u64>,
    /// How many trials there were.
    pub trials: u64,
}

/// Why a path is needed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Needed {
    /// The trial of the proved set without it.
    pub trial: u64,
    /// How that failed.
    pub why: String,
}

/// The schema that is written and read.
pub const SCHEMA: &str = "ounce.trim.certificate/1";

/// A certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// It is not JSON of its schema.
    #[error("it is no certificate of a trim")]
    Json(#[from] serde_json::Error),
    /// Another version.
    #[error("its schema is {0:?}, this ounce knows {SCHEMA:?}")]
    Schema(String),
    /// It contradicts itself.
    #[error("{path:?} is said to be needed and is not among what stayed")]
    NotKept {
        /// Which.
        path: String,
    },
}

impl Certificate {
    /// Reads one, which may come from anywhere.
    ///
    /// # Errors
    /// See [`CertificateError`].
    pub fn read(bytes: &[u8]) -> Result<Self, CertificateError> {
        let value: Value = serde_json::from_slice(bytes)?;
        let schema = value.get("schema").and_then(Value::as_str);
        let schema = schema.unwrap_or_default();
        if schema != SCHEMA {
            return Err(CertificateError::Schema(schema.to_owned()));
        }
        let certificate: Self = serde_json::from_value(value)?;
        let kept = |path: &String| certificate.kept.binary_search(path).is_ok();
        match certificate.needed.keys().find(|path| !kept(path)) {
            Some(path) => Err(CertificateError::NotKept { path: path.clone() }),
            None => Ok(certificate),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_read_as_it_was_written_and_others_are_refused() {
        let certificate = Certificate {
            schema: SCHEMA.to_owned(),
            claim: String::new(),
            image_digest: "sha256:0".to_owned(),
            trimmed_digest: "sha256:1".to_owned(),
            tests: Value::Null,
            shown: Value::Null,
            seed: 7,
            minimal: true,
            left_alone: vec![Class::Tls],
            kept: vec!["a".to_owned(), "a/b".to_owned()],
            needed: BTreeMap::from([(
                "a/b".to_owned(),
                Needed {
                    trial: 3,
                    why: "exit code 1".to_owned(),
                },
            )]),
            removed: BTreeMap::new(),
            trials: 4,
        };
        let text = serde_json::to_vec(&certificate).unwrap();
        assert_eq!(Certificate::read(&text).unwrap().kept, certificate.kept);
        assert!(Certificate::read(b"{").is_err());
        let other = String::from_utf8(text.clone()).unwrap();
        let newer = other.replace("certificate/1", "certificate/2");
        let error = Certificate::read(newer.as_bytes()).unwrap_err();
        assert!(error.to_string().contains("certificate/2"), "{error}");
        let foreign = other.replace(r#"["a","a/b"]"#, r#"["a"]"#);
        let error = Certificate::read(foreign.as_bytes()).unwrap_err();
        assert!(error.to_string().contains("a/b"), "{error}");
    }
}
