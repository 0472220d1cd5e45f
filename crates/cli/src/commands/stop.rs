//! `ounce stop`: ends containers, as gently as they allow.

use std::process::ExitCode;

use super::Context;
use crate::arguments::containers::StopArguments;
use crate::failure::Failure;
use crate::output::warn;

/// Ends each. One that cannot be ended is told, and the others are ended all the same.
pub(crate) fn run(context: &Context, arguments: &StopArguments) -> Result<ExitCode, Failure> {
    let containers = context.containers();
    each(context, &arguments.names, |name| {
        Ok(containers.stop(name, arguments.time)?)
    })
}

/// Does it to each of the names, which are printed where it went well; the exit
/// code is that of the last failure.
pub(super) fn each(
    context: &Context,
    names: &[String],
    mut act: impl FnMut(&str) -> Result<(), Failure>,
) -> Result<ExitCode, Failure> {
    let mut code = ExitCode::SUCCESS;
    for name in names {
        match act(name) {
            Ok(()) => context.output.text(&format!("{name}\n"))?,
            Err(failure) => {
                warn(failure.text().trim_end());
                code = failure.exit_code();
            }
        }
    }
    Ok(code)
}
