//! Making a [`Tree`], entry by entry.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, FileType};
use std::hash::{BuildHasher, RandomState};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Component, Path, PathBuf};

use hashbrown::HashTable;
use ounce_oci::layer::{ReadEntry, ReadKind};

use super::places::Places;
use super::{ContentId, Hiding, LookupError, Node, NodeKind, Stored, Tree, TreeError};

/// No row: of families.
const NONE: u32 = u32::MAX;

/// Merges layers, from the lowest up.
#[derive(Debug)]
pub struct Builder {
    places: Places,
    /// By row: the first of what lies in it, and the next of what lies beside it.
    families: Vec<(u32, u32)>,
    /// Rows by their paths.
    rows: HashTable<u32>,
    hasher: RandomState,
    contents: Vec<Stored>,
    hidden: BTreeMap<ContentId, (usize, Hiding)>,
    /// Layers begun so far.
    layers: usize,
    /// Entries of this layer so far.
    entries: u64,
    /// Where the last entry was put.
    last: Option<u32>,
}

impl Default for Builder {
    fn default() -> Self {
        let mut builder = Self {
            places: Places::default(),
            families: Vec::new(),
            rows: HashTable::new(),
            hasher: RandomState::new(),
            contents: Vec::new(),
            hidden: BTreeMap::new(),
            layers: 0,
            entries: 0,
            last: None,
        };
        // The root, at which nothing ever is: the first row of all.
        if builder.places.push(b"").is_ok() {
            builder.families.push((NONE, NONE));
        }
        builder
    }
}

impl Builder {
    /// Begins the next layer.
    pub fn begin_layer(&mut self) {
        self.layers += 1;
        self.entries = 0;
    }

    /// The tree as it is now.
    pub fn finish(self) -> Tree {
        let Self {
            mut places,
            families,
            rows,
            contents,
            hidden,
            ..
        } = self;
        drop((families, rows));
        places.sort();
        Tree {
            places,
            contents,
            hidden,
        }
    }

    /// Where the last entry was put, links on the way followed; nothing for a
    /// whiteout and for the root.
    pub fn last(&self) -> Option<&Path> {
        self.last.map(|row| self.places.path(row))
    }

