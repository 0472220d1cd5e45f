//! `ounce weigh`: where an image's bytes go.

use std::io::{self, IsTerminal as _};
use std::path::Path;
use std::process::ExitCode;

use ounce_oci::registry::Remote;
use ounce_oci::store::StoreError;
use ounce_oci::{Image, Place, Platform, Store};
use ounce_weigh::budget::{Contributor, Part, Verdict};
use ounce_weigh::difference::difference;
use ounce_weigh::report::{Document, Named};
use ounce_weigh::sbom::{self, Form};
use ounce_weigh::{Inventory, Weight, measure, measure_all, plain, surface};

use ounce_ship::explain::Estimate;
use serde::Serialize;
use serde_json::Value;

use super::ship::explain::side_by_side;
use super::{Context, ship};
use crate::arguments::{BillChoice, WeighArguments};
use crate::failure::{self, Failure};
use crate::render::progress::Progress;
use crate::render::{html, screen, weigh};

/// The document with what else was asked for.
#[derive(Serialize)]
struct Whole<'a> {
    #[serde(flatten)]
    document: &'a Document,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    platforms: Vec<Platforms>,
}

/// What an image is on each platform.
#[derive(Serialize)]
struct Platforms {
    name: String,
    requests_per_second: f64,
    estimates: Vec<Estimate>,
}

/// Whether every file has to be named, and not only the heaviest.
fn names_files(arguments: &WeighArguments) -> bool {
    arguments.tui || arguments.html.is_some() || arguments.diff || arguments.all_files
}

/// Weighs them; exit code 1 if one is over the budget or has what is denied.
pub(crate) fn run(context: &Context, arguments: WeighArguments) -> Result<ExitCode, Failure> {
    check(&arguments)?;
    let store = context.store()?;
    let platform = arguments.platform.clone().unwrap_or_else(Platform::host);
    // All are found before one is measured.
    let images = arguments
        .images
        .iter()
        .map(|what| find(context, &store, what, &platform))
        .collect::<Result<Vec<_>, Failure>>()?;
    let mut measured = Vec::with_capacity(images.len());
    for (name, image, omitted) in &images {
        // Every file in words takes more memory than all else.
        let (mut weight, inventory) = match names_files(&arguments) {
            true => measure_all(image)?,
            false => (measure(image)?, Inventory::default()),
        };
        let told = omitted.iter().map(|line| format!("left out: {line}"));
        weight.faults.extend(told);
        measured.push((name.clone(), weight, inventory));
    }
    if let (Some(form), [(name, image, _)], [(_, weight, _)]) =
        (arguments.sbom, &images[..], &measured[..])
    {
        return bill(context, form, name, image, weight);
    }
    if arguments.tui {
        let ended = screen::show(&measured, !context.output.color).map_err(|error| {
            Failure::new(failure::Kind::Host, format!("using the terminal: {error}"))
        })?;
        if let Some(signal) = ended {
            // As the shell tells it of whoever has no handler.
            let code = u8::try_from(128 + signal.as_raw()).unwrap_or(u8::MAX);
            return Ok(ExitCode::from(code));
        }
        let weights = measured.into_iter().map(|(name, weight, _)| (name, weight));
        return answer(
            &Document::new(weights.collect(), arguments.budget),
            &arguments,
        );
    }
    if let Some(path) = &arguments.html {
        let page = html::page(&measured)?;
        super::write_file(path, page.as_bytes())?;
        context
            .output
            .note(&format!("{}: open it in a browser", path.display()));
    }
    let weights = measured
        .iter()
        .map(|(name, weight, _)| (name.clone(), weight.clone()))
        .collect();
    let mut document = Document::new(weights, arguments.budget);
    if arguments.diff {
        document.difference = compared(&measured);
    }
    let platforms: Vec<Platforms> = arguments.platforms.map_or(Vec::new(), |traffic| {
        let images = images.iter().zip(&document.images);
        images
            .map(|((name, image, _), weighed)| Platforms {
                name: name.clone(),
                requests_per_second: traffic,
                estimates: ship::estimates(name, image, weighed.weight.unpacked_bytes.0, traffic),
            })
            .collect()
    });
    if context.output.json {
        if arguments.all_files {
            document.files = measured
                .into_iter()
                .map(|(_, _, inventory)| inventory)
                .collect();
        }
        context.output.document(&Whole {
            document: &document,
            platforms,
        })?;
    } else {
        let mut text = weigh::text(&document, arguments.files, context.output.color);
        for one in &platforms {
            let Platforms {
                name,
                requests_per_second,
                estimates,
            } = one;
            let table = side_by_side(estimates, *requests_per_second, context.output.color);
            text.push_str(&format!("\n{name}\n{table}"));
        }
        context.output.text(&text)?;
    }
    answer(&document, &arguments)
}

