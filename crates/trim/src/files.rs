//! Contents of an image's files, for those who have to look into them.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Gives the contents of files; paths are places of the tree, without links.
pub trait Files {
    /// At most the first `limit` bytes of a file.
    ///
    /// # Errors
    /// It is not there, is no file, or cannot be read.
    fn read(&mut self, place: &Path, limit: u64) -> io::Result<Vec<u8>>;
}

/// Files of an unpacked image.
#[derive(Debug, Clone)]
pub struct Folder(PathBuf);

impl Folder {
    /// `root` holds what the tree says, unchanged.
    pub fn new(root: PathBuf) -> Self {
        Self(root)
    }
}

impl Files for Folder {
    fn read(&mut self, place: &Path, limit: u64) -> io::Result<Vec<u8>> {
        let path = self.0.join(place);
        // A pipe would block, and a device have effects.
        if !path.symlink_metadata()?.is_file() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut bytes = Vec::new();
        File::open(path)?.take(limit).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}
