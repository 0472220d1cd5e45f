//! Writing blobs into a layout: to a temporary file first, into place by
//! rename, onto the disk before any name points to it.
//!
//! Each new file is fsynced once, at the end, then their folder once. The kernel
//! is told to begin with a small file's data as soon as it is written: then its
//! place on the disk is chosen, and the first fsync's journal commit carries what
//! the others need (on ext4, five small files: 0.31 ms one by one, 0.16 so, in a prototype beside this code). A
//! blob is therefore in place before it is safe from a power cut; that does no harm,
//! since no name reaches it yet, and whoever finds a blob in place hashes it
//! before relying on it. `syncfs` would be a single call, but it waits for
//! whatever anybody else has written to the file system.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::Digest;
use crate::blobs::{BlobError, Blobs, open_plain};
use crate::digest::Hashing;
use crate::lock::Lock;
use crate::model::{Descriptor, digest_of};

/// Files that await their fsync; more than this are synced as they come, to
/// stay clear of the usual limit of 1,024 open files.
const MOST_PENDING: usize = 128;

/// The largest file that is hurried to the disk; see [`begin_writeback`].
const LARGEST_HURRIED: u64 = 1 << 20;

/// Where blobs of a layout are written.
#[derive(Debug)]
pub(crate) struct Sink {
    blobs: Blobs,
    /// Another layout whose blobs are taken where they are wanted here.
    lent: Option<Blobs>,
    scratch: PathBuf,
    pending: Vec<(PathBuf, File)>,
    folder_changed: bool,
    has_large: bool,
}

/// A temporary file that goes with its value.
#[derive(Debug)]
pub(crate) struct Scratch {
    path: PathBuf,
    file: File,
    kept: bool,
    /// Of one that others may wait for: let go once it is in place.
    _lock: Option<Lock>,
}

fn write_error(path: &Path) -> impl FnOnce(io::Error) -> BlobError + '_ {
    |source| BlobError::Write {
        path: path.to_owned(),
        source,
    }
}

impl Scratch {
    /// Makes one in `folder`, on the same file system as what it will become.
    pub(crate) fn new(folder: &Path) -> Result<Self, BlobError> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let pid = std::process::id();
        loop {
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let path = folder.join(format!(".ounce-{pid}-{count}"));
            match OpenOptions::new()
                .read(true)
                .write(true)
                .create_new(true)
                .open(&path)
            {
                Ok(file) => {
                    return Ok(Self {
                        path,
                        file,
                        kept: false,
                        _lock: None,
                    });
                }
                // Another pid namespace, or a dead process's leavings.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(source) => return Err(BlobError::Write { path, source }),
            }
        }
    }

    /// Takes over a file that was made elsewhere, and the lock on it.
    pub(crate) fn adopt(path: PathBuf, file: File, lock: Lock) -> Self {
        Self {
            path,
            file,
            kept: false,
            _lock: Some(lock),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// Moves it to `target`, in place of what may be there.
    pub(crate) fn rename(mut self, target: &Path) -> Result<File, BlobError> {
        fs::rename(&self.path, target).map_err(write_error(target))?;
        self.kept = true;
        self.file.try_clone().map_err(write_error(target))
    }

    /// As [`Scratch::rename`], but on the disk when it returns: the file
    /// before, the folder after.
    pub(crate) fn publish(self, target: &Path) -> Result<(), BlobError> {
        self.file.sync_all().map_err(write_error(target))?;
        self.rename(target)?;
        sync_folder(target.parent().unwrap_or(Path::new("/")))
    }
}

/// Small files of one folder that take the place of what is there, one after the
/// other; written, but not in place before [`Replacement::publish`].
pub(crate) struct Replacement {
    folder: PathBuf,
    files: Vec<(Scratch, PathBuf)>,
}

impl Replacement {
    /// None yet, for `folder`.
    pub(crate) fn of(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            files: Vec::new(),
        }
    }

    /// Writes a file that will be called `name`, by way of the folder `scratch`.
    pub(crate) fn write(
        &mut self,
        scratch: &Path,
        name: &str,
        bytes: &[u8],
    ) -> Result<(), BlobError> {
        let target = self.folder.join(name);
        let mut temporary = Scratch::new(scratch)?;
        temporary
            .file()
            .write_all(bytes)
            .map_err(write_error(&target))?;
        begin_writeback(&temporary.file, bytes.len() as u64);
        self.files.push((temporary, target));
        Ok(())
    }

    /// Puts the files in place, in the order in which they were written: whole
    /// before, on the disk when it returns.
    pub(crate) fn publish(self) -> Result<(), BlobError> {
        for (scratch, target) in &self.files {
            scratch.file.sync_all().map_err(write_error(target))?;
        }
        for (scratch, target) in self.files {
            scratch.rename(&target)?;
        }
        sync_folder(&self.folder)
    }
}

