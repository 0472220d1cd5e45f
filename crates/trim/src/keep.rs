//! The kept set: which paths of an image stay, each with the reason why.
//!
//! Paths are bytes, as the kernel has them, relative to the root and without
//! `.`, `..` or links on the way: the places where [`Tree`] has its nodes.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use ounce_rootfs::Tree;
use ounce_rootfs::tree::NodeKind;
use serde::Serialize;

/// Why a path stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "why")]
pub enum Reason {
    /// The test did this with it.
    Touched {
        /// `opened`, `executed`, `looked at`, …
        how: &'static str,
    },
    /// A pattern of `--keep`.
    Asked,
    /// The image's configuration names it.
    Configured,
    /// It stands in a folder that the test listed.
    Listed,
    /// A kept file needs it.
    Needed {
        /// Which one.
        #[serde(serialize_with = "shown")]
        by: PathBuf,
        /// For what: `library (DT_NEEDED)`, `ELF interpreter`, `import json`, …
        how: String,
    },
    /// This trial failed without it.
    Tried {
        /// Counted from 1, as in the certificate.
        trial: u64,
    },
    /// Something kept lies in it.
    Parent,
    /// A link on the way to something kept.
    Link,
}

fn shown<S: serde::Serializer>(path: &Path, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&ounce_rootfs::name::shown(path))
}

/// Paths that stay, with the first reason found for each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kept {
    paths: BTreeMap<PathBuf, Reason>,
}

impl Kept {
    /// Keeps `path`, which a program inside would write so: links on the way and
    /// at its end are followed and kept, and so are the folders above. A path at
    /// which nothing is keeps the way as far as it goes. Gives the place it leads
    /// to, if there is something.
    pub fn path(&mut self, tree: &Tree, path: &Path, reason: Reason) -> Option<PathBuf> {
        self.walk(tree, Path::new(""), path, true, reason)
    }

    /// As [`Kept::path`], but a link at the end is kept and not followed.
    pub fn path_itself(&mut self, tree: &Tree, path: &Path, reason: Reason) -> Option<PathBuf> {
        self.walk(tree, Path::new(""), path, false, reason)
    }

    /// The kernel's own walk (man 7 path_resolution), every step of it kept. The
    /// path begins in `root`, a place, and nothing in it leads out of that
    /// (`RESOLVE_IN_ROOT`, man 2 openat2).
    pub fn walk(
        &mut self,
        tree: &Tree,
        root: &Path,
        path: &Path,
        follow: bool,
        reason: Reason,
    ) -> Option<PathBuf> {
        let mut here = root.to_owned();
        let mut parts: Vec<PathBuf> = Vec::new();
        push(path, &mut parts);
        // As many as the kernel follows (`MAXSYMLINKS`).
        let mut links = 40;
        while let Some(part) = parts.pop() {
            match part.components().next() {
                Some(Component::RootDir) => here = root.to_owned(),
                Some(Component::ParentDir) if here == root => {}
                Some(Component::ParentDir) => {
                    here.pop();
                }
                _ => {
                    here.push(&part);
                    match &tree.get(&here)?.kind {
                        NodeKind::Symlink(target) if follow || !parts.is_empty() => {
                            self.insert(here.clone(), Reason::Link);
                            links -= 1;
                            if links == 0 {
                                return None;
                            }
                            here.pop();
                            push(target, &mut parts);
                        }
                        NodeKind::Folder if !parts.is_empty() => {
                            self.insert(here.clone(), Reason::Parent);
                        }
                        _ if parts.is_empty() => {}
                        // Something beneath what is no folder.
                        _ => {
                            self.insert(here, reason);
                            return None;
                        }
                    }
                }
            }
        }
        if !here.as_os_str().is_empty() {
            self.parents(tree, &here);
            self.insert(here.clone(), reason);
        }
        Some(here)
    }

    fn parents(&mut self, tree: &Tree, place: &Path) {
        for folder in place.ancestors().skip(1) {
            if !folder.as_os_str().is_empty() && tree.get(folder).is_some() {
                self.insert(folder.to_owned(), Reason::Parent);
            }
        }
    }

    /// Keeps exactly this place of the tree; the first reason stays, but that a
    /// stronger one replaces [`Reason::Parent`].
    pub fn insert(&mut self, place: PathBuf, reason: Reason) {
        let known = self.paths.entry(place).or_insert_with(|| reason.clone());
        if *known == Reason::Parent {
            *known = reason;
        }
    }

