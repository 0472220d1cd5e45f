//! Pulling: documents first, since they say which blobs there are, then the
//! blobs that are missing, several at once, each verified before it has its name.

use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::Event;
use super::api::{Action, Registry, Session};
use super::fault::RegistryError;
use super::remote::Remote;
use super::shortcut::{Patch, Search, Taken};
use crate::blobs::{BlobError, Blobs};
use crate::fetch::{Download, FetchError, Part, Watch, What, side_by_side};
use crate::image::{manifests, read_children, read_index};
use crate::model::{DOCUMENT_LIMIT, Descriptor, Role, digest_of, platform_in, role};
use crate::sink::Sink;
use crate::store::Store;
use crate::{Digest, Image, Platform, Reference};

/// Which images of an index are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// The one for a platform.
    Platform(Platform),
    /// All, and the index itself.
    All,
}

/// What was pulled.
#[derive(Debug, Clone)]
pub struct Pulled {
    /// The manifest or the index that is now in the store.
    pub root: Descriptor,
    /// The digest that the name has in the registry: an index's where one image of
    /// it was chosen.
    pub digest: Digest,
    /// Blobs that came over the network, documents apart.
    pub fetched: usize,
    /// Their bytes.
    pub fetched_bytes: u64,
    /// Blobs that were there.
    pub present: usize,
    /// Their bytes.
    pub present_bytes: u64,
    /// Deltas by which blobs were made that are neither fetched nor were there.
    pub deltas: Vec<Taken>,
    /// Deltas that were tried, and why they were not taken.
    pub passed_over: Vec<String>,
}

/// Documents only, or also what they point to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Depth {
    Documents,
    Whole,
}

/// How far, through which folder, and by what besides fetching.
struct Landing<'a, 'p> {
    depth: Depth,
    scratch: &'a Path,
    patch: Option<&'a mut Patch<'p>>,
}

impl Registry {
    /// Pulls into the store under `name`. What is there already is not fetched.
    ///
    /// # Errors
    /// As of all that is asked of a registry; then the store has no new name, and
    /// what has come of a large blob is taken up by the next pull.
    pub fn pull(
        &self,
        remote: &Remote,
        store: &Store,
        name: &Reference,
        which: &Which,
        tell: &mut dyn FnMut(Event),
    ) -> Result<Pulled, RegistryError> {
        self.pull_by(remote, store, name, which, None, tell)
    }

    /// As [`Registry::pull`]; where a delta hangs on an image from one that the store
    /// has, `patch` makes blobs by it. The same comes of it, or the blobs are fetched.
    ///
    /// # Errors
    /// As [`Registry::pull`].
    pub fn pull_by(
        &self,
        remote: &Remote,
        store: &Store,
        name: &Reference,
        which: &Which,
        patch: Option<&mut Patch<'_>>,
        tell: &mut dyn FnMut(Event),
    ) -> Result<Pulled, RegistryError> {
        let mut writer = store.write()?;
        let to = Landing {
            depth: Depth::Whole,
            scratch: &store.scratch(),
            patch,
        };
        let pulled = self.bring(remote, which, to, writer.sink(), tell)?;
        // What comes in from outside is an image of which every part is there.
        Image::all(&store.blobs(), &pulled.root)?;
        writer.commit(name, &pulled.root)?;
        Ok(pulled)
    }

    /// Pulls into a temporary layout that lives as long as its blobs are held.
    /// What the store has is copied from there.
    ///
    /// # Errors
    /// As [`Registry::pull`].
    pub fn fetch(
        &self,
        remote: &Remote,
        store: &Store,
        which: &Which,
        tell: &mut dyn FnMut(Event),
    ) -> Result<(Blobs, Pulled), RegistryError> {
        self.spooled(remote, store, which, Depth::Whole, tell)
    }

    /// The image for a platform with its documents only: enough for what does not
    /// read its layers.
    ///
    /// # Errors
    /// As [`Registry::pull`].
    pub fn documents(
        &self,
        remote: &Remote,
        store: &Store,
        platform: &Platform,
    ) -> Result<Image, RegistryError> {
        let which = Which::Platform(platform.clone());
        let (blobs, pulled) = self.spooled(remote, store, &which, Depth::Documents, &mut |_| {})?;
        Ok(Image::read(blobs, &pulled.root)?)
    }

