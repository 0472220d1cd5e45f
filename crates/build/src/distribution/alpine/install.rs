//! Puts unpacked packages into one tree, by apk's rules for who owns a file,
//! and remembers for its database what came from whom.

use std::collections::{BTreeMap, HashMap};

use super::index::{Checksum, Package};
use super::package::{FileKind, PackagedFile, Unpacked};
use super::scripts::{self, ScriptNote};
use super::users;
use crate::distribution::files::{Files, FilesError, Node};

/// A package's files cannot stand in the base.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// Where they would go.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// Two packages bring one file.
    #[error("/{path} is {owner}'s already, and neither package replaces the other")]
    Owned {
        /// The file.
        path: String,
        /// Whose.
        owner: String,
    },
    /// A folder where a file stands, or the other way round.
    #[error("/{path} is {here} here and {there} in another package")]
    Kind {
        /// The file.
        path: String,
        /// What it is in this package.
        here: &'static str,
        /// What it is in the other.
        there: &'static str,
    },
    /// A file without its folder.
    #[error("/{0} is in a folder that the package does not have")]
    NoFolder(String),
    /// A hard link to nothing.
    #[error("/{path} is a hard link to /{target}, which the package does not have before it")]
    NoTarget {
        /// The link.
        path: String,
        /// What it points to.
        target: String,
    },
}

/// Owner, group and permissions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Access {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mode: u32,
}

/// A folder as one package has it, and its files in it.
#[derive(Debug, Clone)]
pub(super) struct OwnedFolder {
    pub(super) path: String,
    pub(super) access: Access,
    pub(super) files: Vec<OwnedFile>,
}

/// A file of a package.
#[derive(Debug, Clone)]
pub(super) struct OwnedFile {
    pub(super) name: String,
    pub(super) access: Access,
    pub(super) checksum: Option<Checksum>,
}

/// A package that is there.
#[derive(Debug, Clone)]
pub(super) struct Installed {
    pub(super) unpacked: Unpacked,
    pub(super) folders: Vec<OwnedFolder>,
}

impl Installed {
    pub(super) fn package(&self) -> &Package {
        &self.unpacked.package
    }

    /// The folder, as this package has it.
    fn folder(&mut self, path: &str) -> Option<&mut OwnedFolder> {
        self.folders.iter_mut().find(|folder| folder.path == path)
    }
}

/// A base that grows package by package.
#[derive(Debug, Default)]
pub(super) struct Root {
    pub(super) files: Files,
    pub(super) packages: Vec<Installed>,
    pub(super) notes: Vec<ScriptNote>,
    /// Which package has the file at a path, links followed.
    owners: HashMap<String, usize>,
    /// What all packages together make of a folder.
    folders: BTreeMap<String, Access>,
}

const FOLDER: Access = Access {
    uid: 0,
    gid: 0,
    mode: 0o755,
};

impl Root {
    /// Installs a package after those it needs.
    pub(super) fn install(&mut self, unpacked: Unpacked) -> Result<(), InstallError> {
        self.run(&unpacked, "pre-install")?;
        let at = self.packages.len();
        let mut unpacked = unpacked;
        let contents = std::mem::take(&mut unpacked.files);
        self.packages.push(Installed {
            unpacked,
            folders: Vec::new(),
        });
        for file in contents {
            match file.kind {
                FileKind::Folder => self.folder(at, &file)?,
                _ => self.file(at, file)?,
            }
        }
        let unpacked = self.packages[at].unpacked.clone();
        self.run(&unpacked, "post-install")?;
        Ok(())
    }

    /// Runs the triggers once all packages are there.
    pub(super) fn finish(&mut self) -> Result<(), InstallError> {
        for at in 0..self.packages.len() {
            let unpacked = self.packages[at].unpacked.clone();
            if !unpacked.triggers.is_empty() {
                self.run(&unpacked, "trigger")?;
            }
        }
        Ok(())
    }

    fn run(&mut self, unpacked: &Unpacked, wanted: &str) -> Result<(), InstallError> {
        for (kind, text) in &unpacked.scripts {
            if kind == wanted && scripts::runs_at_install(kind) {
                let name = &unpacked.package.name;
                let note = scripts::apply(name, kind, text, &mut self.files)?;
                self.notes.push(note);
            }
        }
        Ok(())
    }

    fn access(&self, file: &PackagedFile) -> Access {
        let (owner, group) = &file.owner_names;
        let known = |name: &str, number, of: fn(&Files, &str) -> Option<u32>| match name {
            "" => number,
            "root" => 0,
            name => of(&self.files, name).unwrap_or(number),
        };
        Access {
            uid: known(owner, file.owner.0, users::uid_of),
            gid: known(group, file.owner.1, users::gid_of),
            mode: file.mode,
        }
    }

