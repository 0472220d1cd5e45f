//! ounce's store: a valid OCI image layout, safe with many processes at once.
//!
//! Beside what the specification asks for stands a folder `.ounce`:
//!
//! - `lock`: shared by writers, alone for [`Store::gc`]; so nothing is
//!   collected between a blob's arrival and its name.
//! - `index-lock`: alone, for the moment in which `index.json` is read, changed
//!   and replaced; so no name is lost.
//! - `scratch`: temporary files and layouts. Whoever has `lock` alone knows
//!   that the temporary files' writers are dead.
//!
//! Readers lock nothing: `index.json` is replaced by rename and blobs never
//! change. A reader whose image is removed and collected meanwhile gets an error
//! that names the blob.

use std::collections::HashSet;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use crate::archive::ArchiveError;
use crate::blobs::{BlobError, Blobs};
use crate::engine::EngineError;
use crate::image::{ImageError, read_children, unnamed};
use crate::layer::{
    self, Compression, CopyEntry, Effort, Entry, LayerError, LayerOptions, WrittenLayer,
};
use crate::layout::{self, LayoutError};
use crate::lock::{Lock, LockError, Mode};
use crate::model::{
    DOCUMENT_LIMIT, Descriptor, ImageIndex, MediaType, canonical_json, descriptor, digest_of,
};
use crate::referrers;
use crate::sink::{Sink, sync_folder};
use crate::spool::Spool;
use crate::{Digest, Image, Platform, Reference};

/// How long another process's lock is waited for unless told otherwise.
const LOCK_TIMEOUT: Duration = Duration::from_secs(10);

/// Fewest digits by which an image may be called.
const SHORTEST_PREFIX: usize = 6;

/// The store.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
    lock_timeout: Duration,
    /// Whether the layout's marker was there when the store was opened.
    marked: bool,
}

/// The store could not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Nothing has this name.
    #[error("there is no image {name}")]
    NotFound {
        /// What was asked for.
        name: String,
        /// The name that is most like it.
        nearest: Option<String>,
    },
    /// Several images have a digest that begins so.
    #[error("{prefix} is the beginning of several digests")]
    Ambiguous {
        /// What was asked for.
        prefix: String,
        /// What it could mean, sorted.
        candidates: Vec<String>,
    },
    /// There is no image for the platform.
    #[error("{name} has no image for {wanted}")]
    NoPlatform {
        /// What was asked for.
        name: String,
        /// The platform.
        wanted: Platform,
        /// Those there are.
        available: Vec<Platform>,
    },
    /// Another process holds the lock.
    #[error("{path} is locked by {}, waited {} ms", holder_text(*.holder_pid), .waited.as_millis())]
    Locked {
        /// The lock.
        path: PathBuf,
        /// Who holds it, where that can be told.
        holder_pid: Option<u32>,
        /// How long was waited.
        waited: Duration,
    },
    /// The folder is in use for something else.
    #[error("{path} is not empty and no store of images")]
    NotAStore {
        /// The folder.
        path: PathBuf,
    },
    /// It is in a registry, where no store looks.
    #[error("{0} is in a registry")]
    InRegistry(String),
    /// A document to be written has no form in JSON.
    #[error("writing a document as JSON")]
    Json(#[source] serde_json::Error),
    /// A manifest, an index or a configuration is not valid.
    #[error(transparent)]
    Image(Box<ImageError>),
    /// The layout around the images.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// A blob.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// A layer.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// An archive.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// A running engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The operating system refused.
    #[error("{action} {path}")]
    Io {
        /// `making`, `locking`, `removing`, `listing`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

fn holder_text(pid: Option<u32>) -> String {
    pid.map_or("another process".to_owned(), |pid| format!("process {pid}"))
}

impl From<LockError> for StoreError {
    fn from(error: LockError) -> Self {
        match error {
            LockError::Held {
                path,
                holder_pid,
                waited,
            } => Self::Locked {
                path,
                holder_pid,
                waited,
            },
            LockError::Io { path, source } => Self::Io {
                action: "locking",
                path,
                source,
            },
        }
    }
}

impl From<ImageError> for StoreError {
    fn from(error: ImageError) -> Self {
        match error {
            ImageError::NoPlatform {
                name,
                wanted,
                available,
            } => Self::NoPlatform {
                name,
                wanted,
                available,
            },
            ImageError::Blob(error) => Self::Blob(error),
            error => Self::Image(Box::new(error)),
        }
    }
}

pub(crate) fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::Io {
        action,
        path,
        source,
    }
}

/// A name in the store and what it points to.
#[derive(Debug, Clone)]
pub struct Named {
    /// The name.
    pub reference: Reference,
    /// A manifest's or an index's descriptor.
    pub descriptor: Descriptor,
}

/// What [`Store::verify`] found.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Verified {
    /// Blobs read and hashed.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What is wrong, one line each; empty when the store is whole.
    pub faults: Vec<String>,
}

