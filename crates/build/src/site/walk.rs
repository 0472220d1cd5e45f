//! A folder of web files, walked in order, within bounds, and judged: what goes
//! into an image as it is, and what is left out and why.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::ignore::Ignore;

/// Most files of a site.
pub const SITE_FILES: usize = 100_000;
/// Most bytes of a site.
pub const SITE_BYTES: u64 = 4 << 30;
/// Deepest folder.
pub(super) const SITE_DEPTH: usize = 64;

/// Why a path is left out that `.dockerignore` names.
pub(super) const NAMED: &str = "named in .dockerignore";

/// Why a name is left out, if it is. `is_root` says that it stands in the
/// site's own folder.
pub(super) fn left_out(name: &[u8], is_root: bool) -> Option<&'static str> {
    match name {
        b".git" | b".hg" | b".svn" | b".jj" | b"CVS" | b".DS_Store" => {
            Some("not meant to be served")
        }
        b"ounce.toml" | b"ounce.lock" if is_root => Some("not meant to be served"),
        // RFC 8615.
        b".well-known" if is_root => None,
        [b'.', ..] => Some("its name starts with a dot, and such are not served"),
        b"healthz" if is_root => Some("the server answers /healthz itself"),
        _ => None,
    }
}

/// The files of a site.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Site {
    /// Sorted by path.
    pub files: Vec<SiteFile>,
    /// What was left out, sorted by path.
    pub omitted: Vec<Omitted>,
}

/// A file or link of a site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SiteFile {
    /// Relative to the site.
    pub path: String,
    /// On the host; for a link where it stands.
    pub from: PathBuf,
    /// Bytes when it was looked at.
    pub bytes: u64,
    /// Whether the owner may execute it.
    pub executable: bool,
    /// The target, for a link.
    pub link: Option<String>,
}

/// Something in the folder that is not packed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Omitted {
    /// Relative to the site.
    pub path: String,
    /// Why.
    pub why: &'static str,
}

/// The folder cannot be packed.
#[derive(Debug, thiserror::Error)]
pub enum SiteError {
    /// Something could not be read.
    #[error("reading {}", path.display())]
    Read {
        /// What.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A name that is not UTF-8.
    #[error("the name of {} is not UTF-8, so no URL leads to it", .0.display())]
    Name(PathBuf),
    /// Nothing in it.
    #[error("{} holds no file to serve", .0.display())]
    Empty(PathBuf),
    /// A link that cannot be followed.
    #[error("the link {} {why}", path.display())]
    Link {
        /// The link.
        path: PathBuf,
        /// Where it leads.
        why: &'static str,
    },
    /// Neither file nor folder.
    #[error("{} is {what}, which nobody can be served", path.display())]
    Special {
        /// Where.
        path: PathBuf,
        /// A device, say.
        what: &'static str,
    },
    /// Past a bound.
    #[error("{} is past the bound of {bound}", folder.display())]
    TooMuch {
        /// The folder.
        folder: PathBuf,
        /// Which bound, in words.
        bound: String,
    },
}

impl SiteError {
    /// What to do about it.
    pub fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::Link { .. } => "take it away, or let it lead to something in the folder",
            Self::Special { .. } => "take it away, or move it out of the folder",
            Self::Name(_) => "rename it, or let ounce pack the folder, which takes any name",
            _ => return Vec::new(),
        };
        vec![hint.to_owned()]
    }
}

/// Walks `root`; the order is by path, whatever the file system's is.
///
/// # Errors
/// Unreadable, empty, past a bound, or a name that is not UTF-8.
pub fn walk(root: &Path) -> Result<Site, SiteError> {
    let real_root = root.canonicalize().map_err(|source| SiteError::Read {
        path: root.to_owned(),
        source,
    })?;
    let mut walk = Walk {
        root: real_root,
        ignore: Ignore::read(root).map_err(|source| SiteError::Read {
            path: root.join(".dockerignore"),
            source,
        })?,
        site: Site::default(),
        bytes: 0,
    };
    walk.folder(root, "", 0)?;
    let mut site = walk.site;
    if site.files.is_empty() {
        return Err(SiteError::Empty(root.to_owned()));
    }
    site.files.sort_by(|a, b| a.path.cmp(&b.path));
    site.omitted.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(site)
}

