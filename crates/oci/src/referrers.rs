//! What hangs on an image in a layout: found, listed, and taken along or away
//! with its image.
//!
//! An artifact stands in `index.json` as an entry without a name, of which the
//! specification says that tools pass over what they do not know (image spec
//! 1.1, image-layout.md); its manifest's `subject` says what it hangs on. So
//! other tools that read or clean the layout see its blobs as reached, and
//! whoever asks for an image by its name sees the image alone.

use std::collections::{HashMap, HashSet};

use crate::Digest;
use crate::blobs::{BlobError, Blobs};
use crate::image::{ImageError, read_manifest};
use crate::layout;
use crate::model::{Descriptor, ImageIndex, Role, digest_of, role};

/// Most artifacts of one image, of those that hang on these, and so on.
pub const MOST_REFERRERS: usize = 1000;

/// Something that hangs on an image.
#[derive(Debug, Clone)]
pub struct Referrer {
    /// Its manifest, with its type and annotations.
    pub descriptor: Descriptor,
    /// The same digest, typed.
    pub digest: Digest,
    /// What it is, as a media type.
    pub artifact_type: String,
    /// What it hangs on.
    pub subject: Digest,
    /// The blobs that it consists of.
    pub parts: Vec<Descriptor>,
}

/// Artifacts of a layout by what they hang on.
#[derive(Debug, Default)]
pub(crate) struct Referrers {
    of: HashMap<Digest, Vec<Referrer>>,
}

impl Referrers {
    /// Reads the manifest of every entry without a name. One that is missing or
    /// not valid hangs on nothing: `verify` tells of it.
    pub(crate) fn read(blobs: &Blobs, index: &ImageIndex) -> Self {
        let mut referrers = Self::default();
        for entry in index.manifests() {
            if layout::ref_name(entry).is_some() {
                continue;
            }
            if let Ok(Some(referrer)) = referrer(blobs, entry) {
                let of = referrers.of.entry(referrer.subject).or_default();
                of.push(referrer);
            }
        }
        referrers
    }

    /// What hangs on `subject` itself, in the index's order.
    pub(crate) fn of(&self, subject: &Digest) -> &[Referrer] {
        self.of.get(subject).map_or(&[], Vec::as_slice)
    }

    /// What hangs on one of `subjects`, on what hangs on these, and so on, each
    /// once, nearest first.
    pub(crate) fn all_of(&self, subjects: impl IntoIterator<Item = Digest>) -> Vec<Referrer> {
        let mut left: Vec<Digest> = subjects.into_iter().collect();
        let mut seen: HashSet<Digest> = HashSet::new();
        let mut found = Vec::new();
        let mut at = 0;
        while at < left.len() {
            for referrer in self.of(&left[at]) {
                if seen.insert(referrer.digest) {
                    left.push(referrer.digest);
                    found.push(referrer.clone());
                }
            }
            at += 1;
        }
        found
    }

    /// Every artifact's digest, with what it hangs on.
    pub(crate) fn every(&self) -> impl Iterator<Item = &Referrer> {
        self.of.values().flatten()
    }
}

/// What an entry is if it hangs on something; `None` for an image.
///
/// # Errors
/// Its manifest is missing or not valid.
pub(crate) fn referrer(blobs: &Blobs, entry: &Descriptor) -> Result<Option<Referrer>, ImageError> {
    if role(entry.media_type()) != Role::Manifest {
        return Ok(None);
    }
    let manifest = read_manifest(blobs, entry)?;
    let Some(subject) = manifest.subject() else {
        return Ok(None);
    };
    let artifact_type = manifest
        .artifact_type()
        .as_ref()
        // Spec: without an artifactType the configuration's type is it.
        .unwrap_or(manifest.config().media_type())
        .to_string();
    let mut descriptor = Descriptor::new(
        entry.media_type().clone(),
        entry.size(),
        entry.digest().clone(),
    );
    descriptor.set_artifact_type(Some(artifact_type.as_str().into()));
    descriptor.set_annotations(manifest.annotations().clone().filter(|all| !all.is_empty()));
    Ok(Some(Referrer {
        digest: digest_of(entry).map_err(BlobError::from)?,
        subject: digest_of(subject).map_err(BlobError::from)?,
        descriptor,
        artifact_type,
        parts: manifest.layers().clone(),
    }))
}

/// Adds artifacts to an index, each once, without a name.
pub(crate) fn add(index: &mut ImageIndex, new: &[Descriptor]) {
    let mut manifests = index.manifests().clone();
    for descriptor in new {
        let is_there = manifests.iter().any(|entry| {
            entry.digest() == descriptor.digest() && layout::ref_name(entry).is_none()
        });
        if !is_there {
            manifests.push(crate::image::unnamed(descriptor));
        }
    }
    // Names come first, sorted; what has none follows by digest.
    let (named, mut unnamed): (Vec<_>, Vec<_>) = manifests
        .into_iter()
        .partition(|entry| layout::ref_name(entry).is_some());
    unnamed.sort_by(|a, b| a.digest().as_ref().cmp(b.digest().as_ref()));
    index.set_manifests(named.into_iter().chain(unnamed).collect());
}

/// Takes away the artifacts whose image is not in `kept`, nor hang on one that
/// is; and tells how many.
pub(crate) fn drop_orphans(
    index: &mut ImageIndex,
    referrers: &Referrers,
    kept: &HashSet<Digest>,
) -> usize {
    let alive: HashSet<Digest> = referrers
        .all_of(kept.iter().copied())
        .into_iter()
        .map(|referrer| referrer.digest)
        .collect();
    let orphans: HashSet<Digest> = referrers
        .every()
        .map(|referrer| referrer.digest)
        .filter(|digest| !alive.contains(digest))
        .collect();
    let mut manifests = index.manifests().clone();
    let before = manifests.len();
    manifests.retain(|entry| {
        layout::ref_name(entry).is_some()
            || !digest_of(entry).is_ok_and(|digest| orphans.contains(&digest))
    });
    let gone = before - manifests.len();
    index.set_manifests(manifests);
    gone
}

/// Fails where more hang on an image than anybody means.
///
/// # Errors
/// More than [`MOST_REFERRERS`].
pub(crate) fn bounded(subject: &Digest, found: Vec<Referrer>) -> Result<Vec<Referrer>, ImageError> {
    if found.len() > MOST_REFERRERS {
        return Err(ImageError::Invalid {
            what: "image",
            digest: *subject,
            why: format!(
                "{} artifacts hang on it, more than {MOST_REFERRERS}",
                found.len()
            ),
        });
    }
    Ok(found)
}
