//! `ounce push`: an image from the store, or from a place, to a registry.

use std::process::ExitCode;

use ounce_oci::place::Source;
use ounce_oci::registry::{PushOptions, Pushed, Registry, Remote, Which};
use ounce_oci::{ByteSize, Place};
use serde::Serialize;

use super::Context;
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
    let pushed = send(context, &registry, &source, &to)?;
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
        })?;
    } else {
        let text = format!("{}@{}\n", to.name(), pushed.root.digest());
        context.output.text(&text)?;
    }
    Ok(ExitCode::SUCCESS)
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
