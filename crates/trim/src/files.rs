//! Contents of an image's files, for those who have to look into them.

use std::io;
use std::path::Path;

/// Gives the contents of files; paths are places of the tree, without links.
pub trait Files {
    /// At most the first `limit` bytes of a file.
    ///
    /// # Errors
    /// It is not there, is no file, or cannot be read.
    fn read(&mut self, place: &Path, limit: u64) -> io::Result<Vec<u8>>;
}