impl Store {
    /// Opens the store at `root`, making an empty one if there is none.
    ///
    /// # Errors
    /// The folder cannot be made, or holds a layout of an unknown version.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let root = root.into();
        let store = Self {
            marked: layout::is_layout(&root)?,
            root,
            lock_timeout: LOCK_TIMEOUT,
        };
        if !store.marked {
            store.create()?;
        }
        Ok(store)
    }

    /// Makes the folders. Index and marker come with the first image: an empty
    /// index would be written only to be replaced.
    fn create(&self) -> Result<(), StoreError> {
        fs::create_dir_all(&self.root).map_err(io_error("making", &self.root))?;
        for entry in fs::read_dir(&self.root).map_err(io_error("listing", &self.root))? {
            let name = entry.map_err(io_error("listing", &self.root))?.file_name();
            // What a process that was killed while it made the store may have left.
            if ![".ounce", "blobs", "index.json", "oci-layout"]
                .iter()
                .any(|ours| name == *ours)
            {
                return Err(StoreError::NotAStore {
                    path: self.root.clone(),
                });
            }
        }
        for folder in [self.scratch(), self.root.join("blobs/sha256")] {
            fs::create_dir_all(&folder).map_err(io_error("making", &folder))?;
        }
        Ok(())
    }

    /// The index; an empty one before the first image.
    pub(crate) fn index(&self) -> Result<ImageIndex, StoreError> {
        match layout::read_index(&self.root) {
            Err(LayoutError::NotALayout { .. }) if !layout::is_layout(&self.root)? => {
                Ok(ImageIndex::default())
            }
            // The first image may have come between the two looks.
            Err(LayoutError::NotALayout { .. }) => Ok(layout::read_index(&self.root)?),
            result => Ok(result?),
        }
    }

    /// How long to wait for another process's lock; 10 s unless set.
    #[must_use]
    pub fn lock_timeout(self, timeout: Duration) -> Self {
        Self {
            lock_timeout: timeout,
            ..self
        }
    }

    /// The layout's folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Its blobs.
    pub fn blobs(&self) -> Blobs {
        Blobs::new(&self.root)
    }

    pub(crate) fn scratch(&self) -> PathBuf {
        self.root.join(".ounce/scratch")
    }

    /// A temporary layout in the store, and a writer into it.
    pub(crate) fn spool(&self) -> Result<(Spool, Sink), StoreError> {
        // Only until the spool has its own lock, by which gc knows that it lives.
        let _held_off = self.lock(Mode::Shared)?;
        let scratch = self.scratch();
        let spool = Spool::new(&scratch).map_err(io_error("making", &scratch))?;
        let sink = Sink::new(spool.path(), spool.path().to_owned());
        Ok((spool, sink))
    }

    /// Holds off gc (shared) or everybody who writes (exclusive).
    pub(crate) fn lock(&self, mode: Mode) -> Result<Lock, StoreError> {
        let path = self.root.join(".ounce/lock");
        match Lock::acquire(&path, mode, self.lock_timeout) {
            // A layout that another tool made becomes a store when it is first written.
            Err(LockError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                let scratch = self.scratch();
                fs::create_dir_all(&scratch).map_err(io_error("making", &scratch))?;
                Ok(Lock::acquire(&path, mode, self.lock_timeout)?)
            }
            result => Ok(result?),
        }
    }

    fn lock_index(&self) -> Result<Lock, StoreError> {
        let path = self.root.join(".ounce/index-lock");
        Ok(Lock::acquire(&path, Mode::Exclusive, self.lock_timeout)?)
    }

    /// Changes `index.json`; the caller holds `lock`.
    pub(crate) fn change_index<T>(
        &self,
        change: impl FnOnce(&mut ImageIndex) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.change_index_after(change, || Ok(()))
    }

    /// As [`Store::change_index`]; what `before` puts onto the disk is there
    /// when the new index takes its place. It comes after the new index is
    /// written, so that one commit of the file system's journal serves both.
    fn change_index_after<T>(
        &self,
        change: impl FnOnce(&mut ImageIndex) -> Result<T, StoreError>,
        before: impl FnOnce() -> Result<(), StoreError>,
    ) -> Result<T, StoreError> {
        let _lock = self.lock_index()?;
        let mut index = self.index()?;
        let old = index.clone();
        let result = change(&mut index)?;
        if index == old && self.marked {
            before()?;
            // Its writer may have died before its name was on the disk.
            sync_folder(&self.root)?;
        } else {
            let new = layout::prepare(&self.root, &self.scratch(), &index, !self.marked)?;
            before()?;
            new.publish()?;
        }
        Ok(result)
    }

    /// Every name, sorted.
    ///
    /// # Errors
    /// The index cannot be read.
    pub fn names(&self) -> Result<Vec<Named>, StoreError> {
        let mut names: Vec<Named> = self
            .index()?
            .manifests()
            .iter()
            .filter_map(|descriptor| {
                let reference = layout::reference_of(descriptor)?;
                Some(Named {
                    reference,
                    descriptor: unnamed(descriptor),
                })
            })
            .collect();
        names.sort_by(|a, b| a.reference.cmp(&b.reference));
        Ok(names)
    }

    /// What a name points to; a unique prefix of a digest of six digits or more works as well.
    ///
    /// # Errors
    /// No such name (with the nearest one).
    pub fn find(&self, reference: &Reference) -> Result<Descriptor, StoreError> {
        let index = self.index()?;
        let at = find_in(&index, reference)?;
        Ok(unnamed(&index.manifests()[at]))
    }

    /// The image for a platform.
    ///
    /// # Errors
    /// No such name, none for the platform (with those there are), or a blob that is not whole.
    pub fn image(&self, reference: &Reference, platform: &Platform) -> Result<Image, StoreError> {
        let root = self.find(reference)?;
        Ok(Image::select(
            self.blobs(),
            &root,
            platform,
            &reference.to_string(),
        )?)
    }

    /// The image for a platform of the one manifest or index here whose digest begins
    /// with these digits, whether it has a name or not; none where it is not whole.
    #[must_use]
    pub fn by_digits(&self, digits: &str, platform: &Platform) -> Option<Image> {
        let entries = fs::read_dir(self.root.join("blobs/sha256")).ok()?;
        let mut found = entries
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| name.starts_with(digits));
        let (Some(name), None) = (found.next(), found.next()) else {
            return None;
        };
        let digest = format!("sha256:{name}").parse().ok()?;
        let size = fs::metadata(self.blobs().path(&digest)).ok()?.len();
        let kinds = [MediaType::ImageManifest, MediaType::ImageIndex];
        kinds.into_iter().find_map(|kind| {
            let root = descriptor(kind, &digest, size);
            Image::select(self.blobs(), &root, platform, &name).ok()
        })
    }

    /// Every image that a name reaches: one, or one per platform of an index.
    ///
    /// # Errors
    /// As [`Store::image`].
    pub fn images_of(&self, reference: &Reference) -> Result<Vec<Image>, StoreError> {
        let root = self.find(reference)?;
        Ok(Image::all(&self.blobs(), &root)?)
    }

    /// Gives what `from` points to the further name `to`.
    ///
    /// # Errors
    /// No such name.
    pub fn tag(&self, from: &Reference, to: &Reference) -> Result<(), StoreError> {
        let name = storable(to);
        let _held_off = self.lock(Mode::Shared)?;
        self.change_index(|index| {
            let at = find_in(index, from)?;
            let root = unnamed(&index.manifests()[at]);
            layout::set_name(index, &name, &root);
            Ok(())
        })
    }

    /// Begins to write: until the writer is committed or dropped, no collection runs.
    ///
    /// # Errors
    /// A collection of another process holds the lock past the timeout (its pid is told).
    pub fn write(&self) -> Result<StoreWriter<'_>, StoreError> {
        Ok(StoreWriter {
            _lock: self.lock(Mode::Shared)?,
            sink: Sink::new(&self.root, self.scratch()),
            store: self,
            artifacts: Vec::new(),
        })
    }

    /// Reads and hashes every blob and follows every name.
    ///
    /// # Errors
    /// The index cannot be read; what is wrong with content is in the report.
    pub fn verify(&self) -> Result<Verified, StoreError> {
        let mut verified = Verified::default();
        let blobs = self.blobs();
        let index = self.index()?;
        for (path, name) in list(&self.root.join("blobs/sha256"))? {
            let Ok(digest) = format!("sha256:{name}").parse::<Digest>() else {
                verified
                    .faults
                    .push(format!("{} is not named as a blob is", path.display()));
                continue;
            };
            let size = match fs::metadata(&path) {
                Ok(metadata) => metadata.len(),
                // Collected since it was listed.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => {
                    verified.faults.push(format!("blob {digest}: {error}"));
                    continue;
                }
            };
            let stated = descriptor(MediaType::Other(String::new()), &digest, size);
            let hashed = blobs
                .open(&stated)
                .map_err(|error| error.to_string())
                .and_then(|mut blob| {
                    io::copy(&mut blob, &mut io::sink()).map_err(|error| error.to_string())
                });
            match hashed {
                Ok(_) => {
                    verified.blobs += 1;
                    verified.bytes += size;
                }
                Err(fault) => verified.faults.push(fault),
            }
        }
        for root in index.manifests() {
            let name = layout::ref_name(root).unwrap_or("an image without a name");
            let mut reached = Reached {
                whole: true,
                ..Reached::default()
            };
            let followed = reached
                .follow(&blobs, root, 0)
                .and_then(|()| Ok(Image::all(&blobs, root).map(drop)?));
            match followed {
                // An artifact that is no image is none of our business.
                Ok(()) => {}
                Err(StoreError::Image(error)) if matches!(*error, ImageError::MediaType { .. }) => {
                }
                Err(error) => verified.faults.push(format!("{name}: {error}")),
            }
        }
        Ok(verified)
    }
}

