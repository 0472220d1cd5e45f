//! The merged view of an image's layers, or of a folder of the host: each
//! path with its kind, size, owner and layer, and what upper layers hid.
//!
//! The rules are those of [`unpack`](crate::unpack), and a property test holds
//! the two together. Contents are not kept; [`content`](crate::content) reads
//! them when asked.

mod build;
mod places;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::path::{Component, Path, PathBuf};

use ounce_oci::Image;
use ounce_oci::layer::{LayerError, ReadLimits};

pub use build::Builder;
use places::{Places, Span};

/// Links followed before a path is called circular: the kernel's `MAXSYMLINKS`.
const LINKS: usize = 40;

/// All paths of an image, merged.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    /// Sorted.
    places: Places,
    contents: Vec<Stored>,
    /// By content: what hid it and in which layer.
    hidden: BTreeMap<ContentId, (usize, Hiding)>,
}

/// Which bytes: names that are hard links of each other share it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContentId(u32);

impl ContentId {
    /// Its number: contents are numbered from 0, in the order of the layers.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// A [`Content`], with its path among the others.
#[derive(Debug, Clone)]
struct Stored {
    path: Span,
    layer: u32,
    entry: u32,
    bytes: u64,
}

/// Bytes that a layer holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Content<'tree> {
    /// The path they were stored under first.
    pub path: &'tree Path,
    /// Which layer, from 0, the lowest.
    pub layer: usize,
    /// Which entry of that layer, from 0.
    pub entry: u64,
    /// How many.
    pub bytes: u64,
}

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// What it is.
    pub kind: NodeKind,
    /// Bytes of content; 0 for all but files.
    pub bytes: u64,
    /// Permission bits, set-id and sticky included.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// The layer it comes from, from 0, the lowest.
    pub layer: usize,
}

/// What a [`Node`] is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeKind {
    /// A folder.
    Folder,
    /// A file.
    File(ContentId),
    /// A symbolic link and its target, as it stands.
    Symlink(PathBuf),
    /// A device node.
    Device,
    /// A named pipe or a socket.
    Pipe,
}

/// How a file of a lower layer came to be hidden.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hiding {
    /// Something else took its path.
    Overwritten,
    /// A whiteout or an opaque folder.
    Deleted,
}

/// Bytes that are pulled and never seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hidden<'tree> {
    /// What is hidden.
    pub content: Content<'tree>,
    /// Its number.
    pub id: ContentId,
    /// The layer that hid it.
    pub by: usize,
    /// How.
    pub how: Hiding,
}

/// A tree could not be made.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// A layer.
    #[error(transparent)]
    Layer(Box<LayerError>),
    /// A folder or file of the host.
    #[error("reading {}", path.display())]
    Host {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A path with `..`, or absolute, or empty parts.
    #[error("the path {0:?} leaves the image")]
    Path(PathBuf),
    /// A folder's name stands for something else.
    #[error("{path:?} of the image is no folder, but {child:?} lies in it")]
    NotAFolder {
        /// The file or link.
        path: PathBuf,
        /// What should lie in it.
        child: PathBuf,
    },
    /// A hard link to what is not there.
    #[error("hard link {path:?} of the image points to {target:?}, which is not there")]
    HardLink {
        /// The link.
        path: PathBuf,
        /// Where it points.
        target: PathBuf,
    },
    /// Past what is counted with 32 bits.
    #[error("the paths of the image take more than 4 GiB")]
    TooLarge,
}

impl From<LayerError> for TreeError {
    fn from(error: LayerError) -> Self {
        Self::Layer(Box::new(error))
    }
}

/// A path leads nowhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// Nothing is there.
    #[error("nothing is at {0:?}")]
    Absent(PathBuf),
    /// What should be a folder on the way is none.
    #[error("{0:?} is no folder")]
    NotAFolder(PathBuf),
    /// Links lead in a circle, or too far.
    #[error("{0:?} leads through more than 40 links")]
    Loop(PathBuf),
}

impl Tree {
    /// Merges an image's layers; contents are read past, not kept.
    ///
    /// # Errors
    /// A layer is not valid or names what cannot be.
    pub fn of_image(image: &Image) -> Result<Self, TreeError> {
        let mut builder = Builder::default();
        for layer in &image.layers {
            builder.begin_layer();
            image
                .open_layer(layer, ReadLimits::default())?
                .for_each(|entry, _| builder.entry(&entry).map(drop))?;
        }
        Ok(builder.finish())
    }

    /// Lists a folder of the host; links in it are not followed.
    ///
    /// # Errors
    /// Something in it cannot be read.
    pub fn of_folder(folder: &Path) -> Result<Self, TreeError> {
        build::of_folder(folder)
    }

