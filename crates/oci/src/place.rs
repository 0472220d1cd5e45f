//! Where images live, written as skopeo writes it, and copying between them.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use crate::archive::{self, Archive, ArchiveError, ArchiveWriter};
use crate::blobs::{BlobError, Blobs};
use crate::compression::Compression;
use crate::engine::{Engine, EngineKind};
use crate::image::{read_children, tree, unnamed};
use crate::layout;
use crate::lock::Lock;
use crate::model::{
    DOCUMENT_LIMIT, Descriptor, ImageIndex, Role, canonical_json, digest_of, from_json, role,
};
use crate::reference::{ReferenceError, some_names};
use crate::referrers::{self, MOST_REFERRERS, Referrers};
use crate::registry::Remote;
use crate::sink::Sink;
use crate::store::{Store, StoreError};
use crate::{Digest, Image, Platform, Reference, docker};

/// A place an image can be read from or written to.
///
/// A path ends at its first colon, as skopeo has it; so no path has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A bare name: ounce's own store.
    Store(Reference),
    /// `oci:DIR[:TAG]`.
    OciDir(PathBuf, Option<String>),
    /// `oci-archive:FILE[:TAG]`.
    OciArchive(PathBuf, Option<String>),
    /// `docker-archive:FILE[:NAME:TAG]`, as `docker save` writes and `docker load` reads.
    DockerArchive(PathBuf, Option<Reference>),
    /// `docker-daemon:NAME:TAG` and `podman:NAME:TAG`: in a running engine.
    Engine(Engine, Reference),
    /// `docker://HOST/NAME[:TAG][@DIGEST]`: reached by a
    /// [`Registry`](crate::registry::Registry), which is not handed to this module;
    /// whoever reads or writes one asks for it there.
    Registry(Remote),
}

/// Why a text is no place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    /// skopeo knows it, we do not (yet).
    #[error("images in {0}: cannot be read or written")]
    Transport(String),
    /// There is nothing after the colon.
    #[error("{0}: needs a path after the colon")]
    NoPath(&'static str),
    /// A name within a layout that no other tool would take.
    #[error("{0:?} cannot name an image in a layout")]
    Tag(String),
    /// Not an image's name.
    #[error(transparent)]
    Name(#[from] ReferenceError),
}

impl FromStr for Place {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Self, PlaceError> {
        let (transport, rest) = text.split_once(':').unwrap_or(("", text));
        match transport {
            "oci" => {
                let (path, tag) = path_and_name("oci", rest)?;
                Ok(Self::OciDir(path, tag.map(layout_name).transpose()?))
            }
            "oci-archive" => {
                let (path, tag) = path_and_name("oci-archive", rest)?;
                Ok(Self::OciArchive(path, tag.map(layout_name).transpose()?))
            }
            "docker-archive" => {
                let (path, name) = path_and_name("docker-archive", rest)?;
                Ok(Self::DockerArchive(path, name.map(str::parse).transpose()?))
            }
            "docker-daemon" => Self::engine(EngineKind::Docker, rest),
            "podman" => Self::engine(EngineKind::Podman, rest),
            "containers-storage" | "dir" | "ostree" | "sif" | "tarball" => {
                Err(PlaceError::Transport(transport.to_owned()))
            }
            "docker" if rest.starts_with("//") => Ok(Self::Registry(rest[2..].parse()?)),
            _ => Ok(Self::Store(text.parse()?)),
        }
    }
}

impl Place {
    fn engine(kind: EngineKind, name: &str) -> Result<Self, PlaceError> {
        let engine = Engine { kind, socket: None };
        Ok(Self::Engine(engine, name.parse()?))
    }
}

fn path_and_name<'a>(
    transport: &'static str,
    rest: &'a str,
) -> Result<(PathBuf, Option<&'a str>), PlaceError> {
    let (path, name) = match rest.split_once(':') {
        Some((path, name)) => (path, Some(name)),
        None => (rest, None),
    };
    if path.is_empty() {
        return Err(PlaceError::NoPath(transport));
    }
    Ok((PathBuf::from(path), name.filter(|name| !name.is_empty())))
}

/// `component(/component)*`, letters and digits parted by one of `-._:@+` or
/// `--` (OCI image spec, annotations.md); doubled underscores are let through,
/// since repositories may have them.
fn layout_name(name: &str) -> Result<String, PlaceError> {
    let valid = |part: &str| {
        part.starts_with(|first: char| first.is_ascii_alphanumeric())
            && part.ends_with(|last: char| last.is_ascii_alphanumeric())
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-._:@+".contains(&byte))
    };
    if name.len() <= 512 && name.split('/').all(valid) {
        Ok(name.to_owned())
    } else {
        Err(PlaceError::Tag(name.to_owned()))
    }
}

