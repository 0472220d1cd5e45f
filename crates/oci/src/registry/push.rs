//! Pushing: blobs first, several at once, then the documents that name them, from
//! the inside out, the tag last: whoever pulls meanwhile gets the old or the new.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::Event;
use super::api::{Action, Registry, Session};
use super::documents::Document;
use super::fault::RegistryError;
use super::remote::Remote;
use super::upload::Sent;
use crate::Digest;
use crate::blobs::{BlobError, Blobs};
use crate::fetch::{Watch, side_by_side};
use crate::image::tree;
use crate::model::{DOCUMENT_LIMIT, Descriptor, Role, digest_of, role};
use crate::store::Store;

/// How an image is pushed.
#[derive(Debug, Clone, Default)]
pub struct PushOptions {
    /// Other repositories of the same registry that are said to have a blob: it is
    /// mounted from there in place of being sent.
    pub mounts: HashMap<Digest, Vec<String>>,
}

/// What was pushed.
#[derive(Debug, Clone)]
pub struct Pushed {
    /// The manifest or the index that the name now has.
    pub root: Descriptor,
    /// Blobs that were sent.
    pub sent: usize,
    /// Their bytes.
    pub sent_bytes: u64,
    /// Blobs that another repository had.
    pub mounted: usize,
    /// Blobs that were there.
    pub present: usize,
    /// Whether the name had it already, so that nothing was to be done.
    pub unchanged: bool,
}

impl PushOptions {
    /// What the store's names tell of where on the registry of `remote` blobs are:
    /// what was pulled from there, or pushed to there by that name.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn of_store(store: &Store, remote: &Remote) -> Result<Self, crate::store::StoreError> {
        let mut mounts: HashMap<Digest, Vec<String>> = HashMap::new();
        for named in store.names()? {
            let Ok(other) = named.reference.to_string().parse::<Remote>() else {
                continue;
            };
            let is_elsewhere = other.host() == remote.host()
                && named.reference.name.contains('/')
                && other.repository() != remote.repository();
            if !is_elsewhere {
                continue;
            }
            // An image that is not whole is no reason not to push another.
            let Ok(blobs) = tree(&store.blobs(), &named.descriptor) else {
                continue;
            };
            for blob in blobs {
                if let Ok(digest) = digest_of(&blob) {
                    let known = mounts.entry(digest).or_default();
                    known.push(other.repository().to_owned());
                }
            }
        }
        Ok(Self { mounts })
    }
}

impl Registry {
    /// Pushes what `root` reaches in `blobs` to `remote`: an image, an index with
    /// all its images, an artifact.
    ///
    /// # Errors
    /// As of all that is asked of a registry; then the name has what it had before.
    pub fn push(
        &self,
        blobs: &Blobs,
        root: &Descriptor,
        remote: &Remote,
        options: &PushOptions,
        tell: &mut dyn FnMut(Event),
    ) -> Result<Pushed, RegistryError> {
        let digest = digest_of(root).map_err(BlobError::from)?;
        if let Some(stated) = remote.digest()
            && *stated != digest
        {
            return Err(RegistryError::Target {
                what: remote.to_string(),
                why: "its digest is another image's",
            });
        }
        let all = tree(blobs, root)?;
        let is_document =
            |at: &&Descriptor| matches!(role(at.media_type()), Role::Manifest | Role::Index);
        let (documents, leaves): (Vec<_>, Vec<_>) = all.iter().partition(is_document);
        let mut further: Vec<String> = options
            .mounts
            .iter()
            .filter(|(digest, _)| {
                leaves
                    .iter()
                    .any(|leaf| digest_of(leaf).as_ref() == Ok(digest))
            })
            .filter_map(|(_, others)| others.first())
            .map(|other| format!("repository:{other}:pull"))
            .collect();
        further.sort();
        further.dedup();
        // More would be a request that some servers refuse for its length.
        further.truncate(8);
        let session = self.session(remote, Action::Push, &further)?;
        let name = remote
            .tag()
            .map_or_else(|| digest.to_string(), str::to_owned);
        let mut pushed = Pushed {
            root: root.clone(),
            sent: 0,
            sent_bytes: 0,
            mounted: 0,
            present: 0,
            unchanged: false,
        };
        {
            let mut waits = |what| tell(Event::Waiting(what));
            if session.digest(&name, &mut Watch::none(&mut waits))? == Some(digest) {
                pushed.unchanged = true;
                pushed.present = leaves.len();
                return Ok(pushed);
            }
        }
        let leaves: Vec<Descriptor> = leaves.into_iter().cloned().collect();
        tell(Event::Planned {
            blobs: leaves.clone(),
            present: 0,
            present_bytes: 0,
        });
        let [sent, mounted, present] = <[AtomicUsize; 3]>::default();
        let sent_bytes = AtomicU64::new(0);
        let mut blob_tell = |event| tell(Event::Blob(event));
        let connections = self.options().connections;
        side_by_side(leaves.len(), connections, &mut blob_tell, &|item, watch| {
            let leaf = &leaves[item];
            let digest = digest_of(leaf).map_err(BlobError::from)?;
            let others = options.mounts.get(&digest).map_or(&[][..], Vec::as_slice);
            let count = match session.send_blob(blobs, leaf, others, watch)? {
                Sent::Present => &present,
                Sent::Mounted => &mounted,
                Sent::Whole => {
                    sent_bytes.fetch_add(leaf.size(), Ordering::Relaxed);
                    &sent
                }
            };
            count.fetch_add(1, Ordering::Relaxed);
            Ok::<(), RegistryError>(())
        })?;
        pushed.sent = sent.into_inner();
        pushed.mounted = mounted.into_inner();
        pushed.present = present.into_inner();
        pushed.sent_bytes = sent_bytes.into_inner();
        let mut waits = |what| tell(Event::Waiting(what));
        let mut watch = Watch::none(&mut waits);
        for descriptor in documents {
            let bytes = blobs.read(descriptor, DOCUMENT_LIMIT)?;
            let own = digest_of(descriptor).map_err(BlobError::from)?;
            let document = Document {
                descriptor: descriptor.clone(),
                digest: own,
                bytes,
            };
            match own == digest {
                true => session.put_whole(&document, &name, &mut watch)?,
                false => session.put_whole(&document, &own.to_string(), &mut watch)?,
            }
        }
        Ok(pushed)
    }
}

impl Session<'_> {
    /// Puts a document; one with a subject is found from there afterwards.
    pub(super) fn put_whole(
        &self,
        document: &Document,
        name: &str,
        watch: &mut Watch<'_>,
    ) -> Result<(), RegistryError> {
        let knows_subjects = self.put(document, name, watch)?;
        if !knows_subjects {
            self.note_subject(document, watch)?;
        }
        Ok(())
    }
}
