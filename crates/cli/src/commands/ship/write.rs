//! A shipment on stdout, in a folder, or as a document.

use std::fs;
use std::path::Path;

use ounce_ship::shipment::{Created, File};
use ounce_ship::{Shipment, Target};
use serde::Serialize;

use super::application::Shipped;
use crate::arguments::ship::ShipOptions;
use crate::commands::{Context, write_file};
use crate::failure::{Failure, Kind};

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    target: String,
    name: &'a str,
    image: String,
    digest: String,
    platforms: Vec<String>,
    /// Where they were written to.
    #[serde(skip_serializing_if = "Option::is_none")]
    folder: Option<&'a Path>,
    files: Vec<Written<'a>>,
    creates: &'a [Created],
    notes: Vec<&'a String>,
    next: &'a [String],
}

#[derive(Serialize)]
struct Written<'a> {
    path: &'a str,
    bytes: usize,
    /// Where it was not written, and is text.
    #[serde(skip_serializing_if = "Option::is_none")]
    contents: Option<&'a str>,
}

/// Prints or writes it.
pub(super) fn out(
    context: &Context,
    shipped: &Shipped,
    target: &Target,
    shipment: &Shipment,
    options: &ShipOptions,
) -> Result<(), Failure> {
    if let Some(folder) = &options.output {
        for file in &shipment.files {
            put(folder, file)?;
        }
    }
    if context.output.json {
        let written = options.output.is_some();
        let files = shipment
            .files
            .iter()
            .filter(|file| !file.path.ends_with('/'));
        return context.output.document(&Document {
            schema: "ounce.ship/1",
            target: target.to_string(),
            name: &shipped.application.name,
            image: shipped.application.reference(),
            digest: shipped.application.digest.to_string(),
            platforms: shipped
                .application
                .platforms
                .iter()
                .map(ToString::to_string)
                .collect(),
            folder: options.output.as_deref(),
            files: files
                .map(|file| Written {
                    path: &file.path,
                    bytes: file.contents.len(),
                    contents: file.as_text().filter(|_| !written),
                })
                .collect(),
            creates: &shipment.creates,
            notes: shipped.notes.iter().chain(&shipment.notes).collect(),
            next: &shipment.next,
        });
    }
    match &options.output {
        Some(folder) => {
            let files = shipment
                .files
                .iter()
                .filter(|file| !file.path.ends_with('/'));
            let lines = files.map(|file| format!("{}\n", folder.join(&file.path).display()));
            context.output.text(&lines.collect::<String>())?;
            context.output.note(&format!("in {}:", folder.display()));
            for command in &shipment.next {
                context.output.note(&format!("  {command}"));
            }
            Ok(())
        }
        None => context.output.text(&shown(target, shipment)),
    }
}

/// The main files as one text: documents of YAML are one stream, others have
/// their names above them.
pub(super) fn shown(target: &Target, shipment: &Shipment) -> String {
    let shown: Vec<&File> = shipment.files.iter().filter(|file| file.is_shown).collect();
    let text = |file: &File| String::from_utf8_lossy(&file.contents).into_owned();
    match (&shown[..], target) {
        ([only], _) => text(only),
        (several, Target::Kubernetes) => several
            .iter()
            .map(|file| format!("---\n{}", text(file)))
            .collect(),
        (several, _) => several
            .iter()
            .map(|file| format!("# {}\n{}\n", file.path, text(file)))
            .collect(),
    }
}

/// Writes one file below a folder; a path that ends with `/` is a folder.
pub(in crate::commands) fn put(folder: &Path, file: &File) -> Result<(), Failure> {
    let path = folder.join(&file.path);
    let fault = |path: &Path, error: std::io::Error| {
        Failure::new(Kind::Host, format!("making {}: {error}", path.display()))
    };
    let parent = match file.path.ends_with('/') {
        true => Some(path.as_path()),
        false => path.parent(),
    };
    if let Some(parent) = parent {
        fs::create_dir_all(parent).map_err(|error| fault(parent, error))?;
    }
    if file.path.ends_with('/') {
        return Ok(());
    }
    write_file(&path, &file.contents)?;
    if file.is_program {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(&path, mode).map_err(|error| fault(&path, error))?;
    }
    Ok(())
}
