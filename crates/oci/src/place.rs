//! Where images live, written as skopeo writes it, and copying between them.

use std::path::PathBuf;
use std::str::FromStr;

use crate::store::{Store, StoreError};
use crate::{Image, Platform, Reference};

/// A place an image can be read from or written to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A bare name: ounce's own store.
    Store(Reference),
    /// `oci:DIR[:TAG]`.
    OciDir(PathBuf, Option<String>),
    /// `oci-archive:FILE[:TAG]`.
    OciArchive(PathBuf, Option<String>),
    /// `docker-archive:FILE[:NAME:TAG]`, as `docker save` writes and `docker load` reads.
    DockerArchive(PathBuf, Option<Reference>),
}

/// Why a text is no place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {}

impl FromStr for Place {
    type Err = PlaceError;

    fn from_str(_text: &str) -> Result<Self, PlaceError> {
        todo!()
    }
}

impl Place {
    /// Opens the image for `platform`, wherever it is. An archive is spooled
    /// to a temporary layout that lives as long as the image.
    ///
    /// # Errors
    /// Nothing there, not for this platform, or not valid.
    pub fn image(&self, _store: &Store, _platform: &Platform) -> Result<Image, StoreError> {
        todo!()
    }

    /// Copies what is here (an index whole) into the store under `name`.
    ///
    /// # Errors
    /// As [`Place::image`]; the store is unchanged then.
    pub fn import(&self, _store: &Store, _name: &Reference) -> Result<(), StoreError> {
        todo!()
    }

    /// Copies `name` from the store to here, atomically.
    ///
    /// # Errors
    /// No such name, or the place cannot be written.
    pub fn export(&self, _store: &Store, _name: &Reference) -> Result<(), StoreError> {
        todo!()
    }
}
