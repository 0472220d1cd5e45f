//! What `weigh` found, as tables for people.

use ounce_oci::ByteSize;
use ounce_rootfs::elf::Kind;
use ounce_weigh::Weight;
use ounce_weigh::calls::ProgramCalls;
use ounce_weigh::cost::{self, Range};
use ounce_weigh::difference::Difference;
use ounce_weigh::report::{Document, Named};

use super::table::{Align, Table};
use super::wasm;

/// Kinds, packages and copies that are shown.
const SHOWN: usize = 8;

/// What an image of one program should stay below.
pub(crate) const TARGET_BYTES: u64 = 1_000_000;

/// The whole answer.
pub(crate) fn text(document: &Document, files: usize, color: bool) -> String {
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
    if document.images.len() > 1 {
        row("  below 1 MB, the target", &|weight| {
            let below = weight.pulled_bytes.0 < TARGET_BYTES;
            if below { "yes" } else { "no" }.to_owned()
        });
    }
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
    row("packages", &|weight| weight.packages.len().to_string());
    row("hidden by upper layers", &|weight| {
        weight.waste.bytes.to_string()
    });
    row("further copies", &|weight| {
        weight.duplicates.share.bytes.to_string()
    });
    row("hardly ever needed", &|weight| {
        let kinds = weight.kinds.iter().filter(|kind| kind.is_dispensable);
        ByteSize(kinds.map(|kind| kind.share.bytes.0).sum()).to_string()
    });
    for (name, count) in SURFACE {
        row(name, &|weight| count(weight).to_string());
    }
    row("known vulnerabilities", &|weight| {
        weight.surface.vulnerabilities.to_owned()
    });
    if let Some(comparison) = document.comparison.as_ref() {
        let times = comparison
            .rows
            .iter()
            .find(|row| row.measure == "pulled_bytes");
        if let Some(times) = times {
            let cells = times.ratios.iter().map(|ratio| match ratio {
                Some(ratio) if *ratio >= 99.5 => format!("{ratio:.0} x"),
                Some(ratio) => format!("{ratio:.2} x"),
                None => String::new(),
            });
            table.row(std::iter::once("pulled, against the first".to_owned()).chain(cells));
        }
    }
    costs(document, &mut table);
    let mut text = table.text(color);
    if let Some(difference) = &document.difference {
        text.push_str(&differences(difference, files, color));
        return text;
    }
    for image in &document.images {
        text.push_str(&details(&image.name, &image.weight, files, color));
        text.push_str(&kinds(&image.weight, color));
        text.push_str(&packages(&image.weight, color));
        text.push_str(&bases(image, color));
        for fault in &image.weight.faults {
            text.push_str(&format!("not counted: {fault}\n"));
        }
    }
    text
}

/// A count out of a weight.
type Count = fn(&Weight) -> u64;

const SURFACE: &[(&str, Count)] = &[
    ("executables", |weight| weight.surface.executables.count),
    ("  set-user-ID", |weight| weight.surface.setuid.count),
    ("  with capabilities", |weight| {
        weight.surface.capabilities.count
    }),
    ("  shells", |weight| weight.surface.shells.count),
    ("  interpreters", |weight| weight.surface.interpreters.count),
    ("  package managers", |weight| {
        weight.surface.package_managers.count
    }),
    ("  network tools, compilers", |weight| {
        weight.surface.tools.count
    }),
    ("writable by anybody", |weight| {
        weight.surface.world_writable.count
    }),
    ("secrets", |weight| weight.surface.secrets.count),
];

/// What moving the images costs, as rows of the same table.
fn costs(document: &Document, table: &mut Table) {
    let Some(first) = document
        .images
        .first()
        .and_then(|image| image.cost.as_ref())
    else {
        return;
    };
    let mut row = |name: String, value: &dyn Fn(&cost::Cost) -> String| {
        let cells = document
            .images
            .iter()
            .map(|image| image.cost.as_ref().map_or_else(String::new, value));
        table.row(std::iter::once(name).chain(cells));
    };
    for (at, pull) in first.pull.iter().enumerate() {
        row(
            format!("pull at {} Mbit/s", pull.megabits_per_second),
            &|cost| {
                cost.pull
                    .get(at)
                    .map_or_else(String::new, |pull| time(pull.seconds))
            },
        );
    }
    row("1,000 pulls, transfer".into(), &|cost| {
        span(cost.transfer_dollars_thousand, "$")
    });
    row("1,000 pulls, energy".into(), &|cost| {
        span(cost.energy_kilowatt_hours_thousand, "kWh")
    });
}

fn time(seconds: f64) -> String {
    match seconds {
        seconds if seconds < 0.001 => "< 1 ms".to_owned(),
        seconds if seconds < 1.0 => format!("{:.0} ms", seconds * 1000.0),
        seconds => format!("{seconds:.1} s"),
    }
}

fn span([low, high]: Range, unit: &str) -> String {
    // Two digits that count, as few places as that takes.
    let number = |value: f64| match value {
        value if value <= 0.0 => "0".to_owned(),
        value if value >= 10.0 => format!("{value:.0}"),
        value => {
            let places = (1.0 - value.log10().floor()).clamp(0.0, 9.0) as usize;
            format!("{value:.places$}")
        }
    };
    format!("{}–{} {unit}", number(low), number(high))
}

