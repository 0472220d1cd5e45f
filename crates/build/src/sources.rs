//! A project's own files: listed in order, hashed as one, copied elsewhere. What
//! version control and tools keep beside them is not among them.

use std::fs::{self, File, FileTimes};
use std::io::{self, Read as _};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use ounce_oci::Digest;
use ounce_oci::digest::Hashing;

/// Most files, and bytes of them: past these a folder is no project.
const MOST_FILES: usize = 200_000;
const MOST_BYTES: u64 = 4 << 30;
/// Deepest folder.
const DEEPEST: usize = 128;

/// How a folder begins that can be made anew (Cache Directory Tagging
/// Specification), as cargo's `target` does.
const CACHE_TAG: &[u8] = b"Signature: 8a477f597d28d172789f06886806bc55";

/// Folders that tools make and do not mark.
const MADE: &[&str] = &[
    ".git",
    ".hg",
    ".svn",
    ".jj",
    "target",
    "zig-out",
    ".zig-cache",
    "zig-cache",
    ".venv",
    "__pycache__",
    "node_modules",
];

/// What there is beneath a folder, sorted by path.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    /// Relative paths of folders.
    pub(crate) folders: Vec<PathBuf>,
    /// Relative paths of files and links.
    pub(crate) files: Vec<PathBuf>,
    bytes: u64,
    is_code: bool,
}

impl Sources {
    /// Walks a folder; `None` if there is too much in it for a project. Of code
    /// what tools have made is left out, of pages nothing.
    pub(crate) fn walk(root: &Path, is_code: bool) -> io::Result<Option<Self>> {
        let mut found = Self {
            is_code,
            ..Self::default()
        };
        if !found.folder(root, Path::new(""), 0)? {
            return Ok(None);
        }
        found.folders.sort();
        found.files.sort();
        Ok(Some(found))
    }

    fn folder(&mut self, root: &Path, at: &Path, depth: usize) -> io::Result<bool> {
        for entry in fs::read_dir(root.join(at))? {
            let entry = entry?;
            let path = at.join(entry.file_name());
            let kind = entry.file_type()?;
            if kind.is_dir() {
                if self.is_code && is_made(&entry.path()) {
                    continue;
                }
                self.folders.push(path.clone());
                if depth >= DEEPEST || !self.folder(root, &path, depth + 1)? {
                    return Ok(false);
                }
            } else if kind.is_file() || kind.is_symlink() {
                self.bytes += entry.metadata()?.len();
                self.files.push(path);
            }
            if self.files.len() + self.folders.len() > MOST_FILES || self.bytes > MOST_BYTES {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Whether a folder is a tool's, to be made anew.
fn is_made(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    if name.is_some_and(|name| MADE.contains(&name)) {
        return true;
    }
    let mut head = Vec::new();
    let tag = File::open(path.join("CACHEDIR.TAG"));
    let read = tag.and_then(|tag| tag.take(CACHE_TAG.len() as u64).read_to_end(&mut head));
    read.is_ok() && head == CACHE_TAG
}

/// One digest of all files, by path and content: Go's `Hash1`, which in-toto's
/// `dirHash` is. Of a link its target's text is the content.
pub(crate) fn hash(root: &Path, sources: &Sources) -> io::Result<Digest> {
    let mut lines = Vec::new();
    for file in &sources.files {
        let path = root.join(file);
        let digest = match fs::symlink_metadata(&path)?.is_symlink() {
            true => Digest::of(fs::read_link(&path)?.as_os_str().as_encoded_bytes()),
            false => {
                let mut content = Hashing::new(File::open(&path)?);
                io::copy(&mut content, &mut io::sink())?;
                content.into_digest().1
            }
        };
        lines.extend(format!("{}  {}\n", digest.hex(), file.display()).into_bytes());
    }
    Ok(Digest::of(&lines))
}

/// Copies them to `to`, last names first and with another time than they have: so
/// neither the order in a folder nor the clock is as it was.
pub(crate) fn copy(root: &Path, sources: &Sources, to: &Path) -> io::Result<()> {
    // A day in 2001, which a project's own files do not have.
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    fs::create_dir_all(to)?;
    for folder in sources.folders.iter().rev() {
        fs::create_dir_all(to.join(folder))?;
    }
    for file in sources.files.iter().rev() {
        let (from, to) = (root.join(file), to.join(file));
        if fs::symlink_metadata(&from)?.is_symlink() {
            symlink(fs::read_link(&from)?, &to)?;
            continue;
        }
        fs::copy(&from, &to)?;
        let times = FileTimes::new().set_modified(time);
        // A file that nobody may write keeps the time of its copy: another one, too.
        if let Ok(file) = File::options().write(true).open(&to) {
            file.set_times(times)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copy_has_the_same_digest_and_leaves_out_what_tools_make() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("project");
        for (path, text) in [
            ("src/main.rs", "fn main() {}"),
            ("Cargo.toml", "[package]"),
            ("target/debug/x", "made"),
            (
                "out/CACHEDIR.TAG",
                "Signature: 8a477f597d28d172789f06886806bc55\n",
            ),
            ("out/x", "made"),
            (".git/HEAD", "ref"),
        ] {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        symlink("main.rs", root.join("src/link.rs")).unwrap();
        let found = Sources::walk(&root, true).unwrap().unwrap();
        let names: Vec<_> = found
            .files
            .iter()
            .map(|file| file.to_str().unwrap())
            .collect();
        assert_eq!(names, ["Cargo.toml", "src/link.rs", "src/main.rs"]);
        let to = folder.path().join("copy");
        copy(&root, &found, &to).unwrap();
        let copied = Sources::walk(&to, true).unwrap().unwrap();
        assert_eq!(hash(&root, &found).unwrap(), hash(&to, &copied).unwrap());
        fs::write(to.join("Cargo.toml"), "[Package]").unwrap();
        assert_ne!(hash(&root, &found).unwrap(), hash(&to, &copied).unwrap());
    }
}
