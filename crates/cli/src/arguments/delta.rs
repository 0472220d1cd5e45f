//! The command line of `ounce delta`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum, ValueHint};
use ounce_oci::Platform;

const AFTER_HELP: &str = "\
Examples:
  ounce delta app:1 app:2 -o app.delta          between two images in the store
  ounce delta apply app:1 app.delta -o app:2    the same image, digest and all
  ounce delta --for device fw-1.bin fw-2.bin -o fw.delta
                                                firmware, applied in 16 KB of memory
  ounce delta old-program new-program           how large would it be?

A name with a slash or a dot in front, or one of a file that is there, is a file; else
it is an image. Whatever comes out of `apply` has the digest that the delta states.";

/// `ounce delta`.
#[derive(Debug, Args)]
#[command(
    after_help = AFTER_HELP,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true
)]
pub(crate) struct DeltaArguments {
    #[command(subcommand)]
    pub(crate) verb: Option<DeltaVerb>,
    /// What the devices have: an image, a program, a firmware
    #[arg(value_name = "OLD", required = true, value_hint = ValueHint::AnyPath)]
    pub(crate) old: Option<String>,
    /// What they are to have
    #[arg(value_name = "NEW", required = true, value_hint = ValueHint::AnyPath)]
    pub(crate) new: Option<String>,
    /// Where the delta goes; without, its size is told and nothing is written
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) output: Option<PathBuf>,
    /// Who applies it: `device` in 16 KB of memory, for files alone
    #[arg(long = "for", value_enum, value_name = "WHO", default_value = "host")]
    pub(crate) target: DeltaTarget,
    /// Platform, where an image has several [default: this machine's]
    #[arg(long, value_name = "OS/ARCH")]
    pub(crate) platform: Option<Platform>,
}

/// Who applies a delta.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DeltaTarget {
    /// ounce, on a machine with an operating system
    Host,
    /// The patcher without allocation, on a microcontroller
    Device,
}

/// What else can be done with deltas.
#[derive(Debug, Subcommand)]
pub(crate) enum DeltaVerb {
    /// Make the new image or file of the old one and a delta
    Apply(DeltaApplyArguments),
}

/// `ounce delta apply`.
#[derive(Debug, Args)]
pub(crate) struct DeltaApplyArguments {
    /// What the delta was made from
    #[arg(value_name = "OLD", value_hint = ValueHint::AnyPath)]
    pub(crate) old: String,
    /// The delta
    #[arg(value_name = "DELTA", value_hint = ValueHint::FilePath)]
    pub(crate) delta: PathBuf,
    /// Where the result goes: a file, or an image's name or place
    #[arg(long, short, value_name = "NEW", required = true, value_hint = ValueHint::AnyPath)]
    pub(crate) output: String,
    /// Platform, where an image has several [default: this machine's]
    #[arg(long, value_name = "OS/ARCH")]
    pub(crate) platform: Option<Platform>,
}
