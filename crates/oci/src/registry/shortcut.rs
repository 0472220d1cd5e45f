//! Blobs that are made and not fetched: of an older image that is there, by a delta
//! that hangs on the new one (an artifact of type [`DELTA`]).
//!
//! Nothing here is trusted. What a delta gives is hashed as any blob is, and counts
//! only if it is one that the image lacks; whatever goes wrong on the way is told as
//! passed over, and the blobs are fetched. How a delta is applied is the
//! caller's to know ([`Patch`]).

use std::error::Error;

use super::api::Session;
use super::fault::RegistryError;
use super::remote::Remote;
use crate::artifact::{DELTA, DELTA_FROM};
use crate::blobs::{BlobError, Blobs};
use crate::causes::in_one_line;
use crate::fetch::Watch;
use crate::image::read_children;
use crate::model::{
    DOCUMENT_LIMIT, Descriptor, ImageManifest, MediaType, descriptor, digest_of, from_json,
};
use crate::sink::Sink;
use crate::{Digest, Image};

/// Makes blobs of an image that is there and a delta. The descriptors are those that
/// are wanted; any of them may come back, in any order.
pub type Patch<'a> = dyn FnMut(&Image, &[Descriptor], &[u8]) -> Result<Vec<Vec<u8>>, Box<dyn Error + Send + Sync>>
    + 'a;

/// A delta that was taken.
#[derive(Debug, Clone)]
pub struct Taken {
    /// The older image that it was applied to.
    pub from: Digest,
    /// Bytes of it that came over the network, its manifest among them.
    pub bytes: u64,
    /// Blobs that were made by it.
    pub blobs: usize,
    /// Their bytes, which were not fetched.
    pub blob_bytes: u64,
}

/// Below so many missing bytes nobody is asked: the answers are as long.
const LEAST_BYTES: u64 = 2 << 10;

/// Most deltas that are looked into for one image.
const MOST_LOOKED_AT: usize = 16;

/// A delta that was applied, and the blobs that came out.
type Made = (Taken, Vec<Vec<u8>>);

/// Where deltas are looked for.
pub(super) struct Search<'a> {
    pub(super) session: &'a Session<'a>,
    pub(super) remote: &'a Remote,
    /// The images that are wanted; their documents are there.
    pub(super) manifests: &'a [Descriptor],
}

/// A delta that could be applied here.
struct Candidate {
    old: Image,
    /// Its bytes, and those of its manifest.
    delta: Descriptor,
    manifest_bytes: u64,
}