/// A layout to read from, and the entry that is meant.
#[derive(Debug, Clone)]
pub struct Source {
    /// The layout; a temporary one lives as long as this value.
    pub blobs: Blobs,
    /// A manifest or an index in it.
    pub root: Descriptor,
    /// What hangs on the image, and is copied with it.
    pub hanging: Vec<Descriptor>,
}

impl Source {
    /// Every image that it reaches.
    ///
    /// # Errors
    /// A document is not valid.
    pub fn images(&self) -> Result<Vec<Image>, StoreError> {
        Ok(Image::all(&self.blobs, &self.root)?)
    }
}

impl Place {
    /// Opens the image for `platform`, wherever it is. An archive is spooled
    /// to a temporary layout that lives as long as the image.
    ///
    /// # Errors
    /// Nothing there, not for this platform, or not valid.
    pub fn image(&self, store: &Store, platform: &Platform) -> Result<Image, StoreError> {
        if let Self::Store(name) = self {
            return store.image(name, platform);
        }
        let Source { blobs, root, .. } = self.source(store, Compression::None)?;
        Ok(Image::select(blobs, &root, platform, &self.to_string())?)
    }

    /// The image in the layout folder or archive at a path, if it is one of these
    /// by its first bytes: a folder of files or a program is none.
    ///
    /// # Errors
    /// As [`Place::image`].
    pub fn image_at(
        path: &Path,
        store: &Store,
        platform: &Platform,
    ) -> Result<Option<Image>, StoreError> {
        if path.join("oci-layout").is_file() {
            return Self::OciDir(path.to_owned(), None)
                .image(store, platform)
                .map(Some);
        }
        if !path.is_file() || !archive::is_archive(path)? {
            return Ok(None);
        }
        let image = match Self::OciArchive(path.to_owned(), None).image(store, platform) {
            Err(StoreError::Archive(ArchiveError::Missing { member, .. }))
                if member == "oci-layout" =>
            {
                Self::DockerArchive(path.to_owned(), None).image(store, platform)
            }
            image => image,
        };
        image.map(Some)
    }

    /// Every image that is here: one, or one per platform of an index.
    ///
    /// # Errors
    /// As [`Place::image`].
    pub fn images(&self, store: &Store) -> Result<Vec<Image>, StoreError> {
        if let Self::Store(name) = self {
            return store.images_of(name);
        }
        let Source { blobs, root, .. } = self.source(store, Compression::None)?;
        Ok(Image::all(&blobs, &root)?)
    }

    /// Copies what is here (an index whole) into the store under `name`, with
    /// what hangs on it.
    ///
    /// # Errors
    /// As [`Place::image`]; the store is unchanged then.
    pub fn import(&self, store: &Store, name: &Reference) -> Result<(), StoreError> {
        if let Self::Store(from) = self {
            return store.tag(from, name);
        }
        let source = self.open(store)?;
        Self::Store(name.clone()).write(store, &source, name)
    }

    /// Whether what hangs on an image has a place here beside it.
    pub fn takes_artifacts(&self) -> bool {
        matches!(
            self,
            Self::Store(_) | Self::OciDir(..) | Self::OciArchive(..) | Self::Registry(_)
        )
    }

    /// Copies `name` from the store to here, atomically; the image alone, since
    /// platforms that read an archive want nothing else in it.
    ///
    /// # Errors
    /// No such name, or the place cannot be written.
    pub fn export(&self, store: &Store, name: &Reference) -> Result<(), StoreError> {
        self.export_with(store, name, false)
    }

    /// As [`Place::export`], if so asked and the place takes them with the
    /// artifacts that hang on the image.
    ///
    /// # Errors
    /// As [`Place::export`].
    pub fn export_with(
        &self,
        store: &Store,
        name: &Reference,
        artifacts: bool,
    ) -> Result<(), StoreError> {
        if let Self::Store(to) = self {
            return store.tag(name, to);
        }
        let mut source = Self::Store(name.clone()).source(store, Compression::Gzip)?;
        if artifacts {
            source.hanging = hanging_in(store, &source.root)?;
        }
        self.write(store, &source, name)
    }

    /// What is here and what hangs on it, to be copied elsewhere; an archive is spooled.
    ///
    /// # Errors
    /// As [`Place::image`].
    pub fn open(&self, store: &Store) -> Result<Source, StoreError> {
        let mut source = self.source(store, Compression::Gzip)?;
        if let Self::Store(_) = self {
            source.hanging = hanging_in(store, &source.root)?;
        }
        Ok(source)
    }

