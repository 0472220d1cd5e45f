//! Unpacked images, one folder per manifest digest, shared by all processes.
//!
//! ```text
//! CACHE/<hex>/root      the files
//! CACHE/<hex>/made      a link whose target says since when it may be trusted
//! CACHE/<hex>.lock      held while it is made or removed
//! CACHE/<hex>.making    half-made: renamed to <hex> when whole
//! ```
//!
//! The rename makes it safe against being killed. Against a power cut nothing
//! small is flushed: a cache is not worth the wait. Instead `made` holds the
//! identity of the boot it was made in, and after another boot it is made
//! anew; only what was large is flushed, marked as durable, and kept.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ounce_oci::{Digest, Image};
use rustix::fs::{CWD, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use serde::Serialize;

use super::extract::{Extractor, remove_folder};
use super::{Options, UnpackError, layers};

/// From here on flushing costs little next to unpacking (and unpacking anew
/// after a boot would be felt).
const FLUSH_BYTES: u64 = 32 << 20;
/// How long another process may take to unpack the same image.
const PATIENCE: Duration = Duration::from_secs(600);
const DURABLE: &str = "durable";
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
/// What the runtime mounts over or puts files into; `tmp` is everyone's. No `sys`:
/// only an image that has one is given it.
const MOUNT_POINTS: [(&str, u32); 4] = [
    ("dev", 0o755),
    ("etc", 0o755),
    ("proc", 0o555),
    ("tmp", 0o1777),
];

/// What [`collect`] took away.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Swept {
    /// Unpacked images removed.
    pub removed: u64,
    /// Left alone since a process is at work on them.
    pub busy: u64,
}

/// The folder with the image's files, unpacked now if it was not before.
///
/// Its folders `dev`, `etc`, `proc` and `tmp` are there and are no
/// links, and any user can read all of it. Owners and set-id bits are not
/// kept. It is shared: mount it read-only.
///
/// # Errors
/// As [`unpack`](super::unpack); or another process has held the lock for ten
/// minutes. The cache then holds nothing half-made under the image's name.
pub fn ensure(cache_dir: &Path, image: &Image) -> Result<PathBuf, UnpackError> {
    let options = Options {
        readable: true,
        ..Options::default()
    };
    ensure_with(cache_dir, &image.digest, &options, |extractor| {
        layers::write(image, &options, extractor)
    })
}

/// An unpacked image that no [`collect`] takes away while this lives.
#[derive(Debug)]
pub struct Held {
    /// The folder with the image's files, as [`ensure`] gives it.
    pub root: PathBuf,
    /// Shared lock on the image's home; the kernel lets go of it with the process.
    _lock: OwnedFd,
}

/// As [`ensure`], and held: for as long as a container runs from it.
///
/// # Errors
/// As [`ensure`].
pub fn hold(cache_dir: &Path, image: &Image) -> Result<Held, UnpackError> {
    hold_with(cache_dir, &image.digest, || ensure(cache_dir, image))
}

/// As [`hold`], by the manifest's digest alone; nothing if it is not unpacked.
pub fn hold_unpacked(cache_dir: &Path, digest: &Digest) -> Option<Held> {
    let home = cache_dir.join(digest.hex());
    if !trusted(&home.join("made")) {
        return None;
    }
    let lock = open(&home).ok()?;
    rustix::fs::flock(&lock, FlockOperation::NonBlockingLockShared).ok()?;
    let root = home.join("root");
    same_file(&lock, &home).then_some(Held { root, _lock: lock })
}

fn hold_with(
    cache_dir: &Path,
    digest: &Digest,
    ensure: impl Fn() -> Result<PathBuf, UnpackError>,
) -> Result<Held, UnpackError> {
    let home = cache_dir.join(digest.hex());
    loop {
        let root = ensure()?;
        // Between the two a `collect` may have taken it: then once more.
        let lock = match open(&home) {
            Ok(lock) => lock,
            Err(UnpackError::Host { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                continue;
            }
            Err(error) => return Err(error),
        };
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockShared) {
            Ok(()) if same_file(&lock, &home) => return Ok(Held { root, _lock: lock }),
            // Being taken away at this moment.
            Ok(()) | Err(Errno::WOULDBLOCK | Errno::INTR) => {
                std::thread::sleep(Duration::from_millis(1));
            }
            Err(errno) => return Err(host("holding", &home)(errno)),
        }
    }
}

