//! From what is at a path to a recipe: everything is decided here, and
//! nothing is compiled or written.

use std::fs;
use std::io::Read as _;
use std::path::PathBuf;

use ounce_oci::Reference;
use ounce_oci::wasm::MODULE_NAME;

use crate::base;
use crate::config;
use crate::detect::{self, Detected, Pages, PlanError};
use crate::distribution::lock::LOCK_NAME;
use crate::distribution::{Base, Distroless};
use crate::language::python::recipe::APP;
use crate::language::{self, Language, Source};
use crate::program;
use crate::recipe::{Found, ImageRecipe, ProgramRecipe, ProgramSource, Recipe};
use crate::settings::{Certificates, ExtraFile, Settings, Zones, parse_name, parse_user};
use crate::toolchain::Toolchain;
use crate::wasm;

/// What to build, from what, with what.
#[derive(Debug, Clone)]
pub struct Request {
    /// A program, a project, a source file or a folder of web files.
    pub path: PathBuf,
    /// What the flags say; they win over `ounce.toml`.
    pub settings: Settings,
    /// Another `ounce.toml` than the folder's own.
    pub config: Option<PathBuf>,
    /// Which of the settings' stages.
    pub stage: Option<String>,
    /// What to call the image; its own name unless told.
    pub reference: Option<Reference>,
    /// The compilers.
    pub toolchain: Toolchain,
    /// `SOURCE_DATE_EPOCH`: the time of every file in the layer, else 0.
    pub source_date_epoch: Option<u64>,
    /// Whether compilers may not use the network.
    pub offline: bool,
    /// The engine of WebAssembly, which makes components as well.
    pub engine: Option<PathBuf>,
}

impl Request {
    /// A request with everything left to detection.
    pub fn new(path: impl Into<PathBuf>, toolchain: Toolchain) -> Self {
        Self {
            path: path.into(),
            settings: Settings::default(),
            config: None,
            stage: None,
            reference: None,
            toolchain,
            source_date_epoch: None,
            offline: false,
            engine: None,
        }
    }
}

/// Looks at what is at the path and decides everything.
///
/// # Errors
/// Nothing an image can be made of, or a wish that cannot be met; nothing was
/// compiled or written then.
pub fn plan(request: &Request) -> Result<Recipe, PlanError> {
    let path = &request.path;
    let metadata = fs::metadata(path).map_err(|source| PlanError::Read {
        path: path.clone(),
        source,
    })?;
    let settings = in_stage(request, settings(request, metadata.is_dir())?)?;
    let settings = for_wasm(settings)?;
    for (at, platform) in settings.platforms.iter().enumerate() {
        if settings.platforms[..at].contains(platform) {
            return Err(PlanError::Twice(platform.clone()));
        }
    }
    let detected = match detect::detect(path, &metadata, &settings)? {
        Found::Program => detect::ready_program(path, &settings)?,
        Found::Project(language) => {
            let (toolchain, offline) = (&request.toolchain, request.offline);
            let source = Source::at(path, &settings, toolchain, offline);
            let source = source.map_err(|source| PlanError::Read {
                path: path.clone(),
                source,
            })?;
            language::project(language, &source)?
        }
        Found::Site => detect::web_site(path, &settings)?,
    };
    finish(request, settings, detected)
}

/// The stages that the settings of a request have, in order of their names.
///
/// # Errors
/// As [`plan`]'s of `ounce.toml`.
pub fn stages(request: &Request) -> Result<Vec<String>, PlanError> {
    let path = &request.path;
    let metadata = fs::metadata(path).map_err(|source| PlanError::Read {
        path: path.clone(),
        source,
    })?;
    let settings = settings(request, metadata.is_dir())?;
    Ok(settings.stages.into_keys().collect())
}

/// The settings of the stage that is asked for: flags win over it, and it wins
/// over what is written for all.
fn in_stage(request: &Request, mut settings: Settings) -> Result<Settings, PlanError> {
    let Some(name) = &request.stage else {
        return Ok(settings);
    };
    let Some(stage) = settings.stages.remove(name) else {
        return Err(PlanError::NoStage {
            name: name.clone(),
            known: settings.stages.into_keys().collect(),
        });
    };
    Ok(request.settings.clone().or(stage).or(settings))
}

/// A target of WebAssembly is a platform: compilers but rustc know it as that.
fn for_wasm(mut settings: Settings) -> Result<Settings, PlanError> {
    let triple = settings.rust.target.as_deref();
    if let Some(platform) = triple.and_then(wasm::platform_of_target) {
        if !settings.platforms.is_empty() && settings.platforms != [platform.clone()] {
            return Err(PlanError::Meaningless {
                what: "--platform",
                found: "a target of WebAssembly, which is a platform itself",
            });
        }
        settings.platforms = vec![platform];
    }
    Ok(settings)
}

