//! `ounce ship IMAGE --to web`: a static folder for browser pages.

use std::process::ExitCode;

use ounce_oci::model::{self, ImageManifest, Role};
use ounce_oci::{ByteSize, Place};
use ounce_ship::web::{self, MODULE_TYPE, PageImage};
use serde::Serialize;

use super::write::put;
use crate::arguments::ship::ShipOptions;
use crate::commands::Context;
use crate::failure::{Failure, Kind};

/// Most bytes of a manifest, and of a module that pages take.
const MANIFEST_BYTES: u64 = 4 << 20;
const MODULE_BYTES: u64 = 64 << 20;

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    folder: &'a std::path::Path,
    manifest: String,
    manifest_digest: String,
    module_digest: String,
    module_bytes: usize,
    files: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_view: Option<&'a str>,
}

/// Writes the folder.
pub(super) fn run(
    context: &Context,
    place: &Place,
    options: &ShipOptions,
) -> Result<ExitCode, Failure> {
    let Some(folder) = &options.output else {
        return Err(
            Failure::new(Kind::Usage, "--to web writes a folder, and none is named")
                .hint("--output DIR"),
        );
    };
    let mut image = image(context, place, options)?;
    let has_page = folder.join("index.html").exists();
    let shipment = web::ship(&image.name, std::slice::from_ref(&image), has_page)?;
    for file in &shipment.files {
        put(folder, file)?;
    }
    if options.first_view {
        // The module lies in the folder now, and so for the engine.
        let module = folder.join(image.blob_path());
        image.first_view = Some(crate::wasm::first_view(&module)?);
        let drawn = web::ship(&image.name, std::slice::from_ref(&image), has_page)?;
        for file in drawn.files.iter().filter(|file| file.path == "index.html") {
            put(folder, file)?;
        }
    }
    let manifest_digest = ounce_oci::Digest::of(&image.manifest).to_string();
    if context.output.json {
        context.output.document(&Document {
            schema: "ounce.ship-web/1",
            folder,
            manifest: format!("{}.json", image.name),
            manifest_digest,
            module_digest: image.digest.to_string(),
            module_bytes: image.module.len(),
            files: shipment.files.iter().map(|file| &*file.path).collect(),
            first_view: image.first_view.as_deref(),
        })?;
        return Ok(ExitCode::SUCCESS);
    }
    let name = &image.name;
    let element = web::element(&image, &format!("{name}.json#{manifest_digest}"), "");
    context.output.text(&format!(
        "<script type=\"module\" src=\"ounce.js\"></script>\n{element}\n"
    ))?;
    context.output.note(&format!(
        "{} files in {}, a module of {}; the page above shows it",
        shipment.files.len(),
        folder.display(),
        ByteSize(image.module.len() as u64)
    ));
    for note in &shipment.notes {
        context.output.note(&format!("note: {note}"));
    }
    Ok(ExitCode::SUCCESS)
}

/// The one image of WebAssembly that is at a place, as it is.
fn image(context: &Context, place: &Place, options: &ShipOptions) -> Result<PageImage, Failure> {
    if let Place::Registry(remote) = place {
        return Err(
            Failure::new(Kind::Usage, format!("{remote} is not here yet"))
                .hint(format!("ounce pull {remote}, then ship it by its name")),
        );
    }
    let store = context.store()?;
    let source = place.open(&store)?;
    let not_one = || {
        Failure::new(Kind::Input, format!("{place} is no image for pages"))
            .hint("a page runs images of one wasm module: docs/web.md")
    };
    if model::role(source.root.media_type()) != Role::Manifest {
        return Err(not_one());
    }
    let bytes = source.blobs.read(&source.root, MANIFEST_BYTES);
    let manifest = bytes.map_err(|error| Failure::new(Kind::Input, error))?;
    let parsed: ImageManifest =
        serde_json::from_slice(&manifest).map_err(|error| Failure::new(Kind::Input, error))?;
    let mut modules = parsed
        .layers()
        .iter()
        .filter(|layer| layer.media_type().to_string() == MODULE_TYPE);
    let (Some(layer), None) = (modules.next(), modules.next()) else {
        return Err(not_one());
    };
    let module = source.blobs.read(layer, MODULE_BYTES);
    let module = module.map_err(|error| Failure::new(Kind::Input, error))?;
    let name = match (&options.application.name, place) {
        (Some(name), _) => name.clone(),
        (None, Place::Store(reference)) => {
            let name = reference.name.rsplit('/').next();
            name.unwrap_or_default().to_owned()
        }
        (None, Place::OciDir(path, _) | Place::OciArchive(path, _)) => {
            let stem = path.file_stem().unwrap_or(path.as_os_str());
            stem.to_string_lossy().into_owned()
        }
        _ => "component".to_owned(),
    };
    Ok(PageImage::new(name, manifest, module)?)
}
