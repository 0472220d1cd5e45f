//! A folder for what is made on the way and must not stay: temporary stores and
//! working trees. What a killed process left is taken by the next one, which
//! sees by the lock that nobody holds it.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, OFlags};

/// A folder of its own that goes with its value.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    _lock: OwnedFd,
}

/// A step that the host refused.
#[derive(Debug, thiserror::Error)]
#[error("{step} {}", path.display())]
pub struct HostError {
    /// What was being done.
    pub step: &'static str,
    /// With what.
    pub path: PathBuf,
    /// Why not.
    #[source]
    pub source: io::Error,
}

impl HostError {
    pub(crate) fn at(step: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self { step, path, source }
    }
}

impl Scratch {
    /// Makes one in `parent`, which is made too, and takes away what dead
    /// processes left there.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn new(parent: &Path) -> Result<Self, HostError> {
        fs::create_dir_all(parent).map_err(HostError::at("making", parent))?;
        sweep(parent);
        let pid = std::process::id();
        for count in 0u32.. {
            let path = parent.join(format!("{pid}-{count}"));
            match fs::create_dir(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(HostError::at("making", &path)(error)),
            }
            let lock = open(&path).map_err(HostError::at("opening", &path))?;
            // Another process may have taken it for a dead one's between the two.
            let locked = rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive);
            if locked.is_ok() && path.is_dir() {
                return Ok(Self { path, _lock: lock });
            }
        }
        Err(HostError::at("making", parent)(
            io::ErrorKind::AlreadyExists.into(),
        ))
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Nothing can be done about a failure; the next one takes it.
        let _ = remove(&self.path);
    }
}

fn open(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

fn sweep(parent: &Path) {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    for entry in entries {
        let path = entry.path();
        if let Ok(lock) = open(&path)
            && rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok()
        {
            let _ = remove(&path);
        }
    }
}

/// Removes a folder, folders without permission for us in it as well.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            open_up(path)?;
            fs::remove_dir_all(path)
        }
        result => result,
    }
}

fn open_up(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            open_up(&entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_dead_process_left_goes_and_what_a_living_one_has_stays() {
        let parent = tempfile::tempdir().unwrap();
        let dead = parent.path().join("1-0");
        fs::create_dir_all(dead.join("a/b")).unwrap();
        let one = Scratch::new(parent.path()).unwrap();
        assert!(!dead.exists());
        let other = Scratch::new(parent.path()).unwrap();
        assert!(one.path().is_dir() && other.path().is_dir());
        let gone = one.path().to_owned();
        drop(one);
        assert!(!gone.exists() && other.path().is_dir());
    }
}
