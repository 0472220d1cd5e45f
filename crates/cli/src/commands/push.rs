//! `ounce push`: an image from the store, or from a place, to a registry.

use std::collections::HashMap;
use std::process::ExitCode;

use ounce_oci::artifact::{DELTA, DELTA_FROM};
use ounce_oci::place::Source;
use ounce_oci::registry::{Artifact, ArtifactBlob, PushOptions, Pushed, Registry, Remote, Which};
use ounce_oci::{ByteSize, Digest, Image, Place, Reference};
use serde::Serialize;

use super::Context;
use super::delta::image;
use crate::arguments::registry::PushArguments;
use crate::failure::{Failure, Kind};
use crate::render::progress::Progress;

#[derive(Serialize)]
struct Document {
    schema: &'static str,
    to: String,
    digest: String,
    sent_blobs: usize,
    sent_bytes: u64,
    mounted_blobs: usize,
    present_blobs: usize,
    unchanged: bool,
    /// Deltas that were asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    deltas: Vec<DeltaRow>,
}

/// A delta that hangs on the image now, or would be of no use.
#[derive(Serialize)]
struct DeltaRow {
    /// As it was asked for.
    from: String,
    /// The old image's manifest.
    from_digest: String,
    /// The new one's.
    digest: String,
    platform: String,
    delta_bytes: u64,
    /// What whoever has the old one would fetch without it.
    full_bytes: u64,
    pushed: bool,
}

