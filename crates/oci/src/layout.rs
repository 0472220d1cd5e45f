//! An OCI image layout (OCI image spec, image-layout.md): its marker and its
//! `index.json`, read and replaced whole. Locking is the caller's.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::Reference;
use crate::blobs::{BlobError, open_plain};
use crate::model::{Descriptor, ImageIndex, REF_NAME, canonical_json, from_json};
use crate::sink::Replacement;

/// Most bytes of an `index.json`: some 200,000 names.
const INDEX_LIMIT: u64 = 64 << 20;

/// A layout cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// The folder holds something else.
    #[error("{path} is not an OCI image layout: {why}")]
    NotALayout {
        /// The folder.
        path: PathBuf,
        /// What is missing.
        why: &'static str,
    },
    /// A version this program does not know.
    #[error("{path} is an OCI image layout of version {version:?}, only 1.x is known")]
    Version {
        /// The folder.
        path: PathBuf,
        /// Its version.
        version: String,
    },
    /// A file of it is not the JSON it should be.
    #[error("{path} is not valid")]
    Json {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: serde_json::Error,
    },
    /// The operating system refused.
    #[error("{action} {path}")]
    Io {
        /// `reading`, `making`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It cannot be written.
    #[error(transparent)]
    Write(#[from] BlobError),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Marker {
    image_layout_version: String,
}

/// The marker's content.
pub(crate) const MARKER: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

/// Reads a small file of a layout; `None` when it is not there.
fn read(path: &Path) -> Result<Option<Vec<u8>>, LayoutError> {
    let io_error = |source| LayoutError::Io {
        action: "reading",
        path: path.to_owned(),
        source,
    };
    let file = match open_plain(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error(error)),
    };
    let mut bytes = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(file, INDEX_LIMIT + 1), &mut bytes)
        .map_err(io_error)?;
    if bytes.len() as u64 > INDEX_LIMIT {
        return Err(io_error(io::ErrorKind::FileTooLarge.into()));
    }
    Ok(Some(bytes))
}

/// Whether the folder is a layout of a version we know.
pub(crate) fn is_layout(root: &Path) -> Result<bool, LayoutError> {
    let path = root.join("oci-layout");
    let Some(bytes) = read(&path)? else {
        return Ok(false);
    };
    let marker: Marker =
        serde_json::from_slice(&bytes).map_err(|source| LayoutError::Json { path, source })?;
    if marker.image_layout_version.starts_with("1.") {
        Ok(true)
    } else {
        Err(LayoutError::Version {
            path: root.to_owned(),
            version: marker.image_layout_version,
        })
    }
}

/// Reads `index.json`.
pub(crate) fn read_index(root: &Path) -> Result<ImageIndex, LayoutError> {
    let path = root.join("index.json");
    let bytes = read(&path)?.ok_or_else(|| LayoutError::NotALayout {
        path: root.to_owned(),
        why: "it has no index.json",
    })?;
    from_json(&bytes).map_err(|source| LayoutError::Json { path, source })
}

/// Replaces `index.json` in one step.
pub(crate) fn write_index(
    root: &Path,
    scratch: &Path,
    index: &ImageIndex,
) -> Result<(), LayoutError> {
    Ok(prepare(root, scratch, index, false)?.publish()?)
}

/// Writes what will be `index.json`, and behind it the marker where it is not
/// there yet: where the marker stands, the rest does.
pub(crate) fn prepare(
    root: &Path,
    scratch: &Path,
    index: &ImageIndex,
    with_marker: bool,
) -> Result<Replacement, LayoutError> {
    let bytes = canonical_json(index).map_err(|source| LayoutError::Json {
        path: root.join("index.json"),
        source,
    })?;
    let mut replacement = Replacement::of(root);
    replacement.write(scratch, "index.json", &bytes)?;
    if with_marker {
        replacement.write(scratch, "oci-layout", MARKER)?;
    }
    Ok(replacement)
}

/// Makes the folder an empty layout, unless it is one.
pub(crate) fn create(root: &Path, scratch: &Path) -> Result<(), LayoutError> {
    let blobs = root.join("blobs/sha256");
    fs::create_dir_all(&blobs).map_err(|source| LayoutError::Io {
        action: "making",
        path: blobs,
        source,
    })?;
    if !root.join("index.json").exists() {
        prepare(root, scratch, &ImageIndex::default(), true)?.publish()?;
        return Ok(());
    }
    let mut marker = Replacement::of(root);
    marker.write(scratch, "oci-layout", MARKER)?;
    marker.publish()?;
    Ok(())
}

/// The annotation that names an entry.
pub(crate) fn ref_name(descriptor: &Descriptor) -> Option<&str> {
    descriptor
        .annotations()
        .as_ref()?
        .get(REF_NAME)
        .map(String::as_str)
}

/// The name of an entry, if it is a name: skopeo and others also write bare tags.
pub(crate) fn reference_of(descriptor: &Descriptor) -> Option<Reference> {
    ref_name(descriptor)?.parse().ok()
}

/// Gives `root` the name `name`, taking it from what had it.
pub(crate) fn set_name(index: &mut ImageIndex, name: &str, root: &Descriptor) {
    let mut annotations = root.annotations().clone().unwrap_or_default();
    annotations.insert(REF_NAME.to_owned(), name.to_owned());
    let mut named = root.clone();
    named.set_annotations(Some(annotations));
    let wanted: Option<Reference> = name.parse().ok();
    let mut manifests = index.manifests().clone();
    manifests.retain(|entry| {
        ref_name(entry) != Some(name) && (wanted.is_none() || reference_of(entry) != wanted)
    });
    // What has no name stands behind all that have one.
    let after = |entry: &Descriptor| ref_name(entry).is_none_or(|known| known > name);
    let at = manifests.iter().position(after).unwrap_or(manifests.len());
    manifests.insert(at, named);
    index.set_manifests(manifests);
}