    /// Copies an image, or an index whole, from elsewhere to here, atomically. `name`
    /// is what it is called where the place does not say it.
    ///
    /// # Errors
    /// The place cannot be written, or what is copied is not whole.
    pub fn write(
        &self,
        store: &Store,
        source: &Source,
        name: &Reference,
    ) -> Result<(), StoreError> {
        match self {
            Self::Store(to) => {
                let mut writer = store.write()?;
                copy_tree(source, writer.sink())?;
                for artifact in &source.hanging {
                    writer.refers(artifact);
                }
                // What comes in from outside is an image of which every part is there.
                Image::all(&store.blobs(), &source.root)?;
                writer.commit(to, &source.root)
            }
            Self::OciDir(folder, tag) => to_folder(source, folder, &label(tag, name)),
            Self::OciArchive(file, tag) => to_archive(source, file, &label(tag, name)),
            Self::DockerArchive(file, to) => {
                let images = Image::all(&source.blobs, &source.root)?;
                let image = match &images[..] {
                    [image] => image.clone(),
                    _ => Image::select(
                        source.blobs.clone(),
                        &source.root,
                        &Platform::host(),
                        &name.to_string(),
                    )?,
                };
                docker::write(file, &image, to.as_ref().unwrap_or(name))
            }
            Self::Engine(engine, to) => {
                let (spool, _sink) = store.spool()?;
                let file = spool.path().join("image.tar");
                // podman keeps the digests of OCI's archive, which docker does not read.
                let archive = match engine.kind {
                    EngineKind::Docker => Self::DockerArchive(file.clone(), Some(to.clone())),
                    EngineKind::Podman => Self::OciArchive(file.clone(), Some(to.to_string())),
                };
                let mut alone = source.clone();
                alone.hanging.clear();
                archive.write(store, &alone, name)?;
                Ok(engine.load(&file)?)
            }
            Self::Registry(remote) => Err(StoreError::InRegistry(remote.to_string())),
        }
    }

