//! The command line of `ounce update`, as far as it is about services of a device.
//! What it says of locks is in `bases`.

use std::time::Duration;

use clap::Args;

use super::registry::NetworkOptions;

pub(crate) const AFTER_HELP: &str = "\
Of a project, ounce.lock moves to the packages that the distributions have now:
  ounce update                          what moved is told
  ounce update --check                  exit code 1 if something would move

Of a device, the images of services move to what the registry has now:
  ounce serve ounce-serve.toml          keeps serving meanwhile; no request is lost
  ounce update ounce-serve.toml         fetched (by delta), verified, tried, switched, watched
  ounce update ounce-serve.toml --back  to what ran before

A new image takes over only if it is signed by the service's `key` and answers its `health`;
what does not do well in the service's place gives way to what ran before. docs/update.md";

/// What is said of services.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Of services")]
pub(crate) struct ServicesOptions {
    /// This service alone; can stand several times [default: all of the file]
    #[arg(long, value_name = "NAME")]
    pub(crate) service: Vec<String>,
    /// How long a new image has to do well in the service's place [default: 10s]
    #[arg(long, value_name = "TIME", value_parser = ounce_run::serve::duration)]
    pub(crate) watch: Option<Duration>,
    /// Go back to the image that was there before the last update
    #[arg(long, conflicts_with = "check")]
    pub(crate) back: bool,
    /// Fetch blobs whole, even where the registry has a delta
    #[arg(long)]
    pub(crate) no_delta: bool,
    #[command(flatten)]
    pub(crate) network: NetworkOptions,
}

impl ServicesOptions {
    /// The flag that says something which a lock has no use for, if one was given.
    pub(crate) fn given(&self) -> Option<&'static str> {
        let given = [
            (!self.service.is_empty(), "--service"),
            (self.watch.is_some(), "--watch"),
            (self.back, "--back"),
            (self.no_delta, "--no-delta"),
        ];
        given.into_iter().find(|(is, _)| *is).map(|(_, name)| name)
    }
}