fn kinds(weight: &Weight, color: bool) -> String {
    let mut table = Table::new(&[
        ("MADE OF", Align::Left),
        ("FILES", Align::Right),
        ("BYTES", Align::Right),
        ("PULLED", Align::Right),
        ("", Align::Left),
    ]);
    for kind in weight.kinds.iter().take(SHOWN) {
        table.row([
            kind.kind.name().to_owned(),
            kind.share.files.to_string(),
            kind.share.bytes.to_string(),
            kind.share.compressed_bytes.to_string(),
            if kind.is_dispensable {
                "hardly ever needed to run".to_owned()
            } else {
                String::new()
            },
        ]);
    }
    // A single kind says nothing that the table above does not.
    match weight.kinds.len() {
        0 | 1 => String::new(),
        _ => format!("\n{}", table.text(color)),
    }
}

fn packages(weight: &Weight, color: bool) -> String {
    if weight.packages.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&[
        ("PACKAGES", Align::Left),
        ("VERSION", Align::Left),
        ("FROM", Align::Left),
        ("BYTES", Align::Right),
        ("PULLED", Align::Right),
    ]);
    for package in weight.packages.iter().take(SHOWN) {
        table.row([
            package.name.clone(),
            package.version.clone(),
            package.manager.name().to_owned(),
            package.share.bytes.to_string(),
            package.share.compressed_bytes.to_string(),
        ]);
    }
    table.row([
        "files of no package".to_owned(),
        String::new(),
        String::new(),
        weight.unpackaged.bytes.to_string(),
        weight.unpackaged.compressed_bytes.to_string(),
    ]);
    format!("\n{}", table.text(color))
}

fn differences(difference: &Difference, most: usize, color: bool) -> String {
    let mut table = Table::new(&[
        ("FILES THAT DIFFER", Align::Left),
        ("BEFORE", Align::Right),
        ("AFTER", Align::Right),
        ("PULLED", Align::Right),
    ]);
    let all = [&difference.added, &difference.removed, &difference.changed];
    let mut changes: Vec<_> = all.into_iter().flatten().collect();
    changes.sort_by_key(|change| std::cmp::Reverse(change.compressed_more.unsigned_abs()));
    for change in changes.iter().take(most) {
        let bytes = |bytes: Option<ByteSize>| bytes.map_or("-".to_owned(), |it| it.to_string());
        table.row([
            change.path.clone(),
            bytes(change.before_bytes),
            bytes(change.after_bytes),
            signed(change.compressed_more),
        ]);
    }
    let mut text = format!(
        "\n{} files added, {} removed, {} changed, {} the same\n",
        difference.added.len(),
        difference.removed.len(),
        difference.changed.len(),
        difference.same_files
    );
    if !changes.is_empty() {
        text.push_str(&table.text(color));
    }
    let mut table = Table::new(&[
        ("PACKAGES THAT DIFFER", Align::Left),
        ("BEFORE", Align::Left),
        ("AFTER", Align::Left),
        ("PULLED", Align::Right),
    ]);
    for change in difference.packages.iter().take(most) {
        let version = |version: &Option<String>| version.clone().unwrap_or("-".to_owned());
        table.row([
            change.name.clone(),
            version(&change.before),
            version(&change.after),
            signed(change.compressed_more),
        ]);
    }
    if !difference.packages.is_empty() {
        text.push_str(&format!("\n{}", table.text(color)));
    }
    text
}

fn signed(bytes: i64) -> String {
    let sign = match bytes {
        0 => "",
        1.. => "+",
        _ => "-",
    };
    format!("{sign}{}", ByteSize(bytes.unsigned_abs()))
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
            _ if program.wasm.is_some() => {
                program.wasm.as_ref().map(wasm::line).unwrap_or_default()
            }
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
    let calls = weight.program.as_ref();
    if let Some(calls) = calls.and_then(|program| program.system_calls.as_ref()) {
        text.push_str(&system_calls(calls));
    }
    if !table.is_empty() {
        text.push_str(&table.text(color));
    }
    let module = weight.program.as_ref().and_then(|it| it.wasm.as_ref());
    if let Some(facts) = module {
        text.push_str(&wasm::tables(facts, files, color));
    }
    text
}

/// What the program can ask of the kernel, in a line.
fn system_calls(calls: &ProgramCalls) -> String {
    let unresolved = match calls.unresolved {
        0 => "all that it can make".to_owned(),
        1 => "1 place is not resolved, so there may be more".to_owned(),
        some => format!("{some} places are not resolved, so there may be more"),
    };
    let allowed = calls.defaults.iter();
    let allowed: Vec<String> = allowed
        .map(|one| format!("{} allows {}", one.by, one.calls))
        .collect();
    format!(
        "  {} system calls in its code: {unresolved}; by default {}\n",
        calls.names.len(),
        allowed.join(", ")
    )
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

fn bases(image: &Named, color: bool) -> String {
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
