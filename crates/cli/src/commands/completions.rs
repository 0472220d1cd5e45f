//! `ounce completions`: what a shell needs to complete ounce's command line.

use std::process::ExitCode;

use clap::CommandFactory;

use super::Context;
use crate::arguments::{Arguments, CompletionsArguments};
use crate::failure::Failure;

/// Prints the script.
pub(crate) fn run(context: &Context, arguments: CompletionsArguments) -> Result<ExitCode, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(
        arguments.shell,
        &mut Arguments::command(),
        "ounce",
        &mut script,
    );
    context.output.text(&String::from_utf8_lossy(&script))?;
    Ok(ExitCode::SUCCESS)
}