/// Lets the kernel write a file's data without waiting for it. A large file is
/// left alone: its data is under way by itself, and this advice would also drop
/// from memory what the next command reads.
fn begin_writeback(file: &File, size: u64) {
    if size <= LARGEST_HURRIED {
        // Advice only: where it is refused, fsync does it all.
        let _ = rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed);
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !self.kept {
            // Nothing can be done about a failure; gc takes it later.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Puts the names in a folder onto the disk.
pub(crate) fn sync_folder(path: &Path) -> Result<(), BlobError> {
    let path = if path.as_os_str().is_empty() {
        Path::new(".")
    } else {
        path
    };
    File::open(path)
        .and_then(|folder| folder.sync_all())
        .map_err(write_error(path))
}

impl Sink {
    /// Writes to the layout at `root`, by way of the folder `scratch`.
    pub(crate) fn new(root: &Path, scratch: PathBuf) -> Self {
        Self {
            blobs: Blobs::new(root),
            lent: None,
            scratch,
            pending: Vec::new(),
            folder_changed: false,
            has_large: false,
        }
    }

    /// Lets blobs be taken from another layout: what it has counts as being here.
    pub(crate) fn lend(&mut self, from: Blobs) {
        self.lent = Some(from);
    }

    /// Takes a blob from the layout that was lent, if it is there and whole.
    fn borrow(&mut self, digest: &Digest, size: u64) -> Result<bool, BlobError> {
        let Some(lent) = &self.lent else {
            return Ok(false);
        };
        if whole(&lent.path(digest), digest, size).is_none() {
            return Ok(false);
        }
        let path = self.blobs.path(digest);
        // What is here is absent or corrupt.
        let _ = fs::remove_file(&path);
        // Blobs never change, so one file can have a name in both; where that
        // cannot be (another file system), it is copied.
        let taken = fs::hard_link(lent.path(digest), &path)
            .or_else(|_| fs::copy(lent.path(digest), &path).map(drop));
        taken.map_err(write_error(&path))?;
        self.folder_changed = true;
        Ok(true)
    }

    /// The blobs that are there.
    pub(crate) fn blobs(&self) -> &Blobs {
        &self.blobs
    }

    /// Writes a blob from memory.
    pub(crate) fn put(&mut self, bytes: &[u8]) -> Result<Digest, BlobError> {
        let digest = Digest::of(bytes);
        if !self.holds(&digest, bytes.len() as u64)? {
            let mut scratch = self.scratch()?;
            let path = scratch.path().to_owned();
            scratch
                .file()
                .write_all(bytes)
                .map_err(write_error(&path))?;
            self.name(scratch, &digest, bytes.len() as u64)?;
        }
        Ok(digest)
    }

    /// Copies a blob, verified before it gets its name.
    pub(crate) fn copy(
        &mut self,
        descriptor: &Descriptor,
        from: &mut dyn Read,
    ) -> Result<(), BlobError> {
        let digest = digest_of(descriptor)?;
        let size = descriptor.size();
        if self.holds(&digest, size)? {
            return Ok(());
        }
        let mut scratch = self.scratch()?;
        let path = scratch.path().to_owned();
        // One byte more than stated is read, so that too much is noticed.
        let mut from = Hashing::new(from.take(size.saturating_add(1)));
        let mut buffer = vec![0; 64 << 10];
        loop {
            let count = match from.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(source) => return Err(copy_error(digest, source)),
            };
            scratch
                .file()
                .write_all(&buffer[..count])
                .map_err(write_error(&path))?;
        }
        let (_, actual, count) = from.into_digest();
        if count != size {
            return Err(BlobError::Size {
                digest,
                stated_bytes: size,
                actual_bytes: count,
            });
        }
        if actual != digest {
            return Err(BlobError::Corrupt { digest, actual });
        }
        self.name(scratch, &digest, size)
    }

    /// A temporary file to be given to [`Sink::place`].
    pub(crate) fn scratch(&self) -> Result<Scratch, BlobError> {
        Scratch::new(&self.scratch)
    }

    /// Gives a finished temporary file of `size` bytes its name. A blob that is
    /// there already and whole stays: to replace it would cost a file system
    /// the freeing of the old one, 1 ms on ext4, where hashing 14 KB costs 10 µs.
    pub(crate) fn place(
        &mut self,
        scratch: Scratch,
        digest: &Digest,
        size: u64,
    ) -> Result<(), BlobError> {
        if self.holds(digest, size)? {
            return Ok(());
        }
        self.name(scratch, digest, size)
    }

    fn name(&mut self, scratch: Scratch, digest: &Digest, size: u64) -> Result<(), BlobError> {
        let path = self.blobs.path(digest);
        let file = scratch.rename(&path)?;
        begin_writeback(&file, size);
        self.has_large |= size > LARGEST_HURRIED;
        self.folder_changed = true;
        self.pend(path, file)
    }

    /// The layout that lends, if one does.
    pub(crate) fn lender(&self) -> Option<&Blobs> {
        self.lent.as_ref()
    }

    /// Whether a blob is there and whole. A corrupt one counts as absent and
    /// is written anew: adding an image again mends it.
    pub(crate) fn holds(&mut self, digest: &Digest, size: u64) -> Result<bool, BlobError> {
        let path = self.blobs.path(digest);
        let Some(file) = whole(&path, digest, size) else {
            return self.borrow(digest, size);
        };
        // Its writer may not have synced it yet, and may never do so.
        self.folder_changed = true;
        self.pend(path, file)?;
        Ok(true)
    }

    fn pend(&mut self, path: PathBuf, file: File) -> Result<(), BlobError> {
        if self.pending.len() < MOST_PENDING {
            self.pending.push((path, file));
            Ok(())
        } else {
            file.sync_all().map_err(write_error(&path))
        }
    }

    /// Whether what awaits its fsync takes more than a moment.
    pub(crate) fn has_large(&self) -> bool {
        self.has_large
    }

    /// Puts all that was written onto the disk.
    pub(crate) fn sync(&mut self) -> Result<(), BlobError> {
        for (path, file) in self.pending.drain(..) {
            file.sync_all().map_err(write_error(&path))?;
        }
        self.has_large = false;
        if std::mem::take(&mut self.folder_changed) {
            sync_folder(&self.blobs.root().join("blobs/sha256"))?;
        }
        Ok(())
    }
}

/// The file at a path, if it is this blob and whole.
fn whole(path: &Path, digest: &Digest, size: u64) -> Option<File> {
    let file = open_plain(path).ok()?;
    if file.metadata().ok()?.len() != size {
        return None;
    }
    let mut hashing = Hashing::new(&file);
    io::copy(&mut hashing, &mut io::sink()).ok()?;
    let (_, actual, count) = hashing.into_digest();
    (actual == *digest && count == size).then_some(file)
}

/// An error of the source: a [`BlobError`] inside comes out again.
fn copy_error(digest: Digest, source: io::Error) -> BlobError {
    match source.downcast::<BlobError>() {
        Ok(error) => error,
        Err(source) => BlobError::Copy { digest, source },
    }
}
