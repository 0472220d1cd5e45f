//! What a Python application starts, found or asked for, and what is wrong with
//! a project of which no recipe can be made.

use std::collections::BTreeMap;
use std::path::PathBuf;

use toml::{Table, Value};

use super::lock::LockError;
use super::recipe::Start;
use super::sources;

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

/// What is started: as chosen, else as the project says, else its one likely file.
pub(super) fn start(
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

fn is_dotted(text: &str) -> bool {
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
