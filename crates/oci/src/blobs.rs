//! Content-addressed blobs in a folder: `blobs/sha256/<hex>`.
//!
//! Reading verifies: a reader fails at the end of a blob whose bytes do not
//! give its digest, before the last of them is handed out. Writing is in
//! `sink`.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::OFlags;

use crate::Digest;
use crate::digest::{DigestError, Hashing};
use crate::model::{Descriptor, digest_of};
use crate::spool::Spool;

/// A folder of blobs.
#[derive(Debug, Clone)]
pub struct Blobs {
    root: PathBuf,
    /// Keeps a temporary layout until the last image that reads from it is gone.
    _spool: Option<Arc<Spool>>,
}

/// A blob could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// The digest is none this crate can verify.
    #[error("blob cannot be verified")]
    Unverifiable(#[from] DigestError),
    /// There is no such blob.
    #[error("blob {digest} is missing at {path}")]
    Missing {
        /// The blob.
        digest: Digest,
        /// Where it should be.
        path: PathBuf,
    },
    /// More bytes than the reader allows.
    #[error("blob {digest} is {size_bytes} bytes, more than the {limit_bytes} allowed here")]
    TooLarge {
        /// The blob.
        digest: Digest,
        /// Its stated size.
        size_bytes: u64,
        /// The bound.
        limit_bytes: u64,
    },
    /// The stated size is not the real one.
    #[error("blob {digest} is {actual_bytes} bytes, its descriptor says {stated_bytes}")]
    Size {
        /// The blob.
        digest: Digest,
        /// What the descriptor says.
        stated_bytes: u64,
        /// What there is (at least).
        actual_bytes: u64,
    },
    /// The bytes do not give the digest.
    #[error("blob {digest} is corrupt: its bytes hash to {actual}")]
    Corrupt {
        /// The blob.
        digest: Digest,
        /// What its bytes hash to.
        actual: Digest,
    },
    /// The operating system refused to read.
    #[error("reading {path}")]
    Read {
        /// What was read.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The operating system refused to write; `StorageFull` when the disk is.
    #[error("writing {path}")]
    Write {
        /// What was written.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// What the blob was to be copied from failed.
    #[error("copying blob {digest}")]
    Copy {
        /// The blob.
        digest: Digest,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

impl Blobs {
    /// Blobs beneath `root` (the folder that holds `blobs/`).
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            _spool: None,
        }
    }

    /// Blobs of a temporary layout.
    pub(crate) fn spooled(spool: Arc<Spool>) -> Self {
        Self {
            root: spool.path().to_owned(),
            _spool: Some(spool),
        }
    }

    /// The folder that holds `blobs/`.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where a blob is, or would be.
    pub fn path(&self, digest: &Digest) -> PathBuf {
        let mut path = self.root.join("blobs/sha256");
        path.push(digest.hex());
        path
    }

    /// Reads a blob whole, at most `limit` bytes, and verifies size and digest.
    ///
    /// # Errors
    /// Absent, larger than `limit`, or not what the descriptor says.
    pub fn read(&self, descriptor: &Descriptor, limit: u64) -> Result<Vec<u8>, BlobError> {
        let digest = digest_of(descriptor)?;
        let size = descriptor.size();
        if size > limit {
            return Err(BlobError::TooLarge {
                digest,
                size_bytes: size,
                limit_bytes: limit,
            });
        }
        let (path, file) = self.open_sized(&digest, size)?;
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
        file.take(size)
            .read_to_end(&mut bytes)
            .map_err(|source| BlobError::Read { path, source })?;
        check(&digest, size, Digest::of(&bytes), bytes.len() as u64)?;
        Ok(bytes)
    }

    /// Opens a blob to stream; the reader errors at the end if size or digest differ.
    ///
    /// Its errors carry a [`BlobError`] as their inner error.
    ///
    /// # Errors
    /// Absent, or not of the stated size.
    pub fn open(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send>, BlobError> {
        let digest = digest_of(descriptor)?;
        let (_, file) = self.open_sized(&digest, descriptor.size())?;
        Ok(Box::new(Verifying::new(file, digest, descriptor.size())))
    }

    fn open_sized(&self, digest: &Digest, size: u64) -> Result<(PathBuf, File), BlobError> {
        let path = self.path(digest);
        let file = match open_plain(&path) {
            Ok(file) => file,
            Err(source) if source.kind() == io::ErrorKind::NotFound => {
                return Err(BlobError::Missing {
                    digest: *digest,
                    path,
                });
            }
            Err(source) => return Err(BlobError::Read { path, source }),
        };
        match file.metadata() {
            Ok(metadata) if metadata.len() == size => Ok((path, file)),
            Ok(metadata) => Err(BlobError::Size {
                digest: *digest,
                stated_bytes: size,
                actual_bytes: metadata.len(),
            }),
            Err(source) => Err(BlobError::Read { path, source }),
        }
    }
}

/// Opens a plain file to read. A pipe in its place would block for ever and a
/// device have effects, so neither is waited for nor accepted.
pub(crate) fn open_plain(path: &Path) -> io::Result<File> {
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or(0);
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a plain file",
        ))
    }
}

