//! `ounce kill`: sends a signal to containers.

use std::process::ExitCode;

use ounce_run::runtime::lifecycle::signal_number;

use super::Context;
use super::stop::each;
use crate::arguments::containers::KillArguments;
use crate::failure::{Failure, Kind};

/// Sends it to each.
pub(crate) fn run(context: &Context, arguments: &KillArguments) -> Result<ExitCode, Failure> {
    let signal =
        signal_number(&arguments.signal).map_err(|error| Failure::new(Kind::Usage, error))?;
    let containers = context.containers();
    each(context, &arguments.names, |name| {
        Ok(containers.signal(name, signal)?)
    })
}
