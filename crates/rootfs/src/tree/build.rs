//! Making a [`Tree`], entry by entry.

use std::collections::HashMap;
use std::fs::{self, FileType};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Component, Path, PathBuf};

use ounce_oci::layer::{ReadEntry, ReadKind};

use super::{Content, ContentId, Hiding, LookupError, Node, NodeKind, Tree, TreeError};

/// Merges layers, from the lowest up.
#[derive(Debug, Default)]
pub struct Builder {
    tree: Tree,
    /// Layers begun so far.
    layers: usize,
    /// Entries of this layer so far.
    entries: u64,
    /// Where the last entry was put.
    last: Option<PathBuf>,
}

impl Builder {
    /// Begins the next layer.
    pub fn begin_layer(&mut self) {
        self.layers += 1;
        self.entries = 0;
    }

    /// The tree as it is now.
    pub fn finish(self) -> Tree {
        self.tree
    }

    /// Where the last entry was put, links on the way followed; nothing for a
    /// whiteout and for the root.
    pub fn last(&self) -> Option<&Path> {
        self.last.as_deref()
    }

    /// Takes one entry; for a file, gives the number of its content.
    ///
    /// # Errors
    /// The path leaves the image, or lies in what is no folder.
    pub fn entry(&mut self, entry: &ReadEntry) -> Result<Option<ContentId>, TreeError> {
        let number = self.entries;
        self.entries += 1;
        self.last = None;
        let path = Path::new(&entry.path);
        let plain = |part| matches!(part, Component::Normal(_));
        if !path.components().all(plain) {
            return Err(TreeError::Path(path.to_owned()));
        }
        let mut content = None;
        let kind = match &entry.kind {
            ReadKind::Whiteout => return self.whiteout(path).map(|()| None),
            ReadKind::Opaque => return self.opaque(path).map(|()| None),
            _ if path.as_os_str().is_empty() => return Ok(None),
            ReadKind::Directory => NodeKind::Folder,
            ReadKind::Symlink(target) => NodeKind::Symlink(target.into()),
            ReadKind::CharDevice(..) | ReadKind::BlockDevice(..) => NodeKind::Device,
            ReadKind::Fifo => NodeKind::Pipe,
            ReadKind::Hardlink(target) => return self.hard_link(path, target).map(|()| None),
            ReadKind::File => {
                let id = ContentId(self.tree.contents.len());
                content = Some(id);
                NodeKind::File(id)
            }
        };
        let place = self.place(path)?;
        if content.is_some() {
            self.tree.contents.push(Content {
                path: place.clone(),
                layer: self.layer(),
                entry: number,
                bytes: entry.size,
            });
        }
        let node = Node {
            bytes: if content.is_some() { entry.size } else { 0 },
            kind,
            mode: entry.mode,
            uid: entry.uid,
            gid: entry.gid,
            layer: self.layer(),
        };
        self.put(place, node);
        Ok(content)
    }

    fn layer(&self) -> usize {
        self.layers.saturating_sub(1)
    }

    /// Puts a node; a folder keeps what lies in it, all else replaces it.
    fn put(&mut self, place: PathBuf, node: Node) {
        let stays = match self.tree.nodes.get(&place).map(|old| &old.kind) {
            None => true,
            Some(old) => *old == NodeKind::Folder && node.kind == NodeKind::Folder,
        };
        if !stays {
            self.remove(&place, Hiding::Overwritten);
        }
        self.last = Some(place.clone());
        self.tree.nodes.insert(place, node);
    }

    fn hard_link(&mut self, path: &Path, target: &str) -> Result<(), TreeError> {
        let absent = || TreeError::HardLink {
            path: path.to_owned(),
            target: target.into(),
        };
        let place = self.place(path)?;
        let target = Path::new(target);
        let (Some(folder), Some(name)) = (target.parent(), target.file_name()) else {
            return Err(absent());
        };
        let target = self.tree.resolve(folder).map_err(|_| absent())?.join(name);
        let mut node = match self.tree.nodes.get(&target) {
            // What lies beneath the link's own place goes when the link takes it.
            Some(node) if node.kind != NodeKind::Folder && !target.starts_with(&place) => {
                node.clone()
            }
            _ => return Err(absent()),
        };
        node.layer = self.layer();
        self.put(place, node);
        Ok(())
    }

