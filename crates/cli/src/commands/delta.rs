//! `ounce delta`: the smallest update between two images, programs or firmware
//! files, and applying it. Files here, images in `image`.

pub(super) mod image;

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use ounce_delta::apply::Fault;
use ounce_delta::format::{Content, Header};
use ounce_delta::pack::bundle::{self, File};
use ounce_delta::pack::{self, DiffError, Options};
use ounce_oci::ByteSize;
use serde::Serialize;

use super::Context;
use crate::arguments::delta::{DeltaApplyArguments, DeltaArguments, DeltaTarget, DeltaVerb};
use crate::failure::{Failure, Kind};

/// Most bytes of a file, and of what comes out: the format's numbers end there.
const MOST: u64 = 2 << 30;

/// What was made, or would be.
#[derive(Debug, Serialize)]
struct Document {
    schema: &'static str,
    /// `file` or `image`.
    kind: &'static str,
    /// `host` or `device`.
    profile: &'static str,
    old: String,
    new: String,
    old_bytes: u64,
    new_bytes: u64,
    delta_bytes: u64,
    /// What would be sent without: the new file compressed, the new image's blobs.
    full_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<String>,
    /// What of the old file was found to be code or addresses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    regions: Vec<RegionRow>,
    /// What became of the new image's layers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    layers: Vec<LayerRow>,
}

/// A part of a file.
#[derive(Debug, Serialize)]
struct RegionRow {
    content: &'static str,
    offset: u32,
    address: u32,
    bytes: u32,
}

/// A layer of the new image.
#[derive(Debug, Serialize)]
struct LayerRow {
    digest: String,
    bytes: u64,
    delta_bytes: u64,
    /// `same`, `delta` or `whole`.
    how: &'static str,
    same_files: usize,
    patched_files: usize,
    whole_files: usize,
}

/// What was applied.
#[derive(Debug, Serialize)]
struct Applied {
    schema: &'static str,
    kind: &'static str,
    output: String,
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
}

/// Makes a delta, or applies one.
pub(crate) fn run(context: &Context, arguments: DeltaArguments) -> Result<ExitCode, Failure> {
    if let Some(DeltaVerb::Apply(arguments)) = &arguments.verb {
        return apply(context, arguments);
    }
    // clap wants both.
    let (Some(old), Some(new)) = (&arguments.old, &arguments.new) else {
        return Ok(ExitCode::SUCCESS);
    };
    let (document, delta) = match (is_file(old), is_file(new)) {
        (true, true) => between_files(old, new, arguments.target)?,
        (false, false) if arguments.target == DeltaTarget::Device => {
            return Err(
                Failure::new(Kind::Usage, "a device's delta is between two files")
                    .hint("give the programs or firmware files themselves"),
            );
        }
        (false, false) => image::between(context, old, new, arguments.platform.as_ref())?,
        (is_old, _) => {
            let (file, other) = if is_old { (old, new) } else { (new, old) };
            let why = format!("{file} is a file and {other} is not");
            return Err(Failure::new(Kind::Input, why)
                .hint("give two files, or two images: an archive is oci-archive:FILE"));
        }
    };
    let output = arguments.output.as_deref();
    if let Some(path) = output {
        super::write_file(path, &delta)?;
    }
    let document = Document {
        output: output.map(|path| path.display().to_string()),
        ..document
    };
    if context.output.json {
        context.output.document(&document)?;
    } else {
        context.output.text(&text(&document))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What was made, for people.
fn text(document: &Document) -> String {
    let percent = |of: u64| match of {
        0 => String::new(),
        of => format!(
            ", {:.2} % of the new one",
            document.delta_bytes as f64 * 100.0 / of as f64
        ),
    };
    let verdict = match document.delta_bytes < document.full_bytes {
        true => "",
        false => ", and that is better",
    };
    let mut text = format!(
        "delta {} ({} bytes{}); without it {} are sent{verdict}\n",
        ByteSize(document.delta_bytes),
        document.delta_bytes,
        percent(document.new_bytes),
        ByteSize(document.full_bytes),
    );
    for layer in &document.layers {
        let files = match layer.how {
            "delta" => format!(
                ", files: {} as they were, {} patched, {} new",
                layer.same_files, layer.patched_files, layer.whole_files
            ),
            "whole" => ": compressed by another tool, so it is sent as it is".to_owned(),
            _ => String::new(),
        };
        text.push_str(&format!(
            "  layer {} of {}: {} {}{files}\n",
            layer.digest.get(..19).unwrap_or(&layer.digest),
            ByteSize(layer.bytes),
            layer.how,
            ByteSize(layer.delta_bytes),
        ));
    }
    for region in &document.regions {
        text.push_str(&format!(
            "  {} of {} at {:#x}\n",
            region.content,
            ByteSize(u64::from(region.bytes)),
            region.address
        ));
    }
    text
}

/// Whether a name is meant as a file's.
fn is_file(name: &str) -> bool {
    name.starts_with(['/', '.']) || Path::new(name).is_file()
}

/// Reads a file whole.
fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |error: std::io::Error| {
        let kind = match error.kind() {
            std::io::ErrorKind::PermissionDenied => Kind::Host,
            _ => Kind::Input,
        };
        Failure::new(kind, format!("reading {}: {error}", path.display()))
    };
    let metadata = fs::metadata(path).map_err(failed)?;
    if !metadata.is_file() {
        let why = format!("{} is not a file", path.display());
        return Err(Failure::new(Kind::Input, why));
    }
    if metadata.len() >= MOST {
        let why = format!("{} is larger than 2 GiB", path.display());
        return Err(Failure::new(Kind::Input, why).hint("deltas are between smaller files"));
    }
    fs::read(path).map_err(failed)
}

fn between_files(
    old: &str,
    new: &str,
    target: DeltaTarget,
) -> Result<(Document, Vec<u8>), Failure> {
    let (before, after) = (read(Path::new(old))?, read(Path::new(new))?);
    let (delta, regions) = match target {
        DeltaTarget::Device => {
            let made = pack::diff(&before, &after, &Options::device()).map_err(not_made)?;
            (made.patch, made.regions)
        }
        DeltaTarget::Host => {
            let whole = |bytes: &[u8]| File {
                name: "file".to_owned(),
                range: 0..bytes.len(),
            };
            let files = ([whole(&before)], [whole(&after)]);
            let made = bundle::bundle(&before, &files.0, &after, &files.1);
            (made.map_err(not_made)?.0, Vec::new())
        }
    };
    let regions = regions.iter().map(|region| RegionRow {
        content: name(region.content),
        offset: region.old.offset,
        address: region.old.address,
        bytes: region.old.bytes,
    });
    let document = Document {
        schema: "ounce.delta/1",
        kind: "file",
        profile: match target {
            DeltaTarget::Host => "host",
            DeltaTarget::Device => "device",
        },
        old: old.to_owned(),
        new: new.to_owned(),
        old_bytes: before.len() as u64,
        new_bytes: after.len() as u64,
        delta_bytes: delta.len() as u64,
        full_bytes: pack::compressed_bytes(&after) as u64,
        output: None,
        regions: regions.collect(),
        layers: Vec::new(),
    };
    Ok((document, delta))
}

fn name(content: Content) -> &'static str {
    match content {
        Content::Bytes => "bytes",
        Content::Words32 | Content::Words64 => "data",
        Content::Frames | Content::FrameIndex => "call frames",
        Content::Memory => "memory",
        Content::Riscv32 | Content::Riscv64 => "RISC-V code",
        Content::Thumb => "Thumb code",
        Content::Aarch64 => "AArch64 code",
        Content::X86 => "x86-64 code",
        Content::Xtensa => "Xtensa code",
    }
}

