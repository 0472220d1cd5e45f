//! Layers: writing the smallest valid, deterministic one, and reading any
//! that others wrote, with every hostile form refused.

pub(crate) mod copy;
pub(crate) mod read;
pub mod tarball;
pub(crate) mod write;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::blobs::BlobError;
use crate::model::Descriptor;
use crate::tar::Extra;
use crate::tar::read::Fault;
use crate::{DiffId, Digest};

pub use crate::compression::Compression;
pub use crate::compression::read::Progress;
pub use crate::compression::write::Effort;
pub use read::LayerReader;

/// A layer of an image.
#[derive(Debug, Clone)]
pub struct Layer {
    /// Media type, digest and size of the compressed blob.
    pub descriptor: Descriptor,
    /// The same digest, typed.
    pub digest: Digest,
    /// Digest of the tar.
    pub diff_id: DiffId,
}

/// One file, folder or link to be written into a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Relative to the root, without leading `/` or `./`: `etc/passwd`.
    pub path: String,
    /// What it is.
    pub kind: EntryKind,
    /// Permission bits, set-id and sticky included.
    pub mode: u32,
    /// Owner; 0 unless the file must be another's.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// What an [`Entry`] is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind {
    /// A folder.
    Directory,
    /// A file with these bytes.
    File(Content),
    /// A symbolic link to this target, as it stands.
    Symlink(String),
    /// Another name of an earlier entry.
    Hardlink(String),
}

/// Where a file's bytes come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// From memory.
    Bytes(Vec<u8>),
    /// From a file of the host.
    Host(PathBuf),
    /// From several sources, one after the other.
    Pieces(Arc<[Piece]>),
}

/// A part of a file that is put together while it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// From memory.
    Bytes(Vec<u8>),
    /// A whole file of the host, which must still be what it was.
    Host {
        /// Where it is.
        path: PathBuf,
        /// Its length.
        bytes: u64,
        /// What it was.
        digest: Digest,
    },
}

impl Piece {
    /// How many bytes it adds.
    pub fn bytes(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Host { bytes, .. } => *bytes,
        }
    }
}

/// How a layer is written.
#[derive(Debug, Clone, Copy, Default)]
pub struct LayerOptions {
    /// How it is compressed.
    pub compression: Compression,
    /// Modification time of every entry in seconds since 1970: `SOURCE_DATE_EPOCH`, else 0.
    pub mtime: u64,
}

/// A layer that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenLayer {
    /// Media type, digest and size of the compressed blob.
    pub descriptor: Descriptor,
    /// The same digest, typed.
    pub digest: Digest,
    /// Digest of the tar.
    pub diff_id: DiffId,
    /// Bytes of the tar.
    pub uncompressed_bytes: u64,
}

/// An entry as it was read from a layer; `path` is normalised and safe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadEntry {
    /// Relative, `/`-separated, never with `..`, empty or `.` parts; the root
    /// itself is the empty path. Any bytes but zero: a name need not be text.
    pub path: PathBuf,
    /// What it is.
    pub kind: ReadKind,
    /// Permission bits, set-id and sticky included.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Seconds since 1970.
    pub mtime: u64,
    /// Bytes of content.
    pub size: u64,
    /// PAX extended attributes (`SCHILY.xattr.*`), name without the prefix.
    pub xattrs: Vec<(String, Vec<u8>)>,
}

/// What a header said that [`ReadEntry`] does not tell, for a copy of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Besides(pub(crate) Extra);

/// An entry to be copied.
#[derive(Debug, Clone)]
pub struct CopyEntry {
    /// The header; `path` and, of a hard link, the target may be others than
    /// where it was read, and a file may have become a hard link.
    pub entry: ReadEntry,
    /// The rest of the header.
    pub besides: Besides,
    /// For a file: how its content is changed on the way.
    pub patch: Option<Patch>,
    /// For a file: the layer that holds its content, and which entry of it,
    /// as [`LayerReader::for_each`] counts.
    pub content: Option<(usize, u64)>,
}

/// How a file's content is changed while it is copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch {
    /// In place of its first bytes.
    pub start: Vec<u8>,
    /// How many bytes are left of it: what is past them is cut off.
    pub bytes: u64,
}

/// What a [`ReadEntry`] is. Whiteouts are told apart here, once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadKind {
    /// A folder.
    Directory,
    /// A file.
    File,
    /// A symbolic link and its target, unchecked: it may point anywhere.
    Symlink(PathBuf),
    /// A hard link to this normalised path.
    Hardlink(PathBuf),
    /// A character device (major, minor).
    CharDevice(u32, u32),
    /// A block device (major, minor).
    BlockDevice(u32, u32),
    /// A named pipe.
    Fifo,
    /// `.wh.NAME`: `path` is the lower file that is hidden.
    Whiteout,
    /// `.wh..wh..opq`: `path` is the folder whose lower content is hidden.
    Opaque,
}

/// A layer could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// A path that does not belong into a layer.
    #[error("entry {path:?} cannot stand in a layer: {why}")]
    Path {
        /// The entry.
        path: PathBuf,
        /// The rule it breaks.
        why: &'static str,
    },
    /// Two entries of one path.
    #[error("entry {path:?} is given twice")]
    Twice {
        /// The path.
        path: PathBuf,
    },
    /// A hard link to what is not a file of the same layer.
    #[error("hard link {path:?} points to {target:?}, which is no file of this layer")]
    Target {
        /// The link.
        path: PathBuf,
        /// What it points to.
        target: PathBuf,
    },
    /// An entry to be copied that its layer does not have.
    #[error("entry {path:?} is not in the layer it is to be copied from")]
    Absent {
        /// The entry.
        path: PathBuf,
    },
    /// A file of the host cannot be read.
    #[error("reading {}", path.display())]
    Host {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A file of the host became shorter while it was read.
    #[error("{} was changed while it was read", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// A blob that is no layer.
    #[error("layer {digest} is of type {media_type:?}, which is no layer's")]
    MediaType {
        /// The layer.
        digest: Digest,
        /// Its type.
        media_type: String,
    },
    /// An entry, or the archive at that place, breaks a rule.
    #[error("layer {digest}, {}", at_entry(.path))]
    Entry {
        /// The layer.
        digest: Digest,
        /// The entry, or the one before where no header could be read; empty at the start.
        path: PathBuf,
        /// The rule.
        #[source]
        fault: Fault,
    },
    /// The tar's hash is not what the configuration says.
    #[error("layer {digest} unpacks to {actual}, the configuration says {stated}")]
    DiffId {
        /// The layer.
        digest: Digest,
        /// What the configuration says.
        stated: DiffId,
        /// What it is.
        actual: DiffId,
    },
    /// The blob cannot be read or written.
    #[error(transparent)]
    Blob(#[from] BlobError),
}

fn at_entry(path: &Path) -> String {
    if path.as_os_str().is_empty() {
        "at its beginning".to_owned()
    } else {
        format!("at entry {path:?}")
    }
}

/// Bounds on what a layer from outside may make us do.
#[derive(Debug, Clone, Copy)]
pub struct ReadLimits {
    /// Most bytes of tar in all.
    pub uncompressed_bytes: u64,
    /// Most times the compressed size that the tar may be, past the first 64 MiB.
    pub ratio: u64,
    /// Most entries.
    pub entries: u64,
}

impl Default for ReadLimits {
    fn default() -> Self {
        Self {
            uncompressed_bytes: 64 << 30,
            // Deflate makes 1032 of 1 at most, and only of bytes all alike;
            // what is past this is made to fill a disk.
            ratio: 200,
            entries: 10_000_000,
        }
    }
}