    /// Where a path is once links on the way are followed; missing folders are
    /// made, and a lower layer's file gives way to one.
    fn place(&mut self, path: &Path) -> Result<PathBuf, TreeError> {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(TreeError::Path(path.to_owned()));
        };
        let mut here = PathBuf::new();
        for part in folder.components() {
            let next = here.join(part);
            let fault = || TreeError::NotAFolder {
                path: next.clone(),
                child: path.to_owned(),
            };
            let (link, lower) = match self.tree.nodes.get(&next) {
                Some(node) if node.kind == NodeKind::Folder => {
                    here = next;
                    continue;
                }
                None => {
                    self.tree.nodes.insert(next.clone(), self.implied());
                    here = next;
                    continue;
                }
                Some(node) => (
                    matches!(node.kind, NodeKind::Symlink(_)),
                    node.layer < self.layer(),
                ),
            };
            if link {
                match self.tree.resolve(&next) {
                    Ok(place) if self.is_folder(&place) => {
                        here = place;
                        continue;
                    }
                    Ok(_) | Err(LookupError::NotAFolder(_)) => {}
                    Err(_) => return Err(fault()),
                }
            }
            if !lower {
                return Err(fault());
            }
            self.remove(&next, Hiding::Overwritten);
            self.tree.nodes.insert(next.clone(), self.implied());
            here = next;
        }
        Ok(here.join(name))
    }

    fn is_folder(&self, place: &Path) -> bool {
        place.as_os_str().is_empty()
            || self.tree.nodes.get(place).map(|node| &node.kind) == Some(&NodeKind::Folder)
    }

    /// A folder that no entry names.
    fn implied(&self) -> Node {
        Node {
            kind: NodeKind::Folder,
            bytes: 0,
            mode: 0o755,
            uid: 0,
            gid: 0,
            layer: self.layer(),
        }
    }

    fn whiteout(&mut self, path: &Path) -> Result<(), TreeError> {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            return Ok(());
        };
        if let Ok(folder) = self.tree.resolve(folder) {
            self.hide(&folder.join(name), true);
        }
        Ok(())
    }

    fn opaque(&mut self, path: &Path) -> Result<(), TreeError> {
        if let Ok(folder) = self.tree.resolve(path) {
            self.hide(&folder, false);
        }
        Ok(())
    }

    /// Hides what lower layers put at or beneath `place`; a folder stays if
    /// something of this layer lies in it.
    fn hide(&mut self, place: &Path, itself: bool) {
        let layer = self.layer();
        let mut gone = Vec::new();
        // The deepest come first; `kept` is the last path that stays.
        let mut kept: Option<&Path> = None;
        let beneath: Vec<_> = self.tree.beneath(place).collect();
        for (path, node) in beneath.into_iter().rev() {
            let holds = kept.is_some_and(|kept| kept.starts_with(path));
            if node.layer == layer || holds {
                kept = Some(path);
            } else {
                gone.push(path.to_owned());
            }
        }
        let stays = |node: &Node| node.layer == layer || kept.is_some();
        if itself && self.tree.nodes.get(place).is_some_and(|node| !stays(node)) {
            gone.push(place.to_owned());
        }
        for path in gone {
            self.forget(&path, Hiding::Deleted);
        }
    }

    fn remove(&mut self, place: &Path, how: Hiding) {
        let beneath: Vec<_> = self
            .tree
            .beneath(place)
            .map(|(path, _)| path.to_owned())
            .collect();
        for path in beneath {
            self.forget(&path, how);
        }
        self.forget(place, how);
    }

    fn forget(&mut self, place: &Path, how: Hiding) {
        let by = self.layer();
        if let Some(node) = self.tree.nodes.remove(place)
            && let NodeKind::File(id) = node.kind
        {
            self.tree.hidden.insert(id, (by, how));
        }
    }
}

/// Lists a folder of the host.
pub(super) fn of_folder(folder: &Path) -> Result<Tree, TreeError> {
    let mut tree = Tree::default();
    let mut first_names: HashMap<(u64, u64), ContentId> = HashMap::new();
    let mut waiting = vec![PathBuf::new()];
    while let Some(below) = waiting.pop() {
        let host = folder.join(&below);
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| TreeError::Host { path, source }
        };
        for entry in fs::read_dir(&host).map_err(failed(&host))? {
            let entry = entry.map_err(failed(&host))?;
            let at = entry.path();
            let path = below.join(entry.file_name());
            let meta = entry.metadata().map_err(failed(&at))?;
            let kind = match meta.file_type() {
                kind if kind.is_dir() => {
                    waiting.push(path.clone());
                    NodeKind::Folder
                }
                kind if kind.is_symlink() => {
                    NodeKind::Symlink(fs::read_link(&at).map_err(failed(&at))?)
                }
                kind if is_device(kind) => NodeKind::Device,
                kind if kind.is_file() => {
                    let next = ContentId(tree.contents.len());
                    let id = *first_names.entry((meta.dev(), meta.ino())).or_insert(next);
                    if id == next {
                        tree.contents.push(Content {
                            path: path.clone(),
                            layer: 0,
                            entry: 0,
                            bytes: meta.len(),
                        });
                    }
                    NodeKind::File(id)
                }
                _ => NodeKind::Pipe,
            };
            let node = Node {
                bytes: if meta.is_file() { meta.len() } else { 0 },
                kind,
                mode: meta.mode() & 0o7777,
                uid: meta.uid(),
                gid: meta.gid(),
                layer: 0,
            };
            tree.nodes.insert(path, node);
        }
    }
    Ok(tree)
}

fn is_device(kind: FileType) -> bool {
    kind.is_char_device() || kind.is_block_device()
}