    /// Every image that a name means, whole, in a temporary layout.
    ///
    /// # Errors
    /// As [`Registry::pull`].
    pub fn images(
        &self,
        remote: &Remote,
        store: &Store,
        tell: &mut dyn FnMut(Event),
    ) -> Result<Vec<Image>, RegistryError> {
        let (blobs, pulled) = self.fetch(remote, store, &Which::All, tell)?;
        Ok(Image::all(&blobs, &pulled.root)?)
    }

    /// The image for a platform, whole, in a temporary layout.
    ///
    /// # Errors
    /// As [`Registry::pull`].
    pub fn image(
        &self,
        remote: &Remote,
        store: &Store,
        platform: &Platform,
        tell: &mut dyn FnMut(Event),
    ) -> Result<Image, RegistryError> {
        let which = Which::Platform(platform.clone());
        let (blobs, pulled) = self.fetch(remote, store, &which, tell)?;
        Ok(Image::read(blobs, &pulled.root)?)
    }

    fn spooled(
        &self,
        remote: &Remote,
        store: &Store,
        which: &Which,
        depth: Depth,
        tell: &mut dyn FnMut(Event),
    ) -> Result<(Blobs, Pulled), RegistryError> {
        let (spool, mut sink) = store.spool()?;
        sink.lend(store.blobs());
        let to = Landing {
            depth,
            scratch: spool.path(),
            patch: None,
        };
        let pulled = self.bring(remote, which, to, &mut sink, tell)?;
        Ok((Blobs::spooled(Arc::new(spool)), pulled))
    }

    fn bring(
        &self,
        remote: &Remote,
        which: &Which,
        to: Landing<'_, '_>,
        sink: &mut Sink,
        tell: &mut dyn FnMut(Event),
    ) -> Result<Pulled, RegistryError> {
        let Landing {
            depth,
            scratch,
            patch,
        } = to;
        let session = self.session(remote, Action::Pull, &[])?;
        let mut waits = |what| tell(Event::Waiting(what));
        let mut watch = Watch::none(&mut waits);
        let document = session.manifest(remote, None, &mut watch)?;
        sink.put(&document.bytes)?;
        let tree = Documents {
            session: &session,
            remote,
        };
        let root = match (role(document.descriptor.media_type()), which) {
            (Role::Index, Which::Platform(platform)) => {
                tree.indexes(&document.descriptor, sink, &mut watch)?;
                tree.choose(&document.descriptor, platform, sink, &mut watch)?
            }
            (Role::Index, Which::All) => {
                tree.indexes(&document.descriptor, sink, &mut watch)?;
                document.descriptor.clone()
            }
            _ => document.descriptor.clone(),
        };
        let wanted = manifests(sink.blobs(), &root)?;
        let mut blobs = Vec::new();
        let mut seen = HashSet::new();
        for manifest in &wanted {
            tree.manifest(manifest, sink, &mut watch)?;
            let mut children = Vec::new();
            read_children(sink.blobs(), manifest, 0, &mut children)?;
            if depth == Depth::Documents {
                children.truncate(1);
            }
            for child in children {
                if seen.insert(digest_of(&child).map_err(BlobError::from)?) {
                    blobs.push(child);
                }
            }
        }
        let mut pulled = Pulled {
            root,
            digest: document.digest,
            fetched: 0,
            fetched_bytes: 0,
            present: 0,
            present_bytes: 0,
            deltas: Vec::new(),
            passed_over: Vec::new(),
        };
        let mut missing = Vec::new();
        for blob in blobs {
            let digest = digest_of(&blob).map_err(BlobError::from)?;
            if sink.holds(&digest, blob.size())? {
                pulled.present += 1;
                pulled.present_bytes += blob.size();
            } else {
                pulled.fetched += 1;
                pulled.fetched_bytes += blob.size();
                missing.push(blob);
            }
        }
        if let Which::Platform(platform) = which
            && role(document.descriptor.media_type()) == Role::Manifest
        {
            // One image, which may not be for this platform: that is known before
            // its layers come.
            let mut children = Vec::new();
            read_children(sink.blobs(), &pulled.root, 0, &mut children)?;
            if let Some(config) = children.first()
                && matches!(role(config.media_type()), Role::Config | Role::WasmConfig)
            {
                session.small(config, sink, &mut watch)?;
                missing.retain(|blob| blob.digest() != config.digest());
            }
            let name = remote.to_string();
            Image::select(sink.blobs().clone(), &pulled.root, platform, &name)?;
        }
        if let Some(patch) = patch {
            let mut waits = |what| tell(Event::Waiting(what));
            let mut watch = Watch::none(&mut waits);
            let search = Search {
                session: &session,
                remote,
                manifests: &wanted,
            };
            (pulled.deltas, pulled.passed_over) =
                search.shorten(&mut missing, sink, patch, &mut watch)?;
            for taken in &pulled.deltas {
                pulled.fetched -= taken.blobs;
                pulled.fetched_bytes -= taken.blob_bytes;
            }
        }
        tell(Event::Planned {
            blobs: missing.clone(),
            present: pulled.present,
            present_bytes: pulled.present_bytes,
        });
        let sink = Mutex::new(sink);
        let mut tell = |event| tell(Event::Blob(event));
        let connections = self.options().connections;
        side_by_side(missing.len(), connections, &mut tell, &|item, watch| {
            session.blob(&missing[item], &sink, scratch, watch)
        })?;
        Ok(pulled)
    }
}