    /// Takes one entry; for a file, gives the number of its content.
    ///
    /// # Errors
    /// The path leaves the image, or lies in what is no folder.
    pub fn entry(&mut self, entry: &ReadEntry) -> Result<Option<ContentId>, TreeError> {
        let number = self.entries;
        self.entries += 1;
        self.last = None;
        let path = entry.path.as_path();
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
            ReadKind::Symlink(target) => NodeKind::Symlink(target.clone()),
            ReadKind::CharDevice(..) | ReadKind::BlockDevice(..) => NodeKind::Device,
            ReadKind::Fifo => NodeKind::Pipe,
            ReadKind::Hardlink(target) => return self.hard_link(path, target).map(|()| None),
            ReadKind::File => {
                let id = u32::try_from(self.contents.len()).map_err(|_| TreeError::TooLarge)?;
                content = Some(ContentId(id));
                NodeKind::File(ContentId(id))
            }
        };
        let row = self.place(path)?;
        if content.is_some() {
            let number32 = |number: u64| u32::try_from(number).map_err(|_| TreeError::TooLarge);
            self.contents.push(Stored {
                path: self.places.span(row),
                layer: number32(self.layer() as u64)?,
                entry: number32(number)?,
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
        self.put(row, node);
        Ok(content)
    }

    fn layer(&self) -> usize {
        self.layers.saturating_sub(1)
    }

    fn find(&self, path: &Path) -> Option<u32> {
        let bytes = path.as_os_str().as_bytes();
        let same = |row: &u32| self.places.path(*row).as_os_str().as_bytes() == bytes;
        self.rows.find(self.hasher.hash_one(bytes), same).copied()
    }

    fn get(&self, path: &Path) -> Option<&Node> {
        self.places.node(self.find(path)?)
    }

    /// The row of a path without links, whose folder has one; made if there is none.
    fn row(&mut self, path: &Path) -> Result<u32, TreeError> {
        if let Some(row) = self.find(path) {
            return Ok(row);
        }
        let folder = path
            .parent()
            .and_then(|folder| self.find(folder))
            .unwrap_or(0);
        let row = self.places.push(path.as_os_str().as_bytes())?;
        let beside = std::mem::replace(&mut self.families[folder as usize].0, row);
        self.families.push((NONE, beside));
        let (places, hasher) = (&self.places, &self.hasher);
        let hash = |row: u32| hasher.hash_one(places.path(row).as_os_str().as_bytes());
        self.rows.insert_unique(hash(row), row, |row| hash(*row));
        Ok(row)
    }

    /// What lies beneath a row, as deep as it goes: each after the folder that it
    /// lies in, with that one's number in this list.
    fn beneath(&self, row: u32) -> Vec<(u32, Option<usize>)> {
        let mut found = Vec::new();
        let mut waiting = vec![(self.families[row as usize].0, None)];
        while let Some((mut child, folder)) = waiting.pop() {
            while child != NONE {
                let (first, next) = self.families[child as usize];
                // Where nothing is, nothing lies beneath.
                if self.places.node(child).is_some() {
                    if first != NONE {
                        waiting.push((first, Some(found.len())));
                    }
                    found.push((child, folder));
                }
                child = next;
            }
        }
        found
    }

    /// Puts a node; a folder keeps what lies in it, all else replaces it.
    fn put(&mut self, row: u32, node: Node) {
        let stays = match self.places.node(row).map(|old| &old.kind) {
            None => true,
            Some(old) => *old == NodeKind::Folder && node.kind == NodeKind::Folder,
        };
        if !stays {
            self.remove(row, Hiding::Overwritten);
        }
        self.last = Some(row);
        *self.places.node_mut(row) = Some(node);
    }

    fn hard_link(&mut self, path: &Path, target: &Path) -> Result<(), TreeError> {
        let absent = || TreeError::HardLink {
            path: path.to_owned(),
            target: target.to_owned(),
        };
        let row = self.place(path)?;
        let (Some(folder), Some(name)) = (target.parent(), target.file_name()) else {
            return Err(absent());
        };
        let folder = self.resolve(folder).map_err(|_| absent())?;
        let target = folder.join(name);
        let mut node = match self.get(&target) {
            // What lies beneath the link's own place goes when the link takes it.
            Some(node)
                if node.kind != NodeKind::Folder && !target.starts_with(self.places.path(row)) =>
            {
                node.clone()
            }
            _ => return Err(absent()),
        };
        node.layer = self.layer();
        self.put(row, node);
        Ok(())
    }

    fn resolve(&self, path: &Path) -> Result<PathBuf, LookupError> {
        super::resolve(&|path| self.get(path), path)
    }

    /// The row of where a path is once links on the way are followed; missing
    /// folders are made, and a lower layer's file gives way to one.
    fn place(&mut self, path: &Path) -> Result<u32, TreeError> {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(TreeError::Path(path.to_owned()));
        };
        // As nearly all are: what is a folder by its own name has no links above.
        if self.is_folder(folder) {
            return self.row(&folder.join(name));
        }
        let mut here = PathBuf::new();
        for part in folder.components() {
            let next = here.join(part);
            let fault = || TreeError::NotAFolder {
                path: next.clone(),
                child: path.to_owned(),
            };
            let (link, lower) = match self.get(&next) {
                Some(node) if node.kind == NodeKind::Folder => {
                    here = next;
                    continue;
                }
                None => {
                    self.make_folder(&next)?;
                    here = next;
                    continue;
                }
                Some(node) => (
                    matches!(node.kind, NodeKind::Symlink(_)),
                    node.layer < self.layer(),
                ),
            };
            if link {
                match self.resolve(&next) {
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
            if let Some(row) = self.find(&next) {
                self.remove(row, Hiding::Overwritten);
            }
            self.make_folder(&next)?;
            here = next;
        }
        self.row(&here.join(name))
    }

    fn is_folder(&self, place: &Path) -> bool {
        place.as_os_str().is_empty()
            || self.get(place).map(|node| &node.kind) == Some(&NodeKind::Folder)
    }

    /// Makes a folder that no entry names.
    fn make_folder(&mut self, place: &Path) -> Result<(), TreeError> {
        let node = Node {
            kind: NodeKind::Folder,
            bytes: 0,
            mode: 0o755,
            uid: 0,
            gid: 0,
            layer: self.layer(),
        };
        let row = self.row(place)?;
        *self.places.node_mut(row) = Some(node);
        Ok(())
    }

    fn whiteout(&mut self, path: &Path) -> Result<(), TreeError> {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            return Ok(());
        };
        if let Ok(folder) = self.resolve(folder) {
            self.hide(&folder.join(name), true);
        }
        Ok(())
    }

    fn opaque(&mut self, path: &Path) -> Result<(), TreeError> {
        if let Ok(folder) = self.resolve(path) {
            self.hide(&folder, false);
        }
        Ok(())
    }

    /// Hides what lower layers put at or beneath `place`; a folder stays if
    /// something of this layer lies in it.
    fn hide(&mut self, place: &Path, itself: bool) {
        let row = match place.as_os_str().is_empty() {
            true => 0,
            false => match self.find(place) {
                Some(row) => row,
                None => return,
            },
        };
        let layer = self.layer();
        let is_own = |row| matches!(self.places.node(row), Some(node) if node.layer == layer);
        let beneath = self.beneath(row);
        let mut stays = vec![false; beneath.len()];
        // What lies in a folder comes after it.
        for (number, (row, folder)) in beneath.iter().enumerate().rev() {
            stays[number] |= is_own(*row);
            if let (true, Some(folder)) = (stays[number], folder) {
                stays[*folder] = true;
            }
        }
        let goes = itself && !is_own(row) && !stays.contains(&true);
        for ((row, _), stays) in beneath.into_iter().zip(stays) {
            if !stays {
                self.forget(row, Hiding::Deleted);
            }
        }
        if goes {
            self.forget(row, Hiding::Deleted);
        }
    }

    fn remove(&mut self, row: u32, how: Hiding) {
        for (row, _) in self.beneath(row) {
            self.forget(row, how);
        }
        self.forget(row, how);
    }

    fn forget(&mut self, row: u32, how: Hiding) {
        let by = self.layer();
        if let Some(node) = self.places.node_mut(row).take()
            && let NodeKind::File(id) = node.kind
        {
            self.hidden.insert(id, (by, how));
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
            let row = tree.places.push(path.as_os_str().as_bytes())?;
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
                    let next = u32::try_from(tree.contents.len());
                    let next = ContentId(next.map_err(|_| TreeError::TooLarge)?);
                    let id = *first_names.entry((meta.dev(), meta.ino())).or_insert(next);
                    if id == next {
                        tree.contents.push(Stored {
                            path: tree.places.span(row),
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
            *tree.places.node_mut(row) = Some(node);
        }
    }
    tree.places.sort();
    Ok(tree)
}

fn is_device(kind: FileType) -> bool {
    kind.is_char_device() || kind.is_block_device()
}
