//! `ounce rm`: takes names away.

use std::process::ExitCode;

use super::Context;
use crate::arguments::RmArguments;
use crate::failure::Failure;

/// Takes each away; the first that is not there ends it, with those before it gone.
pub(crate) fn run(context: &Context, arguments: RmArguments) -> Result<ExitCode, Failure> {
    let store = context.store()?;
    for name in &arguments.names {
        store.remove(name)?;
        context.output.note(&format!("removed {name}"));
    }
    Ok(ExitCode::SUCCESS)
}
