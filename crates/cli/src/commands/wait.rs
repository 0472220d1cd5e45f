//! `ounce wait`: the exit codes of containers, once they have ended.

use std::process::ExitCode;

use serde::Serialize;

use super::Context;
use crate::arguments::containers::WaitArguments;
use crate::failure::Failure;

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    ended: Vec<Row<'a>>,
}

#[derive(Serialize)]
struct Row<'a> {
    name: &'a str,
    exit_code: u8,
}

/// Waits for each in turn, and prints a code a line.
pub(crate) fn run(context: &Context, arguments: &WaitArguments) -> Result<ExitCode, Failure> {
    let containers = context.containers();
    let mut ended = Vec::new();
    for name in &arguments.names {
        let exit_code = containers.wait(name)?.code();
        if !context.output.json {
            context.output.text(&format!("{exit_code}\n"))?;
        }
        ended.push(Row { name, exit_code });
    }
    if context.output.json {
        context.output.document(&Document {
            schema: "ounce.wait/1",
            ended,
        })?;
    }
    Ok(ExitCode::SUCCESS)
}
