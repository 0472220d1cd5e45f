//! A working tree: an unpacked image in which what a trial does without is moved
//! aside. Made once of hard links; from one trial to the next a whole folder
//! comes and goes by one rename.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::reduce::{Forest, Set};
use crate::scratch::{HostError, remove};

/// Items of a forest as paths of a folder.
#[derive(Debug)]
pub struct Working {
    root: PathBuf,
    aside: PathBuf,
    /// What was moved, by item.
    away: BTreeSet<usize>,
}

/// What every container is given over whatever is there.
const MOUNT_POINTS: [&str; 5] = ["dev", "etc", "proc", "sys", "tmp"];

impl Working {
    /// Links `places` (sorted, parents first) of the unpacked image `source` into
    /// `folder`, which is made, on the same file system.
    ///
    /// # Errors
    /// The host refuses; `folder` is gone then.
    pub fn new(source: &Path, folder: &Path, places: &[PathBuf]) -> Result<Self, HostError> {
        let working = Self {
            root: folder.join("root"),
            aside: folder.join("aside"),
            away: BTreeSet::new(),
        };
        let result = working.fill(source, folder, places);
        if result.is_err() {
            let _ = remove(folder);
        }
        result.map(|()| working)
    }

    fn fill(&self, source: &Path, folder: &Path, places: &[PathBuf]) -> Result<(), HostError> {
        for path in [folder, &self.root, &self.aside] {
            fs::create_dir(path).map_err(HostError::at("making", path))?;
            // Any user of a container may have to enter.
            let mode = fs::Permissions::from_mode(0o755);
            fs::set_permissions(path, mode).map_err(HostError::at("opening", path))?;
        }
        for place in places {
            let (from, to) = (source.join(place), self.root.join(place));
            let about = match from.symlink_metadata() {
                Ok(about) => about,
                // Devices are not unpacked.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(HostError::at("reading", &from)(error)),
            };
            if about.is_dir() {
                // Ours to move things out of, whatever its mode.
                let mode = about.permissions().mode() & 0o7777 | 0o700;
                fs::create_dir(&to)
                    .and_then(|()| fs::set_permissions(&to, fs::Permissions::from_mode(mode)))
                    .map_err(HostError::at("making", &to))?;
            } else {
                link(&from, &to).map_err(HostError::at("linking", &to))?;
            }
        }
        for name in MOUNT_POINTS {
            let path = self.root.join(name);
            match fs::create_dir(&path) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(HostError::at("making", &path)(error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The folder that holds what is not aside.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Has exactly `set` of the forest, whose items are `places`.
    ///
    /// # Errors
    /// The host refuses a rename; the tree is not to be used any more.
    pub fn show(
        &mut self,
        forest: &Forest,
        places: &[PathBuf],
        set: &Set,
    ) -> Result<(), HostError> {
        let wanted: BTreeSet<usize> = forest.tops(set).collect();
        // What lies in something that is away may stay away by itself.
        let back: Vec<usize> = self
            .away
            .difference(&wanted)
            .copied()
            .filter(|item| {
                let parent = forest.parent(*item);
                parent.is_none_or(|parent| set.contains(parent))
            })
            .collect();
        // Ascending: a folder is back before what lies in it.
        for item in back {
            let (from, to) = (
                self.aside.join(item.to_string()),
                self.root.join(&places[item]),
            );
            rename(&from, &to)?;
            self.away.remove(&item);
        }
        for item in wanted {
            if !self.away.contains(&item) {
                let (from, to) = (
                    self.root.join(&places[item]),
                    self.aside.join(item.to_string()),
                );
                rename(&from, &to)?;
                self.away.insert(item);
            }
        }
        Ok(())
    }
}

/// A device, which was not unpacked, is nowhere and moves nowhere.
fn rename(from: &Path, to: &Path) -> Result<(), HostError> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result.map_err(HostError::at("moving", from)),
    }
}

/// A file system without hard links, or with too many to one file, gets a copy.
fn link(from: &Path, to: &Path) -> io::Result<()> {
    match fs::hard_link(from, to) {
        Ok(()) => Ok(()),
        Err(_) if from.is_symlink() => std::os::unix::fs::symlink(fs::read_link(from)?, to),
        Err(_) if from.is_file() => fs::copy(from, to).map(drop),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn names(root: &Path) -> BTreeSet<PathBuf> {
        let tree = ounce_rootfs::Tree::of_folder(root).unwrap();
        let all = tree.iter().map(|(path, _)| path.to_owned());
        all.filter(|path| !MOUNT_POINTS.iter().any(|name| path == Path::new(name)))
            .collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn a_tree_shows_every_set_whatever_it_showed_before(
            cuts in prop::collection::vec(prop::collection::vec(0usize..10, 0..5), 1..12),
        ) {
            let paths = ["a", "a/b", "a/b/c", "a/b/d", "a/e", "f", "f/g", "f/h", "f/h/i", "j"];
            let parents = paths.map(|path| {
                let parent = Path::new(path).parent().unwrap().to_str().unwrap();
                paths.iter().position(|other| *other == parent)
            });
            let forest = Forest::new(parents.to_vec(), |_| true);
            let folder = tempfile::tempdir().unwrap();
            let source = folder.path().join("source");
            fs::create_dir(&source).unwrap();
            for (item, path) in paths.iter().enumerate() {
                if parents.contains(&Some(item)) {
                    fs::create_dir(source.join(path)).unwrap();
                } else {
                    fs::write(source.join(path), path).unwrap();
                }
            }
            let places = paths.map(PathBuf::from).to_vec();
            let mut working = Working::new(&source, &folder.path().join("work"), &places).unwrap();
            for cut in cuts {
                let set = forest.without(&Set::full(paths.len()), &cut);
                working.show(&forest, &places, &set).unwrap();
                let expected: BTreeSet<_> = set.iter().map(|item| places[item].clone()).collect();
                prop_assert_eq!(names(working.root()), expected);
            }
        }
    }
}
