//! `ounce proxy`: carries connections into a container's network. Started by
//! `run`, which tells it by a socket what to do.

use std::process::ExitCode;

use crate::failure::{Failure, Kind};

/// Serves until the container ends.
pub(crate) fn run() -> Result<ExitCode, Failure> {
    ounce_run::proxy::main().map_err(|error| Failure::new(Kind::Start, error))?;
    Ok(ExitCode::SUCCESS)
}
