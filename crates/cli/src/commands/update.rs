//! `ounce update`: of a project, its lock moves (which `base` knows); of a device, the
//! images of its services do.
//!
//! One step of an update follows from the other: `names` keeps in the store which image
//! is which, `proof` tells whether one is well, and `services` goes from step to step.

mod names;
mod proof;
mod services;

use std::process::ExitCode;

use super::{Context, base};
use crate::arguments::bases::UpdateArguments;
use crate::failure::{Failure, Kind};

/// Updates whatever stands at the path.
pub(crate) fn run(context: &Context, arguments: UpdateArguments) -> Result<ExitCode, Failure> {
    // As `ounce serve` tells a file of services.
    if arguments.path.extension().is_some_and(|end| end == "toml") {
        return services::run(context, &arguments);
    }
    match arguments.services.given() {
        None => base::update(context, arguments),
        Some(flag) => Err(Failure::new(
            Kind::Usage,
            format!(
                "{flag} is for services, and {} is a project or a lock",
                arguments.path.display()
            ),
        )
        .hint("name the file of services: ounce update ounce-serve.toml")),
    }
}
