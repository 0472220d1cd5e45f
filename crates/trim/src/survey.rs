//! One pass over an image's layers: the merged tree, and for each path the
//! header that it comes from, so that a cut can copy it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ounce_oci::Image;
use ounce_oci::layer::{Besides, CopyEntry, LayerError, Patch, ReadEntry, ReadKind, ReadLimits};
use ounce_rootfs::Tree;
use ounce_rootfs::tree::{Builder, ContentId, Node, NodeKind, TreeError};

/// An image's tree and the headers behind it.
#[derive(Debug)]
pub struct Survey {
    /// What a program inside sees.
    pub tree: Tree,
    /// By place: the header that made what is there, if one did and it is no file.
    heads: HashMap<PathBuf, Head>,
    /// By number of the content: the header of the file that brought it.
    files: Vec<Head>,
    /// The entry of the root itself, if there is one.
    root: Option<Head>,
}

/// What a header said: for most files of an image it is the same but for the time.
#[derive(Debug, Clone)]
struct Head {
    kind: ReadKind,
    mode: u32,
    uid: u32,
    gid: u32,
    layer: u32,
    number: u64,
    mtime: u64,
    size: u64,
    /// What it said besides, shared by all that said the same.
    besides: Arc<Said>,
}

/// What a header said that most do not, or all say alike.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Said {
    xattrs: Vec<(String, Vec<u8>)>,
    besides: Besides,
}

impl Head {
    /// `last` is what the header before it said.
    fn of(
        entry: ReadEntry,
        besides: Besides,
        layer: usize,
        number: u64,
        last: &mut Arc<Said>,
    ) -> Self {
        let said = Said {
            xattrs: entry.xattrs,
            besides,
        };
        if **last != said {
            *last = Arc::new(said);
        }
        Self {
            kind: entry.kind,
            mode: entry.mode,
            uid: entry.uid,
            gid: entry.gid,
            layer: layer as u32,
            number,
            mtime: entry.mtime,
            size: entry.size,
            besides: Arc::clone(last),
        }
    }

    /// The entry of a copy of it.
    fn copy(&self, path: PathBuf, kind: ReadKind, content: Option<(usize, u64)>) -> CopyEntry {
        CopyEntry {
            entry: ReadEntry {
                path,
                kind,
                mode: self.mode,
                uid: self.uid,
                gid: self.gid,
                mtime: self.mtime,
                size: self.size,
                xattrs: self.besides.xattrs.clone(),
            },
            besides: self.besides.besides.clone(),
            patch: None,
            content,
        }
    }
}

/// Reads all layers.
///
/// # Errors
/// A layer is not valid, or names what cannot be.
pub fn survey(image: &Image) -> Result<Survey, TreeError> {
    let mut builder = Builder::default();
    let mut heads = HashMap::new();
    let mut files = Vec::new();
    let mut root = None;
    let mut last = Arc::default();
    for (layer, from) in image.layers.iter().enumerate() {
        builder.begin_layer();
        let mut number = 0;
        image
            .open_layer(from, ReadLimits::default())?
            .for_each_whole::<TreeError>(|entry, besides, _| {
                let content = builder.entry(&entry)?;
                let is_root = is_root(&entry);
                let head = Head::of(entry, besides, layer, number, &mut last);
                number += 1;
                match (content, builder.last()) {
                    // Contents are numbered as they come.
                    (Some(_), _) => files.push(head),
                    (None, Some(place)) => {
                        heads.insert(place.to_owned(), head);
                    }
                    (None, None) if is_root => root = Some(head),
                    (None, None) => {}
                }
                Ok(())
            })?;
    }
    Ok(Survey {
        tree: builder.finish(),
        heads,
        files,
        root,
    })
}

fn is_root(entry: &ReadEntry) -> bool {
    entry.path.as_os_str().is_empty() && entry.kind == ReadKind::Directory
}

impl Survey {
    /// The entries of a layer that holds exactly these places, sorted. Names that
    /// share a file go on sharing it; the first of them brings it.
    pub(crate) fn entries<'a>(
        &self,
        places: impl Iterator<Item = &'a Path>,
        patches: &HashMap<ContentId, Patch>,
        same: &HashMap<ContentId, ContentId>,
    ) -> Result<Vec<CopyEntry>, LayerError> {
        let mut entries = Vec::new();
        let mut brought: HashMap<ContentId, PathBuf> = HashMap::new();
        if let Some(root) = &self.root {
            entries.push(root.copy(PathBuf::new(), root.kind.clone(), None));
        }
        for place in places {
            let Some(node) = self.tree.get(place) else {
                continue;
            };
            match self.entry(place, node, same, &mut brought) {
                Some(mut entry) => {
                    if let (NodeKind::File(id), Some(_)) = (&node.kind, entry.content) {
                        entry.patch = patches.get(same.get(id).unwrap_or(id)).cloned();
                    }
                    entries.push(entry);
                }
                // No header ever named it, and it may be that nothing is left in it.
                None if node.kind == NodeKind::Folder => entries.push(implied(place, node)),
                None => {
                    return Err(LayerError::Absent {
                        path: place.to_owned(),
                    });
                }
            }
        }
        Ok(entries)
    }

    /// Whether two files can be names of one: what their headers said is the same,
    /// and the time too, if that matters.
    pub(crate) fn is_alike(&self, one: ContentId, other: ContentId, whatever_time: bool) -> bool {
        let (Some(one), Some(other)) = (self.files.get(one.index()), self.files.get(other.index()))
        else {
            return false;
        };
        let said = |head: &Head| (head.mode, head.uid, head.gid);
        let attributes = one.besides.xattrs == other.besides.xattrs;
        said(one) == said(other) && attributes && (whatever_time || one.mtime == other.mtime)
    }

    /// Nothing for a folder that no header ever named.
    fn entry(
        &self,
        place: &Path,
        node: &Node,
        same: &HashMap<ContentId, ContentId>,
        brought: &mut HashMap<ContentId, PathBuf>,
    ) -> Option<CopyEntry> {
        let path = place.to_owned();
        if let NodeKind::File(id) = node.kind {
            let id = same.get(&id).copied().unwrap_or(id);
            let head = self.files.get(id.index())?;
            return Some(match brought.get(&id) {
                Some(first) => head.copy(path, ReadKind::Hardlink(first.clone()), None),
                None => {
                    brought.insert(id, path.clone());
                    let content = Some((head.layer as usize, head.number));
                    head.copy(path, ReadKind::File, content)
                }
            });
        }
        let head = self.heads.get(place)?;
        // A header that was overruled since, by a whiteout and a folder that no
        // header names.
        if head.layer as usize != node.layer {
            return None;
        }
        let kind = match (&head.kind, &node.kind) {
            // A second name of a link or a device.
            (ReadKind::Hardlink(_), NodeKind::Symlink(target)) => ReadKind::Symlink(target.clone()),
            (ReadKind::Hardlink(target), _) => {
                let first = self.heads.get(target)?;
                return Some(first.copy(path, first.kind.clone(), None));
            }
            (kind, _) => kind.clone(),
        };
        Some(head.copy(path, kind, None))
    }
}

fn implied(path: &Path, node: &Node) -> CopyEntry {
    CopyEntry {
        entry: ReadEntry {
            path: path.to_owned(),
            kind: ReadKind::Directory,
            mode: node.mode,
            uid: node.uid,
            gid: node.gid,
            mtime: 0,
            size: 0,
            xattrs: Vec::new(),
        },
        besides: Besides::default(),
        patch: None,
        content: None,
    }
}

#[cfg(test)]
mod tests;
