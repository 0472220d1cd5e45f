//! `ounce build`: source, a ready program or a folder of web files to an image.

mod check;
mod stages;
mod supply;

use std::process::{Command, ExitCode, Stdio};

use ounce_build::settings::{Certificates, ImageSettings, Measure, RustSettings, Settings, Zones};
use ounce_build::site::{SiteRules, Summary};
use ounce_build::{
    BuildError, Built, BuiltImage, By, CompileError, Event, PlanError, Recipe, Request,
    TargetError, Toolchain,
};
use ounce_oci::{ByteSize, Place, Platform, Store};
use serde::Serialize;

use self::check::{Checked, check};
use self::supply::Supply;
use super::attach::{self, Attached};
use super::{Context, weigh};
use crate::arguments::{BuildArguments, BuildOptions, MeasureChoice};
use crate::failure::{Failure, Kind, shown};
use crate::output::Output;
use crate::render::table::{Align, Table};

/// Builds it, or shows the recipe; exit code 1 if it is over its budget.
pub(crate) fn run(context: &Context, arguments: BuildArguments) -> Result<ExitCode, Failure> {
    let request = request(&arguments.options, &arguments.platform)?;
    if request.stage.as_deref() == Some("all") {
        return stages::run(context, &arguments, &request);
    }
    let output = arguments.output.map(super::reached).transpose()?;
    let recipe = plan(context.output, &request)?;
    if arguments.dry_run {
        context.output.document(&Planned {
            schema: "ounce.recipe/1",
            recipe: &recipe,
        })?;
        return Ok(ExitCode::SUCCESS);
    }
    if matches!(&output, Some(Place::Store(_))) {
        return Err(Failure::new(Kind::Usage, "--output wants a place outside the store")
            .hint("oci:DIR, oci-archive:FILE, docker-archive:FILE, docker-daemon:NAME, podman:NAME or docker://HOST/NAME:TAG; --tag gives the name in the store"));
    }
    let supply = Supply::new(context, &arguments.supply, &recipe)?;
    let store = context.store()?;
    let built = make(context.output, &recipe, &store)?;
    over_budget(&built, &store)?;
    let checked = match arguments.check {
        true => {
            let mut quiet = context.output;
            quiet.quiet = true;
            let again = |request: &Request, store: &Store| {
                let recipe = plan(quiet, request)?;
                make(quiet, &recipe, store)
            };
            Some(check(context, &request, &recipe, &built, &store, &again)?)
        }
        false => None,
    };
    // What is not as it should be is neither signed nor sent.
    let is_as_asked = checked.as_ref().is_none_or(|it| it.answer(&built).is_ok());
    let mut attached = Vec::new();
    if is_as_asked {
        attached = supply.attach(&store, &request, &recipe, &built)?;
        match &output {
            Some(Place::Registry(remote)) => {
                let registry = context.registry(&Default::default());
                let source = Place::Store(built.reference.clone()).open(&store)?;
                super::push::send(context, &registry, &source, remote)?;
            }
            Some(place) => place.export(&store, &built.reference)?,
            None => {}
        }
    }
    if context.output.json {
        context.output.document(&Document {
            check: checked.as_ref(),
            attached: &attached,
            ..document(&built)
        })?;
    } else {
        let mut text = text(&built, context.output.color);
        if let Some(checked) = checked.as_ref().filter(|_| is_as_asked) {
            text.push_str(&checked.text());
        }
        text.push_str(&attach::text(&attached));
        context.output.text(&text)?;
    }
    checked.map_or(Ok(()), |it| it.answer(&built))?;
    Ok(ExitCode::SUCCESS)
}

#[derive(Serialize)]
struct Planned<'a> {
    schema: &'static str,
    #[serde(flatten)]
    recipe: &'a Recipe,
}

/// What is asked for, from the flags and the environment.
///
/// # Errors
/// `SOURCE_DATE_EPOCH` is not a number.
pub(crate) fn request(options: &BuildOptions, platforms: &[Platform]) -> Result<Request, Failure> {
    let mut request = Request::new(&options.path, Toolchain::new(std::env::vars_os()));
    request.settings = settings(options, platforms);
    request.config = options.config.clone();
    request.reference = options.tag.clone();
    request.offline = options.rust.offline;
    request.stage = options.base.stage.clone();
    request.source_date_epoch = source_date_epoch()?;
    request.engine = crate::wasm::program();
    Ok(request)
}