struct Walk {
    root: PathBuf,
    ignore: Ignore,
    site: Site,
    bytes: u64,
}

impl Walk {
    fn folder(&mut self, folder: &Path, prefix: &str, depth: usize) -> Result<(), SiteError> {
        if depth > SITE_DEPTH {
            return Err(self.too_much(format!("{SITE_DEPTH} folders in each other")));
        }
        let failed = |source| SiteError::Read {
            path: folder.to_owned(),
            source,
        };
        let entries: Vec<_> = fs::read_dir(folder)
            .and_then(Iterator::collect::<Result<_, _>>)
            .map_err(failed)?;
        for entry in entries {
            let from = entry.path();
            let name = entry
                .file_name()
                .into_string()
                .map_err(|_| SiteError::Name(from.clone()))?;
            let path = match prefix {
                "" => name.clone(),
                _ => format!("{prefix}/{name}"),
            };
            let metadata = entry.metadata().map_err(|source| SiteError::Read {
                path: from.clone(),
                source,
            })?;
            let named = self.ignore.leaves_out(path.as_bytes())
                && !(metadata.is_dir() && self.ignore.takes_in());
            if let Some(why) = left_out(name.as_bytes(), prefix.is_empty()) {
                self.omit(path, why);
            } else if named {
                self.omit(path, NAMED);
            } else if metadata.is_dir() {
                self.folder(&from, &path, depth + 1)?;
            } else if metadata.is_symlink() {
                self.link(path, from)?;
            } else if metadata.is_file() {
                self.file(path, from, &metadata)?;
            } else {
                self.omit(path, "neither file, folder nor link");
            }
        }
        Ok(())
    }

    fn file(
        &mut self,
        path: String,
        from: PathBuf,
        metadata: &fs::Metadata,
    ) -> Result<(), SiteError> {
        use std::os::unix::fs::PermissionsExt as _;
        // Opened once now, so that what cannot be read is told before anything is built.
        File::open(&from).map_err(|source| SiteError::Read {
            path: from.clone(),
            source,
        })?;
        self.bytes = self.bytes.saturating_add(metadata.len());
        if self.bytes > SITE_BYTES {
            return Err(self.too_much(format!("{SITE_BYTES} bytes")));
        }
        self.push(SiteFile {
            path,
            from,
            bytes: metadata.len(),
            executable: metadata.permissions().mode() & 0o100 != 0,
            link: None,
        })
    }

    fn link(&mut self, path: String, from: PathBuf) -> Result<(), SiteError> {
        let target = fs::read_link(&from).map_err(|source| SiteError::Read {
            path: from.clone(),
            source,
        })?;
        let Some(target) = target.to_str().filter(|_| target.is_relative()) else {
            self.omit(path, "a link to an absolute path");
            return Ok(());
        };
        match from.canonicalize() {
            Ok(real) if real.starts_with(&self.root) => self.push(SiteFile {
                path,
                link: Some(target.to_owned()),
                from,
                bytes: 0,
                executable: false,
            }),
            Ok(_) => {
                self.omit(path, "a link out of the folder");
                Ok(())
            }
            Err(_) => {
                self.omit(path, "a link to nothing, or in a circle");
                Ok(())
            }
        }
    }

    fn push(&mut self, file: SiteFile) -> Result<(), SiteError> {
        if self.site.files.len() == SITE_FILES {
            return Err(self.too_much(format!("{SITE_FILES} files")));
        }
        self.site.files.push(file);
        Ok(())
    }

    fn omit(&mut self, path: String, why: &'static str) {
        self.site.omitted.push(Omitted { path, why });
    }

    fn too_much(&self, bound: String) -> SiteError {
        SiteError::TooMuch {
            folder: self.root.clone(),
            bound,
        }
    }
}
