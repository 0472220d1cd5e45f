//! `ounce tags`: the tags of a repository.

use std::process::ExitCode;

use serde::Serialize;

use super::Context;
use crate::arguments::registry::TagsArguments;
use crate::failure::{Failure, shown};

#[derive(Serialize)]
struct Document {
    schema: &'static str,
    repository: String,
    tags: Vec<String>,
}

/// Lists them, in the registry's order.
pub(crate) fn run(context: &Context, arguments: TagsArguments) -> Result<ExitCode, Failure> {
    let registry = context.registry(&arguments.network);
    let tags = registry.tags(&arguments.repository)?;
    if context.output.json {
        context.output.document(&Document {
            schema: "ounce.tags/1",
            repository: arguments.repository.name(),
            tags,
        })?;
        return Ok(ExitCode::SUCCESS);
    }
    if tags.is_empty() {
        context.output.note("it has no tags");
    }
    let lines: Vec<String> = tags.iter().map(|tag| shown(tag) + "\n").collect();
    context.output.text(&lines.concat())?;
    Ok(ExitCode::SUCCESS)
}
