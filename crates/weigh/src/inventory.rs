//! Every file of an image with what it takes, for faces that show all of them.

use ounce_oci::Digest;
use serde::Serialize;

use crate::kind::FileKind;

/// Every file of an image, sorted by path.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Inventory {
    /// The files; of hard links the first name carries the bytes.
    pub files: Vec<Item>,
}

/// A file of an image.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Item {
    /// Its path from the root.
    pub path: String,
    /// Its bytes; 0 for the further names of a hard link.
    pub bytes: u64,
    /// Its part of the layer's blob.
    pub compressed_bytes: u64,
    /// What it is.
    pub kind: FileKind,
    /// Which layer, from 0, the lowest.
    pub layer: usize,
    /// Permission bits.
    pub mode: u32,
    /// The package that lists it: a number into the weight's packages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub package: Option<usize>,
    /// Its content's digest.
    #[serde(skip)]
    pub digest: Digest,
}
