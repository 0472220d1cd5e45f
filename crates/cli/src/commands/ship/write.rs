//! A shipment on stdout, in a folder, or as a document.

use std::fs;
use std::path::Path;

use ounce_rootfs::unpack;
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
        all(context, shipped, target, folder, shipment)?;
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

/// Writes all files into a folder; the image's own, too, where they are a portable
/// service's.
pub(super) fn all(
    context: &Context,
    shipped: &Shipped,
    target: &Target,
    folder: &Path,
    shipment: &Shipment,
) -> Result<(), Failure> {
    if *target == Target::Systemd {
        let held = unpack::hold(&context.unpacked()?, &shipped.image)?;
        let root = folder.join("portable").join(&shipped.application.name);
        copy(&held.root, &root).map_err(|error| {
            Failure::new(Kind::Host, format!("writing {}: {error}", root.display()))
        })?;
    }
    shipment.files.iter().try_for_each(|file| put(folder, file))
}

/// A folder with all that is in it. Links stay links, and lead nowhere while it is
/// written: what is there is replaced, never written through.
fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (kind, target) = (entry.file_type()?, to.join(entry.file_name()));
        let there = fs::symlink_metadata(&target).map(|there| there.is_dir());
        if let Ok(false) = there {
            fs::remove_file(&target)?;
        }
        if kind.is_dir() {
            copy(&entry.path(), &target)?;
            fs::set_permissions(&target, entry.metadata()?.permissions())?;
        } else if kind.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(entry.path())?, &target)?;
        } else if kind.is_file() {
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}

/// The main files as one text: documents of YAML are one stream, others have
/// their names above them.
fn shown(target: &Target, shipment: &Shipment) -> String {
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
    // A link that an image brought would lead elsewhere.
    let parts = Path::new(&file.path).components();
    let mut on_the_way = folder.to_owned();
    for part in parts {
        on_the_way.push(part);
        let is_link = fs::symlink_metadata(&on_the_way).is_ok_and(|there| there.is_symlink());
        if is_link {
            let why = format!("{} is a link, and may lead anywhere", on_the_way.display());
            return Err(Failure::new(Kind::Input, why).hint("write to an empty folder"));
        }
    }
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
