//! A folder of web files, walked for packing: links are followed, names are
//! bytes, and what cannot be packed is an error and not left out in silence.

use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};

use super::walk::{NAMED, Omitted, SITE_BYTES, SITE_DEPTH, SITE_FILES, SiteError, left_out};
use crate::ignore::Ignore;

/// The files of a site, links followed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Followed {
    /// Sorted by path.
    pub files: Vec<FollowedFile>,
    /// What was left out, sorted by path.
    pub omitted: Vec<Omitted>,
}

/// A file to be packed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FollowedFile {
    /// As a request names it, decoded: `/a/b.html`.
    #[serde(serialize_with = "as_text")]
    pub path: Vec<u8>,
    /// On the host.
    #[serde(serialize_with = "as_path")]
    pub from: PathBuf,
    /// Bytes when it was looked at.
    pub bytes: u64,
}

fn as_text<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&String::from_utf8_lossy(bytes))
}

fn as_path<S: Serializer>(path: &Path, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&path.to_string_lossy())
}

/// Walks `root`; the order is by path, whatever the file system's is.
///
/// # Errors
/// Unreadable, empty or past a bound; a link that leads out, to nothing or in
/// a circle; a device, socket or pipe.
pub fn follow(root: &Path) -> Result<Followed, SiteError> {
    let real = canonical(root)?;
    let mut walk = Walk {
        above: vec![real.clone()],
        ignore: Ignore::read(&real).map_err(|source| read(&real.join(".dockerignore"), source))?,
        root: real,
        found: Followed::default(),
        bytes: 0,
    };
    walk.folder(root, b"/")?;
    let mut found = walk.found;
    if found.files.is_empty() {
        return Err(SiteError::Empty(root.to_owned()));
    }
    found.files.sort_by(|a, b| a.path.cmp(&b.path));
    found.omitted.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

struct Walk {
    root: PathBuf,
    ignore: Ignore,
    /// The real folders that the walk is in, from the root on.
    above: Vec<PathBuf>,
    found: Followed,
    bytes: u64,
}

impl Walk {
    /// `path` starts and ends with a slash.
    fn folder(&mut self, folder: &Path, path: &[u8]) -> Result<(), SiteError> {
        if self.above.len() > SITE_DEPTH {
            return Err(self.too_much(format!("{SITE_DEPTH} folders in each other")));
        }
        let mut names: Vec<OsString> = fs::read_dir(folder)
            .and_then(|entries| entries.map(|entry| Ok(entry?.file_name())).collect())
            .map_err(|source| read(folder, source))?;
        names.sort();
        for name in names {
            let from = folder.join(&name);
            let name = name.into_vec();
            let path = [path, &name].concat();
            // What a request's path cannot have, see `ounce_http::path`.
            let is_odd = |byte: &u8| *byte < b' ' || *byte == 0x7f || *byte == b'\\';
            let why = if name.iter().any(is_odd) {
                Some("no URL leads to a name with a control character or a backslash")
            } else {
                let own = left_out(&name, path.len() == name.len() + 1);
                // Beneath a folder something may be taken in again.
                let named = self.ignore.leaves_out(&path[1..])
                    && !(self.ignore.takes_in() && from.is_dir());
                own.or(named.then_some(NAMED))
            };
            match why {
                Some(why) => self.found.omitted.push(Omitted {
                    path: String::from_utf8_lossy(&path[1..]).into_owned(),
                    why,
                }),
                None => self.entry(from, path)?,
            }
        }
        Ok(())
    }

    fn entry(&mut self, from: PathBuf, path: Vec<u8>) -> Result<(), SiteError> {
        let metadata = fs::symlink_metadata(&from).map_err(|source| read(&from, source))?;
        let metadata = match metadata.is_symlink() {
            true => self.link(&from)?,
            false => metadata,
        };
        if metadata.is_dir() {
            let real = canonical(&from)?;
            if self.above.contains(&real) {
                return Err(link(&from, "leads to a folder that it stands in"));
            }
            self.above.push(real);
            self.folder(&from, &[&path[..], b"/"].concat())?;
            self.above.pop();
            return Ok(());
        }
        if !metadata.is_file() {
            let kind = metadata.file_type();
            return Err(SiteError::Special {
                path: from,
                what: match () {
                    () if kind.is_fifo() => "a pipe",
                    () if kind.is_socket() => "a socket",
                    () => "a device",
                },
            });
        }
        // Opened once now, so that what cannot be read is told before anything is built.
        File::open(&from).map_err(|source| read(&from, source))?;
        self.bytes = self.bytes.saturating_add(metadata.len());
        if self.bytes >= SITE_BYTES {
            return Err(self.too_much(format!("{SITE_BYTES} bytes")));
        }
        if self.found.files.len() == SITE_FILES {
            return Err(self.too_much(format!("{SITE_FILES} files")));
        }
        self.found.files.push(FollowedFile {
            path,
            bytes: metadata.len(),
            from,
        });
        Ok(())
    }

    /// What a link leads to, in the end.
    fn link(&self, from: &Path) -> Result<Metadata, SiteError> {
        let real = from
            .canonicalize()
            .map_err(|_| link(from, "leads to nothing, or in a circle"))?;
        if !real.starts_with(&self.root) {
            return Err(link(from, "leads out of the folder"));
        }
        fs::metadata(&real).map_err(|source| read(&real, source))
    }

    fn too_much(&self, bound: String) -> SiteError {
        SiteError::TooMuch {
            folder: self.root.clone(),
            bound,
        }
    }
}

fn canonical(path: &Path) -> Result<PathBuf, SiteError> {
    path.canonicalize().map_err(|source| read(path, source))
}

fn read(path: &Path, source: std::io::Error) -> SiteError {
    SiteError::Read {
        path: path.to_owned(),
        source,
    }
}

fn link(path: &Path, why: &'static str) -> SiteError {
    SiteError::Link {
        path: path.to_owned(),
        why,
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use super::*;

    fn write(path: PathBuf) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "x").unwrap();
    }

    fn paths(found: &Followed) -> Vec<String> {
        let text = |file: &FollowedFile| String::from_utf8_lossy(&file.path).into_owned();
        found.files.iter().map(text).collect()
    }

    #[test]
    fn links_are_followed_and_names_are_any_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        write(root.join("b/z.css"));
        write(root.join("b-a.css"));
        write(root.join(OsStr::from_bytes(b"\xff.html")));
        symlink("b/z.css", root.join("style.css")).unwrap();
        symlink("b", root.join("c")).unwrap();
        let found = follow(root).unwrap();
        assert_eq!(
            paths(&found),
            [
                "/b-a.css",
                "/b/z.css",
                "/c/z.css",
                "/style.css",
                "/\u{fffd}.html"
            ]
        );
        assert_eq!(found.files[4].path, b"/\xff.html");
        serde_json::to_string(&found).unwrap();
    }

    #[test]
    fn what_is_not_served_is_left_out_and_told() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for path in [
            "index.html",
            ".env",
            ".git/config",
            "a/.hidden/x",
            ".well-known/security.txt",
            "a/.well-known/x",
            "ounce.toml",
            "ounce.lock",
            "a/ounce.toml",
            "healthz",
            "a/healthz",
            "a\\b",
            "a\nb",
        ] {
            write(root.join(path));
        }
        let found = follow(root).unwrap();
        assert_eq!(
            paths(&found),
            [
                "/.well-known/security.txt",
                "/a/healthz",
                "/a/ounce.toml",
                "/index.html"
            ]
        );
        let omitted: Vec<&str> = found
            .omitted
            .iter()
            .map(|omitted| &omitted.path[..])
            .collect();
        assert_eq!(
            omitted,
            [
                ".env",
                ".git",
                "a\nb",
                "a/.hidden",
                "a/.well-known",
                "a\\b",
                "healthz",
                "ounce.lock",
                "ounce.toml"
            ]
        );
    }

    #[test]
    fn links_that_leave_the_folder_and_things_that_are_no_files_are_refused() {
        let refused = |make: &dyn Fn(&Path)| {
            let folder = tempfile::tempdir().unwrap();
            let root = folder.path().join("site");
            write(root.join("index.html"));
            make(&root.join("odd"));
            follow(&root).unwrap_err().to_string()
        };
        for (target, why) in [
            ("/etc/passwd", "leads out of the folder"),
            ("../../../etc", "leads out of the folder"),
            ("absent", "leads to nothing, or in a circle"),
            ("odd", "leads to nothing, or in a circle"),
            (".", "leads to a folder that it stands in"),
        ] {
            let error = refused(&|path| symlink(target, path).unwrap());
            assert!(error.ends_with(why), "{target}: {error}");
        }
        let error = refused(&|path| drop(UnixListener::bind(path).unwrap()));
        assert!(
            error.ends_with("odd is a socket, which nobody can be served"),
            "{error}"
        );
        let pipe = |path: &Path| {
            let made = std::process::Command::new("mkfifo").arg(path).status();
            assert!(made.unwrap().success());
        };
        assert!(refused(&pipe).contains("is a pipe"));
    }

    #[test]
    fn an_empty_folder_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("a")).unwrap();
        assert!(matches!(follow(folder.path()), Err(SiteError::Empty(_))));
    }
}
