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
use crate::arguments::bases::{PackageOptions, UpdateArguments};
use crate::failure::{Failure, Kind};

/// Updates whatever stands at the path.
pub(crate) fn run(context: &Context, arguments: UpdateArguments) -> Result<ExitCode, Failure> {
    // As `ounce serve` tells a file of services.
    if arguments.path.extension().is_some_and(|end| end == "toml") {
        if let Some(flag) = of_lock(&arguments.packages) {
            let why = format!(
                "{flag} is for a lock, and {} is a file of services",
                arguments.path.display()
            );
            return Err(Failure::new(Kind::Usage, why)
                .hint("a project's lock is updated by its folder: ounce update ."));
        }
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

/// The flag that says something which services have no use for, if one was given.
fn of_lock(options: &PackageOptions) -> Option<&'static str> {
    let given = [
        (!options.packages.is_empty(), "--with"),
        (options.suite.is_some(), "--suite"),
        (!options.components.is_empty(), "--component"),
        (options.mirror.is_some(), "--mirror"),
        (!options.keyring.is_empty(), "--keyring"),
        (options.lock.is_some(), "--lock"),
    ];
    given.into_iter().find(|(is, _)| *is).map(|(_, name)| name)
}
