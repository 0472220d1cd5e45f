//! Where a download lands: bytes are hashed and counted as they come, and what
//! an interrupted download has left is taken up again.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::FetchError;
use crate::Digest;
use crate::blobs::BlobError;
use crate::digest::Hashing;
use crate::lock::{Lock, LockError, Mode};
use crate::sink::{Scratch, sync_folder};

/// Bytes on their way to their place.
pub(crate) struct Landing<'a> {
    out: Out<'a>,
    hashing: Hashing<io::Sink>,
}

enum Out<'a> {
    File(&'a mut File, &'a Path),
    Memory(&'a mut Vec<u8>),
}

impl<'a> Landing<'a> {
    /// An empty file; `path` is for messages.
    pub(crate) fn file(file: &'a mut File, path: &'a Path) -> Self {
        Self {
            out: Out::File(file, path),
            hashing: Hashing::new(io::sink()),
        }
    }

    /// Memory.
    pub(crate) fn memory(bytes: &'a mut Vec<u8>) -> Self {
        bytes.clear();
        Self {
            out: Out::Memory(bytes),
            hashing: Hashing::new(io::sink()),
        }
    }

    /// Takes up what the file has from an earlier download.
    fn take_up(&mut self) -> Result<(), FetchError> {
        if let Out::File(file, path) = &mut self.out {
            let result = file
                .seek(SeekFrom::Start(0))
                .and_then(|_| io::copy(&mut **file, &mut self.hashing));
            result.map_err(|source| FetchError::Write {
                path: path.to_owned(),
                source,
            })?;
        }
        Ok(())
    }

    /// Bytes that are there.
    pub(crate) fn count(&self) -> u64 {
        self.hashing.count()
    }

    /// Adds some.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), FetchError> {
        match &mut self.out {
            Out::Memory(all) => all.extend_from_slice(bytes),
            Out::File(file, path) => {
                file.write_all(bytes).map_err(|source| FetchError::Write {
                    path: path.to_owned(),
                    source,
                })?;
            }
        }
        // A sink takes everything.
        let _ = self.hashing.write_all(bytes);
        Ok(())
    }

    /// Throws away what is there.
    pub(crate) fn restart(&mut self) -> Result<(), FetchError> {
        match &mut self.out {
            Out::Memory(all) => all.clear(),
            Out::File(file, path) => {
                let result = file.set_len(0).and_then(|()| file.seek(SeekFrom::Start(0)));
                result.map_err(|source| FetchError::Write {
                    path: path.to_owned(),
                    source,
                })?;
            }
        }
        self.hashing = Hashing::new(io::sink());
        Ok(())
    }

    /// What the bytes so far hash to.
    pub(crate) fn digest_so_far(&self) -> Digest {
        self.hashing.digest_so_far()
    }
}

/// How long a download of the same file by another process is waited for.
const OTHERS_TIMEOUT: Duration = Duration::from_secs(600);

/// A file that is being downloaded: `NAME.part` beside where it will be, locked.
/// It stays where the download breaks and its digest is known, so that the next
/// one goes on from there.
pub(crate) struct Part {
    file: File,
    path: PathBuf,
    target: PathBuf,
    keep: bool,
    lock: Lock,
}

impl Part {
    /// Opens it, waiting for another process that downloads the same.
    pub(crate) fn open(target: &Path, keep: bool) -> Result<Self, FetchError> {
        let mut name = target.file_name().unwrap_or_default().to_owned();
        name.push(".part");
        let path = target.with_file_name(name);
        let fault = |source| FetchError::Write {
            path: path.clone(),
            source,
        };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(fault)?;
        }
        loop {
            let lock = match Lock::acquire(&path, Mode::Exclusive, OTHERS_TIMEOUT) {
                Ok(lock) => lock,
                Err(LockError::Io { source, .. }) => return Err(fault(source)),
                Err(LockError::Held { .. }) => return Err(fault(io::ErrorKind::TimedOut.into())),
            };
            let file = OpenOptions::new().read(true).write(true).open(&path);
            let file = match file {
                Ok(file) => file,
                // Whoever had the lock has finished and moved it away.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(fault(error)),
            };
            let ours = file.metadata().map_err(fault)?;
            if lock.is_of(&ours).map_err(fault)? && ours.is_file() {
                return Ok(Self {
                    file,
                    path,
                    target: target.to_owned(),
                    keep,
                    lock,
                });
            }
        }
    }

    /// Where its bytes go; with what is there already, if it is to be kept.
    pub(crate) fn landing(&mut self) -> Result<Landing<'_>, FetchError> {
        let mut landing = Landing::file(&mut self.file, &self.path);
        match self.keep {
            true => landing.take_up()?,
            false => landing.restart()?,
        }
        Ok(landing)
    }

    /// Moves it to its place, on the disk when this returns.
    pub(super) fn publish(self) -> Result<(), FetchError> {
        let fault = |source| FetchError::Write {
            path: self.target.clone(),
            source,
        };
        self.file.sync_all().map_err(fault)?;
        fs::rename(&self.path, &self.target).map_err(fault)?;
        match sync_folder(self.target.parent().unwrap_or(Path::new("/"))) {
            Err(BlobError::Write { source, .. }) => Err(fault(source)),
            _ => Ok(()),
        }
    }

    /// Hands it on, locked until it is moved away.
    pub(crate) fn into_scratch(self) -> Scratch {
        Scratch::adopt(self.path, self.file, self.lock)
    }

    /// It is of no use: somebody else has brought it.
    pub(crate) fn discard(self) {
        // Nothing can be done about a failure; the next download takes it up.
        let _ = fs::remove_file(&self.path);
    }

    /// After a failure: what is of no use to anybody goes.
    pub(crate) fn give_up(self) {
        let is_empty = self.file.metadata().is_ok_and(|data| data.size() == 0);
        if !self.keep || is_empty {
            // Nothing can be done about a failure; the next download takes it up.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Whether a file is there and is what is wanted.
pub(super) fn is_there(path: &Path, digest: &Digest, size: Option<u64>) -> bool {
    let Ok(file) = crate::blobs::open_plain(path) else {
        return false;
    };
    if let (Some(size), Ok(data)) = (size, file.metadata())
        && data.len() != size
    {
        return false;
    }
    let mut hashing = Hashing::new(file);
    io::copy(&mut hashing, &mut io::sink()).is_ok() && hashing.into_digest().1 == *digest
}