/// What is in a folder, sorted: path and name.
pub(crate) fn list(folder: &Path) -> Result<Vec<(PathBuf, String)>, StoreError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io_error("listing", folder)(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(io_error("listing", folder))?;
        names.push((
            entry.path(),
            entry.file_name().to_string_lossy().into_owned(),
        ));
    }
    names.sort();
    Ok(names)
}

/// The blobs that names reach.
#[derive(Default)]
pub(crate) struct Reached {
    /// They, and the documents that name them.
    pub(crate) blobs: HashSet<Digest>,
    /// Whether a layer that is missing is an error: not to gc, which only has
    /// to know what a document names.
    whole: bool,
}

impl Reached {
    /// Follows a descriptor down to its layers. Every blob has to be there.
    pub(crate) fn follow(
        &mut self,
        blobs: &Blobs,
        from: &Descriptor,
        depth: u32,
    ) -> Result<(), StoreError> {
        let mut children = Vec::new();
        let digest = digest_of(from).map_err(BlobError::from)?;
        if !self.blobs.insert(digest) {
            return Ok(());
        }
        read_children(blobs, from, depth, &mut children)?;
        if self.whole && children.is_empty() {
            // Only that it is there, at the right size: opening does not hash.
            blobs.open(from)?;
        }
        for child in &children {
            self.follow(blobs, child, depth + 1)?;
        }
        Ok(())
    }
}