/// The documents of an image or an index, on their way into a layout.
struct Documents<'a> {
    session: &'a Session<'a>,
    remote: &'a Remote,
}

impl Documents<'_> {
    /// Brings one, unless it is there.
    fn manifest(
        &self,
        descriptor: &Descriptor,
        sink: &mut Sink,
        watch: &mut Watch<'_>,
    ) -> Result<(), RegistryError> {
        let digest = digest_of(descriptor).map_err(BlobError::from)?;
        if descriptor.size() > DOCUMENT_LIMIT {
            return Err(BlobError::TooLarge {
                digest,
                size_bytes: descriptor.size(),
                limit_bytes: DOCUMENT_LIMIT,
            }
            .into());
        }
        if !sink.holds(&digest, descriptor.size())? {
            let remote = self.remote.with_digest(digest);
            let document = self.session.manifest(&remote, Some(descriptor), watch)?;
            if document.bytes.len() as u64 != descriptor.size() {
                return Err(BlobError::Size {
                    digest,
                    stated_bytes: descriptor.size(),
                    actual_bytes: document.bytes.len() as u64,
                }
                .into());
            }
            sink.put(&document.bytes)?;
        }
        Ok(())
    }

    /// Brings every index within an index.
    fn indexes(
        &self,
        root: &Descriptor,
        sink: &mut Sink,
        watch: &mut Watch<'_>,
    ) -> Result<(), RegistryError> {
        let mut seen = HashSet::new();
        let mut left = vec![(root.clone(), 0)];
        while let Some((at, depth)) = left.pop() {
            if !seen.insert(digest_of(&at).map_err(BlobError::from)?) {
                continue;
            }
            if depth > 0 {
                self.manifest(&at, sink, watch)?;
            }
            for child in read_index(sink.blobs(), &at, depth)?.manifests() {
                if role(child.media_type()) == Role::Index {
                    left.push((child.clone(), depth + 1));
                }
            }
        }
        Ok(())
    }

    /// The image of an index for a platform. Where the index does not say for which
    /// platforms its images are, their configurations do.
    fn choose(
        &self,
        index: &Descriptor,
        platform: &Platform,
        sink: &mut Sink,
        watch: &mut Watch<'_>,
    ) -> Result<Descriptor, RegistryError> {
        let all = manifests(sink.blobs(), index)?;
        for manifest in &all {
            if platform_in(manifest).is_none() {
                self.manifest(manifest, sink, watch)?;
                let mut children = Vec::new();
                read_children(sink.blobs(), manifest, 0, &mut children)?;
                if let Some(config) = children.first() {
                    self.session.small(config, sink, watch)?;
                }
            }
        }
        let offered = |manifest: &Descriptor| platform_in(manifest);
        let platforms: Vec<_> = all.iter().filter_map(offered).collect();
        if platforms.len() == all.len() {
            if let Some(at) = platform.best(platforms.iter()) {
                return Ok(all[at].clone());
            }
            return Err(crate::image::ImageError::NoPlatform {
                name: self.remote.to_string(),
                wanted: platform.clone(),
                available: platforms
                    .into_iter()
                    .filter(|one| one.os != "unknown")
                    .collect(),
            }
            .into());
        }
        for manifest in &all {
            self.manifest(manifest, sink, watch)?;
        }
        let mut known = Vec::new();
        for manifest in all {
            let found = match platform_in(&manifest) {
                Some(platform) => platform,
                None => Image::read(sink.blobs().clone(), &manifest)?.platform,
            };
            known.push((found, manifest));
        }
        match platform.best(known.iter().map(|(one, _)| one)) {
            Some(at) => Ok(known[at].1.clone()),
            None => Err(crate::image::ImageError::NoPlatform {
                name: self.remote.to_string(),
                wanted: platform.clone(),
                available: known.into_iter().map(|(one, _)| one).collect(),
            }
            .into()),
        }
    }
}

