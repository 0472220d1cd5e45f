//! The files of a base that is being put together: a sorted tree that knows
//! its links, so that what is meant for `/bin/sh` lands in `/usr/bin` where
//! `/bin` is a link. It becomes one layer by `oci`'s writer, which gives every
//! entry the same time; what the files mean is the distributions'.

use std::collections::BTreeMap;

use ounce_oci::layer::{Content, Entry, EntryKind, Piece};

/// Most links that one path may lead through, as the kernel's `MAXSYMLINKS`.
const MOST_LINKS: u32 = 40;

/// The files, by their paths relative to the root: `etc/passwd`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Files {
    nodes: BTreeMap<String, Node>,
}

/// A file, a folder or a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// What it is.
    pub kind: EntryKind,
    /// Permission bits, set-id and sticky included.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// A path that has no place in the tree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilesError {
    /// Not relative and plain.
    #[error("{0:?} is no path in an image")]
    Path(String),
    /// A part of the way there is a file.
    #[error("/{path} lies in /{parent}, which is no folder")]
    NoFolder {
        /// What was to be added.
        path: String,
        /// What is in the way.
        parent: String,
    },
    /// Links that never end.
    #[error("/{0} leads through too many links")]
    Loop(String),
    /// A link above the root.
    #[error("/{path} leads out of the image by the link /{link}")]
    Out {
        /// What was to be added.
        path: String,
        /// The link.
        link: String,
    },
    /// Two things of one name.
    #[error("/{0} is given twice")]
    Twice(String),
}

impl Node {
    /// A folder of root's.
    pub fn folder(mode: u32) -> Self {
        Self::of(EntryKind::Directory, mode)
    }

    /// A file of root's.
    pub fn file(mode: u32, bytes: impl Into<Vec<u8>>) -> Self {
        Self::of(EntryKind::File(Content::Bytes(bytes.into())), mode)
    }

    /// A symbolic link of root's.
    pub fn link(target: impl Into<String>) -> Self {
        Self::of(EntryKind::Symlink(target.into()), 0o777)
    }

    /// Another name of the file at `target`, a path as in [`Files`].
    pub fn hard_link(target: impl Into<String>) -> Self {
        Self::of(EntryKind::Hardlink(target.into()), 0o644)
    }

    fn of(kind: EntryKind, mode: u32) -> Self {
        Self {
            kind,
            mode,
            uid: 0,
            gid: 0,
        }
    }

    /// The same, another's.
    #[must_use]
    pub fn owned(mut self, uid: u32, gid: u32) -> Self {
        (self.uid, self.gid) = (uid, gid);
        self
    }

    /// Whether it is a folder.
    pub fn is_folder(&self) -> bool {
        matches!(self.kind, EntryKind::Directory)
    }

    /// The content of a file that is in memory.
    pub fn bytes(&self) -> Option<&[u8]> {
        match &self.kind {
            EntryKind::File(Content::Bytes(bytes)) => Some(bytes),
            _ => None,
        }
    }

    /// Bytes of content.
    pub fn size_bytes(&self) -> u64 {
        match &self.kind {
            EntryKind::File(Content::Bytes(bytes)) => bytes.len() as u64,
            EntryKind::File(Content::Pieces(pieces)) => pieces.iter().map(Piece::bytes).sum(),
            _ => 0,
        }
    }
}

