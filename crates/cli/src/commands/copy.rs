//! `ounce copy`: an image from one place to another, digests kept.

use std::process::ExitCode;

use ounce_oci::registry::Which;
use ounce_oci::{Place, Reference};

use super::Context;
use super::push::{open, send};
use crate::arguments::CopyArguments;
use crate::failure::{Failure, Kind};
use crate::render::progress::Progress;

/// Copies it; an index with all its images.
pub(crate) fn run(context: &Context, arguments: CopyArguments) -> Result<ExitCode, Failure> {
    let store = context.store()?;
    let (from, to) = (
        super::reached(arguments.from)?,
        super::reached(arguments.to)?,
    );
    if arguments.referrers && !to.takes_artifacts() {
        return Err(Failure::new(
            Kind::Usage,
            format!("nothing but the image can be copied to {to}"),
        )
        .hint("oci:DIR, oci-archive:FILE and registries hold artifacts, too"));
    }
    let registry = context.registry(&arguments.network);
    match (&from, &to) {
        (Place::Store(from), Place::Store(to)) => store.tag(from, to)?,
        (Place::Registry(remote), Place::Store(name)) => {
            let mut progress = Progress::new(context.output, "copying");
            registry.pull(remote, &store, name, &Which::All, &mut |event| {
                progress.registry(event);
            })?;
        }
        (from, Place::Registry(remote)) => {
            let source = open(context, &registry, from)?;
            send(context, &registry, &source, remote)?;
        }
        (from, to) => {
            let mut source = open(context, &registry, from)?;
            if !arguments.referrers && !matches!(to, Place::Store(_)) {
                source.hanging.clear();
            }
            to.write(&store, &source, &name_of(from)?)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What an image is called where it goes to a place that names it by nothing else.
fn name_of(from: &Place) -> Result<Reference, Failure> {
    Ok(match from {
        Place::Store(name) | Place::DockerArchive(_, Some(name)) | Place::Engine(_, name) => {
            name.clone()
        }
        Place::Registry(remote) => remote.stored_name(),
        Place::OciDir(path, tag) | Place::OciArchive(path, tag) => {
            let named = tag.as_ref().and_then(|tag| tag.parse::<Reference>().ok());
            named.unwrap_or_else(|| by_path(path))
        }
        Place::DockerArchive(path, None) => by_path(path),
    })
}

/// The file's name as far as it can be an image's.
fn by_path(path: &std::path::Path) -> Reference {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let name: String = stem
        .to_ascii_lowercase()
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .take(60)
        .collect();
    Reference {
        name: if name.is_empty() {
            "image".to_owned()
        } else {
            name
        },
        tag: Some("latest".to_owned()),
        digest: None,
    }
}
