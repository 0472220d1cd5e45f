//! One pass over an image's layers: the merged tree, and for each path the
//! header that it comes from, so that a cut can copy it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use ounce_oci::Image;
use ounce_oci::layer::{Besides, CopyEntry, LayerError, Patch, ReadEntry, ReadKind, ReadLimits};
use ounce_rootfs::Tree;
use ounce_rootfs::tree::{Builder, ContentId, Node, NodeKind, TreeError};

/// An image's tree and the headers behind it.
#[derive(Debug)]
pub struct Survey {
    /// What a program inside sees.
    pub tree: Tree,
    /// By place: the header that made what is there, if one did.
    heads: HashMap<PathBuf, Head>,
    /// By content: the header of the file that brought it.
    files: HashMap<ContentId, Head>,
    /// The entry of the root itself, if there is one.
    root: Option<Head>,
}

#[derive(Debug, Clone)]
struct Head {
    entry: ReadEntry,
    besides: Besides,
    layer: usize,
    number: u64,
}

/// Reads all layers.
///
/// # Errors
/// A layer is not valid, or names what cannot be.
pub fn survey(image: &Image) -> Result<Survey, TreeError> {
    let mut builder = Builder::default();
    let mut heads = HashMap::new();
    let mut files = HashMap::new();
    let mut root = None;
    for (layer, from) in image.layers.iter().enumerate() {
        builder.begin_layer();
        let mut number = 0;
        image
            .open_layer(from, ReadLimits::default())?
            .for_each_whole::<TreeError>(|entry, besides, _| {
                let content = builder.entry(&entry)?;
                let head = Head {
                    entry,
                    besides,
                    layer,
                    number,
                };
                number += 1;
                match (content, builder.last()) {
                    (Some(id), _) => {
                        files.insert(id, head);
                    }
                    (None, Some(place)) => {
                        heads.insert(place.to_owned(), head);
                    }
                    (None, None) if is_root(&head.entry) => root = Some(head),
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
    entry.path.is_empty() && entry.kind == ReadKind::Directory
}

impl Survey {
    /// The entries of a layer that holds exactly these places, sorted. Names that
    /// share a file go on sharing it; the first of them brings it.
    pub(crate) fn entries<'a>(
        &self,
        places: impl Iterator<Item = &'a Path>,
        patches: &HashMap<ContentId, Patch>,
    ) -> Result<Vec<CopyEntry>, LayerError> {
        let mut entries = Vec::new();
        let mut brought: HashMap<ContentId, String> = HashMap::new();
        if let Some(root) = &self.root {
            entries.push(copy(root, String::new(), root.entry.kind.clone(), None));
        }
        for place in places {
            let Some(node) = self.tree.get(place) else {
                continue;
            };
            let path = place.to_str().ok_or_else(|| LayerError::Path {
                path: place.to_string_lossy().into_owned(),
                why: "it is not UTF-8",
            })?;
            match self.entry(path.to_owned(), place, node, &mut brought) {
                Some(mut entry) => {
                    if let (NodeKind::File(id), Some(_)) = (&node.kind, entry.content) {
                        entry.patch = patches.get(id).cloned();
                    }
                    entries.push(entry);
                }
                // No header ever named it, and it may be that nothing is left in it.
                None if node.kind == NodeKind::Folder => entries.push(implied(path, node)),
                None => {
                    return Err(LayerError::Absent {
                        path: path.to_owned(),
                    });
                }
            }
        }
        Ok(entries)
    }

    /// Nothing for a folder that no header ever named.
    fn entry(
        &self,
        path: String,
        place: &Path,
        node: &Node,
        brought: &mut HashMap<ContentId, String>,
    ) -> Option<CopyEntry> {
        if let NodeKind::File(id) = node.kind {
            let head = self.files.get(&id)?;
            return Some(match brought.get(&id) {
                Some(first) => copy(head, path, ReadKind::Hardlink(first.clone()), None),
                None => {
                    brought.insert(id, path.clone());
                    let content = Some((head.layer, head.number));
                    copy(head, path, ReadKind::File, content)
                }
            });
        }
        let head = self.heads.get(place)?;
        // A header that was overruled since, by a whiteout and a folder that no
        // header names.
        if head.layer != node.layer {
            return None;
        }
        let kind = match (&head.entry.kind, &node.kind) {
            // A second name of a link or a device.
            (ReadKind::Hardlink(_), NodeKind::Symlink(target)) => {
                ReadKind::Symlink(target.to_str()?.to_owned())
            }
            (ReadKind::Hardlink(target), _) => {
                let first = self.heads.get(Path::new(target))?;
                return Some(copy(first, path, first.entry.kind.clone(), None));
            }
            (kind, _) => kind.clone(),
        };
        Some(copy(head, path, kind, None))
    }
}

fn implied(path: &str, node: &Node) -> CopyEntry {
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

fn copy(head: &Head, path: String, kind: ReadKind, content: Option<(usize, u64)>) -> CopyEntry {
    CopyEntry {
        entry: ReadEntry {
            path,
            kind,
            ..head.entry.clone()
        },
        besides: head.besides.clone(),
        patch: None,
        content,
    }
}

#[cfg(test)]
mod tests;
