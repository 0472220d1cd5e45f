//! `ounce tag`: a further name for an image.

use std::process::ExitCode;

use super::Context;
use crate::arguments::TagArguments;
use crate::failure::Failure;

/// Names it.
pub(crate) fn run(context: &Context, arguments: TagArguments) -> Result<ExitCode, Failure> {
    context.store()?.tag(&arguments.from, &arguments.to)?;
    context
        .output
        .note(&format!("{} is now also {}", arguments.from, arguments.to));
    Ok(ExitCode::SUCCESS)
}