/// Refuses what a module has no place for: it is one file, and its base is the engine.
fn refuse_beside_module(settings: &Settings) -> Result<(), PlanError> {
    let image = &settings.image;
    let asked = [
        ("--file", !settings.files.is_empty()),
        ("--ca-certificates", image.ca_certificates.is_some()),
        ("--time-zones", image.timezones.is_some()),
        ("--passwd", image.passwd == Some(true)),
        ("--tmp", image.tmp == Some(true)),
        (
            "--base",
            !matches!(settings.base, None | Some(Base::Scratch)),
        ),
    ];
    match asked.into_iter().find(|(_, asked)| *asked) {
        Some((what, _)) => Err(PlanError::Meaningless {
            what,
            found: "a WebAssembly image, which is one module: files come by --volume at its start",
        }),
        None => Ok(()),
    }
}

fn settings(request: &Request, is_folder: bool) -> Result<Settings, PlanError> {
    request.settings.check()?;
    let path = match &request.config {
        Some(path) => path.clone(),
        None if is_folder => request.path.join("ounce.toml"),
        None => return Ok(request.settings.clone()),
    };
    let failed = |source| PlanError::Read {
        path: path.clone(),
        source,
    };
    // Asked before it is opened: a pipe would be waited for.
    let file = match fs::metadata(&path) {
        Ok(data) if !data.is_file() => {
            return Err(failed(std::io::Error::other("not a regular file")));
        }
        Ok(_) => fs::File::open(&path),
        Err(error) => Err(error),
    };
    let file = match file {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && request.config.is_none() => {
            return Ok(request.settings.clone());
        }
        Err(error) => return Err(failed(error)),
    };
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(failed(std::io::Error::other("not a regular file")));
    }
    let mut text = String::new();
    file.take(config::CONFIG_LIMIT_BYTES + 1)
        .read_to_string(&mut text)
        .map_err(failed)?;
    if text.len() as u64 > config::CONFIG_LIMIT_BYTES {
        return Err(failed(std::io::Error::other("longer than 1 MiB")));
    }
    let written = config::parse(&path, &text)?;
    Ok(request.settings.clone().or(written))
}

fn finish(request: &Request, settings: Settings, found: Detected) -> Result<Recipe, PlanError> {
    let name = match &settings.name {
        Some(name) if found.found != Found::Site => parse_name(name)?,
        // What a file or folder happens to be called is no setting: made to fit.
        _ => parse_name(&program_name(&found.name))?,
    };
    let reference = match &request.reference {
        Some(reference) => reference.clone(),
        None => {
            let image = settings
                .name
                .as_ref()
                .or(found.image_name.as_ref())
                .unwrap_or(&name);
            let mut reference: Reference = image_name(image).parse()?;
            reference.tag = request.stage.clone().or(reference.tag);
            reference
        }
    };
    let is_wasm = found
        .programs
        .iter()
        .any(|one| wasm::is_wasm(&one.platform));
    if is_wasm {
        if found.programs.len() > 1 {
            return Err(PlanError::Meaningless {
                what: "a further platform",
                found: "a WebAssembly image: it runs on every one",
            });
        }
        refuse_beside_module(&settings)?;
    }
    let (site, packed) = match found.site {
        None => (None, None),
        Some(Pages::Folder(site)) => (Some(site), None),
        Some(Pages::Packed(packing)) => (None, Some(packing)),
    };
    let is_within = |path: &str| path.starts_with(&format!("/{}/", base::SITE_ROOT));
    if packed.is_some() && settings.files.iter().any(|file| is_within(&file.to)) {
        return Err(PlanError::Meaningless {
            what: "a file beneath /public",
            found: "a packed site: with `pack = false` it stays a folder",
        });
    }
    // A folder is served as its server is told; a packed site has it in it.
    let rules_as_arguments = match site {
        Some(_) => settings.rules.arguments(),
        None => Vec::new(),
    };
    let base = on_what(settings.base, &found.programs)?;
    let lock = match settings.lock {
        Some(path) => Some(path),
        // A lone program's folder may be anything.
        None if request.path.is_dir() => Some(request.path.join(LOCK_NAME)),
        None => None,
    };
    let image = settings.image;
    let (uid, gid) = parse_user(image.user.as_deref().unwrap_or("65532:65532"))?;
    let mut labels = image.labels;
    for (key, value) in [
        ("title", image.title),
        ("version", image.version),
        ("source", image.source),
        ("revision", image.revision),
    ] {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            labels
                .entry(format!("org.opencontainers.image.{key}"))
                .or_insert(value);
        }
    }
    let mut ports = image
        .ports
        .unwrap_or_else(|| found.port.into_iter().collect());
    ports.sort();
    ports.dedup();
    let application = found.found == Found::Project(Language::Python);
    let recipe = Recipe {
        reference,
        found: found.found,
        programs: found.programs,
        image: ImageRecipe {
            // An application is started by its base's interpreter.
            entrypoint: match application {
                true => String::new(),
                false if is_wasm => format!("/{MODULE_NAME}"),
                false => format!("/{name}"),
            },
            args: [rules_as_arguments, image.args.unwrap_or_default()].concat(),
            user: format!("{uid}:{gid}"),
            env: image.env,
            ports: ports.iter().map(ToString::to_string).collect(),
            workdir: image.workdir.or(application.then(|| format!("/{APP}"))),
            labels,
            ca_certificates: image.ca_certificates.unwrap_or(Certificates::None),
            timezones: image.timezones.unwrap_or(Zones::None),
            passwd: image.passwd.unwrap_or(false),
            tmp: image.tmp.unwrap_or(false),
            files: extra_files(settings.files)?,
            site,
            packed,
        },
        compression: settings.compression.unwrap_or_default(),
        mtime: request.source_date_epoch.unwrap_or(0),
        budget_bytes: settings.budget_bytes,
        allow_secrets: settings.allow_secrets,
        wasm: is_wasm.then(|| wasm::recipe(&request.toolchain, request.engine.as_deref())),
        advice: found.advice,
        base,
        debian: settings.debian,
        alpine: settings.alpine,
        lock,
        offline: request.offline,
        toolchain: request.toolchain.clone(),
    };
    Ok(recipe)
}

