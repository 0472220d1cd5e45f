//! `ounce inspect`: an image's manifest and configuration as they are.

use std::process::ExitCode;

use ounce_oci::Platform;
use ounce_oci::model::{ImageConfiguration, ImageManifest};
use serde::Serialize;

use super::Context;
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

/// Prints it; the document is JSON with or without `--json`.
pub(crate) fn run(context: &Context, arguments: InspectArguments) -> Result<ExitCode, Failure> {
    let platform = arguments.platform.unwrap_or_else(Platform::host);
    let image = arguments.image.image(&context.store()?, &platform)?;
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
