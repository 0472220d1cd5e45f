//! Paths that a kept configuration file names, and that the environment does:
//! absolute ones, patterns with a star, and files beside it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use ounce_rootfs::tree::NodeKind;

use super::{TEXT_BYTES, Walk};

/// Most words of one file that are looked at.
const WORDS: usize = 100_000;
/// Most patterns of one file: each looks through a folder.
const PATTERNS: usize = 100;
/// Lists whose lines are no needs of their own: accounts, shells, mounts.
const LISTS: [&str; 8] = [
    "etc/passwd",
    "etc/group",
    "etc/shadow",
    "etc/shells",
    "etc/services",
    "etc/protocols",
    "etc/ld.so.cache",
    "etc/fstab",
];

/// Whether a file is read as configuration: text beneath a folder `etc`.
pub(super) fn is_one(place: &Path, head: &[u8]) -> bool {
    let etc = place.components().any(|part| part.as_os_str() == "etc");
    let list = LISTS.iter().any(|list| Path::new(list) == place);
    let certificate = head.starts_with(b"-----BEGIN");
    etc && !list && !certificate && !head.contains(&0)
}

impl Walk<'_> {
    /// Keeps what the words of a configuration file name.
    pub(super) fn configuration(&mut self, place: &Path) {
        let Ok(data) = self.files.read(place, TEXT_BYTES) else {
            return;
        };
        let text = String::from_utf8_lossy(&data);
        let apart = |letter: char| letter.is_whitespace() || "\"'=;,:<>(){}[]".contains(letter);
        let folder = Path::new("/").join(place.parent().unwrap_or(Path::new("")));
        let lines = text
            .lines()
            .filter(|line| !line.trim_start().starts_with(['#', ';']));
        let words = lines.flat_map(|line| line.split('#').next().unwrap_or("").split(apart));
        let mut patterns = 0;
        for word in words.filter(|word| word.len() > 1).take(WORDS) {
            let names_one = word.starts_with('/') || word.contains(['/', '.']);
            if !names_one || word.contains("..") {
                continue;
            }
            let path = folder.join(word);
            match word.contains('*') {
                true if patterns >= PATTERNS => {
                    let what =
                        format!("has more than {PATTERNS} patterns of files; the rest is left");
                    return self.tell(place, what);
                }
                true => {
                    patterns += 1;
                    self.matches(&path, place);
                }
                false if self.file(&path).is_some() => {
                    self.keep(&path, place, "named by the configuration");
                }
                // What a folder holds is the business of who serves it.
                false if self.is_folder(&path) => {
                    self.keep(&path, place, "folder named by the configuration");
                }
                false => {}
            }
        }
    }

    /// Files of a folder whose names a pattern with one star fits.
    fn matches(&mut self, pattern: &Path, by: &Path) {
        let (Some(folder), Some(name)) = (pattern.parent(), pattern.file_name()) else {
            return;
        };
        let Some((begin, end)) = name.to_str().and_then(|name| name.split_once('*')) else {
            return;
        };
        let Ok((place, _)) = self.tree.lookup(folder) else {
            return;
        };
        self.keep(folder, by, "folder named by the configuration");
        let fits = |name: Option<&OsStr>| {
            let name = name.and_then(OsStr::to_str).unwrap_or("");
            name.len() >= begin.len() + end.len() && name.starts_with(begin) && name.ends_with(end)
        };
        let tree = self.tree;
        let found: Vec<PathBuf> = tree
            .beneath(&place)
            .filter(|(path, node)| {
                path.parent() == Some(&*place)
                    && node.kind != NodeKind::Folder
                    && fits(path.file_name())
            })
            .map(|(path, _)| path.to_owned())
            .collect();
        for path in found {
            self.keep(&path, by, "named by a pattern of the configuration");
        }
    }

    /// Files that a variable of the environment is the path of.
    pub(super) fn named_by_environment(&mut self) {
        let mut values: Vec<String> = self.environment.values().cloned().collect();
        values.sort();
        for value in values {
            let path = Path::new(&value);
            if path.is_absolute() && self.file(path).is_some() {
                self.keep(path, Path::new(""), "");
            }
        }
    }
}