fn ensure_with(
    cache_dir: &Path,
    digest: &Digest,
    options: &Options,
    fill: impl FnOnce(&mut Extractor) -> Result<(), UnpackError>,
) -> Result<PathBuf, UnpackError> {
    let home = cache_dir.join(digest.hex());
    let root = home.join("root");
    let made = home.join("made");
    if trusted(&made) {
        return Ok(root);
    }
    make_dir(cache_dir)?;
    let _lock =
        lock(cache_dir, digest, Instant::now() + PATIENCE)?.ok_or_else(|| UnpackError::Busy {
            path: lock_path(cache_dir, digest),
            seconds: PATIENCE.as_secs(),
        })?;
    // Another process may have made it while this one waited.
    if trusted(&made) {
        return Ok(root);
    }
    let cache = open(cache_dir)?;
    let making = format!("{}.making", digest.hex());
    let making_dir = cache_dir.join(&making);
    remove(&cache, &making, &making_dir)?;
    let result = make(&cache, digest, &making_dir, options, fill);
    if result.is_err() {
        // What failed is told; what cannot be cleared now is cleared by the next.
        let _ = remove(&cache, &making, &making_dir);
    }
    result.map(|()| root)
}

/// Makes it aside and renames it, with the lock held.
fn make(
    cache: &OwnedFd,
    digest: &Digest,
    making: &Path,
    options: &Options,
    fill: impl FnOnce(&mut Extractor) -> Result<(), UnpackError>,
) -> Result<(), UnpackError> {
    let root = making.join("root");
    make_dir(making)?;
    make_dir(&root)?;
    let mut extractor = Extractor::new(&root, options.clone())?;
    fill(&mut extractor)?;
    for (name, mode) in MOUNT_POINTS {
        extractor.mount_point(name, mode)?;
    }
    let bytes = extractor.finish()?.bytes;
    let since = if bytes >= FLUSH_BYTES {
        rustix::fs::syncfs(cache).map_err(host("flushing", making))?;
        DURABLE.to_owned()
    } else {
        boot()
    };
    let made = making.join("made");
    rustix::fs::symlink(&since, &made).map_err(host("marking", &made))?;
    let name = digest.hex();
    let home = making.with_file_name(&name);
    // Of an earlier boot, or marked by nobody: no process uses it.
    remove(cache, &name, &home)?;
    rustix::fs::renameat(CWD, making, cache, &name).map_err(host("renaming", making))
}

/// Removes all but the unpacked images of `keep` and those that are held
/// (counted as busy).
///
/// # Errors
/// The cache cannot be listed or a folder not be removed.
pub fn collect(cache_dir: &Path, keep: &[Digest]) -> Result<Swept, UnpackError> {
    let mut swept = Swept::default();
    let listed = |source| UnpackError::Host {
        step: "listing the cache",
        path: cache_dir.to_owned(),
        source,
    };
    let entries = match std::fs::read_dir(cache_dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(swept),
        Err(error) => return Err(listed(error)),
    };
    let mut digests = Vec::new();
    for entry in entries {
        let name = entry.map_err(listed)?.file_name();
        let Some(name) = name.to_str() else { continue };
        let hex = name.split('.').next().unwrap_or(name);
        if let Ok(digest) = format!("sha256:{hex}").parse::<Digest>()
            && !keep.contains(&digest)
        {
            digests.push(digest);
        }
    }
    digests.sort();
    digests.dedup();
    if digests.is_empty() {
        return Ok(swept);
    }
    let cache = open(cache_dir)?;
    for digest in digests {
        let Some(_lock) = lock(cache_dir, &digest, Instant::now())? else {
            swept.busy += 1;
            continue;
        };
        let hex = digest.hex();
        let home = cache_dir.join(&hex);
        let there = home.exists();
        let _unheld = match there.then(|| open(&home)).transpose()? {
            None => None,
            Some(fd) => match rustix::fs::flock(&fd, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => Some(fd),
                Err(Errno::WOULDBLOCK | Errno::INTR) => {
                    swept.busy += 1;
                    continue;
                }
                Err(errno) => return Err(host("locking", &home)(errno)),
            },
        };
        for name in [&hex, &format!("{hex}.making")] {
            remove(&cache, name, &cache_dir.join(name))?;
        }
        let lock = lock_path(cache_dir, &digest);
        rustix::fs::unlink(&lock).map_err(host("removing", &lock))?;
        swept.removed += u64::from(there);
    }
    Ok(swept)
}