/// An image by its place, or what lies at a path; and what was left out of it.
fn find(
    context: &Context,
    store: &Store,
    what: &str,
    platform: &Platform,
) -> Result<(String, Image, Vec<String>), Failure> {
    let path = Path::new(what);
    if !what.starts_with(['/', '.']) {
        let place = super::place(what)?;
        if let Place::Registry(remote) = &place {
            return Ok((
                place.to_string(),
                weighed(context, remote, platform)?,
                Vec::new(),
            ));
        }
        match place.image(store, platform) {
            // `ounce weigh target/release/app` is meant as it looks.
            Err(StoreError::NotFound { .. }) if path.exists() => {}
            image => return Ok((place.to_string(), image?, Vec::new())),
        }
    }
    let name = what.to_owned();
    if let Some(image) = Place::image_at(path, store, platform)? {
        return Ok((name, image, Vec::new()));
    }
    let (image, omitted) = plain::image(store, path, platform)?;
    Ok((name, image, omitted))
}

/// An image of a registry, which is not kept.
fn weighed(context: &Context, remote: &Remote, platform: &Platform) -> Result<Image, Failure> {
    let registry = context.registry(&Default::default());
    let mut progress = Progress::new(context.output, "fetching");
    let image = registry.image(remote, &context.store()?, platform, &mut |event| {
        progress.registry(event);
    });
    Ok(image?)
}

/// Refuses what cannot be answered before anything is measured.
fn check(arguments: &WeighArguments) -> Result<(), Failure> {
    let count = arguments.images.len();
    let fault = if arguments.diff && count != 2 {
        "--diff compares two images"
    } else if arguments.sbom.is_some() && count != 1 {
        "--sbom is about one image"
    } else if arguments.tui && !(io::stdin().is_terminal() && io::stdout().is_terminal()) {
        let why = "--tui needs a terminal for input and output";
        return Err(Failure::new(failure::Kind::Usage, why).hint("--html FILE writes a page"));
    } else {
        return Ok(());
    };
    let given = format!("{fault}, and {count} were given");
    Err(Failure::new(failure::Kind::Usage, given))
}

/// The first "no" of all conditions, if there is one.
fn answer(document: &Document, arguments: &WeighArguments) -> Result<ExitCode, Failure> {
    for (image, verdict) in document.images.iter().zip(&document.budget) {
        if !verdict.within {
            return Err(over_budget(&image.name, verdict));
        }
    }
    for image in &document.images {
        if let Some(most) = arguments.max_files
            && image.weight.files > most
        {
            return Err(too_many_files(image, most));
        }
        for what in &arguments.deny {
            denied(image, what)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn too_many_files(image: &Named, most: u64) -> Failure {
    let heavy = image.weight.kinds.iter().take(3);
    let heavy: Vec<String> = heavy
        .map(|kind| format!("{} {}", kind.share.files, kind.kind.name()))
        .collect();
    Failure::new(
        failure::Kind::No,
        format!(
            "{} has {} files, {} more than {most}",
            image.name,
            image.weight.files,
            image.weight.files - most
        ),
    )
    .hint(format!("among them: {}", heavy.join(", ")))
}

fn denied(image: &Named, what: &str) -> Result<(), Failure> {
    // The command line takes none but what there is to deny.
    let list = surface::denied(&image.weight.surface, what);
    let Some(list) = list.filter(|list| list.count > 0) else {
        return Ok(());
    };
    let more = match list.count - list.first.len().min(5) as u64 {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let first: Vec<&str> = list.first.iter().take(5).map(String::as_str).collect();
    Err(Failure::new(
        failure::Kind::No,
        format!("{} has what is denied: {what} ({})", image.name, list.count),
    )
    .hint(format!("{}{more}", first.join(", "))))
}

fn compared(
    measured: &[(String, Weight, Inventory)],
) -> Option<ounce_weigh::difference::Difference> {
    let [(_, before, old), (_, after, new)] = measured else {
        return None;
    };
    Some(difference((before, old), (after, new)))
}

/// Prints a bill of materials and nothing else.
fn bill(
    context: &Context,
    form: BillChoice,
    name: &str,
    image: &Image,
    weight: &Weight,
) -> Result<ExitCode, Failure> {
    context
        .output
        .document(&written(form, name, image, weight))?;
    Ok(ExitCode::SUCCESS)
}

/// The bill of materials of an image.
///
/// # Errors
/// A layer cannot be read.
pub(crate) fn bill_of(form: BillChoice, name: &str, image: &Image) -> Result<Value, Failure> {
    let weight = measure(image)?;
    Ok(written(form, name, image, &weight))
}

/// The bill of materials of an image that was cut out of another: the packages of
/// the whole of which `stays` says that something is left.
///
/// # Errors
/// A layer cannot be read.
pub(crate) fn bill_of_rest(
    form: BillChoice,
    name: &str,
    (whole, rest): (&Image, &Image),
    stays: &dyn Fn(&Path) -> bool,
) -> Result<Value, Failure> {
    let (mut weight, inventory) = measure_all(whole)?;
    weight.packages = sbom::remaining(weight.packages, &inventory, stays);
    weight.digest = rest.digest.to_string();
    Ok(written(form, name, rest, &weight))
}

fn written(form: BillChoice, name: &str, image: &Image, weight: &Weight) -> Value {
    let form = match form {
        BillChoice::Spdx => Form::Spdx,
        BillChoice::Cyclonedx => Form::CycloneDx,
    };
    let created = image.config.created().as_deref().and_then(sbom::time);
    let created = created.unwrap_or("1970-01-01T00:00:00Z".to_owned());
    sbom::document(form, name, &created, weight)
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
