//! `ounce rm`: removes containers, takes names of images away, and deletes images
//! in registries (`docker://`).
//!
//! A name that is both is refused: to remove the wrong one of the two would be
//! the worse surprise.

use std::process::ExitCode;

use ounce_oci::Reference;
use ounce_oci::registry::Remote;
use ounce_oci::store::StoreError;
use ounce_run::containers::Containers;

use super::Context;
use crate::arguments::RmArguments;
use crate::failure::{Failure, Kind};

/// Removes each; the first that cannot be ends it, with those before it gone.
pub(crate) fn run(context: &Context, arguments: RmArguments) -> Result<ExitCode, Failure> {
    let containers = context.containers();
    let only = match (arguments.container, arguments.image) {
        (false, false) => None,
        (is_container, _) => Some(is_container),
    };
    for name in &arguments.names {
        if let Some(remote) = name.strip_prefix("docker://") {
            let remote = remote
                .parse::<Remote>()
                .map_err(|error| Failure::new(Kind::Usage, error))?;
            context.registry(&Default::default()).delete(&remote)?;
            context.output.note(&format!("deleted {remote}"));
        } else if is_container(context, &containers, only, name, "rm")? {
            containers.remove(name, arguments.force)?;
            context.output.note(&format!("removed container {name}"));
        } else {
            let reference = reference(name)?;
            context.store()?.remove(&reference).map_err(|error| {
                let missing = matches!(error, StoreError::NotFound { .. });
                let failure = Failure::from(error);
                match missing {
                    true => failure.hint("`ounce ps -a` lists the containers: there is none so"),
                    false => failure,
                }
            })?;
            context.output.note(&format!("removed {reference}"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn reference(name: &str) -> Result<Reference, Failure> {
    name.parse()
        .map_err(|error| Failure::new(Kind::Usage, error))
}

/// Whether a name means a container: what was said, or what there is.
pub(super) fn is_container(
    context: &Context,
    containers: &Containers,
    only: Option<bool>,
    name: &str,
    verb: &str,
) -> Result<bool, Failure> {
    if let Some(is_container) = only {
        return Ok(is_container);
    }
    if !containers.has(name) {
        return Ok(false);
    }
    let is_image = name.parse::<Reference>().is_ok_and(|reference| {
        let named = context.store().ok().and_then(|store| store.names().ok());
        named.is_some_and(|names| names.iter().any(|named| named.reference == reference))
    });
    match is_image {
        true => Err(
            Failure::new(Kind::Usage, format!("{name:?} is a container and an image")).hint(
                format!("ounce {verb} --container {name}, or ounce {verb} --image {name}"),
            ),
        ),
        false => Ok(true),
    }
}
