//! Putting an image's files into a folder of the host, safely.
//!
//! Every path is opened by the kernel beneath the folder (`openat2`, Linux
//! 5.6): first with no symbolic link allowed, and where a parent is one, with
//! the folder as the root that no link can leave. So nothing a layer holds can
//! name a file outside. Existing files are unlinked, never written through.

mod cache;
mod extract;
mod layers;

use std::io;
use std::path::PathBuf;

use ounce_oci::layer::LayerError;
use serde::Serialize;

pub use cache::{Held, Swept, collect, ensure, hold, hold_unpacked};
pub use layers::unpack;

/// Most parts a path may have. The deepest trees of real images (JavaScript's)
/// have about 40; each level holds a file descriptor while it is removed.
pub const DEPTH: usize = 256;

/// What is kept of what the layers say, and how much may be written.
#[derive(Debug, Clone)]
pub struct Options {
    /// Keep set-user-id and set-group-id bits; dropped unless asked.
    pub set_id: bool,
    /// Give files to the owners the layers name: works as root only.
    pub owner: bool,
    /// Let any user read all files and enter all folders, whatever the modes.
    pub readable: bool,
    /// Most files, folders and links in all layers.
    pub entries: u64,
    /// Most bytes of content in all layers.
    pub bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            set_id: false,
            owner: false,
            readable: false,
            entries: 10_000_000,
            bytes: 64 << 30,
        }
    }
}

/// What was written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Unpacked {
    /// Files, links to them not counted.
    pub files: u64,
    /// Folders that layers name.
    pub folders: u64,
    /// Symbolic and hard links.
    pub links: u64,
    /// Bytes of content.
    pub bytes: u64,
    /// What was left out, in order.
    pub skipped: Vec<Skipped>,
}

/// Something of a layer that was left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// Path in the image, as [`name::shown`](crate::name::shown) writes it.
    pub path: String,
    /// What was left out.
    pub what: SkippedKind,
}

/// Why something was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SkippedKind {
    /// A device node: containers get their own `/dev`.
    Device,
    /// Extended attributes (file capabilities among them); the file was written.
    ExtendedAttributes,
    /// Set-user-id or set-group-id bits; the file was written.
    SetId,
}

/// An image could not be unpacked; nothing outside the folder was touched.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// The layer itself.
    #[error("reading layer {digest}")]
    Layer {
        /// The layer's blob.
        digest: ounce_oci::Digest,
        /// What is wrong with it.
        #[source]
        source: Box<LayerError>,
    },
    /// The layer, from inside the walk over its entries.
    #[error(transparent)]
    Entry(Box<LayerError>),
    /// The host refused one step.
    #[error("{step} {}", path.display())]
    Host {
        /// What was done, as "making the folder".
        step: &'static str,
        /// To what: relative to the folder if it is of the image.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A path that no file system can hold or that is deeper than [`DEPTH`].
    #[error("the path {path:?} of the image cannot be: {why}")]
    Path {
        /// The path, cut to its first 200 bytes.
        path: PathBuf,
        /// Which rule it breaks.
        why: &'static str,
    },
    /// A folder's name stands for something else in the same layer.
    #[error("{path:?} of the image is no folder, but {child:?} lies in it")]
    NotAFolder {
        /// The file or link.
        path: PathBuf,
        /// What should lie in it.
        child: PathBuf,
    },
    /// A hard link to what is not there.
    #[error("hard link {path:?} of the image points to {target:?}, which is not there")]
    HardLink {
        /// The link.
        path: PathBuf,
        /// Where it points.
        target: PathBuf,
    },
    /// More than was allowed.
    #[error("the image holds more than {limit} {what}")]
    Limit {
        /// Files or bytes.
        what: &'static str,
        /// The most that was allowed.
        limit: u64,
    },
    /// Another process has held the lock for too long.
    #[error("another process has been unpacking the same image for {seconds} s (lock {})", path.display())]
    Busy {
        /// The lock.
        path: PathBuf,
        /// How long was waited.
        seconds: u64,
    },
}

impl From<LayerError> for UnpackError {
    fn from(error: LayerError) -> Self {
        Self::Entry(Box::new(error))
    }
}
