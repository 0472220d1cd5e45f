//! Python: an application's wheels and sources beside the interpreter that
//! its base brings. What is done is decided here, but for what only the base
//! can say: which Python it has, and so which wheels fit.

pub(crate) mod install;
pub(crate) mod interpreter;
pub(crate) mod lock;
mod sources;
pub(crate) mod wheel;
pub(crate) mod zip;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;
use toml::{Table, Value};

use self::lock::{LockError, Requirements};
use super::known::Language;
use super::source::{Source, ToolError};
use crate::detect::{Detected, PlanError, host_or, refuse_settings};
use crate::recipe::{Found, ProgramRecipe, ProgramSource};

/// Where the application lies, without the leading slash.
pub(crate) const APP: &str = "app";
/// Where its packages lie.
pub(crate) const LIBRARIES: &str = "app/lib";

const INSTALL: &str = "install pip as python3-pip from your distribution, or uv";

/// How an application is put together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PythonRecipe {
    /// What it is called.
    pub name: String,
    /// The project.
    pub folder: PathBuf,
    /// What it depends on.
    pub requirements: Requirements,
    /// A folder of wheels beside the index.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wheels: Option<PathBuf>,
    /// pip, which fetches them.
    pub pip: PathBuf,
    /// What stands before pip's own arguments.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pip_arguments: Vec<String>,
    /// Whether the network may not be used.
    pub offline: bool,
    /// Whether the project itself becomes a wheel.
    pub package: bool,
    /// Files of the project, by their path in the application; none of a package.
    pub sources: BTreeMap<String, PathBuf>,
    /// What is started.
    pub start: Start,
    /// Whether sources are compiled.
    pub bytecode: bool,
    /// Whether tests, stubs and sources of compiled modules stay in.
    pub keep_tests: bool,
    /// Where wheels and bytecode are put meanwhile; one build at a time has it.
    pub work: PathBuf,
}

/// What is started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Start {
    /// A file of the project.
    File(String),
    /// A module, as `python -m` does.
    Module(String),
    /// A function without arguments.
    Function {
        /// Where it is.
        module: String,
        /// Its name.
        function: String,
    },
    /// A command that a package brings.
    Script(String),
}

/// A Python project of which no recipe can be made.
#[derive(Debug, thiserror::Error)]
pub enum PythonPlanError {
    /// What it depends on.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// Nothing says what is started.
    #[error(
        "nothing says what is started: no [project.scripts] in pyproject.toml, and no {}",
        FILES.join(", ")
    )]
    NoStart,
    /// More than one thing could be.
    #[error("{} commands here, and an image starts one: {}", known.len(), known.join(", "))]
    Several {
        /// Their names.
        known: Vec<String>,
    },
    /// No form of a start.
    #[error("{0:?} is nothing to start: a command, a module, module:function or a file is wanted")]
    Start(String),
    /// The project's files.
    #[error(transparent)]
    Sources(#[from] sources::SourcesError),
}

impl PythonPlanError {
    /// What to do about it.
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::Lock(error) => error.hints(),
            Self::NoStart | Self::Start(_) => vec![
                "say it in ounce.toml: [python] and start = \"module:function\", \"serve.py\", or \
                 a command as \"gunicorn\" with its arguments under [image]"
                    .to_owned(),
            ],
            Self::Several { .. } => {
                vec!["choose one: [python] and start = \"NAME\" in ounce.toml".to_owned()]
            }
            Self::Sources(_) => Vec::new(),
        }
    }
}

/// The files that are started where nothing else says what is.
const FILES: [&str; 4] = ["__main__.py", "main.py", "app.py", "server.py"];

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

