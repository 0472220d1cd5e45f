//! What is no image yet: a folder, or a single file. It is weighed as the image
//! of one layer that it would make.

use std::collections::HashMap;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use ounce_oci::layer::{Content, Entry, EntryKind};
use ounce_oci::store::StoreError;
use ounce_oci::{Image, Platform, Store};

/// Most files, folders and links.
const MOST_ENTRIES: usize = 2_000_000;
/// Deepest folder.
const DEEPEST: usize = 256;
/// Names that are told one by one of what is left out.
const TOLD: usize = 20;

/// A folder or file could not be made an image of.
#[derive(Debug, thiserror::Error)]
pub enum PlainError {
    /// It cannot be read.
    #[error("reading {}", path.display())]
    Read {
        /// What.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Neither folder nor plain file.
    #[error("{} is neither a folder nor a file", .0.display())]
    Special(PathBuf),
    /// Past a bound.
    #[error("{} has more than {bound}", path.display())]
    TooMuch {
        /// The folder.
        path: PathBuf,
        /// Which bound, in words.
        bound: String,
    },
    /// It cannot be written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Makes a passing image of a folder or file for `platform`, its blobs in `store`
/// while it lives; and what had to be left out of it, a line each.
///
/// A file becomes `/NAME`, which the image starts. What is no file, folder or
/// link is left out, as is what cannot be read or has a name that is not UTF-8.
///
/// # Errors
/// See [`PlainError`].
pub fn image(
    store: &Store,
    path: &Path,
    platform: &Platform,
) -> Result<(Image, Vec<String>), PlainError> {
    let failed = |source| PlainError::Read {
        path: path.to_owned(),
        source,
    };
    let data = fs::metadata(path).map_err(failed)?;
    let mut walk = Walk::default();
    let mut command = None;
    if data.is_dir() {
        walk.folder(path, "", 0)?;
    } else if data.is_file() {
        let path = path.canonicalize().map_err(failed)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        command = Some(format!("/{name}"));
        let is_readable = File::open(&path).and_then(|mut file| file.read(&mut [0]));
        is_readable.map_err(failed)?;
        let kind = EntryKind::File(Content::Host(path.clone()));
        walk.add(&name, kind, &data);
    } else {
        return Err(PlainError::Special(path.to_owned()));
    }
    let image = Image::passing(store, &walk.entries, platform, command.as_deref())?;
    Ok((image, walk.told()))
}

#[derive(Default)]
struct Walk {
    entries: Vec<Entry>,
    /// First names of files with several, by device and inode.
    links: HashMap<(u64, u64), String>,
    omitted: Vec<String>,
}

impl Walk {
    fn folder(&mut self, folder: &Path, prefix: &str, depth: usize) -> Result<(), PlainError> {
        let too_much = |bound| PlainError::TooMuch {
            path: folder.to_owned(),
            bound,
        };
        if depth > DEEPEST {
            return Err(too_much(format!("{DEEPEST} folders in each other")));
        }
        let entries = fs::read_dir(folder).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let mut entries = match entries {
            Ok(entries) => entries,
            Err(source) if depth == 0 => {
                return Err(PlainError::Read {
                    path: folder.to_owned(),
                    source,
                });
            }
            Err(error) => {
                self.omit(folder, &error.to_string());
                return Ok(());
            }
        };
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            if self.entries.len() >= MOST_ENTRIES {
                return Err(too_much(format!("{MOST_ENTRIES} entries")));
            }
            let from = entry.path();
            let Ok(name) = entry.file_name().into_string() else {
                self.omit(&from, "its name is not UTF-8");
                continue;
            };
            let path = match prefix {
                "" => name,
                _ => format!("{prefix}/{name}"),
            };
            match entry.metadata() {
                Ok(data) => self.one(&from, path, &data, depth)?,
                // It went meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => self.omit(&from, &error.to_string()),
            }
        }
        Ok(())
    }

    fn one(
        &mut self,
        from: &Path,
        path: String,
        data: &Metadata,
        depth: usize,
    ) -> Result<(), PlainError> {
        if data.is_dir() {
            self.add(&path, EntryKind::Directory, data);
            return self.folder(from, &path, depth + 1);
        }
        if data.is_symlink() {
            match fs::read_link(from).map(|target| target.into_os_string().into_string()) {
                Ok(Ok(target)) => self.add(&path, EntryKind::Symlink(target), data),
                Ok(Err(_)) => self.omit(from, "it leads to a name that is not UTF-8"),
                Err(error) => self.omit(from, &error.to_string()),
            }
        } else if !data.is_file() {
            self.omit(from, "it is neither file, folder nor link");
        } else if let Err(error) = File::open(from) {
            self.omit(from, &error.to_string());
        } else if let Some(first) = self.links.get(&(data.dev(), data.ino())) {
            let kind = EntryKind::Hardlink(first.clone());
            self.add(&path, kind, data);
        } else {
            if data.nlink() > 1 {
                self.links.insert((data.dev(), data.ino()), path.clone());
            }
            self.add(&path, EntryKind::File(Content::Host(from.into())), data);
        }
        Ok(())
    }

    fn add(&mut self, path: &str, kind: EntryKind, data: &Metadata) {
        self.entries.push(Entry {
            path: path.to_owned(),
            kind,
            mode: data.mode() & 0o7777,
            uid: data.uid(),
            gid: data.gid(),
        });
    }

    fn omit(&mut self, path: &Path, why: &str) {
        self.omitted.push(format!("{}: {why}", path.display()));
    }

    fn told(mut self) -> Vec<String> {
        let more = self.omitted.len().saturating_sub(TOLD);
        if more > 0 {
            self.omitted.truncate(TOLD);
            self.omitted.push(format!("and {more} more"));
        }
        self.omitted
    }
}
