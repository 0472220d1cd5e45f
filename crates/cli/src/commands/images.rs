//! `ounce images`: the names in the store.

use std::process::ExitCode;

use ounce_oci::ByteSize;
use serde::Serialize;

use super::Context;
use crate::failure::Failure;
use crate::render::table::{Align, Table};

#[derive(Serialize)]
struct Document {
    schema: &'static str,
    images: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    name: String,
    digest: String,
    platforms: Vec<String>,
    /// As pulled, of all platforms together.
    pulled_bytes: u64,
    layers: usize,
}

/// Lists them.
pub(crate) fn run(context: &Context) -> Result<ExitCode, Failure> {
    let store = context.store()?;
    let mut rows = Vec::new();
    for named in store.names()? {
        let images = store.images_of(&named.reference)?;
        rows.push(Row {
            name: named.reference.to_string(),
            digest: named.descriptor.digest().to_string(),
            platforms: images
                .iter()
                .map(|image| image.platform.to_string())
                .collect(),
            pulled_bytes: images.iter().map(|image| image.pulled_bytes()).sum(),
            layers: images
                .iter()
                .map(|image| image.layers.len())
                .max()
                .unwrap_or(0),
        });
    }
    if context.output.json {
        context.output.document(&Document {
            schema: "ounce.images/1",
            images: rows,
        })?;
        return Ok(ExitCode::SUCCESS);
    }
    if rows.is_empty() {
        context
            .output
            .note("no images yet: `ounce up PATH` or `ounce build PATH` makes one");
    }
    let mut table = Table::new(&[
        ("NAME", Align::Left),
        ("PLATFORM", Align::Left),
        ("PULLED", Align::Right),
        ("LAYERS", Align::Right),
        ("DIGEST", Align::Left),
    ]);
    for row in &rows {
        table.row([
            row.name.clone(),
            row.platforms.join(","),
            ByteSize(row.pulled_bytes).to_string(),
            row.layers.to_string(),
            row.digest.chars().take("sha256:".len() + 12).collect(),
        ]);
    }
    if !table.is_empty() {
        context.output.text(&table.text(context.output.color))?;
    }
    Ok(ExitCode::SUCCESS)
}
