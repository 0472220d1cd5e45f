//! `ounce inspect`: an image's manifest and configuration as they are, or what
//! is known of a container.

use std::process::ExitCode;

use ounce_oci::model::{ImageConfiguration, ImageManifest};
use ounce_oci::{Place, Platform};
use ounce_run::containers::{Record, Running, Status};
use ounce_run::runtime::state::rfc3339;
use serde::Serialize;

use super::Context;
use super::rm::is_container;
use crate::arguments::InspectArguments;
use crate::failure::Failure;

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    digest: String,
    platform: String,
    pulled_bytes: u64,
    manifest: &'a ImageManifest,
    config: &'a ImageConfiguration,
}

#[derive(Serialize)]
struct OfContainer<'a> {
    schema: &'static str,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_code: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended: Option<String>,
    folder: &'a std::path::Path,
    running: Option<&'a Running>,
    container: &'a Record,
}

/// Prints it; the document is JSON with or without `--json`.
pub(crate) fn run(context: &Context, arguments: InspectArguments) -> Result<ExitCode, Failure> {
    let containers = context.containers();
    let only = match (arguments.container, arguments.image) {
        (false, false) => None,
        (is_container, _) => Some(is_container),
    };
    if is_container(context, &containers, only, &arguments.name, "inspect")? {
        let seen = containers.find(&arguments.name)?;
        let ended = match seen.status {
            Status::Exited(ended) => Some(ended),
            _ => None,
        };
        context.output.document(&OfContainer {
            schema: "ounce.inspect-container/1",
            status: seen.status.name(),
            exit_code: ended.map(|ended| ended.exit.code()),
            ended: ended.map(|ended| rfc3339(ended.seconds, 0)),
            folder: &seen.path,
            running: seen.running.as_ref(),
            container: &seen.record,
        })?;
        return Ok(ExitCode::SUCCESS);
    }
    let place = super::place(&arguments.name)?;
    let platform = arguments.platform.unwrap_or_else(Platform::host);
    let image = match &place {
        // Its layers are not looked at, so they need not come.
        Place::Registry(remote) => {
            let registry = context.registry(&Default::default());
            registry.documents(remote, &context.store()?, &platform)?
        }
        place => place.image(&context.store()?, &platform)?,
    };
    context.output.document(&Document {
        schema: "ounce.inspect/1",
        digest: image.digest.to_string(),
        platform: image.platform.to_string(),
        pulled_bytes: image.pulled_bytes(),
        manifest: &image.manifest,
        config: &image.config,
    })?;
    Ok(ExitCode::SUCCESS)
}