/// The text of a name as the store keeps it: with a tag, without a digest.
pub(crate) fn storable(reference: &Reference) -> String {
    Reference {
        name: reference.name.clone(),
        tag: Some(reference.tag.clone().unwrap_or_else(|| "latest".to_owned())),
        digest: None,
    }
    .to_string()
}

/// The place in the index of what a reference means.
pub(crate) fn find_in(index: &ImageIndex, reference: &Reference) -> Result<usize, StoreError> {
    let named: Vec<(usize, Reference, &Descriptor)> = index
        .manifests()
        .iter()
        .enumerate()
        .filter_map(|(at, entry)| Some((at, layout::reference_of(entry)?, entry)))
        .collect();
    let exact = named.iter().find(|(_, name, entry)| {
        name.name == reference.name
            && match &reference.digest {
                Some(digest) => entry.digest().as_ref() == digest.to_string(),
                None => name.tag == reference.tag,
            }
    });
    if let Some((at, ..)) = exact {
        return Ok(*at);
    }
    if let Some(prefix) = digest_prefix(reference) {
        let mut found: Vec<(&str, usize)> = index
            .manifests()
            .iter()
            .enumerate()
            .map(|(at, entry)| (entry.digest().digest(), at))
            .filter(|(hex, _)| hex.starts_with(prefix))
            .collect();
        found.sort_unstable();
        found.dedup_by_key(|(hex, _)| *hex);
        match found[..] {
            [] => {}
            [(_, at)] => return Ok(at),
            _ => {
                return Err(StoreError::Ambiguous {
                    prefix: prefix.to_owned(),
                    candidates: found
                        .iter()
                        .map(|(hex, _)| format!("sha256:{hex}"))
                        .collect(),
                });
            }
        }
    }
    let name = reference.to_string();
    let nearest = named
        .iter()
        .map(|(_, known, _)| known.to_string())
        .map(|known| (likeness(&name, &known), known))
        .filter(|(likeness, _)| *likeness >= 0.5)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, known)| known);
    Err(StoreError::NotFound { name, nearest })
}

