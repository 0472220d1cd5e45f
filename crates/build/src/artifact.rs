//! Finds the program that a language's tools have made: where the recipe says,
//! or by what the tool itself tells of its targets.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::program;
use crate::tool::Output;

/// How deep a tree is searched for programs.
const DEPTH: usize = 8;

/// No program, or not the one that is meant.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// The tools were content, and there is none.
    #[error("the compiler was content with {bin}, but made no program")]
    NoProgram {
        /// The program.
        bin: String,
    },
    /// They made several.
    #[error("{} programs were made, and an image holds one: {}", known.len(), known.join(", "))]
    Several {
        /// Their names.
        known: Vec<String>,
    },
    /// They made others than the one asked for.
    #[error("no program {name:?} was made, only {}", known.join(", "))]
    NoBin {
        /// As asked.
        name: String,
        /// Those there are.
        known: Vec<String>,
    },
}

impl ArtifactError {
    /// What to do about it.
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::Several { .. } => vec!["choose one with --bin NAME".to_owned()],
            _ => Vec::new(),
        }
    }
}

/// The program's path.
pub(crate) fn find(output: &Output, bin: &str) -> Result<PathBuf, ArtifactError> {
    let (found, name) = match output {
        Output::File(path) => (vec![path.clone()], &None),
        Output::Folder { folder, name } => (beneath(folder, 0), name),
        Output::Tree { folder, name } => (beneath(folder, DEPTH), name),
        Output::CMake { folder, name } => (cmake(folder).unwrap_or_default(), name),
        Output::Meson { folder, name } => (meson(folder).unwrap_or_default(), name),
    };
    let found = found.into_iter().filter(|path| program::is_program(path));
    choose(found.collect(), name.as_deref(), bin)
}

/// Of several programs the one of this name.
fn choose(
    mut found: Vec<PathBuf>,
    name: Option<&str>,
    bin: &str,
) -> Result<PathBuf, ArtifactError> {
    let base = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    };
    found.sort();
    let known: Vec<String> = found.iter().map(base).collect();
    if let Some(name) = name.filter(|_| !found.is_empty()) {
        found.retain(|path| base(path) == name);
        if found.is_empty() {
            let name = name.to_owned();
            return Err(ArtifactError::NoBin { name, known });
        }
    }
    match (found.len(), found.pop()) {
        (1, Some(path)) => Ok(path),
        (0, _) | (_, None) => Err(ArtifactError::NoProgram {
            bin: bin.to_owned(),
        }),
        _ => Err(ArtifactError::Several { known }),
    }
}

fn beneath(folder: &Path, depth: usize) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    for entry in entries {
        match entry.file_type() {
            Ok(kind) if kind.is_file() => found.push(entry.path()),
            Ok(kind) if kind.is_dir() && depth > 0 => {
                found.extend(beneath(&entry.path(), depth - 1));
            }
            _ => {}
        }
    }
    found
}

/// CMake's answer to the query `codemodel-v2` (cmake-file-api(7)): an index,
/// from it a model of the targets, and a file for each.
fn cmake(folder: &Path) -> Option<Vec<PathBuf>> {
    #[derive(Deserialize)]
    struct Model {
        configurations: Vec<Configuration>,
    }
    #[derive(Deserialize)]
    struct Configuration {
        targets: Vec<Reference>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Reference {
        json_file: String,
    }
    #[derive(Deserialize)]
    struct Target {
        r#type: String,
        #[serde(default)]
        artifacts: Vec<Artifact>,
    }
    #[derive(Deserialize)]
    struct Artifact {
        path: PathBuf,
    }
    let replies = folder.join(".cmake/api/v1/reply");
    let mut names: Vec<PathBuf> = fs::read_dir(&replies)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    names.sort();
    let begins = |path: &PathBuf, start: &str| {
        let name = path.file_name().unwrap_or_default();
        name.to_string_lossy().starts_with(start)
    };
    // The last by name is the newest, says the manual.
    let model = names
        .iter()
        .rev()
        .find(|path| begins(path, "codemodel-v2"))?;
    let model: Model = serde_json::from_slice(&fs::read(model).ok()?).ok()?;
    let mut found = Vec::new();
    for target in model.configurations.iter().flat_map(|one| &one.targets) {
        let bytes = fs::read(replies.join(&target.json_file)).ok()?;
        let target: Target = serde_json::from_slice(&bytes).ok()?;
        if target.r#type == "EXECUTABLE" {
            found.extend(target.artifacts.iter().map(|one| folder.join(&one.path)));
        }
    }
    Some(found)
}

/// What Meson writes of its targets for others to read (Meson's manual, "IDE
/// integration").
fn meson(folder: &Path) -> Option<Vec<PathBuf>> {
    #[derive(Deserialize)]
    struct Target {
        r#type: String,
        filename: Vec<PathBuf>,
    }
    let file = folder.join("meson-info/intro-targets.json");
    let targets: Vec<Target> = serde_json::from_slice(&fs::read(file).ok()?).ok()?;
    let programs = targets.into_iter().filter(|one| one.r#type == "executable");
    Some(programs.flat_map(|one| one.filename).collect())
}
