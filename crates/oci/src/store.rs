//! ounce's store: a valid OCI image layout, safe with many processes at once.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use crate::blobs::Blobs;
use crate::layer::{Entry, LayerOptions, WrittenLayer};
use crate::model::{Descriptor, MediaType};
use crate::{Image, Platform, Reference};

/// The store.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
}

/// The store could not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {}

/// A name in the store and what it points to.
#[derive(Debug, Clone)]
pub struct Named {
    /// The name.
    pub reference: Reference,
    /// A manifest's or an index's descriptor.
    pub descriptor: Descriptor,
}

/// What [`Store::gc`] took away.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Collected {
    /// Blobs that no name reached.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// What [`Store::verify`] found.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Verified {
    /// Blobs read and hashed.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What is wrong, one line each; empty when the store is whole.
    pub faults: Vec<String>,
}

impl Store {
    /// Opens the store at `root`, making an empty one if there is none.
    ///
    /// # Errors
    /// The folder cannot be made, or holds a layout of an unknown version.
    pub fn open(_root: impl Into<PathBuf>) -> Result<Self, StoreError> {
        todo!()
    }

    /// How long to wait for another process's lock; 10 s unless set.
    #[must_use]
    pub fn lock_timeout(self, _timeout: Duration) -> Self {
        todo!()
    }

    /// The layout's folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Its blobs.
    pub fn blobs(&self) -> Blobs {
        Blobs::new(&self.root)
    }

    /// Every name, sorted.
    ///
    /// # Errors
    /// The index cannot be read.
    pub fn names(&self) -> Result<Vec<Named>, StoreError> {
        todo!()
    }

    /// What a name points to; a unique prefix of a digest of six digits or more works as well.
    ///
    /// # Errors
    /// No such name (with the nearest one).
    pub fn find(&self, _reference: &Reference) -> Result<Descriptor, StoreError> {
        todo!()
    }

    /// The image for a platform.
    ///
    /// # Errors
    /// No such name, none for the platform (with those there are), or a blob that is not whole.
    pub fn image(&self, _reference: &Reference, _platform: &Platform) -> Result<Image, StoreError> {
        todo!()
    }

    /// Every image that a name reaches: one, or one per platform of an index.
    ///
    /// # Errors
    /// As [`Store::image`].
    pub fn images_of(&self, _reference: &Reference) -> Result<Vec<Image>, StoreError> {
        todo!()
    }

    /// Gives what `from` points to the further name `to`.
    ///
    /// # Errors
    /// No such name.
    pub fn tag(&self, _from: &Reference, _to: &Reference) -> Result<(), StoreError> {
        todo!()
    }

    /// Takes a name away; its blobs go at the next [`Store::gc`].
    ///
    /// # Errors
    /// No such name.
    pub fn remove(&self, _reference: &Reference) -> Result<(), StoreError> {
        todo!()
    }

    /// Begins to write: until the writer is committed or dropped, no collection runs.
    ///
    /// # Errors
    /// A collection of another process holds the lock past the timeout (its pid is told).
    pub fn write(&self) -> Result<StoreWriter<'_>, StoreError> {
        todo!()
    }

    /// Takes away every blob that no name reaches, and what a killed writer left.
    ///
    /// # Errors
    /// Another process holds the lock past the timeout.
    pub fn gc(&self) -> Result<Collected, StoreError> {
        todo!()
    }

    /// Reads and hashes every blob and follows every name.
    ///
    /// # Errors
    /// The index cannot be read; what is wrong with content is in the report.
    pub fn verify(&self) -> Result<Verified, StoreError> {
        todo!()
    }
}

/// Blobs on their way into the store.
#[derive(Debug)]
pub struct StoreWriter<'store> {
    _store: &'store Store,
}

impl StoreWriter<'_> {
    /// Writes a blob.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn blob(
        &mut self,
        _media_type: MediaType,
        _bytes: &[u8],
    ) -> Result<Descriptor, StoreError> {
        todo!()
    }

    /// Writes a document as compact JSON.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn json<T: Serialize>(
        &mut self,
        _media_type: MediaType,
        _document: &T,
    ) -> Result<Descriptor, StoreError> {
        todo!()
    }

    /// Copies a blob in, verified against its descriptor.
    ///
    /// # Errors
    /// Size or digest differ, or the disk refuses.
    pub fn copy(
        &mut self,
        _descriptor: &Descriptor,
        _from: &mut dyn Read,
    ) -> Result<(), StoreError> {
        todo!()
    }

    /// Writes a layer; entries are sorted, and a missing parent is not added.
    ///
    /// # Errors
    /// A path that is not relative and plain, one that stands twice, a host file that cannot be read.
    pub fn layer(
        &mut self,
        _entries: &[Entry],
        _options: LayerOptions,
    ) -> Result<WrittenLayer, StoreError> {
        todo!()
    }

    /// Names what was written; from now on it is reachable.
    ///
    /// # Errors
    /// The lock is held past the timeout, or the disk refuses.
    pub fn commit(self, _reference: &Reference, _root: &Descriptor) -> Result<(), StoreError> {
        todo!()
    }
}