/// The time of every file in a layer, as the environment says.
///
/// # Errors
/// `SOURCE_DATE_EPOCH` is not a number.
pub(crate) fn source_date_epoch() -> Result<Option<u64>, Failure> {
    let Some(text) = std::env::var_os("SOURCE_DATE_EPOCH") else {
        return Ok(None);
    };
    let seconds = text.to_str().and_then(|text| text.trim().parse().ok());
    seconds.map(Some).ok_or_else(|| {
        Failure::new(
            Kind::Usage,
            format!("SOURCE_DATE_EPOCH is {text:?}, not a number of seconds"),
        )
        .hint("unset it, or set it to the time of the last commit: git log -1 --format=%ct")
    })
}

fn settings(options: &BuildOptions, platforms: &[Platform]) -> Settings {
    let given = |flag: bool| flag.then_some(true);
    Settings {
        platforms: platforms.to_vec(),
        programs: options.program.clone(),
        budget_bytes: options.budget.map(|budget| budget.0),
        compression: options.compression.map(Into::into),
        measure: options.rust.measure.map(|choice| match choice {
            MeasureChoice::Auto => Measure::Auto,
            MeasureChoice::Total => Measure::Total,
            MeasureChoice::EachFlag => Measure::EachFlag,
            MeasureChoice::No => Measure::No,
        }),
        rust: RustSettings {
            package: options.rust.package.clone(),
            bin: options.rust.bin.clone(),
            features: options.rust.features.clone(),
            no_default_features: given(options.rust.no_default_features),
            profile: options.rust.profile.clone(),
            target: options.rust.target.clone(),
            smallest: given(options.rust.smallest),
            auditable: given(options.rust.auditable),
            ..RustSettings::default()
        },
        image: ImageSettings {
            args: (!options.content.arg.is_empty()).then(|| options.content.arg.clone()),
            env: options.content.env.iter().cloned().collect(),
            user: options.content.user.clone(),
            ports: (!options.content.expose.is_empty()).then(|| options.content.expose.clone()),
            labels: options.content.label.iter().cloned().collect(),
            ca_certificates: options
                .content
                .ca_certificates
                .as_ref()
                .map(|file| match file {
                    None => Certificates::Host,
                    Some(file) => Certificates::File(file.clone()),
                }),
            timezones: options
                .content
                .time_zones
                .as_ref()
                .map(|zones| match zones {
                    None => Zones::All,
                    Some(zones) => Zones::Named(zones.split(',').map(str::to_owned).collect()),
                }),
            passwd: given(options.content.passwd),
            tmp: given(options.content.tmp),
            ..ImageSettings::default()
        },
        files: options.content.file.clone(),
        allow_secrets: options.content.allow_secret.clone(),
        base: options.base.base.clone(),
        debian: super::base::debian_settings(&options.base.packages),
        alpine: super::base::alpine::settings(&options.base.packages),
        lock: options.base.packages.lock.clone(),
        site: given(options.site),
        rules: SiteRules {
            pack: options.plain.then_some(false),
            ..SiteRules::default()
        },
        ..Settings::default()
    }
}

/// Plans, after adding the Rust target that is missing, if rustup is there
/// and the network may be used.
///
/// # Errors
/// As [`ounce_build::plan`].
pub(crate) fn plan(output: Output, request: &Request) -> Result<Recipe, Failure> {
    let mut tried: Vec<String> = Vec::new();
    loop {
        let error = match ounce_build::plan(request) {
            Ok(recipe) => return Ok(recipe),
            Err(error) => error,
        };
        let missing = match &error {
            PlanError::Target(TargetError::NotInstalled { looked_for, .. }) => &looked_for[..],
            PlanError::Target(TargetError::Asked(triple)) => std::slice::from_ref(triple),
            _ => &[],
        };
        // The best first; not every toolchain has every one.
        let untried = missing.iter().filter(|triple| !tried.contains(triple));
        let mut untried = untried.cloned().collect::<Vec<_>>().into_iter();
        let added = untried.by_ref().any(|triple| {
            let added = !request.offline && add_target(output, &triple, request);
            tried.push(triple);
            added
        });
        if !added {
            return Err(error.into());
        }
    }
}

/// Whether rustup has added the target; what it says goes to stderr.
pub(super) fn add_target(output: Output, triple: &str, request: &Request) -> bool {
    output.note(&format!(
        "adding a Rust target that is missing: rustup target add {triple}"
    ));
    let added = Command::new("rustup")
        .args(["target", "add", triple])
        .env_clear()
        .envs(&request.toolchain.environment)
        // Its own complaint is enough.
        .env_remove("RUST_BACKTRACE")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status();
    added.is_ok_and(|status| status.success())
}