/// The base, with as much of a distroless one as the programs need.
fn on_what(base: Option<Base>, programs: &[ProgramRecipe]) -> Result<Base, PlanError> {
    let is_python = |one: &ProgramRecipe| matches!(one.from, ProgramSource::Python(_));
    if programs.iter().any(is_python) {
        return match base {
            None | Some(Base::Distroless(_)) => Ok(Base::Distroless(Some(Distroless::Python3))),
            Some(Base::Scratch) => Err(PlanError::Meaningless {
                what: "--base scratch",
                found: "a Python project: the interpreter is the base's",
            }),
            Some(base) => Ok(base),
        };
    }
    let base = base.unwrap_or(Base::Scratch);
    if base != Base::Distroless(None) {
        return Ok(base);
    }
    let mut most = Distroless::Static;
    for one in programs {
        // What is compiled here is linked statically.
        if let ProgramSource::File(path) = &one.from {
            let bytes = program::read(path)?;
            let facts = program::check_on(path, &bytes, Some(&one.platform), true)?.0;
            most = most.max(Distroless::least(&facts.needed));
        }
    }
    Ok(Base::Distroless(Some(most)))
}

/// Looks at each extra file, so that a missing one is told before compiling.
fn extra_files(files: Vec<ExtraFile>) -> Result<Vec<ExtraFile>, PlanError> {
    use std::os::unix::fs::PermissionsExt as _;
    files
        .into_iter()
        .map(|mut file| {
            let failed = |source| PlanError::Read {
                path: file.from.clone(),
                source,
            };
            let metadata = fs::metadata(&file.from).map_err(failed)?;
            if !metadata.is_file() {
                return Err(failed(std::io::Error::other("not a regular file")));
            }
            fs::File::open(&file.from).map_err(failed)?;
            let executable = metadata.permissions().mode() & 0o100 != 0;
            let detected = if executable { 0o755 } else { 0o644 };
            file.mode = Some(file.mode.unwrap_or(detected));
            Ok(file)
        })
        .collect()
}

/// A name that [`parse_name`] takes: runs of other characters as one `-`.
fn program_name(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '+');
    let parts = name.split(|c| !plain(c)).filter(|part| !part.is_empty());
    let mut out = parts.collect::<Vec<_>>().join("-");
    out.truncate(100);
    if matches!(out.as_str(), "" | "." | "..") {
        return "program".to_owned();
    }
    out
}

/// A name that registries take: lower case, runs of other characters as one `-`.
fn image_name(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        match c.to_ascii_lowercase() {
            c @ ('a'..='z' | '0'..='9') => out.push(c),
            c @ ('.' | '_' | '-') if out.ends_with(|last: char| last.is_ascii_alphanumeric()) => {
                out.push(c);
            }
            _ if out.ends_with(|last: char| last.is_ascii_alphanumeric()) => out.push('-'),
            _ => {}
        }
    }
    let trimmed = out.trim_end_matches(['.', '_', '-']);
    if trimmed.is_empty() { "image" } else { trimmed }.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_name_becomes_one_that_a_program_may_have() {
        for (name, program) in [
            ("Hello", "Hello"),
            ("My Server (2)", "My-Server-2"),
            ("été", "t"),
            ("..", "program"),
            ("日本", "program"),
        ] {
            assert_eq!(program_name(name), program);
            assert!(parse_name(program).is_ok(), "{name}");
        }
        assert!(parse_name(&program_name(&"x".repeat(300))).is_ok());
    }

    #[test]
    fn any_name_becomes_one_that_registries_take() {
        for (name, image) in [
            ("Hello", "hello"),
            ("my app (2)", "my-app-2"),
            ("__a__", "a"),
            ("été", "t"),
            ("..", "image"),
        ] {
            assert_eq!(image_name(name), image);
            assert!(image_name(name).parse::<Reference>().is_ok(), "{name}");
        }
    }
}
