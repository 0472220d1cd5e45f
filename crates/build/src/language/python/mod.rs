//! Python: an application's wheels and sources beside the interpreter that
//! its base brings. What is done is decided here, but for what only the base
//! can say: which Python it has, and so which wheels fit.

pub(crate) mod install;
pub(crate) mod interpreter;
pub(crate) mod lock;
pub(crate) mod recipe;
pub(crate) mod sources;
pub(crate) mod start;
pub(crate) mod wheel;
pub(crate) mod zip;

use std::collections::BTreeMap;
use std::path::PathBuf;

use toml::{Table, Value};

use self::lock::Requirements;
use self::recipe::PythonRecipe;
use self::start::{PythonPlanError, start};
use super::known::Language;
use super::source::{Source, ToolError};
use crate::detect::{Detected, PlanError, host_or, refuse_settings};
use crate::recipe::{Found, ProgramRecipe, ProgramSource};

const INSTALL: &str = "install pip as python3-pip from your distribution, or uv";

/// How the project becomes an application.
///
/// # Errors
/// pip is not there, a lock file is not understood, or nothing says what is started.
pub(crate) fn project(source: &Source<'_>) -> Result<Detected, PlanError> {
    refuse_settings(source.settings, "a Python project", &[])?;
    let settings = &source.settings.python;
    let document = match source.folder.join("pyproject.toml") {
        path if path.is_file() => lock::table(&path).map_err(PythonPlanError::from)?,
        _ => Table::new(),
    };
    let project = document.get("project").and_then(Value::as_table);
    let name = project
        .and_then(|project| project.get("name"))
        .and_then(Value::as_str)
        .map_or_else(|| source.name(), str::to_owned);
    let (pip, pip_arguments) = pip(source)?;
    // pip is started elsewhere.
    let whole = |path: &PathBuf| {
        path.canonicalize().map_err(|source| PlanError::Read {
            path: path.clone(),
            source,
        })
    };
    let chosen = settings.requirements.iter().map(whole);
    let chosen = chosen.collect::<Result<Vec<_>, _>>()?;
    let wheels = settings.wheels.as_ref().map(whole).transpose()?;
    let requirements =
        lock::read(&source.folder, &chosen, &settings.extras).map_err(PythonPlanError::from)?;
    let package = settings
        .package
        .unwrap_or(document.contains_key("build-system") && project.is_some());
    let sources = match package {
        true => BTreeMap::new(),
        false => sources::walk(&source.folder).map_err(PythonPlanError::from)?,
    };
    let start = start(settings.start.as_deref(), project, &sources)?;
    let mut advice = Vec::new();
    if !requirements.complete && !requirements.from.is_empty() {
        let from: Vec<String> = requirements
            .from
            .iter()
            .filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned()))
            .collect();
        if !is_pinned(&requirements) {
            advice.push(format!(
                "{} does not pin every version by its hash, so that another day may give \
                 another image: `uv lock`, or pip-compile --generate-hashes",
                from.join(", ")
            ));
        }
    }
    let mut programs = Vec::new();
    for platform in host_or(&source.settings.platforms) {
        let work = source.work(&platform)?;
        programs.push(ProgramRecipe {
            from: ProgramSource::Python(Box::new(PythonRecipe {
                name: name.clone(),
                folder: source.folder.clone(),
                requirements: requirements.clone(),
                wheels: wheels.clone(),
                pip: pip.clone(),
                pip_arguments: pip_arguments.clone(),
                offline: source.offline,
                package,
                sources: sources.clone(),
                start: start.clone(),
                bytecode: settings.bytecode.unwrap_or(true),
                keep_tests: settings.tests.unwrap_or(false),
                work,
            })),
            platform,
        });
    }
    Ok(Detected {
        found: Found::Project(Language::Python),
        name,
        image_name: None,
        port: None,
        programs,
        site: None,
        advice,
    })
}

/// pip, however it is called here, and what stands before its own arguments.
fn pip(source: &Source<'_>) -> Result<(PathBuf, Vec<String>), ToolError> {
    let found = |names: &[&str]| names.iter().find_map(|name| source.toolchain.find(name));
    if let Some(pip) = found(&["pip3", "pip"]) {
        return Ok((pip, Vec::new()));
    }
    if let Some(uv) = found(&["uv"]) {
        let arguments = ["tool", "run", "pip"];
        return Ok((uv, arguments.map(str::to_owned).to_vec()));
    }
    source
        .tool(Language::Python, &["pip3", "uv"], INSTALL)
        .map(|pip| (pip, Vec::new()))
}

/// Whether every requirement of files for pip is pinned by a hash.
fn is_pinned(requirements: &Requirements) -> bool {
    if !requirements.lines.is_empty() {
        return false;
    }
    let text = |path: &PathBuf| std::fs::read_to_string(path).unwrap_or_default();
    requirements.from.iter().all(|path| {
        let text = text(path).replace("\\\n", " ");
        text.lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with(['#', '-']))
            .all(|line| line.contains("--hash="))
    })
}