/// Does what the recipe says, telling progress on stderr.
///
/// # Errors
/// As [`ounce_build::execute`].
pub(crate) fn make(output: Output, recipe: &Recipe, store: &Store) -> Result<Built, Failure> {
    for advice in &recipe.advice {
        output.note(&format!("note: {advice}"));
    }
    let folder = recipe.image.site.iter().map(|site| &site.omitted);
    let packed = recipe.image.packed.iter();
    let packed = packed.map(|packing| &packing.site.omitted);
    for omitted in folder.chain(packed).flatten() {
        output.note(&shown(&format!(
            "note: {} is left out: {}",
            omitted.path, omitted.why
        )));
    }
    let bases = super::base::prepare(output, recipe, store)?;
    let built = ounce_build::execute_on(recipe, &bases, store, &mut |event| match event {
        Event::Waiting { doing, holder_pid } => {
            output.note(&super::waiting_for(doing, holder_pid));
        }
        Event::Compiling { bin, target } => output.note(&format!("compiling {bin} for {target}")),
        Event::Measuring { flag } => output.note(&format!("measuring what {flag} saves")),
        // A person watches the compiler work; a log keeps only its complaint,
        // which the error carries.
        Event::CompilerLine(line) if output.stderr_is_terminal => output.note(&format!("  {line}")),
        Event::PackingSite { files } if output.stderr_is_terminal => output.note(&format!(
            "packing {files} file{}",
            if files == 1 { "" } else { "s" }
        )),
        Event::Fetching { what } => output.note(&format!("fetching {what}")),
        Event::Installing { wheel } if output.stderr_is_terminal => {
            output.note(&shown(&format!("installing {wheel}")));
        }
        Event::Bytecode { files } => output.note(&format!("compiling {files} Python sources")),
        Event::Note(note) => output.note(&format!("note: {note}")),
        Event::Installing { .. }
        | Event::CompilerLine(_)
        | Event::Packing { .. }
        | Event::PackingSite { .. } => {}
    });
    built.map_err(|error| {
        let said = match &error {
            BuildError::Compile(CompileError::Failed(refusal))
                if output.quiet || !output.stderr_is_terminal =>
            {
                refusal.last_lines.clone()
            }
            BuildError::Python(error) if output.quiet || !output.stderr_is_terminal => {
                error.said().to_vec()
            }
            _ => Vec::new(),
        };
        Failure::from(error).said(said)
    })
}

/// The answer "no" if the image is over the budget that was set.
///
/// # Errors
/// It is; or the image cannot be read back to say what is heavy.
pub(crate) fn over_budget(built: &Built, store: &Store) -> Result<(), Failure> {
    let Some(budget) = built.budget.as_ref().filter(|budget| budget.over_bytes > 0) else {
        return Ok(());
    };
    let images = store.images_of(&built.reference)?;
    let mut heaviest = None;
    for image in &images {
        let weight = ounce_weigh::sizes::measure(image)?;
        let verdict = ounce_weigh::budget::check(&weight, ByteSize(budget.budget_bytes));
        if heaviest
            .as_ref()
            .is_none_or(|(_, bytes)| verdict.pulled_bytes.0 > *bytes)
        {
            let name = format!("{} for {}", built.reference, image.platform);
            heaviest = Some((weigh::over_budget(&name, &verdict), verdict.pulled_bytes.0));
        }
    }
    match heaviest {
        Some((failure, _)) => Err(failure),
        None => Ok(()),
    }
}

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    name: String,
    digest: String,
    images: Vec<Row>,
    #[serde(skip_serializing_if = "Option::is_none")]
    site: Option<Summary>,
    #[serde(skip_serializing_if = "Option::is_none")]
    check: Option<&'a Checked>,
    #[serde(skip_serializing_if = "<[Attached]>::is_empty")]
    attached: &'a [Attached],
}

#[derive(Serialize)]
struct Row {
    platform: String,
    digest: String,
    pulled_bytes: u64,
    layer_bytes: u64,
    config_bytes: u64,
    program_bytes: u64,
    flags: Vec<FlagRow>,
    saved: Vec<SavedRow>,
}

#[derive(Serialize)]
struct FlagRow {
    key: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    value: String,
    by: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    why: &'static str,
}

#[derive(Serialize)]
struct SavedRow {
    flag: String,
    before_bytes: u64,
    after_bytes: u64,
}

