//! Content-addressed blobs in a folder: `blobs/sha256/<hex>`.
//!
//! Reading verifies: a reader fails at the end of a blob whose bytes do not
//! give its digest. Writing is atomic: temporary file, fsync, rename.

use std::io::Read;
use std::path::PathBuf;

use crate::model::Descriptor;

/// A folder of blobs.
#[derive(Debug, Clone)]
pub struct Blobs {
    #[allow(dead_code)]
    root: PathBuf,
}

/// A blob could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {}

impl Blobs {
    /// Blobs beneath `root` (the folder that holds `blobs/`).
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Reads a blob whole, at most `limit` bytes, and verifies size and digest.
    pub fn read(&self, _descriptor: &Descriptor, _limit: u64) -> Result<Vec<u8>, BlobError> {
        todo!()
    }

    /// Opens a blob to stream; the reader errors at the end if size or digest differ.
    pub fn open(&self, _descriptor: &Descriptor) -> Result<Box<dyn Read + Send>, BlobError> {
        todo!()
    }
}