/// Pushes it.
pub(crate) fn run(context: &Context, arguments: PushArguments) -> Result<ExitCode, Failure> {
    let to = match (&arguments.to, &arguments.image) {
        (Some(to), _) => to.clone(),
        (None, Place::Store(name)) if has_host(&name.name) => name
            .to_string()
            .parse()
            .map_err(|error| Failure::new(Kind::Usage, error))?,
        (None, image) => {
            let why = format!("{image} says not to which registry");
            return Err(Failure::new(Kind::Usage, why)
                .hint(format!("say where: ounce push {image} HOST/NAME:TAG")));
        }
    };
    let registry = context.registry(&arguments.network);
    let store = context.store()?;
    let mut source = open(context, &registry, &arguments.image)?;
    if let Some(compression) = arguments.compression {
        let anew = Registry::recompress(&store, &source.blobs, &source.root, compression.into())?;
        if let Some((blobs, root)) = anew {
            // What hangs on it names it by the digest that it had.
            if !source.hanging.is_empty() {
                context.output.note(
                    "note: compressed anew it is another image: signatures and bills of \
                     materials of the old one stay behind",
                );
            }
            source = Source {
                blobs,
                root,
                hanging: Vec::new(),
            };
        }
    }
    // Before the push: the tag may be the one that is about to move.
    let old = old_images(context, &registry, &to, &arguments.delta_from)?;
    let pushed = send(context, &registry, &source, &to)?;
    let deltas = hang_deltas(context, &registry, &source, &to, &old)?;
    if context.output.json {
        context.output.document(&Document {
            schema: "ounce.push/1",
            to: to.to_string(),
            digest: pushed.root.digest().to_string(),
            sent_blobs: pushed.sent,
            sent_bytes: pushed.sent_bytes,
            mounted_blobs: pushed.mounted,
            present_blobs: pushed.present,
            unchanged: pushed.unchanged,
            deltas,
        })?;
    } else {
        let text = format!("{}@{}\n", to.name(), pushed.root.digest());
        context.output.text(&text)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// An image that devices have: what it was called, and its images.
type Old = (String, Vec<Image>);

/// The images that deltas are to begin at.
fn old_images(
    context: &Context,
    registry: &Registry,
    to: &Remote,
    from: &[String],
) -> Result<Vec<Old>, Failure> {
    let store = context.store()?;
    let of = |text: &String| -> Result<Old, Failure> {
        let images = if let Ok(digest) = text.parse::<Digest>() {
            registry.images(&to.with_digest(digest), &store, &mut |_| ())?
        } else if text.contains([':', '/', '@']) {
            let name = text.parse::<Reference>();
            store.images_of(&name.map_err(|error| Failure::new(Kind::Usage, error))?)?
        } else {
            registry.images(&to.with_tag(text), &store, &mut |_| ())?
        };
        Ok((text.clone(), images))
    };
    from.iter().map(of).collect()
}

/// Hangs a delta on each image that was pushed, from each older one for the same
/// platform, where that is smaller than the blobs.
fn hang_deltas(
    context: &Context,
    registry: &Registry,
    source: &Source,
    to: &Remote,
    old: &[Old],
) -> Result<Vec<DeltaRow>, Failure> {
    let mut rows = Vec::new();
    if old.is_empty() {
        return Ok(rows);
    }
    for new in source.images()? {
        for (from, images) in old {
            let Some(before) = images.iter().find(|one| one.platform == new.platform) else {
                context.output.note(&format!(
                    "note: {from} has no image for {}: no delta",
                    new.platform
                ));
                continue;
            };
            if before.digest == new.digest {
                context
                    .output
                    .note(&format!("note: {from} is the same image: no delta"));
                continue;
            }
            let (delta, full_bytes) = image::delta(before, &new)?;
            let delta_bytes = delta.len() as u64;
            let pays = delta_bytes < full_bytes;
            let (delta_size, full_size) = (ByteSize(delta_bytes), ByteSize(full_bytes));
            if pays {
                registry.push_artifact(to, Some(&new.descriptor), &artifact(before, delta))?;
                context.output.note(&format!(
                    "with a delta from {from} for {}: {delta_size} in place of {full_size}",
                    new.platform
                ));
            } else {
                context.output.note(&format!(
                    "note: no delta from {from} for {}: {delta_size} is not less than {full_size}",
                    new.platform
                ));
            }
            rows.push(DeltaRow {
                from: from.clone(),
                from_digest: before.digest.to_string(),
                digest: new.digest.to_string(),
                platform: new.platform.to_string(),
                delta_bytes,
                full_bytes,
                pushed: pays,
            });
        }
    }
    Ok(rows)
}

/// A delta as a registry has it.
fn artifact(before: &Image, delta: Vec<u8>) -> Artifact {
    let from = (DELTA_FROM.to_owned(), before.digest.to_string());
    Artifact {
        artifact_type: DELTA.to_owned(),
        config: None,
        blobs: vec![ArtifactBlob {
            media_type: DELTA.to_owned(),
            bytes: delta,
            annotations: HashMap::new(),
        }],
        annotations: HashMap::from([from]),
    }
}

/// Whether a name's first part is a host (docker's rule).
pub(super) fn has_host(name: &str) -> bool {
    name.split_once('/')
        .is_some_and(|(first, _)| first.contains(['.', ':']) || first == "localhost")
}

/// Sends it, with a picture of how far it is, and tells what was done.
pub(super) fn send(
    context: &Context,
    registry: &Registry,
    source: &Source,
    to: &Remote,
) -> Result<Pushed, Failure> {
    let options = PushOptions::of_store(&context.store()?, to)?;
    let mut progress = Progress::new(context.output, "pushing");
    let pushed = registry.push(&source.blobs, &source.root, to, &options, &mut |event| {
        progress.registry(event);
    });
    drop(progress);
    let pushed = pushed?;
    context.output.note(&told(&pushed));
    if !source.hanging.is_empty() {
        let (blobs, hanging) = (&source.blobs, &source.hanging);
        let store = context.store()?;
        let count = registry.push_hanging(&store, blobs, hanging, to, &options, &mut |_| ())?;
        context.output.note(&format!(
            "with {count} that hang on it: signatures, bills of materials, statements"
        ));
    }
    Ok(pushed)
}

fn told(pushed: &Pushed) -> String {
    if pushed.unchanged {
        return "it was there already".to_owned();
    }
    let mut parts = vec![format!(
        "sent {} blobs of {}",
        pushed.sent,
        ByteSize(pushed.sent_bytes)
    )];
    if pushed.mounted > 0 {
        parts.push(format!(
            "{} taken from other repositories there",
            pushed.mounted
        ));
    }
    if pushed.present > 0 {
        parts.push(format!("{} there already", pushed.present));
    }
    parts.join("; ")
}

/// What is at a place, to be copied elsewhere; of a registry, an index whole.
pub(super) fn open(
    context: &Context,
    registry: &Registry,
    from: &Place,
) -> Result<Source, Failure> {
    let store = context.store()?;
    let Place::Registry(remote) = from else {
        return Ok(from.open(&store)?);
    };
    let mut progress = Progress::new(context.output, "fetching");
    let fetched = registry.fetch(remote, &store, &Which::All, &mut |event| {
        progress.registry(event);
    });
    drop(progress);
    let (blobs, pulled) = fetched?;
    Ok(Source {
        blobs,
        root: pulled.root,
        hanging: Vec::new(),
    })
}