    /// What is at a path, itself and every link on the way taken as it stands;
    /// relative to the root, with or without a slash in front.
    pub fn get(&self, path: impl AsRef<Path>) -> Option<&Node> {
        let path = path.as_ref();
        self.places.get(path.strip_prefix("/").unwrap_or(path))
    }

    /// What a program inside would find at a path: links are followed, absolute
    /// ones from the root, and `..` of the root is the root.
    ///
    /// # Errors
    /// Nothing is there, or the way is no way.
    pub fn lookup(&self, path: impl AsRef<Path>) -> Result<(PathBuf, &Node), LookupError> {
        let found = resolve(&|path| self.places.get(path), path.as_ref())?;
        match self.places.get(&found) {
            Some(node) => Ok((found, node)),
            None => Err(LookupError::Absent(found)),
        }
    }

    /// Every path with what is there, sorted part by part: a folder stands
    /// right before what lies in it. The root is not among them.
    pub fn iter(&self) -> impl Iterator<Item = (&Path, &Node)> {
        self.places.iter()
    }

    /// All that lies beneath a folder, as deep as it goes.
    pub fn beneath<'tree>(
        &'tree self,
        folder: &'tree Path,
    ) -> impl Iterator<Item = (&'tree Path, &'tree Node)> {
        self.places
            .after(folder)
            .take_while(move |(path, _)| path.starts_with(folder))
    }

    /// Names in a folder, sorted.
    pub fn names<'tree>(&'tree self, folder: &'tree Path) -> impl Iterator<Item = &'tree OsStr> {
        self.beneath(folder)
            .filter(move |(path, _)| path.parent() == Some(folder))
            .filter_map(|(path, _)| path.file_name())
    }

    /// The bytes behind a file.
    pub fn content(&self, id: ContentId) -> Content<'_> {
        self.told(&self.contents[id.index()])
    }

    fn told(&self, stored: &Stored) -> Content<'_> {
        Content {
            path: self.places.shown(stored.path),
            layer: stored.layer as usize,
            entry: stored.entry.into(),
            bytes: stored.bytes,
        }
    }

    /// Everything that the layers hold, seen or not, in the order of the layers.
    pub fn contents(&self) -> impl Iterator<Item = (ContentId, Content<'_>)> {
        (0..)
            .zip(&self.contents)
            .map(|(number, stored)| (ContentId(number), self.told(stored)))
    }

    /// Bytes that can be seen; hard links count once.
    pub fn bytes(&self) -> u64 {
        let alive = self.alive();
        self.contents()
            .filter(|(id, _)| alive[id.index()])
            .map(|(_, content)| content.bytes)
            .sum()
    }

    /// What is pulled and never seen, each content once, in layer order.
    pub fn hidden(&self) -> Vec<Hidden<'_>> {
        let alive = self.alive();
        self.hidden
            .iter()
            .filter(|(id, _)| !alive[id.index()])
            .map(|(&id, &(by, how))| Hidden {
                content: self.content(id),
                id,
                by,
                how,
            })
            .collect()
    }

    /// By number of the content, whether it can be seen.
    fn alive(&self) -> Vec<bool> {
        let mut alive = vec![false; self.contents.len()];
        for (_, node) in self.places.iter() {
            if let NodeKind::File(id) = node.kind {
                alive[id.index()] = true;
            }
        }
        alive
    }
}

/// A path of a tree that `get` knows, without links; the root is the empty path and
/// always there.
fn resolve<'tree>(
    get: &dyn Fn(&Path) -> Option<&'tree Node>,
    path: &Path,
) -> Result<PathBuf, LookupError> {
    let mut here = PathBuf::new();
    // Parts still to be walked, the next one last.
    let mut parts: Vec<PathBuf> = Vec::new();
    let push = |path: &Path, parts: &mut Vec<PathBuf>| {
        parts.extend(
            path.components()
                .rev()
                .filter(|part| *part != Component::CurDir)
                .map(|part| PathBuf::from(part.as_os_str())),
        );
    };
    push(path, &mut parts);
    let mut links = 0;
    while let Some(part) = parts.pop() {
        if part.as_os_str() == "/" {
            here = PathBuf::new();
            continue;
        }
        let is_folder = here.as_os_str().is_empty()
            || matches!(get(&here), Some(node) if node.kind == NodeKind::Folder);
        if !is_folder {
            return Err(LookupError::NotAFolder(here));
        }
        if part.as_os_str() == ".." {
            here.pop();
            continue;
        }
        here.push(&part);
        match get(&here).map(|node| &node.kind) {
            None => return Err(LookupError::Absent(here)),
            Some(NodeKind::Symlink(target)) => {
                links += 1;
                if links > LINKS {
                    return Err(LookupError::Loop(path.to_owned()));
                }
                here.pop();
                push(target, &mut parts);
            }
            Some(_) => {}
        }
    }
    Ok(here)
}

#[cfg(test)]
mod tests;
