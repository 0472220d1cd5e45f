//! Advisory locks between processes: `flock(2)` on a file, with a timeout and
//! the name of who holds it. The kernel lets a lock go when its holder dies,
//! so none is ever stale.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// How a lock is shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// With others that share it.
    Shared,
    /// With nobody.
    Exclusive,
}

/// A lock that is held until it is dropped.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

/// A lock was not had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process has it, and the time is up.
    #[error("{path} is locked by another process")]
    Held {
        /// The file.
        path: PathBuf,
        /// Who has it, where that can be told.
        holder_pid: Option<u32>,
        /// How long it was waited for.
        waited: Duration,
    },
    /// The file cannot be opened or locked.
    #[error("locking {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// Pauses between two tries: short at first, since most locks are held for
/// less than a millisecond.
const FIRST_PAUSE: Duration = Duration::from_micros(200);
const LONGEST_PAUSE: Duration = Duration::from_millis(20);

impl Lock {
    /// Locks the file at `path`, which is made if need be.
    ///
    /// # Errors
    /// Another has it past the timeout, or the file cannot be had.
    pub fn acquire(path: &Path, mode: Mode, timeout: Duration) -> Result<Self, LockError> {
        let io_error = |source| LockError::Io {
            path: path.to_owned(),
            source,
        };
        let file = opened(path).map_err(io_error)?;
        let begun = Instant::now();
        let mut pause = FIRST_PAUSE;
        while !try_lock(&file, mode).map_err(io_error)? {
            let waited = begun.elapsed();
            if waited >= timeout {
                return Err(LockError::Held {
                    path: path.to_owned(),
                    holder_pid: holder(&file),
                    waited,
                });
            }
            std::thread::sleep(pause.min(timeout.saturating_sub(waited)));
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        Ok(Self { file })
    }

    /// Locks the file at `path` alone, which is made if need be, however long that
    /// takes; where another has it, `on_wait` is told who, once.
    ///
    /// # Errors
    /// The file cannot be had.
    pub fn wait(path: &Path, on_wait: &mut dyn FnMut(Option<u32>)) -> Result<Self, LockError> {
        let io_error = |source| LockError::Io {
            path: path.to_owned(),
            source,
        };
        let file = opened(path).map_err(io_error)?;
        wait_for(&file, on_wait).map_err(io_error)?;
        Ok(Self { file })
    }

    /// As [`Lock::wait`], of a folder, so that no file is left in it. `None` on a file
    /// system that cannot lock one.
    ///
    /// # Errors
    /// The folder cannot be opened.
    pub fn wait_for_folder(
        path: &Path,
        on_wait: &mut dyn FnMut(Option<u32>),
    ) -> Result<Option<Self>, LockError> {
        let file = File::open(path).map_err(|source| LockError::Io {
            path: path.to_owned(),
            source,
        })?;
        Ok(wait_for(&file, on_wait).ok().map(|()| Self { file }))
    }

    /// Whether the file that is locked is the one with these data: it may have
    /// been moved away, and another made in its place, while the lock was waited for.
    pub(crate) fn is_of(&self, other: &std::fs::Metadata) -> io::Result<bool> {
        let own = self.file.metadata()?;
        Ok((own.dev(), own.ino()) == (other.dev(), other.ino()))
    }

    /// Locks `file` alone if nobody else has it now.
    pub(crate) fn try_exclusive(file: File) -> io::Result<Option<Self>> {
        Ok(try_lock(&file, Mode::Exclusive)?.then_some(Self { file }))
    }

    /// Locks the folder at `path` itself, so that no file is left in a layout
    /// that is not ours. Some network file systems cannot; then nothing is
    /// locked, as with every other tool that writes such a folder.
    pub(crate) fn folder(path: &Path, timeout: Duration) -> Result<Option<Self>, LockError> {
        let io_error = |source| LockError::Io {
            path: path.to_owned(),
            source,
        };
        let file = File::open(path).map_err(io_error)?;
        let begun = Instant::now();
        loop {
            match try_lock(&file, Mode::Exclusive) {
                Ok(true) => return Ok(Some(Self { file })),
                Err(_) => return Ok(None),
                Ok(false) if begun.elapsed() >= timeout => {
                    return Err(LockError::Held {
                        path: path.to_owned(),
                        holder_pid: holder(&file),
                        waited: begun.elapsed(),
                    });
                }
                Ok(false) => std::thread::sleep(FIRST_PAUSE),
            }
        }
    }
}

/// The file to lock, made if need be.
fn opened(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    options.open(path)
}

/// Waits until nobody else has `file`.
fn wait_for(file: &File, on_wait: &mut dyn FnMut(Option<u32>)) -> io::Result<()> {
    if !try_lock(file, Mode::Exclusive)? {
        on_wait(holder(file));
        rustix::io::retry_on_intr(|| flock(file, FlockOperation::LockExclusive))?;
    }
    Ok(())
}

fn try_lock(file: &File, mode: Mode) -> io::Result<bool> {
    let operation = match mode {
        Mode::Shared => FlockOperation::NonBlockingLockShared,
        Mode::Exclusive => FlockOperation::NonBlockingLockExclusive,
    };
    loop {
        match flock(file, operation) {
            Ok(()) => return Ok(true),
            Err(Errno::WOULDBLOCK) => return Ok(false),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Who holds a lock on `file`, by `/proc/locks` (proc(5)): `1: FLOCK ADVISORY
/// WRITE 1234 fe:00:5678 0 EOF`. `None` where that cannot be told, as when
/// the holder is in another pid namespace (its pid reads 0).
fn holder(file: &File) -> Option<u32> {
    let inode = file.metadata().ok()?.ino().to_string();
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    locks.lines().find_map(|line| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        // A line with `->` is one that waits.
        if fields.next()? != "FLOCK" {
            return None;
        }
        let pid = fields.nth(2)?.parse().ok().filter(|pid| *pid != 0)?;
        // The device is left out: on overlay and btrfs it is not what stat(2) says.
        (fields.next()?.rsplit(':').next()? == inode).then_some(pid)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_is_held_is_waited_for_and_its_holder_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let held = Lock::acquire(&path, Mode::Exclusive, Duration::ZERO).unwrap();
        let timeout = Duration::from_millis(30);
        match Lock::acquire(&path, Mode::Shared, timeout) {
            Err(LockError::Held {
                holder_pid, waited, ..
            }) => {
                assert_eq!(holder_pid, Some(std::process::id()));
                assert!(waited >= timeout);
            }
            other => panic!("{other:?}"),
        }
        drop(held);
        let first = Lock::acquire(&path, Mode::Shared, Duration::ZERO).unwrap();
        let second = Lock::acquire(&path, Mode::Shared, Duration::ZERO).unwrap();
        drop((first, second));
        Lock::acquire(&path, Mode::Exclusive, Duration::ZERO).unwrap();
    }

    #[test]
    fn who_waits_is_told_once_who_has_it_and_goes_on_when_it_is_let_go() {
        let folder = tempfile::tempdir().unwrap();
        let mut held =
            Lock::wait_for_folder(folder.path(), &mut |_| panic!("nobody has it")).unwrap();
        let mut told = Vec::new();
        let next = Lock::wait_for_folder(folder.path(), &mut |holder| {
            told.push(holder);
            drop(held.take());
        });
        assert!(next.unwrap().is_some());
        assert_eq!(told, [Some(std::process::id())]);
        let path = folder.path().join("lock");
        let mut held = Some(Lock::wait(&path, &mut |_| panic!("nobody has it")).unwrap());
        let mut told = 0;
        Lock::wait(&path, &mut |_| {
            told += 1;
            drop(held.take());
        })
        .unwrap();
        assert_eq!(told, 1);
    }
}
