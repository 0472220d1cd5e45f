//! Keeps secrets out of layers: what a project would put there is looked at for
//! the forms of keys and tokens before anything is written, and refused.
//!
//! Looked at is what the builder brings: programs, files, pages. What comes
//! from a distribution's packages or a base is published already.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use ounce_oci::layer::{Content, Entry, EntryKind};
use ounce_rootfs::pattern::Pattern;
use ounce_rootfs::secret;

/// Most bytes of a file of the host that is looked at: text of that length is
/// written by programs, not kept by people.
const MOST_BYTES: u64 = 64 << 20;
/// Bytes that tell text from other content.
const HEAD: u64 = 512;

/// A layer would hold secrets, or it cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// It would.
    #[error("the image would hold {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))]
    Found(Vec<Found>),
    /// A file cannot be read.
    #[error("looking for secrets in {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// A file and what it looks like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// In the image.
    pub path: String,
    /// What it looks like.
    pub what: &'static str,
}

impl std::fmt::Display for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (/{})", self.what, self.path)
    }
}

impl SecretError {
    /// What to do about it.
    pub(crate) fn hints(&self) -> Vec<String> {
        let Self::Found(found) = self else {
            return Vec::new();
        };
        vec![
            "whoever can pull the image can read it: pass it when the program starts \
             (ounce run -e NAME, or -v FILE:PATH:ro)"
                .to_owned(),
            format!(
                "if it is no secret: --allow-secret '/{}', or allow-secrets in ounce.toml",
                found.first().map_or("PATH", |found| &found.path)
            ),
        ]
    }
}

/// Secrets that are looked for, and where they are none.
pub(crate) struct Search {
    allowed: Vec<Pattern>,
    found: Vec<Found>,
}

impl Search {
    pub(crate) fn new(allowed: &[String]) -> Self {
        Self {
            allowed: allowed.iter().map(|text| Pattern::new(text)).collect(),
            found: Vec::new(),
        }
    }

    /// Looks at the files among entries; what is put together of pieces is to be
    /// looked at by its sources.
    pub(crate) fn entries(&mut self, entries: &[Entry]) -> Result<(), SecretError> {
        for entry in entries {
            match &entry.kind {
                EntryKind::File(Content::Bytes(bytes)) => self.bytes(&entry.path, bytes),
                EntryKind::File(Content::Host(from)) => self.host(&entry.path, from)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Looks at a file of the host that will be at `path`.
    pub(crate) fn host(&mut self, path: &str, from: &Path) -> Result<(), SecretError> {
        let content = read(from).map_err(|source| SecretError::Read {
            path: from.to_owned(),
            source,
        })?;
        if let Some(content) = content {
            self.bytes(path, &content);
        }
        Ok(())
    }

    /// Looks at a content that will be at `path`.
    pub(crate) fn bytes(&mut self, path: &str, content: &[u8]) {
        let path = path.trim_start_matches('/');
        let Some(what) = secret::find(Path::new(path), content) else {
            return;
        };
        let is_allowed = |pattern: &Pattern| pattern.matches(Path::new(path));
        if !self.allowed.iter().any(is_allowed) {
            self.found.push(Found {
                path: path.to_owned(),
                what,
            });
        }
    }

    /// Fails if any was found.
    pub(crate) fn finish(mut self) -> Result<(), SecretError> {
        self.found.sort_by(|a, b| a.path.cmp(&b.path));
        self.found.dedup();
        match self.found.is_empty() {
            true => Ok(()),
            false => Err(SecretError::Found(self.found)),
        }
    }
}

/// The content of a file that may hold a secret: a text, or a program.
fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    if fs::metadata(path)?.len() > MOST_BYTES {
        return Ok(None);
    }
    let mut file = File::open(path)?;
    let mut content = Vec::new();
    file.by_ref().take(HEAD).read_to_end(&mut content)?;
    if content.contains(&0) && !content.starts_with(b"\x7fELF") {
        return Ok(None);
    }
    file.take(MOST_BYTES).read_to_end(&mut content)?;
    Ok(Some(content))
}