fn start(
    chosen: Option<&str>,
    project: Option<&Table>,
    sources: &BTreeMap<String, PathBuf>,
) -> Result<Start, PythonPlanError> {
    let scripts: BTreeMap<&str, &str> = project
        .and_then(|project| project.get("scripts"))
        .and_then(Value::as_table)
        .into_iter()
        .flatten()
        .filter_map(|(name, object)| Some((name.as_str(), object.as_str()?)))
        .collect();
    if let Some(text) = chosen {
        if let Some(object) = scripts.get(text) {
            return function(object).ok_or_else(|| PythonPlanError::Start((*object).to_owned()));
        }
        if sources.contains_key(text) {
            return Ok(Start::File(text.to_owned()));
        }
        if let Some(start) = function(text) {
            return Ok(start);
        }
        let module = text.replace('.', "/");
        let is_module = sources.contains_key(&format!("{module}.py"))
            || sources.contains_key(&format!("{module}/__main__.py"));
        return match text {
            text if is_dotted(text) && (is_module || text.contains('.')) => {
                Ok(Start::Module(text.to_owned()))
            }
            text if is_command(text) => Ok(Start::Script(text.to_owned())),
            text => Err(PythonPlanError::Start(text.to_owned())),
        };
    }
    let mut all = scripts.iter();
    match (all.next(), all.next()) {
        (Some((_, object)), None) => {
            function(object).ok_or_else(|| PythonPlanError::Start((*object).to_owned()))
        }
        (Some(_), Some(_)) => Err(PythonPlanError::Several {
            known: scripts.keys().map(|name| (*name).to_owned()).collect(),
        }),
        (None, _) => FILES
            .iter()
            .find(|file| sources.contains_key(**file))
            .map(|file| Start::File((*file).to_owned()))
            .ok_or(PythonPlanError::NoStart),
    }
}

/// `module:function`, both of plain names: they become part of a program.
fn function(text: &str) -> Option<Start> {
    let text = text.split('[').next().unwrap_or(text).trim();
    let (module, function) = text.split_once(':')?;
    let (module, function) = (module.trim(), function.trim());
    (is_dotted(module) && is_dotted(function)).then(|| Start::Function {
        module: module.to_owned(),
        function: function.to_owned(),
    })
}

pub(crate) fn is_dotted(text: &str) -> bool {
    text.split('.').all(|part| {
        let mut chars = part.chars();
        chars.next().is_some_and(|c| c.is_alphabetic() || c == '_')
            && chars.all(|c| c.is_alphanumeric() || c == '_')
    })
}

fn is_command(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    !text.is_empty() && !text.starts_with('-') && text.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started(chosen: Option<&str>, project: &str, files: &[&str]) -> Result<Start, String> {
        let sources = files
            .iter()
            .map(|file| ((*file).to_owned(), PathBuf::new()))
            .collect();
        let project: Table = project.parse().unwrap();
        start(chosen, Some(&project), &sources).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_started_is_found_or_asked_for() {
        let serve = || Start::Function {
            module: "a.b".to_owned(),
            function: "serve".to_owned(),
        };
        let scripts = "[scripts]\none = 'a.b:serve'\n";
        assert_eq!(started(None, scripts, &["main.py"]).unwrap(), serve());
        assert_eq!(started(Some("one"), scripts, &[]).unwrap(), serve());
        assert_eq!(started(Some("a.b:serve"), "", &[]).unwrap(), serve());
        let file = |name: &str| Start::File(name.to_owned());
        assert_eq!(
            started(None, "", &["app.py", "main.py"]).unwrap(),
            file("main.py")
        );
        assert_eq!(
            started(Some("x/go.py"), "", &["x/go.py"]).unwrap(),
            file("x/go.py")
        );
        let module = |name: &str| Start::Module(name.to_owned());
        assert_eq!(
            started(Some("pkg"), "", &["pkg/__main__.py"]).unwrap(),
            module("pkg")
        );
        assert_eq!(
            started(Some("pkg.mod"), "", &[]).unwrap(),
            module("pkg.mod")
        );
        let script = Start::Script("gunicorn".to_owned());
        assert_eq!(started(Some("gunicorn"), "", &["app.py"]).unwrap(), script);
        let two = "[scripts]\none = 'a:b'\ntwo = 'a:c'\n";
        assert_eq!(
            started(None, two, &[]).unwrap_err(),
            "2 commands here, and an image starts one: one, two"
        );
        assert!(
            started(None, "", &["other.py"])
                .unwrap_err()
                .starts_with("nothing says")
        );
    }

    #[test]
    fn what_would_become_code_of_another_kind_is_refused() {
        for text in [
            "a; import os:b",
            "a:b()",
            "a:b;c",
            "-c",
            "",
            "a b",
            "a:",
            ":b",
            "../x",
        ] {
            assert!(started(Some(text), "", &[]).is_err(), "{text:?}");
        }
        assert!(started(None, "[scripts]\none = 'os:system(\"x\")'\n", &[]).is_err());
    }
}
