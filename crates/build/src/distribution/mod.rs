//! What a program can stand on: nothing, a base put together here from a
//! distribution's packages, or an image that is there already.
//!
//! The common ground is in [`files`] (a tree that becomes a layer), [`lock`]
//! (`ounce.lock`) and [`cache`] (packages by digest, and where they come from);
//! each distribution reads its own indexes and packages into it.

pub mod alpine;
pub mod cache;
pub mod debian;
pub mod files;
pub mod image;
pub mod lock;
mod name;
mod stand;

pub use name::{Base, BaseNameError, Distroless};
pub use stand::StandError;
pub(crate) use stand::check as check_stands;

use ounce_oci::Digest;

/// Progress, in the order it happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Another ounce does the same on this machine; it is waited for.
    Waiting {
        /// What it does: `downloading`.
        doing: &'static str,
        /// Its process, where that can be told.
        holder_pid: Option<u32>,
    },
    /// An index is asked for.
    Index {
        /// Its address.
        url: String,
    },
    /// Packages are about to be downloaded.
    Downloading {
        /// How many.
        files: usize,
        /// All of them.
        bytes: u64,
    },
    /// So much of it has come.
    Downloaded {
        /// Bytes of all files together.
        bytes: u64,
    },
    /// A download broke and is tried again.
    Again {
        /// Which and why.
        why: String,
    },
    /// Packages are unpacked.
    Unpacking {
        /// How many.
        packages: usize,
    },
}

/// A file to be had from a mirror.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Its whole address: `http://`, `https://` or `file:///`.
    pub url: String,
    /// What it must be.
    pub digest: Digest,
    /// How long it must be.
    pub size_bytes: u64,
}