impl Files {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many there are, folders and links included.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// All of them, sorted by path.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Node)> {
        self.nodes.iter().map(|(path, node)| (path.as_str(), node))
    }

    /// Those within `folder`, at any depth, sorted by path.
    pub fn within<'a>(&'a self, folder: &str) -> impl Iterator<Item = (&'a str, &'a Node)> {
        let prefix = format!("{folder}/");
        let from = prefix.clone();
        self.nodes
            .range(from..)
            .map(|(path, node)| (path.as_str(), node))
            .take_while(move |(path, _)| path.starts_with(&prefix))
    }

    /// Bytes of all contents; a hard link adds none.
    pub fn content_bytes(&self) -> u64 {
        self.nodes.values().map(Node::size_bytes).sum()
    }

    /// What stands at this very path, links on the way followed.
    pub fn get(&self, path: &str) -> Option<&Node> {
        let real = self.real(path).ok()?;
        self.nodes.get(&real)
    }

    /// What a program that opens `path` would get: the last link followed, too.
    pub fn open(&self, path: &str) -> Option<(String, &Node)> {
        let mut real = self.real(path).ok()?;
        for _ in 0..MOST_LINKS {
            let node = self.nodes.get(&real)?;
            match &node.kind {
                EntryKind::Symlink(target) => {
                    let next = joined(&real, target)?;
                    real = self.real(&next).ok()?;
                }
                EntryKind::Hardlink(target) => real = target.clone(),
                _ => return Some((real, node)),
            }
        }
        None
    }

    /// The path with all its folders' links resolved; what it ends in need not
    /// be there, nor its folders.
    ///
    /// # Errors
    /// Not a plain path, a file on the way, a loop, a link out of the root.
    pub fn real(&self, path: &str) -> Result<String, FilesError> {
        let plain = |part: &str| !matches!(part, "" | "." | "..") && !part.contains('\0');
        if !path.split('/').all(plain) {
            return Err(FilesError::Path(path.to_owned()));
        }
        let mut todo: Vec<String> = path.rsplit('/').map(str::to_owned).collect();
        let mut real = String::with_capacity(path.len());
        let mut links = 0;
        while let Some(part) = todo.pop() {
            let parent = real.len();
            if !real.is_empty() {
                real.push('/');
            }
            real.push_str(&part);
            if todo.is_empty() {
                break;
            }
            match self.nodes.get(&real).map(|node| &node.kind) {
                None | Some(EntryKind::Directory) => {}
                Some(EntryKind::Symlink(target)) => {
                    links += 1;
                    if links > MOST_LINKS {
                        return Err(FilesError::Loop(path.to_owned()));
                    }
                    let Some(next) = joined(&real, target) else {
                        return Err(FilesError::Out {
                            path: path.to_owned(),
                            link: real,
                        });
                    };
                    todo.extend(
                        next.rsplit('/')
                            .filter(|p| !p.is_empty())
                            .map(str::to_owned),
                    );
                    real.clear();
                }
                Some(_) => {
                    let in_the_way = real.clone();
                    real.truncate(parent);
                    return Err(FilesError::NoFolder {
                        path: path.to_owned(),
                        parent: in_the_way,
                    });
                }
            }
        }
        Ok(real)
    }

    /// Adds what is not there. A folder upon a folder, or upon a link to one,
    /// changes nothing, as with every package manager.
    ///
    /// # Errors
    /// There is something already, or the path leads nowhere.
    pub fn add(&mut self, path: &str, node: Node) -> Result<(), FilesError> {
        let real = self.real(path)?;
        match self.nodes.get(&real) {
            None => {
                self.nodes.insert(real, node);
                Ok(())
            }
            Some(_) if node.is_folder() && self.is_folder(&real) => Ok(()),
            Some(old) if *old == node => Ok(()),
            // A link to a folder where the folder stands: the folder stays.
            Some(old) if old.is_folder() && matches!(node.kind, EntryKind::Symlink(_)) => Ok(()),
            Some(_) => Err(FilesError::Twice(real)),
        }
    }

    /// Puts it there, in place of what there is.
    ///
    /// # Errors
    /// The path leads nowhere.
    pub fn put(&mut self, path: &str, node: Node) -> Result<(), FilesError> {
        let real = self.real(path)?;
        self.nodes.insert(real, node);
        Ok(())
    }

    /// Takes away what is at this path; folders with all that is in them.
    pub fn remove(&mut self, path: &str) {
        let Ok(real) = self.real(path) else { return };
        let within = format!("{real}/");
        self.nodes
            .retain(|path, _| *path != real && !path.starts_with(&within));
    }

    /// Keeps those that are wanted.
    pub fn retain(&mut self, mut wanted: impl FnMut(&str, &Node) -> bool) {
        self.nodes.retain(|path, node| wanted(path, node));
    }

    /// What stands at this path, to be changed.
    pub fn get_mut(&mut self, path: &str) -> Option<&mut Node> {
        let real = self.real(path).ok()?;
        self.nodes.get_mut(&real)
    }

    /// Whether `path`, links followed, is a folder.
    pub fn is_folder(&self, path: &str) -> bool {
        self.open(path).is_some_and(|(_, node)| node.is_folder())
    }

    /// Adds the folders that nothing brought, root's and readable by all.
    pub fn fill_parents(&mut self) {
        let mut missing = Vec::new();
        for path in self.nodes.keys() {
            let mut at = path.as_str();
            while let Some((parent, _)) = at.rsplit_once('/') {
                if self.nodes.contains_key(parent) {
                    break;
                }
                missing.push(parent.to_owned());
                at = parent;
            }
        }
        for path in missing {
            self.nodes.insert(path, Node::folder(0o755));
        }
    }

    /// As a layer's entries, sorted by path.
    pub fn into_entries(mut self) -> Vec<Entry> {
        self.fill_parents();
        let entry = |(path, node): (String, Node)| Entry {
            path,
            kind: node.kind,
            mode: node.mode,
            uid: node.uid,
            gid: node.gid,
        };
        self.nodes.into_iter().map(entry).collect()
    }
}

