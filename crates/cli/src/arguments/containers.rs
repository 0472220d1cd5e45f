//! The command lines of what is asked of containers that run, or have run.

use clap::Args;

/// `ounce ps`.
#[derive(Debug, Args)]
pub(crate) struct PsArguments {
    /// Show those that have ended, too
    #[arg(long, short)]
    pub(crate) all: bool,
    /// Print the names alone
    #[arg(long, conflicts_with = "json")]
    pub(crate) names: bool,
}