fn document(built: &Built) -> Document<'static> {
    let row = |image: &BuiltImage| Row {
        platform: image.platform.to_string(),
        digest: image.manifest.digest().to_string(),
        pulled_bytes: image.pulled_bytes,
        layer_bytes: image.layer_bytes,
        config_bytes: image.config_bytes,
        program_bytes: image.program_bytes,
        flags: image
            .flags
            .iter()
            .map(|flag| FlagRow {
                key: flag.key.clone(),
                value: flag.value.clone(),
                by: chooser(flag.by),
                why: flag.why,
            })
            .collect(),
        saved: image
            .saved
            .iter()
            .map(|saved| SavedRow {
                flag: saved.flag.clone(),
                before_bytes: saved.before_bytes,
                after_bytes: saved.after_bytes,
            })
            .collect(),
    };
    Document {
        schema: "ounce.build/1",
        name: built.reference.to_string(),
        digest: built.descriptor.digest().to_string(),
        images: built.images.iter().map(row).collect(),
        site: built.site.clone(),
        check: None,
        attached: &[],
    }
}

fn chooser(by: By) -> &'static str {
    match by {
        By::Project => "project",
        By::Ounce => "ounce",
    }
}

fn text(built: &Built, color: bool) -> String {
    let mut text = built
        .site
        .as_ref()
        .map_or(String::new(), |summary| site(summary, color));
    let mut shown = Vec::new();
    for image in &built.images {
        let flags = flags(image, color);
        // Most often all platforms have the same.
        if !shown.contains(&flags) {
            text.push_str(&flags);
            shown.push(flags);
        }
    }
    let mut table = Table::new(&[
        ("IMAGE", Align::Left),
        ("PLATFORM", Align::Left),
        ("PROGRAM", Align::Right),
        ("LAYER", Align::Right),
        ("PULLED", Align::Right),
        ("DIGEST", Align::Left),
    ]);
    for image in &built.images {
        table.row([
            built.reference.to_string(),
            image.platform.to_string(),
            ByteSize(image.program_bytes).to_string(),
            ByteSize(image.layer_bytes).to_string(),
            ByteSize(image.pulled_bytes).to_string(),
            image
                .manifest
                .digest()
                .to_string()
                .chars()
                .take("sha256:".len() + 12)
                .collect(),
        ]);
    }
    text.push_str(&table.text(color));
    text
}

/// The size flags of a compiled program: who chose each, and before → after where it was measured.
pub(crate) fn flags(image: &BuiltImage, color: bool) -> String {
    if image.flags.is_empty() && image.saved.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&[
        ("SIZE FLAG", Align::Left),
        ("CHOSEN BY", Align::Left),
        ("BEFORE", Align::Right),
        ("AFTER", Align::Right),
    ]);
    let mut told = Vec::new();
    for flag in &image.flags {
        let name = flag.text();
        let saved = image.saved.iter().find(|saved| saved.flag == name);
        told.extend(saved.map(|saved| saved.flag.as_str()));
        let bytes =
            |bytes: Option<u64>| bytes.map_or(String::new(), |bytes| ByteSize(bytes).to_string());
        table.row([
            name,
            chooser(flag.by).to_owned(),
            bytes(saved.map(|saved| saved.before_bytes)),
            bytes(saved.map(|saved| saved.after_bytes)),
        ]);
    }
    for saved in image
        .saved
        .iter()
        .filter(|saved| !told.contains(&saved.flag.as_str()))
    {
        table.row([
            saved.flag.clone(),
            String::new(),
            ByteSize(saved.before_bytes).to_string(),
            ByteSize(saved.after_bytes).to_string(),
        ]);
    }
    format!("{}\n", table.text(color))
}

/// What was packed of a web site, before and after.
pub(crate) fn site(summary: &Summary, color: bool) -> String {
    let mut table = Table::new(&[
        ("PACKED SITE", Align::Left),
        ("FILES", Align::Right),
        ("BEFORE", Align::Right),
        ("AFTER", Align::Right),
    ]);
    table.row([
        "all of it".to_owned(),
        summary.files.to_string(),
        ByteSize(summary.file_bytes).to_string(),
        ByteSize(summary.packed_bytes).to_string(),
    ]);
    table.row([
        "plain, with ready heads".to_owned(),
        summary.files.to_string(),
        ByteSize(summary.file_bytes).to_string(),
        ByteSize(summary.plain_bytes).to_string(),
    ]);
    for row in &summary.variants {
        table.row([
            format!("{} beside it", row.coding),
            row.files.to_string(),
            ByteSize(row.file_bytes).to_string(),
            ByteSize(row.variant_bytes).to_string(),
        ]);
    }
    format!("{}\n", table.text(color))
}
