//! How a Rust project is compiled: program, profile, target and flags.

pub(crate) mod auditable;
pub(crate) mod cargo;
pub(crate) mod compile;
pub(crate) mod profile;
pub(crate) mod rustflags;
pub(crate) mod smallest;
pub(crate) mod target;

use std::fs;

use ounce_oci::Platform;

use self::profile::ProjectFiles;
use self::target::{Linking, Tools};
use super::known::Language;
use super::source::Source;
use crate::detect::{Detected, PlanError, host_or};
use crate::flag::By;
use crate::recipe::{CargoRecipe, Found, ProgramRecipe, ProgramSource};
use crate::settings::{Measure, Settings};

/// Most packages in `Cargo.lock` for which each flag is measured unasked: a
/// project of this size compiles in seconds, and the ladder six times that.
const SMALL_PROJECT_PACKAGES: usize = 8;

/// How the project is compiled.
///
/// # Errors
/// Cargo does not take it, or a target is missing.
pub(crate) fn project(source: &Source<'_>) -> Result<Detected, PlanError> {
    let Source {
        toolchain,
        settings,
        offline,
        ..
    } = *source;
    let folder = source.folder.clone();
    let program = cargo::choose(toolchain, &folder, &settings.rust)?;
    let text = fs::read_to_string(&program.source).map_err(|error| PlanError::Read {
        path: program.source.clone(),
        source: error,
    })?;
    let freestanding = cargo::is_freestanding(&text);
    let files = ProjectFiles::read(
        &folder,
        &program.workspace_root,
        toolchain.cargo_home().as_deref(),
    )?;
    let profile = settings.rust.profile.as_deref().unwrap_or("release");
    let mut flags = files.flags(profile, toolchain)?;
    let mut advice = Vec::new();
    let mut smallest = settings.rust.smallest == Some(true);
    if smallest && freestanding {
        smallest = false;
        advice.push(format!(
            "--smallest changes nothing: {} has no standard library in it",
            program.bin
        ));
    }
    if smallest {
        let (smaller, overruled) = smallest::flags(&flags);
        flags = smaller;
        if !overruled.is_empty() {
            advice.push(format!(
                "--smallest overrules what the project chose: {}",
                overruled.join(", ")
            ));
        }
        advice.push(
            "smallest: a panic ends the program at once and says nothing, the program lies at a \
             fixed address, and unstable options of cargo make it: see docs/rust.md"
                .to_owned(),
        );
    }
    let measure = match settings.measure.unwrap_or_default() {
        _ if flags.iter().all(|flag| flag.by == By::Project) => Measure::No,
        // Most of it is the standard library, compiled again for each.
        Measure::Auto if smallest => Measure::Total,
        Measure::Auto if is_small(&program) => Measure::EachFlag,
        Measure::Auto => Measure::No,
        measure => measure,
    };
    let platforms = host_or(&settings.platforms);
    if settings.rust.target.is_some() && platforms.len() > 1 {
        return Err(PlanError::Meaningless {
            what: "--target",
            found: "several platforms",
        });
    }
    let has_linker = |triple: &str| {
        let name = triple.to_ascii_uppercase().replace('-', "_");
        files.has_linker(triple) || toolchain.has(&format!("CARGO_TARGET_{name}_LINKER"))
    };
    let remaps = rustflags::remaps(toolchain, &folder, &program.workspace_root);
    let mut programs = Vec::new();
    let auditable = settings.rust.auditable == Some(true);
    for platform in platforms {
        let chosen = target::choose(
            &platform,
            &Platform::host(),
            freestanding,
            settings.rust.target.as_deref(),
            &Tools {
                installed: &|triple| toolchain.has_target(&folder, triple),
                configured: &|triple| files.configures(triple),
                has_linker: &has_linker,
                find: &|name| toolchain.find(name),
            },
        )?;
        advice.extend(chosen.advice);
        let own_linker = has_linker(&chosen.triple);
        let mut needed = Vec::new();
        if chosen.linking == Linking::GlibcStatic {
            needed.push("-Ctarget-feature=+crt-static".to_owned());
        }
        if smallest {
            needed.extend(smallest::of_target(&chosen.triple));
        }
        let rustflags = rustflags::add(&files, toolchain, &chosen.triple, &needed, &remaps);
        if rustflags.flags.len() == needed.len() {
            advice.push(
                "the program may name folders of this machine, since rustflags stand in more \
                 than one section of cargo's configuration, or as a text: write them as one list"
                    .to_owned(),
            );
        }
        let mut recipe = CargoRecipe {
            folder: folder.clone(),
            package: program.package.clone(),
            bin: program.bin.clone(),
            target: chosen.triple,
            linking: chosen.linking,
            profile: profile.to_owned(),
            flags: flags.clone(),
            measure,
            target_dir: program.target_directory.join("ounce"),
            arguments: Vec::new(),
            rustflags,
            workspace_root: program.workspace_root.clone(),
            smallest: None,
            auditable,
            library: program.is_library,
        };
        if smallest {
            recipe.smallest = Some(smallest::choose(
                toolchain,
                &folder,
                recipe.linking,
                own_linker,
                auditable,
                &recipe.target_dir,
                &program.workspace_root,
            )?);
        }
        // rust-lld and musl's start files come with the toolchain: no cc is
        // needed, cross or not, and every machine links the same bytes.
        let lld = recipe.linking == Linking::Musl && !own_linker;
        let linker = match chosen.linker {
            Some(cross) => Some(cross.display().to_string()),
            None => lld.then(|| "rust-lld".to_owned()),
        };
        recipe.arguments = arguments(&recipe, settings, offline, linker.as_deref());
        programs.push(ProgramRecipe {
            platform,
            from: ProgramSource::Cargo(Box::new(recipe)),
        });
    }
    if flags.iter().any(|flag| flag.by == By::Ounce) && measure == Measure::No {
        advice.push(
            "--measure each-flag compiles once per size flag and shows what each saves".to_owned(),
        );
    }
    Ok(Detected {
        found: Found::Project(Language::Rust),
        // A library's own name has underscores that nobody wrote.
        name: match program.is_library {
            true => program.package.clone(),
            false => program.bin.clone(),
        },
        image_name: None,
        port: None,
        programs,
        site: None,
        advice,
    })
}