/// Whether `made` says that all beside it is whole.
fn trusted(made: &Path) -> bool {
    rustix::fs::readlink(made, Vec::new()).is_ok_and(|since| {
        let since = since.as_bytes();
        since == DURABLE.as_bytes() || since == boot().as_bytes()
    })
}

/// Which boot this is. Where there is no `/proc`, all boots are one: a cache
/// is then trusted as every other file is.
fn boot() -> String {
    let mut id = [0; 64];
    let read = File::open(BOOT_ID).and_then(|mut file| file.read(&mut id));
    let text = read
        .ok()
        .and_then(|count| std::str::from_utf8(&id[..count]).ok());
    text.map_or_else(
        || "unknown".to_owned(),
        |text| format!("boot:{}", text.trim_end()),
    )
}

fn lock_path(cache_dir: &Path, digest: &Digest) -> PathBuf {
    cache_dir.join(format!("{}.lock", digest.hex()))
}

/// Takes the lock, or gives none if it is still held at `deadline`.
fn lock(
    cache_dir: &Path,
    digest: &Digest,
    deadline: Instant,
) -> Result<Option<OwnedFd>, UnpackError> {
    let path = lock_path(cache_dir, digest);
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC;
    loop {
        let fd = rustix::fs::open(&path, flags, Mode::RUSR | Mode::WUSR)
            .map_err(host("opening the lock", &path))?;
        match rustix::fs::flock(&fd, FlockOperation::NonBlockingLockExclusive) {
            // `collect` removes locks: one that no longer has its name locks nobody out.
            Ok(()) if same_file(&fd, &path) => return Ok(Some(fd)),
            Ok(()) => {}
            Err(Errno::WOULDBLOCK | Errno::INTR) if Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(2));
            }
            Err(Errno::WOULDBLOCK | Errno::INTR) => return Ok(None),
            Err(errno) => return Err(host("locking", &path)(errno)),
        }
    }
}

fn same_file(fd: &OwnedFd, path: &Path) -> bool {
    match (rustix::fs::fstat(fd), rustix::fs::stat(path)) {
        (Ok(held), Ok(named)) => (held.st_dev, held.st_ino) == (named.st_dev, named.st_ino),
        _ => false,
    }
}

fn open(path: &Path) -> Result<OwnedFd, UnpackError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).map_err(host("opening the cache", path))
}

/// Makes a folder that any user may enter, whatever the umask, and its parents.
fn make_dir(path: &Path) -> Result<(), UnpackError> {
    match std::fs::create_dir(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            std::fs::create_dir_all(path).map_err(|source| UnpackError::Host {
                step: "making the folder",
                path: path.to_owned(),
                source,
            })?;
        }
        Err(source) => {
            return Err(UnpackError::Host {
                step: "making the folder",
                path: path.to_owned(),
                source,
            });
        }
    }
    rustix::fs::chmod(path, Mode::from_raw_mode(0o755)).map_err(host("opening to all", path))
}

fn remove(cache: &OwnedFd, name: &str, path: &Path) -> Result<(), UnpackError> {
    match remove_folder(cache, name) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(host("removing", path)(errno)),
    }
}

fn host(step: &'static str, path: &Path) -> impl FnOnce(Errno) -> UnpackError {
    let path = path.to_owned();
    move |errno| UnpackError::Host {
        step,
        path,
        source: errno.into(),
    }
}

#[cfg(test)]
mod tests;