    fn source(&self, store: &Store, compression: Compression) -> Result<Source, StoreError> {
        match self {
            Self::Store(name) => Ok(Source {
                blobs: store.blobs(),
                root: store.find(name)?,
                hanging: Vec::new(),
            }),
            Self::OciDir(folder, tag) => {
                if !layout::is_layout(folder)? {
                    return Err(layout::LayoutError::NotALayout {
                        path: folder.clone(),
                        why: "it has no oci-layout",
                    }
                    .into());
                }
                let index = layout::read_index(folder)?;
                let blobs = Blobs::new(folder);
                let root = pick(&index, tag.as_deref(), folder)?;
                Ok(Source {
                    hanging: hanging(&blobs, &index, &root)?,
                    blobs,
                    root,
                })
            }
            Self::OciArchive(file, tag) => {
                let (spool, mut sink) = store.spool()?;
                let archive = Archive::open(file, spool.path())?;
                let (root, hanging) = unpack(&archive, tag.as_deref(), &mut sink)?;
                Ok(Source {
                    blobs: Blobs::spooled(Arc::new(spool)),
                    root,
                    hanging,
                })
            }
            Self::DockerArchive(file, name) => {
                let (spool, mut sink) = store.spool()?;
                let archive = Archive::open(file, spool.path())?;
                let root = docker::read(&archive, name.as_ref(), compression, &mut sink)?;
                Ok(Source {
                    blobs: Blobs::spooled(Arc::new(spool)),
                    root,
                    hanging: Vec::new(),
                })
            }
            Self::Engine(engine, name) => {
                let (spool, mut sink) = store.spool()?;
                let mut archive = sink.scratch()?;
                engine.save(name, archive.file())?;
                let archive = Archive::open(archive.path(), spool.path())?;
                let root = docker::read(&archive, None, compression, &mut sink)?;
                Ok(Source {
                    blobs: Blobs::spooled(Arc::new(spool)),
                    root,
                    hanging: Vec::new(),
                })
            }
            Self::Registry(remote) => Err(StoreError::InRegistry(remote.to_string())),
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (transport, path, name) = match self {
            Self::Store(name) => return name.fmt(f),
            Self::Engine(engine, name) => return write!(f, "{engine}:{name}"),
            Self::Registry(remote) => return remote.fmt(f),
            Self::OciDir(path, tag) => ("oci", path, tag.clone()),
            Self::OciArchive(path, tag) => ("oci-archive", path, tag.clone()),
            Self::DockerArchive(path, name) => (
                "docker-archive",
                path,
                name.as_ref().map(Reference::to_string),
            ),
        };
        write!(f, "{transport}:{}", path.display())?;
        name.map_or(Ok(()), |name| write!(f, ":{name}"))
    }
}

/// What an image is called in the layout it is exported to: as told, else in
/// full, so that two images of one folder do not both become `latest`.
fn label(tag: &Option<String>, name: &Reference) -> String {
    tag.clone().unwrap_or_else(|| {
        let plain = Reference {
            digest: None,
            tag: Some(name.tag.clone().unwrap_or_else(|| "latest".to_owned())),
            ..name.clone()
        };
        plain.to_string()
    })
}

/// The entry of an index that `tag` means, or the only one.
fn pick(index: &ImageIndex, tag: Option<&str>, path: &Path) -> Result<Descriptor, StoreError> {
    let entries = index.manifests();
    let names = || {
        let names: Vec<&str> = entries.iter().filter_map(layout::ref_name).collect();
        some_names(&names)
    };
    let content = |why| -> StoreError {
        ArchiveError::Content {
            path: path.to_owned(),
            why,
        }
        .into()
    };
    let found = match tag {
        Some(tag) => {
            let wanted = tag.parse::<Reference>().ok();
            let exact = entries
                .iter()
                .find(|entry| layout::ref_name(entry) == Some(tag));
            exact
                .or_else(|| {
                    let same = |entry: &&Descriptor| {
                        wanted.is_some() && layout::reference_of(entry) == wanted
                    };
                    entries.iter().find(same)
                })
                .ok_or_else(|| content(format!("it has no image {tag}, only: {}", names())))?
        }
        // What hangs on an image is none.
        None => match &entries
            .iter()
            .filter(|it| it.artifact_type().is_none())
            .collect::<Vec<_>>()[..]
        {
            [only] => only,
            [] => return Err(content("it has no image".to_owned())),
            entries => {
                let why = format!("it has {} images, say which: {}", entries.len(), names());
                return Err(content(why));
            }
        },
    };
    Ok(unnamed(found))
}

/// Copies what `source` reaches, leaves first.
fn copy_tree(source: &Source, sink: &mut Sink) -> Result<(), StoreError> {
    for descriptor in trees(source)? {
        let mut blob = source.blobs.open(&descriptor)?;
        sink.copy(&descriptor, &mut blob)?;
    }
    Ok(())
}

/// What hangs on the image `root` in a layout.
fn hanging(
    blobs: &Blobs,
    index: &ImageIndex,
    root: &Descriptor,
) -> Result<Vec<Descriptor>, StoreError> {
    let of_image = tree(blobs, root)?;
    let digests = of_image
        .iter()
        .map(digest_of)
        .collect::<Result<Vec<_>, _>>();
    let digests = digests.map_err(BlobError::from)?;
    let digest = digest_of(root).map_err(BlobError::from)?;
    let found = Referrers::read(blobs, index).all_of(digests);
    let found = referrers::bounded(&digest, found)?;
    Ok(found.into_iter().map(|one| one.descriptor).collect())
}

/// What hangs on an image in the store.
fn hanging_in(store: &Store, root: &Descriptor) -> Result<Vec<Descriptor>, StoreError> {
    let found = store.referrers_below(root)?;
    Ok(found.into_iter().map(|one| one.descriptor).collect())
}

/// All that the image and what hangs on it reach, each blob once, leaves first.
fn trees(source: &Source) -> Result<Vec<Descriptor>, StoreError> {
    let mut order = Vec::new();
    let mut seen = HashSet::new();
    for root in [&source.root].into_iter().chain(&source.hanging) {
        for one in tree(&source.blobs, root)? {
            if seen.insert(digest_of(&one).map_err(BlobError::from)?) {
                order.push(one);
            }
        }
    }
    Ok(order)
}

/// Copies an image out of an OCI archive, with what hangs on it: documents
/// first, since they say which blobs belong to it.
fn unpack(
    archive: &Archive,
    tag: Option<&str>,
    sink: &mut Sink,
) -> Result<(Descriptor, Vec<Descriptor>), StoreError> {
    // Only a layout says so; without it, index.json could be anybody's.
    archive.member("oci-layout")?;
    let bytes = archive.read("index.json", DOCUMENT_LIMIT)?;
    let index: ImageIndex = from_json(&bytes).map_err(|source| ArchiveError::Json {
        path: archive.path().to_owned(),
        member: "index.json".to_owned(),
        source,
    })?;
    let root = pick(&index, tag, archive.path())?;
    let mut seen = HashSet::new();
    copy_out(archive, &root, &mut seen, sink)?;
    let unnamed = index.manifests().iter().filter(|entry| {
        layout::ref_name(entry).is_none() && role(entry.media_type()) == Role::Manifest
    });
    // What each hangs on stands in its manifest.
    for entry in unnamed.take(MOST_REFERRERS) {
        let digest = digest_of(entry).map_err(BlobError::from)?;
        // An entry of which nothing is there is nobody's signature.
        if archive.has(&format!("blobs/sha256/{}", digest.hex())) {
            copy_one(archive, entry, sink)?;
        }
    }
    let hanging = hanging(sink.blobs(), &index, &root)?;
    for artifact in &hanging {
        copy_out(archive, artifact, &mut seen, sink)?;
    }
    Ok((root, hanging))
}

/// Copies what `root` reaches out of an archive.
fn copy_out(
    archive: &Archive,
    root: &Descriptor,
    seen: &mut HashSet<Digest>,
    sink: &mut Sink,
) -> Result<(), StoreError> {
    let mut left = vec![(root.clone(), 0)];
    while let Some((descriptor, depth)) = left.pop() {
        if !seen.insert(digest_of(&descriptor).map_err(BlobError::from)?) {
            continue;
        }
        copy_one(archive, &descriptor, sink)?;
        let mut children = Vec::new();
        read_children(sink.blobs(), &descriptor, depth, &mut children)?;
        left.extend(children.into_iter().map(|child| (child, depth + 1)));
    }
    Ok(())
}

fn copy_one(archive: &Archive, descriptor: &Descriptor, sink: &mut Sink) -> Result<(), StoreError> {
    let digest = digest_of(descriptor).map_err(BlobError::from)?;
    let is_document = matches!(role(descriptor.media_type()), Role::Index | Role::Manifest);
    if is_document && descriptor.size() > DOCUMENT_LIMIT {
        return Err(BlobError::TooLarge {
            digest,
            size_bytes: descriptor.size(),
            limit_bytes: DOCUMENT_LIMIT,
        }
        .into());
    }
    let (mut blob, _) = archive.member(&format!("blobs/sha256/{}", digest.hex()))?;
    Ok(sink.copy(descriptor, &mut blob)?)
}

/// How long another process that writes the same folder is waited for.
const FOLDER_TIMEOUT: Duration = Duration::from_secs(10);

fn to_folder(source: &Source, folder: &Path, label: &str) -> Result<(), StoreError> {
    let io_error = |action| {
        move |error| StoreError::Io {
            action,
            path: folder.to_owned(),
            source: error,
        }
    };
    fs::create_dir_all(folder).map_err(io_error("making"))?;
    let _lock = Lock::folder(folder, FOLDER_TIMEOUT)?;
    if !layout::is_layout(folder)? {
        let mut entries = fs::read_dir(folder).map_err(io_error("listing"))?;
        if entries.next().is_some() {
            return Err(layout::LayoutError::NotALayout {
                path: folder.to_owned(),
                why: "it is not empty and has no oci-layout",
            }
            .into());
        }
        layout::create(folder, folder)?;
    }
    let blobs = folder.join("blobs/sha256");
    fs::create_dir_all(&blobs).map_err(io_error("making"))?;
    let mut sink = Sink::new(folder, folder.to_owned());
    copy_tree(source, &mut sink)?;
    sink.sync()?;
    let mut index = layout::read_index(folder)?;
    layout::set_name(&mut index, label, &source.root);
    referrers::add(&mut index, &source.hanging);
    layout::write_index(folder, folder, &index)?;
    Ok(())
}

fn to_archive(source: &Source, file: &Path, label: &str) -> Result<(), StoreError> {
    let mut writer = ArchiveWriter::new(file)?;
    let mut index = ImageIndex::default();
    layout::set_name(&mut index, label, &source.root);
    referrers::add(&mut index, &source.hanging);
    let json = canonical_json(&index).map_err(|source| ArchiveError::Json {
        path: file.to_owned(),
        member: "index.json".to_owned(),
        source,
    })?;
    writer.bytes("oci-layout", layout::MARKER)?;
    writer.bytes("index.json", &json)?;
    writer.folder("blobs/")?;
    writer.folder("blobs/sha256/")?;
    for descriptor in trees(source)? {
        let digest = digest_of(&descriptor).map_err(BlobError::from)?;
        let mut blob = source.blobs.open(&descriptor)?;
        let member = format!("blobs/sha256/{}", digest.hex());
        writer.stream(&member, descriptor.size(), &mut blob)?;
    }
    writer.publish()?;
    Ok(())
}
