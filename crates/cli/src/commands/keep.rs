//! `ounce keep`: starts a detached container and becomes its keeper. Started
//! by `run -d`, and by the keeper at a restart; read by hand, since clap would
//! cost more than the rest.

use std::process::ExitCode;

use ounce_run::containers::keep::{self, KeepError, SUBCOMMAND};
use ounce_run::network;

use crate::failure::{Failure, Kind};
use crate::output::warn;

/// Whether the program was called so, or as `ounce beside`, and what came of it
/// then: where it succeeds, this process is another program by now.
pub(crate) fn intercept() -> Option<ExitCode> {
    let mut words = std::env::args_os().skip(1);
    let verb = words.next()?;
    if verb == network::SUBCOMMAND {
        let error = match network::main(words) {
            Ok(never) => match never {},
            Err(error) => error,
        };
        warn(&format!("error: {error}"));
        return Some(Kind::Start.code().into());
    }
    if verb != SUBCOMMAND {
        return None;
    }
    let error = match keep::main(words) {
        Ok(never) => match never {},
        Err(error) => error,
    };
    let failure = Failure::from(error);
    warn(failure.text().trim_end());
    Some(failure.exit_code())
}

impl From<KeepError> for Failure {
    fn from(error: KeepError) -> Self {
        let failure = match error {
            KeepError::Start(error) => Self::from(error),
            KeepError::State(error) => Self::from(error),
            KeepError::Proxy(error) => Self::from(error),
            KeepError::Words => Self::new(Kind::Usage, error),
            KeepError::Image { .. } => {
                Self::new(Kind::Host, error).hint("another ounce removes it just now: try again")
            }
            error => Self::new(Kind::Host, error),
        };
        // As `run` has it: the codes below are the program's.
        Self {
            kind: match failure.kind {
                Kind::NotExecutable | Kind::NotFound | Kind::Bug => failure.kind,
                _ => Kind::Start,
            },
            ..failure
        }
    }
}