fn not_made(error: DiffError) -> Failure {
    let kind = match error {
        DiffError::TooLarge { .. } => Kind::Input,
        DiffError::Wrong(_) => Kind::Bug,
    };
    Failure::new(kind, error)
}

/// Why a delta is not applied, and what to do.
fn refused(fault: Fault, old: &str, delta: &Path) -> Failure {
    let failure = Failure::new(
        Kind::Input,
        format!("{} cannot be applied: {fault}", delta.display()),
    );
    match fault {
        Fault::NoPatch => failure.hint("`ounce delta OLD NEW -o FILE` makes one"),
        Fault::OldImage => failure.hint(format!(
            "{old} is not what it was made from; nothing was written"
        )),
        Fault::Damaged
        | Fault::Check
        | Fault::NewImage
        | Fault::TooLong
        | Fault::TooShort
        | Fault::Memory => failure.hint("fetch it again; nothing was written"),
        Fault::Machine | Fault::Read | Fault::Write => failure,
    }
}

fn apply(context: &Context, arguments: &DeltaApplyArguments) -> Result<ExitCode, Failure> {
    let delta = read(&arguments.delta)?;
    let refused = |fault| refused(fault, &arguments.old, &arguments.delta);
    if delta.starts_with(&image::MAGIC) {
        return image::apply(context, arguments, &delta);
    }
    let is_patch = Header::parse(&delta).is_ok();
    if !is_patch && bundle::sizes(&delta).is_err() {
        return Err(refused(Fault::NoPatch));
    }
    let path = Path::new(&arguments.old);
    let old = read(path)?;
    let new = match is_patch {
        true => pack::apply(&old, &delta),
        false => bundle::unbundle(&old, &delta, MOST as usize),
    };
    let new = new.map_err(refused)?;
    let output = Path::new(&arguments.output);
    super::write_file(output, &new)?;
    // A program stays one.
    let mode = fs::metadata(path).map(|metadata| metadata.permissions());
    if let Ok(mode) = mode {
        let failed = |error| Failure::new(Kind::Host, format!("{}: {error}", output.display()));
        fs::set_permissions(output, mode).map_err(failed)?;
    }
    let done = Applied {
        schema: "ounce.delta.apply/1",
        kind: "file",
        output: arguments.output.clone(),
        bytes: new.len() as u64,
        digest: None,
    };
    told(context, &done)
}

fn told(context: &Context, done: &Applied) -> Result<ExitCode, Failure> {
    if context.output.json {
        context.output.document(done)?;
    } else {
        let digest = done.digest.as_ref();
        let digest = digest.map_or(String::new(), |digest| format!("  {digest}"));
        let text = format!("{}{digest}  {}\n", done.output, ByteSize(done.bytes));
        context.output.text(&text)?;
    }
    Ok(ExitCode::SUCCESS)
}
