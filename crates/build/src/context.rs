//! The files of a project that its tools are given in a copy of their own: what
//! they write then stays out of the project, and what another build left there
//! (objects for another machine) does not come in.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Component, Path, PathBuf};

use serde::{Serialize, Serializer};

use crate::ignore::Ignore;
use crate::program;

/// Most files of a project that is copied.
const FILES: usize = 100_000;
/// Most bytes of it.
const BYTES: u64 = 1 << 30;
/// Deepest folder.
const DEPTH: usize = 64;

/// A project's files, to be copied; the order is by path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// The project.
    pub from: PathBuf,
    /// Relative to it.
    entries: Vec<Entry>,
    /// All of them together.
    pub bytes: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    path: PathBuf,
    /// For a link where it leads.
    link: Option<PathBuf>,
}

impl Serialize for Context {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Shown<'a> {
            from: &'a Path,
            files: usize,
            bytes: u64,
        }
        let shown = Shown {
            from: &self.from,
            files: self.entries.len(),
            bytes: self.bytes,
        };
        shown.serialize(to)
    }
}

/// A project cannot be copied.
#[derive(Debug, thiserror::Error)]
pub enum ContextError {
    /// Not readable.
    #[error("reading {}", path.display())]
    Read {
        /// What.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A link to something outside, which would differ from machine to machine.
    #[error("the link {} leads out of the project, to {}", path.display(), to.display())]
    Link {
        /// The link.
        path: PathBuf,
        /// What it says.
        to: PathBuf,
    },
    /// Past a bound.
    #[error("{} is past the bound of {bound}; the heaviest in it: {heaviest}", folder.display())]
    TooMuch {
        /// The project.
        folder: PathBuf,
        /// Which bound, in words.
        bound: &'static str,
        /// Names at its top, with their bytes.
        heaviest: String,
    },
}

impl ContextError {
    /// What to do about it.
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::Link { .. } => {
                vec!["put what it leads to into the project, or name it in .dockerignore".into()]
            }
            Self::TooMuch { .. } => {
                vec!["name what the compiler does not need in .dockerignore".into()]
            }
            Self::Read { .. } => Vec::new(),
        }
    }
}

/// Whether a name is never part of a project's source. `is_root` says that it
/// stands at its top.
fn is_foreign(name: &[u8], is_root: bool) -> bool {
    match name {
        b".git" | b".hg" | b".svn" | b".jj" | b".DS_Store" => true,
        b"target" | b"node_modules" | b".zig-cache" | b"zig-cache" | b"zig-out" => is_root,
        _ => false,
    }
}

struct Walk<'a> {
    root: &'a Path,
    ignore: Ignore,
    context: Context,
    /// Bytes by the name at the top.
    weights: Vec<(String, u64)>,
}

/// Walks the project at `root`, which has no link in its path.
///
/// # Errors
/// Unreadable, past a bound, or with a link that leads out.
pub(crate) fn context(root: &Path) -> Result<Context, ContextError> {
    let read = |source| ContextError::Read {
        path: root.join(".dockerignore"),
        source,
    };
    let mut walk = Walk {
        root,
        ignore: Ignore::read(root).map_err(read)?,
        context: Context {
            from: root.to_owned(),
            entries: Vec::new(),
            bytes: 0,
        },
        weights: Vec::new(),
    };
    walk.folder(Path::new(""), 0)?;
    if walk.context.bytes > BYTES {
        return Err(walk.too_much("1 GiB"));
    }
    Ok(walk.context)
}

impl Walk<'_> {
    fn too_much(&mut self, bound: &'static str) -> ContextError {
        self.weights
            .sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
        let heaviest = self
            .weights
            .iter()
            .take(3)
            .map(|(name, bytes)| format!("{name} ({})", ounce_oci::ByteSize(*bytes)));
        ContextError::TooMuch {
            folder: self.root.to_owned(),
            bound,
            heaviest: heaviest.collect::<Vec<_>>().join(", "),
        }
    }

    fn folder(&mut self, below: &Path, depth: usize) -> Result<(), ContextError> {
        if depth > DEPTH {
            return Err(self.too_much("64 folders in each other"));
        }
        let folder = self.root.join(below);
        let read = |path: &Path, source| ContextError::Read {
            path: path.to_owned(),
            source,
        };
        let mut names: Vec<std::ffi::OsString> = fs::read_dir(&folder)
            .and_then(|entries| entries.map(|entry| Ok(entry?.file_name())).collect())
            .map_err(|source| read(&folder, source))?;
        names.sort();
        for name in names {
            let path = below.join(&name);
            if is_foreign(name.as_bytes(), depth == 0) {
                continue;
            }
            if depth == 0 {
                self.weights.push((name.to_string_lossy().into_owned(), 0));
            }
            let out = self.ignore.leaves_out(path.as_os_str().as_bytes());
            let whole = self.root.join(&path);
            let data = fs::symlink_metadata(&whole).map_err(|source| read(&whole, source))?;
            if data.is_dir() {
                if !out || self.ignore.takes_in() {
                    self.folder(&path, depth + 1)?;
                }
                continue;
            }
            if out {
                continue;
            }
            let link = match data.is_symlink() {
                true => Some(fs::read_link(&whole).map_err(|source| read(&whole, source))?),
                false => None,
            };
            if let Some(to) = &link
                && !stays_inside(&path, to)
            {
                return Err(ContextError::Link {
                    path: whole,
                    to: to.clone(),
                });
            }
            // Sockets, pipes and devices are no source; nor is what a compiler
            // made for who knows which machine.
            if link.is_none() && (!data.is_file() || program::begins_as_elf(&whole)) {
                continue;
            }
            self.context.bytes += data.len();
            if let Some((_, bytes)) = self.weights.last_mut() {
                *bytes += data.len();
            }
            self.context.entries.push(Entry { path, link });
            if self.context.entries.len() > FILES {
                return Err(self.too_much("100,000 files"));
            }
        }
        Ok(())
    }
}

