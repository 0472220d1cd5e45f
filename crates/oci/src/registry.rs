//! Registries: the OCI distribution specification 1.1 from the client's side.
//!
//! [`Registry`] pulls into a store or a temporary layout, pushes from any
//! layout, lists tags and referrers, hangs artifacts on images and logs in. A
//! blob is verified while it is written and gets its name only when it is whole;
//! a name is given last, so that what breaks in the middle leaves nothing half
//! done on either side. Its requests are [`crate::fetch`]'s, so their
//! deadlines, bounds and retries are the same.
//!
//! Nothing here reads the environment: which files hold credentials, which
//! proxies and which authorities there are comes in by [`Options`].

mod access;
mod api;
mod challenge;
mod credentials;
mod documents;
mod fault;
mod hanging;
mod login;
mod pull;
mod push;
mod recompress;
mod referrers;
mod remote;
mod said;
mod shortcut;
mod tags;
mod upload;

pub use api::{Options, Registry};
pub use credentials::{CredentialError, Credentials, Secret};
pub use documents::Document;
pub use fault::RegistryError;
pub use pull::{Pulled, Which};
pub use push::{PushOptions, Pushed};
pub use referrers::{Artifact, ArtifactBlob};
pub use remote::Remote;
pub use shortcut::{Patch, Taken};

use crate::fetch;
use crate::model::Descriptor;

/// What happens while an image is pulled or pushed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// What has to be done is known.
    Planned {
        /// The blobs that may have to be sent or fetched, in the order of the
        /// items that follow.
        blobs: Vec<Descriptor>,
        /// Blobs that are there already.
        present: usize,
        /// Their bytes.
        present_bytes: u64,
    },
    /// A blob, by its place in the plan, has got further.
    Blob(fetch::Event),
    /// Something else is tried again after a pause.
    Waiting(fetch::What),
}