/// Where a link at `link` leads: `None` above the root. The root is "".
fn joined(link: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = match target.starts_with('/') {
        true => Vec::new(),
        false => link.split('/').collect(),
    };
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_meant_for_a_linked_folder_lands_in_its_target() {
        let mut files = Files::new();
        files.add("bin", Node::link("usr/bin")).unwrap();
        files.add("bin/sh", Node::link("dash")).unwrap();
        files.add("usr/bin/dash", Node::file(0o755, "x")).unwrap();
        assert!(files.get("usr/bin/sh").is_some());
        let (real, node) = files.open("bin/sh").unwrap();
        assert_eq!(
            (real.as_str(), node.bytes().unwrap()),
            ("usr/bin/dash", &b"x"[..])
        );
        files.add("bin", Node::folder(0o755)).unwrap_err();
        files.fill_parents();
        files.add("bin", Node::folder(0o755)).unwrap();
        let entries = files.into_entries();
        let paths: Vec<_> = entries.iter().map(|entry| entry.path.as_str()).collect();
        assert_eq!(
            paths,
            ["bin", "usr", "usr/bin", "usr/bin/dash", "usr/bin/sh"]
        );
    }

    #[test]
    fn hostile_paths_and_links_are_refused() {
        let mut files = Files::new();
        for path in ["", "/a", "a/../b", "a//b", "./a", "a\0"] {
            assert!(matches!(
                files.add(path, Node::folder(0o755)),
                Err(FilesError::Path(_))
            ));
        }
        files.add("out", Node::link("../../etc")).unwrap();
        assert!(matches!(
            files.add("out/passwd", Node::file(0o644, "")),
            Err(FilesError::Out { .. })
        ));
        files.add("a", Node::link("b")).unwrap();
        files.add("b", Node::link("a")).unwrap();
        assert_eq!(
            files.add("a/x", Node::folder(0o755)),
            Err(FilesError::Loop("a/x".to_owned()))
        );
        assert!(files.open("a").is_none());
        files.add("file", Node::file(0o644, "")).unwrap();
        assert!(matches!(
            files.add("file/x", Node::folder(0o755)),
            Err(FilesError::NoFolder { .. })
        ));
        assert_eq!(
            files.add("file", Node::file(0o644, "other")),
            Err(FilesError::Twice("file".to_owned()))
        );
    }

    #[test]
    fn absolute_links_stay_in_the_image() {
        let mut files = Files::new();
        files.add("var/run", Node::link("/run")).unwrap();
        files.add("var/run/lock", Node::folder(0o1777)).unwrap();
        assert!(files.get("run/lock").is_some());
        files.remove("run/lock");
        assert!(files.get("run/lock").is_none());
    }
}