/// Whether a link at `path`, followed as text, stays beneath the top.
fn stays_inside(path: &Path, to: &Path) -> bool {
    let mut depth = path.components().count() - 1;
    for part in to.components() {
        match part {
            Component::RootDir | Component::Prefix(_) => return false,
            Component::ParentDir if depth == 0 => return false,
            Component::ParentDir => depth -= 1,
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
        }
    }
    true
}

impl Context {
    /// One file alone.
    pub(crate) fn of_file(folder: &Path, file: &Path) -> Self {
        let name = file.file_name().unwrap_or_default();
        Self {
            from: folder.to_owned(),
            entries: vec![Entry {
                path: name.into(),
                link: None,
            }],
            bytes: 0,
        }
    }

    /// How many files and links.
    pub fn files(&self) -> usize {
        self.entries.len()
    }

    /// The files that end so.
    pub(crate) fn ending<'c>(&'c self, endings: &'c [&'c str]) -> impl Iterator<Item = &'c Path> {
        self.entries
            .iter()
            .map(|entry| entry.path.as_path())
            .filter(|path| {
                let ending = path.extension().and_then(|ending| ending.to_str());
                ending.is_some_and(|ending| endings.contains(&ending))
            })
    }

    /// Copies everything to `folder`, which is made anew.
    pub(crate) fn copy_to(&self, folder: &Path) -> io::Result<()> {
        if folder.symlink_metadata().is_ok() {
            fs::remove_dir_all(folder)?;
        }
        fs::create_dir_all(folder)?;
        for Entry { path, link } in &self.entries {
            let (from, to) = (self.from.join(path), folder.join(path));
            if let Some(parent) = to.parent() {
                fs::create_dir_all(parent)?;
            }
            match link {
                Some(target) => symlink(target, &to)?,
                None => {
                    fs::copy(&from, &to)?;
                    // What is read-only in the project may be written in a copy.
                    let mode = fs::metadata(&from)?.permissions().mode() | 0o200;
                    fs::set_permissions(&to, fs::Permissions::from_mode(mode))?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_source_is_left_out_and_a_link_out_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let root = home.path().canonicalize().unwrap();
        for path in [
            ".git/x",
            "target/y",
            "src/target/z",
            "a.c",
            "deep/b.h",
            "big.iso",
        ] {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "text").unwrap();
        }
        fs::write(root.join("old.o"), b"\x7fELF...").unwrap();
        fs::write(root.join(".dockerignore"), "*.iso\n").unwrap();
        symlink("../a.c", root.join("deep/link.c")).unwrap();
        let found = context(&root).unwrap();
        let paths: Vec<String> = found
            .entries
            .iter()
            .map(|entry| entry.path.display().to_string())
            .collect();
        assert_eq!(
            paths,
            [
                ".dockerignore",
                "a.c",
                "deep/b.h",
                "deep/link.c",
                "src/target/z"
            ]
        );
        let copy = root.join("target/copy");
        found.copy_to(&copy).unwrap();
        assert_eq!(fs::read(copy.join("deep/link.c")).unwrap(), b"text");
        for to in ["/etc/passwd", "../../x"] {
            let link = root.join("deep/out");
            symlink(to, &link).unwrap();
            let error = context(&root).unwrap_err();
            assert!(
                error.to_string().contains("leads out of the project"),
                "{error}"
            );
            fs::remove_file(&link).unwrap();
        }
    }

    #[test]
    fn a_huge_project_is_refused_with_what_is_heavy() {
        let home = tempfile::tempdir().unwrap();
        let root = home.path().canonicalize().unwrap();
        fs::write(root.join("a.c"), "text").unwrap();
        let disk = fs::File::create(root.join("disk.img")).unwrap();
        disk.set_len(BYTES + 1).unwrap();
        let error = context(&root).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("1 GiB") && text.contains("disk.img"),
            "{text}"
        );
        fs::write(root.join(".dockerignore"), "disk.img").unwrap();
        assert_eq!(context(&root).unwrap().files(), 2);
    }
}
