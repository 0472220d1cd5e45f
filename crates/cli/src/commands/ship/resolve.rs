//! `ounce ship resolve`: YAML with `ounce://PATH` in it, to YAML with the digests of
//! what was built there and pushed.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser as _;
use ounce_oci::registry::Remote;
use ounce_oci::{Place, model};
use ounce_ship::resolve::{self, SCHEME};
use serde::Serialize;

use crate::arguments::ship::ResolveArguments;
use crate::arguments::{Arguments, Command};
use crate::commands::{Context, build, push};
use crate::failure::{Failure, Kind};

#[derive(Serialize)]
struct Document {
    schema: &'static str,
    images: Vec<Resolved>,
    /// All files as one stream of documents.
    yaml: String,
}

#[derive(Serialize)]
struct Resolved {
    path: String,
    image: String,
}

/// Builds, pushes, and prints.
pub(super) fn run(context: &Context, arguments: &ResolveArguments) -> Result<ExitCode, Failure> {
    if arguments.registry.digest().is_some() {
        return Err(Failure::new(
            Kind::Usage,
            "--registry names a repository, without a digest",
        ));
    }
    // All files are read, and found to be YAML, before anything is built.
    let mut files = Vec::new();
    for path in &arguments.files {
        let (text, folder) = read(path)?;
        let named = |error: resolve::ResolveError| {
            let failure = Failure::from(error);
            let what = format!("{}: {}", path.display(), failure.source);
            Failure::new(failure.kind, what)
        };
        let paths = resolve::paths(&text).map_err(named)?;
        files.push((text, folder, paths));
    }
    let mut built: BTreeMap<PathBuf, String> = BTreeMap::new();
    let mut text = String::new();
    let mut shown = Vec::new();
    for (source, folder, paths) in &files {
        let mut images = BTreeMap::new();
        for path in paths {
            let place = folder.join(path);
            let key = std::fs::canonicalize(&place).map_err(|error| {
                Failure::new(
                    Kind::Input,
                    format!("{SCHEME}{path}: {}: {error}", place.display()),
                )
                .hint("the path starts from the folder of the file that names it")
            })?;
            let image = match built.get(&key) {
                Some(image) => image.clone(),
                None => {
                    let image = one(context, arguments, &key)?;
                    shown.push(Resolved {
                        path: path.clone(),
                        image: image.clone(),
                    });
                    built.insert(key, image.clone());
                    image
                }
            };
            images.insert(path.clone(), image);
        }
        let resolved = resolve::replaced(source, &images)?;
        // Several files are several documents.
        if !text.is_empty() && !resolved.starts_with("---") {
            text.push_str("---\n");
        }
        text.push_str(&resolved);
        if !text.ends_with('\n') {
            text.push('\n');
        }
    }
    match context.output.json {
        true => context.output.document(&Document {
            schema: "ounce.ship-resolve/1",
            images: shown,
            yaml: text,
        })?,
        false => context.output.text(&text)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn read(path: &Path) -> Result<(String, PathBuf), Failure> {
    let fault = |error| Failure::new(Kind::Input, format!("reading {}: {error}", path.display()));
    if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map_err(fault)?;
        return Ok((text, PathBuf::from(".")));
    }
    let text = std::fs::read_to_string(path).map_err(fault)?;
    let folder = path.parent().unwrap_or(Path::new(".")).to_owned();
    Ok((text, folder))
}

/// Builds what lies at a path as `ounce build` does, and pushes it.
fn one(context: &Context, arguments: &ResolveArguments, path: &Path) -> Result<String, Failure> {
    let words = ["ounce".into(), "build".into(), path.as_os_str().to_owned()];
    let parsed = Arguments::try_parse_from(words);
    let Ok(Command::Build(options)) = parsed.map(|it| it.command) else {
        let why = format!("{} cannot be built", path.display());
        return Err(Failure::new(Kind::Input, why));
    };
    let request = build::request(&options.options, &arguments.platform)?;
    let recipe = build::plan(context.output, &request)?;
    let store = context.store()?;
    let made = build::make(context.output, &recipe, &store)?;
    build::over_budget(&made, &store)?;
    let base = &made.reference.name;
    let name = base.rsplit('/').next().unwrap_or(base);
    let registry = context.registry(&arguments.network);
    let place = Place::Store(made.reference.clone());
    let source = push::open(context, &registry, &place)?;
    let digest =
        model::digest_of(&source.root).map_err(|error| Failure::new(Kind::Input, error))?;
    let to = format!("{}/{name}@{digest}", arguments.registry.name());
    let to: Remote = to
        .parse()
        .map_err(|error| Failure::new(Kind::Usage, error))?;
    push::send(context, &registry, &source, &to)?;
    Ok(format!("{}@{digest}", to.name()))
}
