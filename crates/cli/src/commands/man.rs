//! `ounce man`: the manual, from the one clap definition.

use std::process::ExitCode;

use clap::CommandFactory;

use super::Context;
use crate::arguments::{Arguments, ManArguments};
use crate::failure::{Failure, Kind};

/// Prints ounce(1), or writes a page a command.
pub(crate) fn run(context: &Context, arguments: ManArguments) -> Result<ExitCode, Failure> {
    let command = Arguments::command();
    match arguments.out {
        None => {
            let mut page = Vec::new();
            clap_mangen::Man::new(command)
                .render(&mut page)
                .map_err(|error| Failure::new(Kind::Bug, error))?;
            context.output.text(&String::from_utf8_lossy(&page))?;
        }
        Some(folder) => {
            std::fs::create_dir_all(&folder)
                .and_then(|()| clap_mangen::generate_to(command, &folder))
                .map_err(|error| {
                    Failure::new(
                        Kind::Host,
                        format!("writing pages to {}: {error}", folder.display()),
                    )
                })?;
            context.output.note(&format!(
                "read them with: man -l {}",
                folder.join("ounce.1").display()
            ));
        }
    }
    Ok(ExitCode::SUCCESS)
}
