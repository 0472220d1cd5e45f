//! `ounce weigh`: where an image's bytes go.

use std::process::ExitCode;

use ounce_oci::{ByteSize, Place, Platform, Store};
use ounce_rootfs::elf::Kind;
use ounce_weigh::Weight;
use ounce_weigh::budget::{Contributor, Part, Verdict};
use ounce_weigh::report::Document;

use super::Context;
use crate::arguments::WeighArguments;
use crate::failure::{self, Failure};
use crate::render::table::{Align, Table};

/// Weighs them; exit code 1 if one is over the budget.
pub(crate) fn run(context: &Context, arguments: WeighArguments) -> Result<ExitCode, Failure> {
    let store = context.store()?;
    let platform = arguments.platform.clone().unwrap_or_else(Platform::host);
    let weights = arguments
        .images
        .iter()
        .map(|place| Ok((place.to_string(), weigh(place, &store, &platform)?)))
        .collect::<Result<Vec<_>, Failure>>()?;
    let document = Document::new(weights, arguments.budget);
    if context.output.json {
        context.output.document(&document)?;
    } else {
        context
            .output
            .text(&text(&document, arguments.files, context.output.color))?;
    }
    let over: Vec<(&str, &Verdict)> = document
        .images
        .iter()
        .zip(&document.budget)
        .filter(|(_, verdict)| !verdict.within)
        .map(|(image, verdict)| (image.name.as_str(), verdict))
        .collect();
    match over.first() {
        None => Ok(ExitCode::SUCCESS),
        Some((name, verdict)) => Err(over_budget(name, verdict)),
    }
}

fn weigh(place: &Place, store: &Store, platform: &Platform) -> Result<Weight, Failure> {
    let image = place.image(store, platform)?;
    Ok(ounce_weigh::sizes::measure(&image)?)
}

/// The answer "no" to a budget, with what is heavy.
pub(crate) fn over_budget(name: &str, verdict: &Verdict) -> Failure {
    let heavy: Vec<String> = verdict.heaviest.iter().take(5).map(contributor).collect();
    let failure = Failure::new(
        failure::Kind::No,
        format!(
            "{name} is {} as pulled, {} ({} bytes) over the budget of {}",
            verdict.pulled_bytes, verdict.over_bytes, verdict.over_bytes.0, verdict.budget_bytes
        ),
    )
    .hint(format!("the heaviest: {}", heavy.join(", ")));
    match verdict.strippable_bytes.0 {
        0 => failure,
        _ => failure.hint(format!(
            "{} of it is symbols and debug information: strip it",
            verdict.strippable_bytes
        )),
    }
}

fn contributor(one: &Contributor) -> String {
    match &one.what {
        Part::File(path) => format!("{path} {}", one.bytes),
        Part::Hidden => format!("files that upper layers hide {}", one.bytes),
        Part::Documents => format!("manifest and configuration {}", one.bytes),
        Part::Overhead => format!("headers, folders and links {}", one.bytes),
    }
}

fn text(document: &Document, files: usize, color: bool) -> String {
    let mut columns = vec![("", Align::Left)];
    columns.extend(
        document
            .images
            .iter()
            .map(|image| (image.name.as_str(), Align::Right)),
    );
    let mut table = Table::new(&columns);
    let weights = || document.images.iter().map(|image| &image.weight);
    let mut row = |name: &str, value: &dyn Fn(&Weight) -> String| {
        table.row(std::iter::once(name.to_owned()).chain(weights().map(value)));
    };
    row("platform", &|weight| weight.platform.clone());
    row("pulled", &|weight| weight.pulled_bytes.to_string());
    row("  layers, compressed", &|weight| {
        ByteSize(
            weight
                .layers
                .iter()
                .map(|layer| layer.compressed_bytes.0)
                .sum(),
        )
        .to_string()
    });
    row("  manifest and config", &|weight| {
        ByteSize(weight.manifest_bytes.0 + weight.config_bytes.0).to_string()
    });
    row("unpacked", &|weight| weight.unpacked_bytes.to_string());
    row("layers", &|weight| weight.layers.len().to_string());
    row("files", &|weight| weight.files.to_string());
    row("set-id files", &|weight| weight.set_id_files.to_string());
    row("hidden by upper layers", &|weight| {
        weight.waste.bytes.to_string()
    });
    if let Some(comparison) = document.comparison.as_ref() {
        let times = comparison
            .rows
            .iter()
            .find(|row| row.measure == "pulled_bytes");
        if let Some(times) = times {
            let cells = times.ratios.iter().map(|ratio| match ratio {
                Some(ratio) => format!("{ratio:.2} x"),
                None => String::new(),
            });
            table.row(std::iter::once("pulled, against the first".to_owned()).chain(cells));
        }
    }
    let mut text = table.text(color);
    for image in &document.images {
        text.push_str(&details(&image.name, &image.weight, files, color));
        text.push_str(&bases(image, color));
    }
    text
}

fn details(name: &str, weight: &Weight, files: usize, color: bool) -> String {
    let mut table = Table::new(&[
        ("LARGEST FILES", Align::Left),
        ("BYTES", Align::Right),
        ("PULLED", Align::Right),
    ]);
    for file in weight.largest.iter().take(files) {
        table.row([
            file.path.clone(),
            file.bytes.to_string(),
            file.compressed_bytes.to_string(),
        ]);
    }
    let mut text = format!("\n{name}\n");
    if let Some(program) = &weight.program {
        let what = match (&program.elf, &program.interpreter, &program.fault) {
            (Some(elf), ..) => format!(
                "{}, {}{}",
                kind(elf.kind),
                if elf.stripped {
                    "stripped"
                } else {
                    "not stripped"
                },
                match elf.symbol_bytes + elf.debug_bytes {
                    0 => String::new(),
                    bytes => format!(": {} of symbols and debug information", ByteSize(bytes)),
                }
            ),
            (None, Some(interpreter), _) => format!("a script for {interpreter}"),
            (None, None, Some(fault)) => fault.clone(),
            (None, None, None) => "not an ELF file".to_owned(),
        };
        text.push_str(&format!(
            "program {}: {}, {what}\n",
            program.command, program.bytes
        ));
    }
    if !table.is_empty() {
        text.push_str(&table.text(color));
    }
    text
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Static => "a static program",
        Kind::StaticPie => "a static program at any address",
        Kind::Dynamic => "a program that needs shared libraries",
        Kind::SharedLibrary => "a shared library",
        Kind::Relocatable => "an object file",
        Kind::NotExecutable => "not executable",
    }
}

fn bases(image: &ounce_weigh::report::Named, color: bool) -> String {
    let mut table = Table::new(&[
        ("BESIDE A BASE ALONE", Align::Left),
        ("UNPACKED", Align::Right),
        ("PULLED (GZIP)", Align::Right),
        ("THIS IMAGE IS", Align::Right),
    ]);
    for beside in &image.bases {
        table.row([
            beside.figure.name.to_owned(),
            beside.figure.unpacked_bytes.to_string(),
            beside.figure.gzip_bytes.to_string(),
            smaller(beside.times_pulled),
        ]);
    }
    format!("\n{}", table.text(color))
}

/// `12 x smaller`, from how many times the base's pulled bytes are this image's.
pub(crate) fn smaller(times: f64) -> String {
    match times {
        0.0 => String::new(),
        times if times >= 9.95 => format!("{times:.0} x smaller"),
        times if times >= 1.0 => format!("{times:.1} x smaller"),
        times => format!("{:.1} x larger", 1.0 / times),
    }
}
