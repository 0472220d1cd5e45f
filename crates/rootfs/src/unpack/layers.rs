//! All layers of an image into a folder, lowest first.

use std::path::Path;

use ounce_oci::Image;
use ounce_oci::layer::ReadLimits;

use super::extract::Extractor;
use super::{Options, UnpackError, Unpacked};

/// Unpacks `image` into `dest`, which must be an empty folder.
///
/// # Errors
/// A layer is not valid, holds what cannot be written, or the host refuses.
/// `dest` may then be half full: it is the caller's to remove.
pub fn unpack(image: &Image, dest: &Path, options: &Options) -> Result<Unpacked, UnpackError> {
    let mut extractor = Extractor::new(dest, options.clone())?;
    write(image, options, &mut extractor)?;
    extractor.finish()
}

/// Writes all layers, lowest first.
pub(super) fn write(
    image: &Image,
    options: &Options,
    extractor: &mut Extractor,
) -> Result<(), UnpackError> {
    let limits = ReadLimits {
        uncompressed_bytes: options.bytes.saturating_add(1 << 30),
        entries: options.entries,
        ..ReadLimits::default()
    };
    for layer in &image.layers {
        let named = |error| match error {
            UnpackError::Entry(source) => UnpackError::Layer {
                digest: layer.digest,
                source,
            },
            other => other,
        };
        extractor.begin_layer();
        image
            .open_layer(layer, limits)
            .map_err(|error| named(error.into()))?
            .for_each(|entry, content| extractor.entry(&entry, content))
            .map_err(named)?;
    }
    Ok(())
}
