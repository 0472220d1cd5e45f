//! What moves and what goes away again: names, what hangs on images, and blobs that nothing
//! reaches. Writing is in `store`; both hold the same locks.

use std::collections::HashSet;
use std::fs;
use std::io;

use serde::Serialize;

use crate::blobs::BlobError;
use crate::image::unnamed;
use crate::layout;
use crate::lock::{Lock, Mode};
use crate::model::{Descriptor, ImageIndex, digest_of};
use crate::referrers::{self, Referrer, Referrers};
use crate::spool::SPOOL_LOCK;
use crate::store::{Reached, Store, StoreError, find_in, io_error, list, storable};
use crate::{Digest, Reference};

/// What [`Store::gc`] took away.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Collected {
    /// Blobs that no name reached.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Store {
    /// Takes a name away, and with an image's last name what hangs on it; the
    /// blobs go at the next [`Store::gc`].
    ///
    /// # Errors
    /// No such name.
    pub fn remove(&self, reference: &Reference) -> Result<(), StoreError> {
        let _held_off = self.lock(Mode::Shared)?;
        self.change_index(|index| {
            let at = find_in(index, reference)?;
            let mut manifests = index.manifests().clone();
            manifests.remove(at);
            index.set_manifests(manifests);
            // An image that is not whole keeps nobody from taking a name away:
            // what hung on it then goes at the next gc.
            let _ = self.let_go(index);
            Ok(())
        })
    }

    /// Gives names what they are to point to, or takes them away, all at once: whoever
    /// reads the store sees none of it or all. What loses its last name loses what hangs
    /// on it, and its blobs at the next [`Store::gc`].
    ///
    /// # Errors
    /// The lock is held past the timeout, or the disk refuses.
    pub fn rename(&self, changes: &[(&Reference, Option<&Descriptor>)]) -> Result<(), StoreError> {
        let _held_off = self.lock(Mode::Shared)?;
        self.change_index(|index| {
            for (reference, root) in changes {
                match root {
                    Some(root) => layout::set_name(index, &storable(reference), &unnamed(root)),
                    None => {
                        let name = storable(reference);
                        let mut manifests = index.manifests().clone();
                        manifests.retain(|entry| layout::ref_name(entry) != Some(&name));
                        index.set_manifests(manifests);
                    }
                }
            }
            // As where a name is removed: what is not whole is gc's.
            let _ = self.let_go(index);
            Ok(())
        })
    }

    /// What hangs on the manifest or index with this digest: signatures, bills
    /// of materials, statements. Not what hangs on these in turn.
    ///
    /// # Errors
    /// The index cannot be read, or there is more than anybody means.
    pub fn referrers(&self, subject: &Digest) -> Result<Vec<Referrer>, StoreError> {
        let all = Referrers::read(&self.blobs(), &self.index()?);
        Ok(referrers::bounded(subject, all.of(subject).to_vec())?)
    }

    /// What hangs on an image, on its images for each platform, and on what
    /// hangs there; nearest first.
    ///
    /// # Errors
    /// As [`Store::referrers`], or a document of the image is not whole.
    pub fn referrers_below(&self, root: &Descriptor) -> Result<Vec<Referrer>, StoreError> {
        let mut reached = Reached::default();
        reached.follow(&self.blobs(), root, 0)?;
        let digest = digest_of(root).map_err(BlobError::from)?;
        let all = Referrers::read(&self.blobs(), &self.index()?);
        // The image itself before its parts, each by its digest.
        let mut subjects: Vec<Digest> = reached.blobs.into_iter().collect();
        subjects.sort_by_key(|one| (*one != digest, *one));
        Ok(referrers::bounded(&digest, all.all_of(subjects))?)
    }

    /// Takes an artifact off the image that it hangs on; its blobs go at the
    /// next [`Store::gc`].
    ///
    /// # Errors
    /// There is no such artifact.
    pub fn detach(&self, artifact: &Digest) -> Result<(), StoreError> {
        let _held_off = self.lock(Mode::Shared)?;
        self.change_index(|index| {
            let mut manifests = index.manifests().clone();
            let before = manifests.len();
            manifests.retain(|entry| {
                layout::ref_name(entry).is_some() || entry.digest().as_ref() != artifact.to_string()
            });
            if manifests.len() == before {
                return Err(StoreError::NotFound {
                    name: artifact.to_string(),
                    nearest: None,
                });
            }
            index.set_manifests(manifests);
            let _ = self.let_go(index);
            Ok(())
        })
    }

    /// Takes from the index what hangs on nothing that is kept; gives the blobs
    /// that the rest reaches.
    pub(crate) fn let_go(&self, index: &mut ImageIndex) -> Result<HashSet<Digest>, StoreError> {
        let blobs = self.blobs();
        let referrers = Referrers::read(&blobs, index);
        let hanging: HashSet<Digest> = referrers.every().map(|one| one.digest).collect();
        let mut reached = Reached::default();
        for entry in index.manifests() {
            let hangs = layout::ref_name(entry).is_none()
                && digest_of(entry).is_ok_and(|digest| hanging.contains(&digest));
            if !hangs {
                reached.follow(&blobs, entry, 0)?;
            }
        }
        referrers::drop_orphans(index, &referrers, &reached.blobs);
        for entry in index.manifests() {
            reached.follow(&blobs, entry, 0)?;
        }
        Ok(reached.blobs)
    }

    /// Takes away every blob that no name reaches and that hangs on nothing a
    /// name reaches, and what a killed writer left.
    ///
    /// # Errors
    /// Another process holds the lock past the timeout.
    pub fn gc(&self) -> Result<Collected, StoreError> {
        let _lock = self.lock(Mode::Exclusive)?;
        let mut index = self.index()?;
        let before = index.clone();
        let reached = self.let_go(&mut index)?;
        if index != before {
            // Entries go before their blobs do: the layout is whole at every moment.
            self.change_index(|now| {
                *now = index;
                Ok(())
            })?;
        }
        let mut collected = Collected::default();
        for (path, name) in list(&self.root().join("blobs/sha256"))? {
            let digest = format!("sha256:{name}").parse::<Digest>();
            if digest.is_ok_and(|digest| reached.contains(&digest)) {
                continue;
            }
            let metadata = fs::symlink_metadata(&path).map_err(io_error("reading", &path))?;
            if !metadata.is_file() {
                continue;
            }
            fs::remove_file(&path).map_err(io_error("removing", &path))?;
            collected.blobs += 1;
            collected.bytes += metadata.len();
        }
        self.sweep_scratch()?;
        Ok(collected)
    }

    /// Takes what dead processes left; the caller has `lock` alone.
    fn sweep_scratch(&self) -> Result<(), StoreError> {
        for (path, _) in list(&self.scratch())? {
            let metadata = fs::symlink_metadata(&path).map_err(io_error("reading", &path))?;
            let result = if !metadata.is_dir() {
                fs::remove_file(&path)
            } else {
                // A temporary layout outlives the lock, and has one of its own.
                let alive = match fs::File::open(path.join(SPOOL_LOCK)) {
                    Ok(file) => Lock::try_exclusive(file)
                        .map_err(io_error("locking", &path))?
                        .is_none(),
                    Err(_) => false,
                };
                if alive {
                    continue;
                }
                fs::remove_dir_all(&path)
            };
            match result {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(io_error("removing", &path)(error));
                }
                _ => {}
            }
        }
        Ok(())
    }
}
