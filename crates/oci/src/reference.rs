//! What an image is called: `name[:tag]` or `name@digest`.

use std::fmt;
use std::str::FromStr;

use crate::Digest;

/// A name in the store: repository and tag (`latest` unless told), or a digest.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    /// `hello`, `team/hello`, `host:5000/team/hello`.
    pub name: String,
    /// The tag; `latest` when neither tag nor digest was written.
    pub tag: Option<String>,
    /// The digest, when the reference is pinned.
    pub digest: Option<Digest>,
}

/// Why a text is no reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an image name: {why}")]
pub struct ReferenceError {
    /// What was written.
    pub text: String,
    /// Which rule it breaks (OCI distribution spec, "Pulling manifests").
    pub why: &'static str,
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(_text: &str) -> Result<Self, ReferenceError> {
        todo!()
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        todo!()
    }
}
