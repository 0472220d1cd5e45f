//! Where an update stands, as names in the store. Each step is one change of the
//! store's index, which takes the place of the old one as a whole: after a power cut
//! there is the state before a step or the state after it.
//!
//! | name | what it points to |
//! |---|---|
//! | `APP:TAG` | what is served |
//! | `APP:TAG.new` | what was fetched and is not served yet |
//! | `APP:TAG.trial` | what is served, as long as it has to prove itself |
//! | `APP:TAG.previous` | what was served before |
//! | `APP:TAG.failed` | what has not proved itself: it is not tried again |

use ounce_oci::model::{Descriptor, digest_of};
use ounce_oci::store::StoreError;
use ounce_oci::{Digest, Reference, Store};

use crate::failure::Failure;

/// The names of one image that is updated.
pub(super) struct Names<'a> {
    store: &'a Store,
    /// What is served.
    pub(super) served: Reference,
    /// What was fetched.
    pub(super) new: Reference,
    trial: Reference,
    previous: Reference,
    failed: Reference,
}

impl<'a> Names<'a> {
    /// Those of the image that is served by this name.
    pub(super) fn of(store: &'a Store, served: &Reference) -> Self {
        let with = |end: &str| Reference {
            tag: served.tag.as_ref().map(|tag| format!("{tag}.{end}")),
            ..served.clone()
        };
        Self {
            store,
            served: served.clone(),
            new: with("new"),
            trial: with("trial"),
            previous: with("previous"),
            failed: with("failed"),
        }
    }

    fn find(&self, name: &Reference) -> Result<Option<Descriptor>, Failure> {
        // Not by `find`, which would take a name for the beginning of a digest.
        let names = self.store.names()?;
        let found = names.into_iter().find(|one| one.reference == *name);
        Ok(found.map(|one| one.descriptor))
    }

    /// What is served, if anything has been yet.
    pub(super) fn current(&self) -> Result<Option<Descriptor>, Failure> {
        self.find(&self.served)
    }

    /// What was served before.
    pub(super) fn before(&self) -> Result<Option<Descriptor>, Failure> {
        self.find(&self.previous)
    }

    /// Whether what is served has yet to prove itself.
    pub(super) fn is_on_trial(&self) -> Result<bool, Failure> {
        match self.find(&self.trial)? {
            None => Ok(false),
            trial if trial == self.current()? => Ok(true),
            Some(_) => {
                // Somebody has given the name to another image since.
                self.store.rename(&[(&self.trial, None)])?;
                Ok(false)
            }
        }
    }

    /// Whether this image has failed here before.
    pub(super) fn has_failed(&self, image: &Descriptor) -> Result<bool, Failure> {
        let failed = self.find(&self.failed)?;
        Ok(failed.is_some_and(|failed| failed.digest() == image.digest()))
    }

    /// Forgets what was fetched.
    pub(super) fn forget(&self) -> Result<(), Failure> {
        Ok(self.store.rename(&[(&self.new, None)])?)
    }

    /// The image that was fetched is served from now on, on trial where there is one
    /// to go back to.
    pub(super) fn switch(&self, new: &Descriptor) -> Result<(), Failure> {
        let current = self.current()?;
        let mut changes = vec![(&self.served, Some(new)), (&self.new, None)];
        if let Some(current) = &current {
            changes.push((&self.previous, Some(current)));
            changes.push((&self.trial, Some(new)));
        }
        Ok(self.store.rename(&changes)?)
    }

    /// What is served has proved itself.
    pub(super) fn confirm(&self) -> Result<(), Failure> {
        Ok(self.store.rename(&[(&self.trial, None)])?)
    }

    /// What was served before is served again, and what is served is not tried again.
    pub(super) fn go_back(&self) -> Result<Descriptor, Failure> {
        let previous = self.before()?.ok_or_else(|| {
            Failure::from(StoreError::NotFound {
                name: self.previous.to_string(),
                nearest: None,
            })
        })?;
        let current = self.current()?;
        let changes = [
            (&self.served, Some(&previous)),
            (&self.trial, None),
            (&self.previous, None),
            (&self.failed, current.as_ref()),
        ];
        self.store.rename(&changes)?;
        Ok(previous)
    }

    /// An image is not to be tried again.
    pub(super) fn fail(&self, image: &Descriptor) -> Result<(), Failure> {
        let changes = [(&self.failed, Some(image)), (&self.new, None)];
        Ok(self.store.rename(&changes)?)
    }

    /// The name of what is not tried again.
    pub(super) fn failed(&self) -> &Reference {
        &self.failed
    }
}

/// A descriptor's digest, typed.
pub(super) fn digest(image: &Descriptor) -> Result<Digest, Failure> {
    let digest = digest_of(image).map_err(|error| StoreError::Blob(error.into()))?;
    Ok(digest)
}