    fn folder(&mut self, at: usize, file: &PackagedFile) -> Result<(), InstallError> {
        let access = self.access(file);
        match self.packages[at].folder(&file.path) {
            Some(known) => known.access = access,
            None => self.packages[at].folders.push(OwnedFolder {
                path: file.path.clone(),
                access,
                files: Vec::new(),
            }),
        }
        if file.path.is_empty() {
            return Ok(());
        }
        // The strictest of those who have the lowest owner.
        let merged = match self.folders.get(&file.path) {
            None => access,
            Some(old) if (access.uid, access.gid) < (old.uid, old.gid) => access,
            Some(old) if (access.uid, access.gid) == (old.uid, old.gid) => Access {
                mode: old.mode & access.mode,
                ..*old
            },
            Some(old) => *old,
        };
        let node = Node::folder(merged.mode).owned(merged.uid, merged.gid);
        // A link to a folder is as good as one.
        let leads_to_folder = self.files.is_folder(&file.path);
        match self.files.get_mut(&file.path) {
            None => self.files.add(&file.path, node)?,
            Some(old) if old.is_folder() => *old = node,
            Some(_) if leads_to_folder => {}
            Some(_) => {
                return Err(InstallError::Kind {
                    path: file.path.clone(),
                    here: "a folder",
                    there: "a file",
                });
            }
        }
        self.folders.insert(file.path.clone(), merged);
        Ok(())
    }

    fn file(&mut self, at: usize, file: PackagedFile) -> Result<(), InstallError> {
        let (folder, name) = file.path.rsplit_once('/').unwrap_or(("", &file.path));
        if name.starts_with(".keep_") {
            return Ok(());
        }
        let (folder, name) = (folder.to_owned(), name.to_owned());
        if self.packages[at].folder(&folder).is_none() {
            if !folder.is_empty() {
                return Err(InstallError::NoFolder(file.path));
            }
            self.packages[at].folders.push(OwnedFolder {
                path: folder.clone(),
                access: FOLDER,
                files: Vec::new(),
            });
        }
        let real = self.files.real(&file.path)?;
        if let Some(owner) = self.owners.get(&real).copied() {
            if owner != at && !self.may_replace(at, owner, &file.path)? {
                return Ok(());
            }
            self.disown(owner, &real);
        }
        let folder_there = self.files.get(&real).is_some_and(Node::is_folder);
        if folder_there {
            return Err(InstallError::Kind {
                path: file.path,
                here: "a file",
                there: "a folder",
            });
        }
        let access = self.access(&file);
        let mut checksum = file.checksum;
        let node = match file.kind {
            FileKind::File(bytes) => Node::file(access.mode, bytes),
            FileKind::Symlink(target) => Node::link(target),
            FileKind::Hardlink(target) => {
                let no_target = || InstallError::NoTarget {
                    path: file.path.clone(),
                    target: target.clone(),
                };
                let found = self.owned(at, &target).ok_or_else(no_target)?;
                checksum = found.checksum;
                let mut node = Node::hard_link(self.files.real(&target)?);
                node.mode = found.access.mode;
                node
            }
            FileKind::Folder => return Ok(()),
        };
        let node = node.owned(access.uid, access.gid);
        self.files.put(&real, node)?;
        self.owners.insert(real, at);
        if let Some(folder) = self.packages[at].folder(&folder) {
            folder.files.retain(|other| other.name != name);
            folder.files.push(OwnedFile {
                name,
                access,
                checksum,
            });
        }
        Ok(())
    }

    /// A file that the package has already.
    fn owned(&self, at: usize, path: &str) -> Option<OwnedFile> {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let mut folders = self.packages[at].folders.iter();
        let folder = folders.find(|known| known.path == folder)?;
        folder.files.iter().find(|file| file.name == name).cloned()
    }

    /// Whether the new package's copy stands in place of the old one's.
    fn may_replace(&self, new: usize, old: usize, path: &str) -> Result<bool, InstallError> {
        let (new, old) = (&self.packages[new].unpacked, &self.packages[old].unpacked);
        let origin = |unpacked: &Unpacked| unpacked.package.origin.clone();
        if origin(new).is_some() && origin(new) == origin(old) {
            return Ok(true);
        }
        let priority = |by: &Unpacked, of: &Package| {
            let speaks = by.replaces.iter().any(|dependency| {
                dependency.name == of.name && dependency.covers(Some(&of.version))
            });
            speaks.then_some(by.replaces_priority)
        };
        match (priority(new, &old.package), priority(old, &new.package)) {
            (mine, theirs) if theirs > mine => Ok(false),
            (Some(_), _) => Ok(true),
            _ => Err(InstallError::Owned {
                path: path.to_owned(),
                owner: old.package.full_name(),
            }),
        }
    }

    /// The file is another package's from now on.
    fn disown(&mut self, owner: usize, real: &str) {
        let files = &self.files;
        for folder in &mut self.packages[owner].folders {
            let path = folder.path.clone();
            folder.files.retain(|file| {
                let whole = match path.as_str() {
                    "" => file.name.clone(),
                    path => format!("{path}/{}", file.name),
                };
                files.real(&whole).ok().as_deref() != Some(real)
            });
        }
    }
}
