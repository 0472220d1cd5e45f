//! A temporary layout inside the store, into which an archive is unpacked. It
//! goes with its value; one whose process died is taken by gc, which sees by
//! the lock that nobody holds it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::lock::{Lock, LockError, Mode};
use std::time::Duration;

/// A temporary layout.
#[derive(Debug)]
pub(crate) struct Spool {
    path: PathBuf,
    _lock: Lock,
}

/// The lock in a spool's folder.
pub(crate) const SPOOL_LOCK: &str = "lock";

impl Spool {
    /// Makes an empty layout in the folder `scratch`. The caller holds off gc
    /// until this returns.
    pub(crate) fn new(scratch: &Path) -> Result<Self, io::Error> {
        let pid = std::process::id();
        let path = (0u64..)
            .map(|count| scratch.join(format!("spool-{pid}-{count}")))
            .find_map(|path| match fs::create_dir(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => None,
                result => Some(result.map(|()| path)),
            })
            .ok_or(io::ErrorKind::AlreadyExists)??;
        let lock = Lock::acquire(&path.join(SPOOL_LOCK), Mode::Exclusive, Duration::ZERO).map_err(
            |error| match error {
                LockError::Io { source, .. } => source,
                LockError::Held { .. } => io::ErrorKind::AlreadyExists.into(),
            },
        )?;
        let spool = Self { path, _lock: lock };
        fs::create_dir_all(spool.path.join("blobs/sha256"))?;
        Ok(spool)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        // Nothing can be done about a failure; gc takes it later.
        let _ = fs::remove_dir_all(&self.path);
    }
}