    /// The same reasons for these places only; [`Reason::Parent`] where there was none.
    #[must_use]
    pub fn only(&self, places: &[PathBuf]) -> Self {
        let reason = |place: &PathBuf| self.reason(place).cloned().unwrap_or(Reason::Parent);
        let pairs = places.iter().map(|place| (place.clone(), reason(place)));
        Self {
            paths: pairs.collect(),
        }
    }

    /// Keeps what another set keeps, for its reasons where there is none yet.
    pub fn extend(&mut self, other: Self) {
        for (place, reason) in other.paths {
            self.insert(place, reason);
        }
    }

    /// Gives a place another reason, if it is kept.
    pub fn explain(&mut self, place: &Path, reason: Reason) {
        if let Some(known) = self.paths.get_mut(place) {
            *known = reason;
        }
    }

    /// Whether the place is kept.
    pub fn contains(&self, place: &Path) -> bool {
        self.paths.contains_key(place)
    }

    /// Why it is.
    pub fn reason(&self, place: &Path) -> Option<&Reason> {
        self.paths.get(place)
    }

    /// All of them, sorted part by part: folders before what lies in them.
    pub fn iter(&self) -> impl Iterator<Item = (&Path, &Reason)> {
        self.paths
            .iter()
            .map(|(path, reason)| (path.as_path(), reason))
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.paths.len()
    }

    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }
}

/// Pushes the parts of a path, so that the first is popped first.
fn push(path: &Path, parts: &mut Vec<PathBuf>) {
    let plain = |part: &Component<'_>| *part != Component::CurDir;
    parts.extend(
        path.components()
            .rev()
            .filter(plain)
            .map(|part| PathBuf::from(part.as_os_str())),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_through_links_keeps_links_folders_and_target() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        std::fs::create_dir_all(at("usr/lib/deep")).unwrap();
        std::os::unix::fs::symlink("usr/lib", at("lib")).unwrap();
        std::os::unix::fs::symlink("/lib/deep/b", at("usr/a")).unwrap();
        std::os::unix::fs::symlink("../deep/c", at("usr/lib/deep/b")).unwrap();
        std::fs::write(at("usr/lib/deep/c"), "x").unwrap();
        std::fs::write(at("usr/other"), "x").unwrap();
        std::os::unix::fs::symlink("loop", at("loop")).unwrap();
        let tree = Tree::of_folder(folder.path()).unwrap();
        let keep = |path: &str, itself: bool| {
            let mut kept = Kept::default();
            let reason = Reason::Touched { how: "opened" };
            let found = match itself {
                true => kept.path_itself(&tree, Path::new(path), reason),
                false => kept.path(&tree, Path::new(path), reason),
            };
            let all: Vec<_> = kept.iter().map(|(path, _)| path.to_owned()).collect();
            let all: Vec<_> = all.iter().map(|path| path.to_str().unwrap()).collect();
            (found.map(|path| path.display().to_string()), all.join(" "))
        };
        let expect = |found: Option<&str>, all: &str| (found.map(str::to_owned), all.to_owned());
        assert_eq!(
            keep("/usr/./a", false),
            expect(
                Some("usr/lib/deep/c"),
                "lib usr usr/a usr/lib usr/lib/deep usr/lib/deep/b usr/lib/deep/c"
            )
        );
        assert_eq!(keep("usr/a", true), expect(Some("usr/a"), "usr usr/a"));
        assert_eq!(keep("/loop", false), expect(None, "loop"));
        assert_eq!(
            keep("/lib/absent/x", false),
            expect(None, "lib usr usr/lib")
        );
        assert_eq!(keep("/usr/other/x", false), expect(None, "usr usr/other"));
        assert_eq!(keep("/", false), expect(Some(""), ""));
        // Seen from within `usr`, `/lib/deep/b` is `usr/lib/deep/b`.
        let mut kept = Kept::default();
        let (root, path) = (Path::new("usr"), Path::new("../../a"));
        let found = kept.walk(&tree, root, path, true, Reason::Asked);
        assert_eq!(found, Some(PathBuf::from("usr/lib/deep/c")));
        assert!(!kept.contains(Path::new("lib")));
    }
}
