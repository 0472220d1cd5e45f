//! Reading one file out of an image, without unpacking it.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use ounce_oci::Image;
use ounce_oci::layer::{LayerError, ReadLimits};

use crate::tree::{LookupError, NodeKind, Tree};

/// A file could not be read out of an image.
#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    /// Nothing is at the path.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// It is no file.
    #[error("{0:?} of the image is no file")]
    NotAFile(PathBuf),
    /// It is larger than allowed.
    #[error("{path:?} of the image holds {bytes} bytes, more than {limit}")]
    TooLarge {
        /// Which file.
        path: PathBuf,
        /// Its bytes.
        bytes: u64,
        /// The most that was allowed.
        limit: u64,
    },
    /// The layer it is in.
    #[error("reading {path:?} of the image")]
    Layer {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: Box<LayerError>,
    },
    /// Its bytes could not be read or passed on.
    #[error("copying {path:?} of the image")]
    Copy {
        /// Which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// Ends the walk over a layer.
enum Stop {
    Done(u64),
    Layer(Box<LayerError>),
    Copy(io::Error),
}

impl From<LayerError> for Stop {
    fn from(error: LayerError) -> Self {
        Self::Layer(Box::new(error))
    }
}

/// Copies a file of an image to `to` and tells how many bytes it had. Links
/// are followed inside the image; `tree` is the same image's. The layer is
/// read no further than the file, so its digest is not verified here:
/// [`Tree::of_image`] has done so.
///
/// # Errors
/// There is no such file, or it cannot be read or passed on.
pub fn copy_file(
    image: &Image,
    tree: &Tree,
    path: &Path,
    to: &mut dyn Write,
) -> Result<u64, ContentError> {
    let (found, node) = tree.lookup(path)?;
    let NodeKind::File(id) = node.kind else {
        return Err(ContentError::NotAFile(found));
    };
    let content = tree.content(id);
    let layer = |source| ContentError::Layer {
        path: found.clone(),
        source: Box::new(source),
    };
    let mut number = 0;
    let walked = image
        .open_layer(&image.layers[content.layer], ReadLimits::default())
        .map_err(layer)?
        .for_each(|_, from| {
            number += 1;
            if number - 1 < content.entry {
                return Ok(());
            }
            Err(io::copy(from, to).map_or_else(Stop::Copy, Stop::Done))
        });
    match walked {
        Err(Stop::Done(bytes)) => Ok(bytes),
        Err(Stop::Layer(source)) => Err(layer(*source)),
        Err(Stop::Copy(source)) => Err(ContentError::Copy {
            path: found,
            source,
        }),
        Ok(()) => Err(ContentError::NotAFile(found)),
    }
}

/// Reads a file of an image whole, at most `limit` bytes.
///
/// # Errors
/// As [`copy_file`]; or it is larger.
pub fn read_file(
    image: &Image,
    tree: &Tree,
    path: &Path,
    limit: u64,
) -> Result<Vec<u8>, ContentError> {
    let (found, node) = tree.lookup(path)?;
    if node.bytes > limit {
        return Err(ContentError::TooLarge {
            path: found,
            bytes: node.bytes,
            limit,
        });
    }
    let mut bytes = Vec::with_capacity(node.bytes as usize);
    copy_file(image, tree, path, &mut bytes)?;
    Ok(bytes)
}
