//! Whether one image, or one artifact, is whole in the store: every blob that it
//! reaches is read and hashed. The store as a whole verifies itself.

use std::collections::HashSet;
use std::io;

use crate::blobs::BlobError;
use crate::image::read_children;
use crate::model::{Descriptor, digest_of};
use crate::store::{Store, StoreError, Verified};

impl Store {
    /// Reads and hashes every blob that one descriptor reaches.
    ///
    /// # Errors
    /// A document of it is missing or not valid; what is wrong with other blobs
    /// is in the report.
    pub fn verify_below(&self, root: &Descriptor) -> Result<Verified, StoreError> {
        let blobs = self.blobs();
        let mut verified = Verified::default();
        let mut seen = HashSet::new();
        let mut left = vec![(root.clone(), 0)];
        while let Some((at, depth)) = left.pop() {
            if !seen.insert(digest_of(&at).map_err(BlobError::from)?) {
                continue;
            }
            let mut children = Vec::new();
            read_children(&blobs, &at, depth, &mut children)?;
            left.extend(children.into_iter().map(|child| (child, depth + 1)));
            let hashed = blobs.open(&at).map_err(|error| error.to_string());
            let hashed = hashed.and_then(|mut blob| {
                io::copy(&mut blob, &mut io::sink()).map_err(|error| error.to_string())
            });
            match hashed {
                Ok(bytes) => {
                    verified.blobs += 1;
                    verified.bytes += bytes;
                }
                Err(fault) => verified.faults.push(fault),
            }
        }
        Ok(verified)
    }
}