/// From 0 to 1. A tag that both have, as `latest`, makes no two names alike.
fn likeness(name: &str, known: &str) -> f64 {
    let (one, other) = match (name.rsplit_once(':'), known.rsplit_once(':')) {
        (Some((one, tag)), Some((other, same))) if tag == same => (one, other),
        _ => (name, known),
    };
    strsim::normalized_damerau_levenshtein(one, other)
}

/// `abc123` and `sha256:abc123` may be the beginning of a digest.
fn digest_prefix(reference: &Reference) -> Option<&str> {
    let text = match (reference.name.as_str(), reference.tag.as_deref()) {
        ("sha256", Some(hex)) => hex,
        (hex, Some("latest")) => hex,
        _ => return None,
    };
    let hex = text.len() >= SHORTEST_PREFIX
        && text
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    hex.then_some(text)
}

/// Blobs on their way into the store.
#[derive(Debug)]
pub struct StoreWriter<'store> {
    store: &'store Store,
    sink: Sink,
    /// Artifacts that were written, to be listed at the commit.
    artifacts: Vec<Descriptor>,
    _lock: Lock,
}

impl StoreWriter<'_> {
    pub(crate) fn sink(&mut self) -> &mut Sink {
        &mut self.sink
    }

    /// Writes a blob.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn blob(&mut self, media_type: MediaType, bytes: &[u8]) -> Result<Descriptor, StoreError> {
        let digest = self.sink.put(bytes)?;
        Ok(descriptor(media_type, &digest, bytes.len() as u64))
    }

    /// Writes a document as compact JSON, keys sorted.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn json<T: Serialize>(
        &mut self,
        media_type: MediaType,
        document: &T,
    ) -> Result<Descriptor, StoreError> {
        let bytes = canonical_json(document).map_err(StoreError::Json)?;
        if bytes.len() as u64 > DOCUMENT_LIMIT {
            return Err(BlobError::TooLarge {
                digest: Digest::of(&bytes),
                size_bytes: bytes.len() as u64,
                limit_bytes: DOCUMENT_LIMIT,
            }
            .into());
        }
        self.blob(media_type, &bytes)
    }

    /// Copies a blob in, verified against its descriptor.
    ///
    /// # Errors
    /// Size or digest differ, or the disk refuses.
    pub fn copy(&mut self, descriptor: &Descriptor, from: &mut dyn Read) -> Result<(), StoreError> {
        Ok(self.sink.copy(descriptor, from)?)
    }

    /// Writes a layer; entries are sorted, and a missing parent is not added.
    ///
    /// # Errors
    /// A path that is not relative and plain, one that stands twice, a host file that cannot be read.
    pub fn layer(
        &mut self,
        entries: &[Entry],
        options: LayerOptions,
    ) -> Result<WrittenLayer, StoreError> {
        self.layer_with(entries, options, Effort::Quick)
    }

    /// As [`StoreWriter::layer`], with more or less effort to make it small.
    ///
    /// # Errors
    /// As there.
    pub fn layer_with(
        &mut self,
        entries: &[Entry],
        options: LayerOptions,
        effort: Effort,
    ) -> Result<WrittenLayer, StoreError> {
        Ok(layer::write::write(
            &mut self.sink,
            entries,
            options,
            effort,
        )?)
    }

    /// Writes a layer of entries of an image's layers, with all that their
    /// headers said.
    ///
    /// # Errors
    /// A path that stands twice or is not plain, content that is not where it is
    /// said to be, a layer that is not valid.
    pub fn layer_of(
        &mut self,
        image: &Image,
        entries: &[CopyEntry],
        compression: Compression,
    ) -> Result<WrittenLayer, StoreError> {
        Ok(layer::copy::write(
            &mut self.sink,
            (&image.blobs, &image.layers),
            entries,
            compression,
        )?)
    }

    /// Lists an artifact at the commit.
    pub(crate) fn refers(&mut self, artifact: &Descriptor) {
        self.artifacts.push(artifact.clone());
    }

    /// Names what was written; from now on it is reachable, and so are the
    /// artifacts that were written.
    ///
    /// # Errors
    /// The lock is held past the timeout, or the disk refuses.
    pub fn commit(self, reference: &Reference, root: &Descriptor) -> Result<(), StoreError> {
        let name = storable(reference);
        self.publish(|index| layout::set_name(index, &name, &unnamed(root)))
    }

    /// Lists the artifacts that were written; names stay as they are.
    ///
    /// # Errors
    /// As [`StoreWriter::commit`].
    pub fn attach(self) -> Result<(), StoreError> {
        self.publish(|_| ())
    }

    fn publish(mut self, name: impl FnOnce(&mut ImageIndex)) -> Result<(), StoreError> {
        if self.sink.has_large() {
            // Not while the index is locked.
            self.sink.sync()?;
        }
        let artifacts = std::mem::take(&mut self.artifacts);
        let change = |index: &mut ImageIndex| {
            name(index);
            if !artifacts.is_empty() {
                referrers::add(index, &artifacts);
            }
            Ok(())
        };
        self.store
            .change_index_after(change, || Ok(self.sink.sync()?))
    }
}