impl Session<'_> {
    /// Brings a small blob, such as a configuration, unless it is there.
    fn small(
        &self,
        descriptor: &Descriptor,
        sink: &mut Sink,
        watch: &mut Watch<'_>,
    ) -> Result<(), RegistryError> {
        let digest = digest_of(descriptor).map_err(BlobError::from)?;
        if !sink.holds(&digest, descriptor.size())? {
            let bytes = self.blob_bytes(descriptor, DOCUMENT_LIMIT, watch)?;
            sink.put(&bytes)?;
        }
        Ok(())
    }

    /// Reads a blob into memory, verified.
    pub(super) fn blob_bytes(
        &self,
        descriptor: &Descriptor,
        limit: u64,
        watch: &mut Watch<'_>,
    ) -> Result<Vec<u8>, RegistryError> {
        let digest = digest_of(descriptor).map_err(BlobError::from)?;
        if descriptor.size() > limit {
            return Err(BlobError::TooLarge {
                digest,
                size_bytes: descriptor.size(),
                limit_bytes: limit,
            }
            .into());
        }
        let mut bytes = Vec::new();
        let mut quiet = |what| {
            if let What::Waiting { .. } = what {
                (watch.tell)(what);
            }
        };
        let mut watch = Watch {
            tell: &mut quiet,
            stop: watch.stop,
        };
        let landing = crate::fetch::Landing::memory(&mut bytes);
        self.land(descriptor, &digest, landing, &mut watch)?;
        Ok(bytes)
    }

    /// Brings a blob into the layout. It lands in a file of its digest's name, which
    /// another process may be filling: then that one is waited for.
    fn blob(
        &self,
        descriptor: &Descriptor,
        sink: &Mutex<&mut Sink>,
        scratch: &Path,
        watch: &mut Watch<'_>,
    ) -> Result<(), RegistryError> {
        let digest = digest_of(descriptor).map_err(BlobError::from)?;
        let mut part = Part::open(&scratch.join(format!("blob-{}", digest.hex())), true)?;
        {
            let mut sink = sink.lock().unwrap_or_else(PoisonError::into_inner);
            if sink.holds(&digest, descriptor.size())? {
                part.discard();
                (watch.tell)(What::Present);
                return Ok(());
            }
        }
        let landed = part
            .landing()
            .map_err(RegistryError::from)
            .and_then(|landing| self.land(descriptor, &digest, landing, watch));
        if let Err(error) = landed {
            part.give_up();
            return Err(error);
        }
        let mut sink = sink.lock().unwrap_or_else(PoisonError::into_inner);
        sink.place(part.into_scratch(), &digest, descriptor.size())?;
        Ok(())
    }

    fn land(
        &self,
        descriptor: &Descriptor,
        digest: &Digest,
        mut landing: crate::fetch::Landing<'_>,
        watch: &mut Watch<'_>,
    ) -> Result<(), RegistryError> {
        let url = self.url(&format!("blobs/{digest}"))?;
        let size = descriptor.size();
        let mut download = Download::at(&url).digest(*digest).size(size).limit(size);
        loop {
            let authorization = self.authorization(&url)?;
            download.set_authorization(authorization.as_deref());
            match self.registry.client().land(&download, &mut landing, watch) {
                Err(FetchError::Status { status: 401, .. })
                    if self.renew(authorization.as_deref(), None) => {}
                Err(FetchError::Status {
                    status: status @ (401 | 403 | 404),
                    said,
                    ..
                }) => {
                    let what = format!("blob {digest}");
                    return Err(self.refused(status, &what, said, || url.to_string()));
                }
                result => return Ok(result?),
            }
        }
    }
}