fn check(digest: &Digest, size: u64, actual: Digest, count: u64) -> Result<(), BlobError> {
    if count != size {
        return Err(BlobError::Size {
            digest: *digest,
            stated_bytes: size,
            actual_bytes: count,
        });
    }
    if actual != *digest {
        return Err(BlobError::Corrupt {
            digest: *digest,
            actual,
        });
    }
    Ok(())
}

/// Passes bytes on and checks them against a digest: the read that would
/// complete a wrong blob fails instead.
pub(crate) struct Verifying<R> {
    /// Taken when the verdict is out.
    reader: Option<Hashing<R>>,
    digest: Digest,
    size: u64,
}

impl<R: Read> Verifying<R> {
    pub(crate) fn new(reader: R, digest: Digest, size: u64) -> Self {
        Self {
            reader: Some(Hashing::new(reader)),
            digest,
            size,
        }
    }
}

impl<R: Read> Read for Verifying<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(reader) = &mut self.reader else {
            return Ok(0);
        };
        if buffer.is_empty() {
            return Ok(0);
        }
        let count = reader.read(buffer)?;
        if count > 0 && reader.count() < self.size {
            return Ok(count);
        }
        if count > 0 && reader.count() == self.size {
            // All stated bytes have come; one more is one too many, and counts.
            read_some(reader, &mut [0])?;
        }
        let (_, digest, seen) = self
            .reader
            .take()
            .map(Hashing::into_digest)
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        check(&self.digest, self.size, digest, seen).map_err(io::Error::other)?;
        Ok(count)
    }
}

fn read_some(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match reader.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verify(bytes: &[u8], stated: &[u8]) -> io::Result<Vec<u8>> {
        let mut reader = Verifying::new(bytes, Digest::of(stated), stated.len() as u64);
        let mut out = Vec::new();
        reader.read_to_end(&mut out).map(|_| out)
    }

    #[test]
    fn a_stream_that_gives_its_digest_passes_whole() {
        assert_eq!(verify(b"ounce", b"ounce").unwrap(), b"ounce");
        assert_eq!(verify(b"", b"").unwrap(), b"");
    }

    #[test]
    fn a_stream_that_is_shorter_longer_or_other_than_stated_fails() {
        for bytes in [&b"ounc"[..], b"ouncex", b"ounceounce", b"OUNCE", b""] {
            assert!(verify(bytes, b"ounce").is_err(), "{bytes:?}");
        }
        assert!(verify(b"x", b"").is_err());
    }

    #[test]
    fn the_last_bytes_of_a_corrupt_blob_are_never_handed_out() {
        let mut reader = Verifying::new(&b"OUNCE"[..], Digest::of(b"ounce"), 5);
        let mut exact = [0; 5];
        assert!(reader.read_exact(&mut exact).is_err());
    }
}