fn is_small(program: &cargo::Program) -> bool {
    match fs::read_to_string(program.workspace_root.join("Cargo.lock")) {
        Ok(lock) => lock.matches("[[package]]").count() <= SMALL_PROJECT_PACKAGES,
        Err(_) => !program.has_dependencies,
    }
}

fn arguments(
    recipe: &CargoRecipe,
    settings: &Settings,
    offline: bool,
    linker: Option<&str>,
) -> Vec<String> {
    let CargoRecipe {
        package,
        bin,
        target,
        profile,
        ..
    } = recipe;
    // Both compile the same; only `rustc` takes arguments for the program alone.
    let verb = match recipe.smallest.is_some() || recipe.auditable {
        true => "rustc",
        false => "build",
    };
    let which: &[&str] = match recipe.library {
        true => &["--lib"],
        false => &["--bin", bin],
    };
    let mut arguments: Vec<String> = [verb, "--package", package]
        .iter()
        .chain(which)
        .chain(&["--target", target, "--profile", profile])
        .map(|word| (*word).to_owned())
        .collect();
    let rust = &settings.rust;
    if !rust.features.is_empty() {
        arguments.extend(["--features".to_owned(), rust.features.join(",")]);
    }
    let switches = [
        ("--all-features", rust.all_features == Some(true)),
        (
            "--no-default-features",
            rust.no_default_features == Some(true),
        ),
        ("--offline", offline),
    ];
    let set = switches.into_iter().filter(|(_, set)| *set);
    arguments.extend(set.map(|(switch, _)| switch.to_owned()));
    if let Some(linker) = linker {
        let linker = toml::Value::from(linker);
        arguments.extend([
            "--config".to_owned(),
            format!("target.{target}.linker={linker}"),
        ]);
    }
    arguments
}