impl Search<'_> {
    /// Makes what it can of `missing`, and takes that out of it. Tells which deltas were
    /// taken, and why others were passed over.
    pub(super) fn shorten(
        &self,
        missing: &mut Vec<Descriptor>,
        sink: &mut Sink,
        patch: &mut Patch<'_>,
        watch: &mut Watch<'_>,
    ) -> Result<(Vec<Taken>, Vec<String>), RegistryError> {
        let (mut deltas, mut passed_over) = (Vec::new(), Vec::new());
        for manifest in self.manifests {
            let mut children = Vec::new();
            read_children(sink.blobs(), manifest, 0, &mut children)?;
            let is_child =
                |one: &&Descriptor| children.iter().any(|it| it.digest() == one.digest());
            let wanted: Vec<Descriptor> = missing.iter().filter(is_child).cloned().collect();
            if bytes_of(&wanted) < LEAST_BYTES {
                continue;
            }
            match self.by_delta(manifest, &wanted, sink, patch, watch) {
                Ok(Some((taken, made))) => {
                    for bytes in made {
                        let digest = sink.put(&bytes)?;
                        missing.retain(|one| digest_of(one).ok() != Some(digest));
                    }
                    deltas.push(taken);
                }
                Ok(None) => {}
                Err(why) => passed_over.push(why),
            }
        }
        Ok((deltas, passed_over))
    }

    /// The best delta, applied: what was taken, and blobs of `wanted` that came out.
    fn by_delta(
        &self,
        manifest: &Descriptor,
        wanted: &[Descriptor],
        sink: &Sink,
        patch: &mut Patch<'_>,
        watch: &mut Watch<'_>,
    ) -> Result<Option<Made>, String> {
        let lacking = bytes_of(wanted);
        let found = self.best(manifest, lacking, sink, watch).map_err(told)?;
        let Some(candidate) = found else {
            return Ok(None);
        };
        let old = &candidate.old;
        let failed = |why: String| format!("the delta from {} was not taken: {why}", old.digest);
        let delta = self
            .session
            .blob_bytes(&candidate.delta, lacking, watch)
            .map_err(|error| failed(told(error)))?;
        let made = patch(old, wanted, &delta).map_err(|error| failed(in_one_line(&*error)))?;
        let mut taken = Taken {
            from: old.digest,
            bytes: candidate.delta.size() + candidate.manifest_bytes,
            blobs: 0,
            blob_bytes: 0,
        };
        let mut left = wanted.to_vec();
        let mut good = Vec::new();
        for bytes in made {
            let digest = Digest::of(&bytes);
            let is_it = |one: &Descriptor| {
                digest_of(one).ok() == Some(digest) && one.size() == bytes.len() as u64
            };
            if let Some(at) = left.iter().position(is_it) {
                left.swap_remove(at);
                taken.blobs += 1;
                taken.blob_bytes += bytes.len() as u64;
                good.push(bytes);
            }
        }
        match good.is_empty() {
            true => Err(failed("it makes nothing that is wanted".to_owned())),
            false => Ok(Some((taken, good))),
        }
    }

    /// The smallest delta from an image that is there, if one is smaller than what it saves.
    fn best(
        &self,
        manifest: &Descriptor,
        lacking: u64,
        sink: &Sink,
        watch: &mut Watch<'_>,
    ) -> Result<Option<Candidate>, RegistryError> {
        let subject = digest_of(manifest).map_err(BlobError::from)?;
        let listed = self.session.referrers(&subject, Some(DELTA), watch)?;
        let mut best: Option<Candidate> = None;
        let mut looked_at = 0;
        for one in listed {
            let kind = one.artifact_type().as_ref();
            if kind.is_none_or(|kind| kind.as_ref() != DELTA) || one.size() > DOCUMENT_LIMIT {
                continue;
            }
            // Where the list says from what it is, and that is not here, that is all.
            let stated = one
                .annotations()
                .as_ref()
                .and_then(|all| all.get(DELTA_FROM));
            if stated.is_some_and(|from| held(sink, from).is_none()) {
                continue;
            }
            looked_at += 1;
            if looked_at > MOST_LOOKED_AT {
                break;
            }
            let digest = digest_of(&one).map_err(BlobError::from)?;
            let place = self.remote.with_digest(digest);
            let document = match self.session.manifest(&place, Some(&one), watch) {
                Ok(document) => document,
                // A list outlives what was deleted.
                Err(RegistryError::NotFound { .. }) => continue,
                Err(error) => return Err(error),
            };
            let Ok(artifact) = from_json::<ImageManifest>(&document.bytes) else {
                continue;
            };
            let of = artifact
                .subject()
                .as_ref()
                .and_then(|of| digest_of(of).ok());
            let [delta] = &artifact.layers()[..] else {
                continue;
            };
            let from = artifact
                .annotations()
                .as_ref()
                .and_then(|all| all.get(DELTA_FROM));
            let Some(old) = from.and_then(|from| held(sink, from)) else {
                continue;
            };
            let is_better = best
                .as_ref()
                .is_none_or(|best| delta.size() < best.delta.size());
            let pays = delta.size().saturating_add(one.size()) < lacking;
            if of == Some(subject) && delta.media_type().as_ref() == DELTA && pays && is_better {
                best = Some(Candidate {
                    old,
                    delta: delta.clone(),
                    manifest_bytes: one.size(),
                });
            }
        }
        Ok(best)
    }
}

fn bytes_of(blobs: &[Descriptor]) -> u64 {
    let sizes = blobs.iter().map(Descriptor::size);
    sizes.fold(0, u64::saturating_add)
}

/// The image of a manifest's digest, if it is in the layout, or in the one that lends.
fn held(sink: &Sink, digest: &str) -> Option<Image> {
    let digest: Digest = digest.parse().ok()?;
    let own = [Some(sink.blobs()), sink.lender()];
    own.into_iter()
        .flatten()
        .find_map(|blobs| of_digest(blobs, &digest))
}

/// Of its layers only that they are there: they are hashed as they are read.
fn of_digest(blobs: &Blobs, digest: &Digest) -> Option<Image> {
    let size = |digest: &Digest| Some(std::fs::metadata(blobs.path(digest)).ok()?.len());
    let manifest = descriptor(MediaType::ImageManifest, digest, size(digest)?);
    let image = Image::read(blobs.clone(), &manifest).ok()?;
    let mut layers = image.layers.iter();
    let is_there = layers.all(|layer| size(&layer.digest) == Some(layer.descriptor.size()));
    is_there.then_some(image)
}

fn told(error: RegistryError) -> String {
    in_one_line(&error)
}
