//! Why a registry was of no use, and what to do about it.

use super::credentials::CredentialError;
use crate::blobs::BlobError;
use crate::fetch::FetchError;
use crate::image::ImageError;
use crate::layer::LayerError;
use crate::store::StoreError;

/// A registry could not do it, or would not.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// It does not let us.
    #[error("{host} does not let {} {action} {what}{}", who(.known), told(.said))]
    Denied {
        /// The registry.
        host: String,
        /// `read`, `write to`, `delete from`.
        action: &'static str,
        /// The repository.
        what: String,
        /// Whether we said who we are.
        known: bool,
        /// What it says about it.
        said: String,
    },
    /// User or password is wrong.
    #[error("{host} does not take this user name and password{}", told(.said))]
    WrongPassword {
        /// The registry.
        host: String,
        /// What it says about it.
        said: String,
    },
    /// There is no such thing.
    #[error("there is no {what}{}", told(.said))]
    NotFound {
        /// The image or the blob.
        what: String,
        /// What the registry says about it.
        said: String,
    },
    /// An answer that breaks the specification.
    #[error("the answer of {url} is of no use: {why}")]
    Answer {
        /// Where it came from.
        url: String,
        /// The rule it breaks.
        why: String,
    },
    /// A secret would have gone over a line that everybody reads.
    #[error("{host} sends for a token to {realm}, which is not secure")]
    InsecureRealm {
        /// The registry.
        host: String,
        /// Where it sends us.
        realm: String,
    },
    /// What stands there is not what was meant.
    #[error("{what} was asked for as {stated}, and is {actual}")]
    Mismatch {
        /// The image.
        what: String,
        /// The digest that was asked for.
        stated: String,
        /// The digest of what is there.
        actual: String,
    },
    /// A name that cannot be written to.
    #[error("{what} cannot be written to: {why}")]
    Target {
        /// The name.
        what: String,
        /// Why not.
        why: &'static str,
    },
    /// A credential file, or a helper.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// The network.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// What was pulled is no image, or the store refuses.
    #[error(transparent)]
    Store(Box<StoreError>),
}

fn who(known: &bool) -> &'static str {
    match known {
        true => "this user",
        false => "everybody",
    }
}

fn told(said: &str) -> String {
    match said.is_empty() {
        true => String::new(),
        false => format!(": {said}"),
    }
}

impl From<StoreError> for RegistryError {
    fn from(error: StoreError) -> Self {
        Self::Store(Box::new(error))
    }
}

impl From<BlobError> for RegistryError {
    fn from(error: BlobError) -> Self {
        StoreError::from(error).into()
    }
}

impl From<ImageError> for RegistryError {
    fn from(error: ImageError) -> Self {
        StoreError::from(error).into()
    }
}

impl From<LayerError> for RegistryError {
    fn from(error: LayerError) -> Self {
        StoreError::from(error).into()
    }
}

impl RegistryError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Denied {
                host, known: false, ..
            } => Some(format!("if you have an account: ounce login {host}")),
            Self::Denied { .. } => {
                Some("look at the name, and at what this user is allowed to do".to_owned())
            }
            Self::WrongPassword { .. } => {
                Some("many registries want a token of theirs in place of the password".to_owned())
            }
            Self::NotFound { what, .. } => what
                .rsplit_once(':')
                .filter(|(_, tag)| !tag.contains('/'))
                .map(|(name, _)| format!("which tags there are: ounce tags {name}")),
            Self::InsecureRealm { .. } => {
                Some("if you trust the way to it: --plain-http".to_owned())
            }
            Self::Credential(error) => Some(error.hint().to_owned()),
            Self::Fetch(error) => error.hint(),
            _ => None,
        }
    }
}
