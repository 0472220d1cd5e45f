//! What cargo says of a project: its packages, their programs, its folders.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::settings::RustSettings;
use crate::toolchain::Toolchain;

impl Toolchain {
    /// Cargo's home, as cargo finds it.
    pub(crate) fn cargo_home(&self) -> Option<PathBuf> {
        let folder = |name: &str| self.get(name).map(PathBuf::from);
        folder("CARGO_HOME").or_else(|| Some(folder("HOME")?.join(".cargo")))
    }

    /// What rustc in `folder` writes when asked so; `None` if it fails.
    pub(crate) fn told(&self, folder: &Path, arguments: &[&str]) -> Option<String> {
        self.answer(&self.rustc, folder, arguments)
    }

    /// Whether the standard library for `target` is installed, as rustc in `folder` sees it.
    pub(crate) fn has_target(&self, folder: &Path, target: &str) -> bool {
        self.told(folder, &["--print", "target-libdir", "--target", target])
            .is_some_and(|told| Path::new(told.trim()).is_dir())
    }
}

/// Cargo could not be asked, or the project does not have what was wanted.
#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    /// Cargo could not be started.
    #[error("starting {}", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// `cargo metadata` failed.
    #[error("cargo does not take the project in {}: {}", folder.display(), stderr.trim())]
    Metadata {
        /// The project.
        folder: PathBuf,
        /// What cargo said.
        stderr: String,
    },
    /// What cargo wrote is not what it documents.
    #[error("reading what cargo metadata wrote")]
    Format(#[source] serde_json::Error),
    /// No such package.
    #[error("no package {name:?} in this workspace, which has {}", known.join(", "))]
    NoPackage {
        /// As asked.
        name: String,
        /// Those there are.
        known: Vec<String>,
    },
    /// No such program.
    #[error("no program {name:?} here, only {}", known.join(", "))]
    NoBin {
        /// As asked.
        name: String,
        /// Those there are, as `package: bin`.
        known: Vec<String>,
    },
    /// Libraries only.
    #[error("{} has no program, only libraries", folder.display())]
    NoPrograms {
        /// The project.
        folder: PathBuf,
    },
    /// Several programs and no choice.
    #[error("{} programs here, and an image holds one: {}", known.len(), known.join(", "))]
    Several {
        /// Those there are, as `package: bin`.
        known: Vec<String>,
    },
}

impl ProjectError {
    /// What to do about it.
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::Start { .. } => vec!["install Rust from https://rustup.rs".to_owned()],
            Self::Several { .. } => {
                vec!["choose one with --bin NAME (and --package NAME)".to_owned()]
            }
            Self::NoPrograms { .. } => {
                vec!["give the folder of a package with src/main.rs or a [[bin]]".to_owned()]
            }
            _ => Vec::new(),
        }
    }
}

/// What `cargo metadata --format-version 1 --no-deps` writes, as far as it is used.
#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_root: PathBuf,
    target_directory: PathBuf,
}

#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
    default_run: Option<String>,
    targets: Vec<Target>,
    dependencies: Vec<serde::de::IgnoredAny>,
}

#[derive(Debug, Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
    src_path: PathBuf,
}

/// The one program that was chosen.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    pub(crate) package: String,
    pub(crate) bin: String,
    /// Whether it is no program but a library that is linked alone (`cdylib`).
    pub(crate) is_library: bool,
    /// Root source file of the program.
    pub(crate) source: PathBuf,
    pub(crate) workspace_root: PathBuf,
    pub(crate) target_directory: PathBuf,
    /// Whether the package names dependencies.
    pub(crate) has_dependencies: bool,
}

/// Asks cargo for the programs in `folder` and picks the one that is meant.
pub(crate) fn choose(
    toolchain: &Toolchain,
    folder: &Path,
    settings: &RustSettings,
) -> Result<Program, ProjectError> {
    let output = toolchain
        .command(&toolchain.cargo, folder)
        .args([
            "metadata",
            "--format-version",
            "1",
            "--no-deps",
            "--offline",
        ])
        .output()
        .map_err(|source| ProjectError::Start {
            program: toolchain.cargo.clone(),
            source,
        })?;
    if !output.status.success() {
        return Err(ProjectError::Metadata {
            folder: folder.to_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        });
    }
    let metadata: Metadata =
        serde_json::from_slice(&output.stdout).map_err(ProjectError::Format)?;
    pick(metadata, folder, settings)
}

fn pick(
    mut metadata: Metadata,
    folder: &Path,
    settings: &RustSettings,
) -> Result<Program, ProjectError> {
    metadata.packages.sort_by(|a, b| a.name.cmp(&b.name));
    let manifest = folder.join("Cargo.toml");
    let manifest = manifest.canonicalize().unwrap_or(manifest);
    let here = |package: &Package| {
        let path = &package.manifest_path;
        path.canonicalize().unwrap_or_else(|_| path.clone()) == manifest
    };
    let packages: Vec<&Package> = match &settings.package {
        Some(name) => {
            let known = || metadata.packages.iter().map(|p| p.name.clone()).collect();
            let package = metadata.packages.iter().find(|p| p.name == *name);
            vec![package.ok_or_else(|| ProjectError::NoPackage {
                name: name.clone(),
                known: known(),
            })?]
        }
        None => match metadata.packages.iter().find(|package| here(package)) {
            Some(package) => vec![package],
            None => metadata.packages.iter().collect(),
        },
    };
    let mut programs: Vec<(&Package, &Target)> = Vec::new();
    let of_kind = |kind: &'static str| {
        packages.iter().flat_map(move |package| {
            let targets = package.targets.iter();
            let of_kind = targets.filter(move |t| t.kind.iter().any(|own| own == kind));
            of_kind.map(move |target| (*package, target))
        })
    };
    programs.extend(of_kind("bin"));
    // A component is a library that is linked alone.
    let is_wasm = settings
        .target
        .as_deref()
        .is_some_and(|triple| triple.starts_with("wasm32"));
    if programs.is_empty() && is_wasm {
        programs.extend(of_kind("cdylib"));
    }
    let known: Vec<String> = programs
        .iter()
        .map(|(package, target)| format!("{}: {}", package.name, target.name))
        .collect();
    if known.is_empty() {
        return Err(ProjectError::NoPrograms {
            folder: folder.to_owned(),
        });
    }
    if let Some(name) = &settings.bin {
        programs.retain(|(_, target)| target.name == *name);
        if programs.is_empty() {
            return Err(ProjectError::NoBin {
                name: name.clone(),
                known,
            });
        }
    } else if programs.len() > 1 {
        let defaults: Vec<_> = programs
            .iter()
            .filter(|(package, target)| package.default_run.as_ref() == Some(&target.name))
            .copied()
            .collect();
        if defaults.len() == 1 {
            programs = defaults;
        }
    }
    let [(package, target)] = programs[..] else {
        return Err(ProjectError::Several { known });
    };
    Ok(Program {
        package: package.name.clone(),
        bin: target.name.clone(),
        is_library: target.kind.iter().any(|kind| kind == "cdylib"),
        source: target.src_path.clone(),
        workspace_root: metadata.workspace_root.clone(),
        target_directory: metadata.target_directory.clone(),
        has_dependencies: !package.dependencies.is_empty(),
    })
}

/// Whether a program does without the standard library: its root source has
/// `#![no_std]` and `#![no_main]`, plain or in a `cfg_attr`.
pub(crate) fn is_freestanding(source: &str) -> bool {
    let mut words = Vec::new();
    let mut rest = without_comments(source);
    while let Some(at) = rest.find("#![") {
        let attribute = &rest[at + 3..];
        // Strings with a bracket in an inner attribute would end it early;
        // the two names sought never stand behind one.
        let end = attribute.find(']').unwrap_or(attribute.len());
        words.extend(
            attribute[..end]
                .split(|c: char| !(c.is_alphanumeric() || c == '_'))
                .map(str::to_owned),
        );
        rest = attribute[end..].to_owned();
    }
    let has = |word: &str| words.iter().any(|w| w == word);
    has("no_std") && has("no_main")
}

fn without_comments(source: &str) -> String {
    source
        .lines()
        .map(|line| line.split("//").next().unwrap_or(""))
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(packages: &str) -> Metadata {
        serde_json::from_str(&format!(
            r#"{{"packages":[{packages}],"workspace_root":"/w","target_directory":"/w/target"}}"#
        ))
        .unwrap()
    }

    fn package(name: &str, default_run: &str, bins: &[&str]) -> String {
        let targets: Vec<String> = bins
            .iter()
            .map(|bin| format!(r#"{{"name":"{bin}","kind":["bin"],"src_path":"/w/{bin}.rs"}}"#))
            .collect();
        format!(
            r#"{{"name":"{name}","version":"1.2.3","manifest_path":"/w/{name}/Cargo.toml","default_run":{default_run},"dependencies":[],"targets":[{}]}}"#,
            targets.join(",")
        )
    }

    #[test]
    fn several_programs_without_a_choice_are_listed() {
        let packages = [
            package("b", "null", &["two", "one"]),
            package("a", "null", &["x"]),
        ];
        let error = pick(
            metadata(&packages.join(",")),
            Path::new("/w"),
            &RustSettings::default(),
        );
        assert_eq!(
            error.unwrap_err().to_string(),
            "3 programs here, and an image holds one: a: x, b: two, b: one"
        );
    }

    #[test]
    fn default_run_and_the_package_of_the_folder_choose() {
        let packages = [
            package("b", r#""two""#, &["two", "one"]),
            package("a", "null", &["x"]),
        ];
        let chosen = |folder: &str| {
            pick(
                metadata(&packages.join(",")),
                Path::new(folder),
                &RustSettings::default(),
            )
            .unwrap()
            .bin
        };
        assert_eq!(chosen("/w/b"), "two");
        assert_eq!(chosen("/w/a"), "x");
    }

    #[test]
    fn freestanding_programs_are_known_by_both_attributes() {
        assert!(is_freestanding("//! Doc.\n#![no_std]\n#![no_main]\n"));
        assert!(is_freestanding("#![cfg_attr(not(test), no_std, no_main)]"));
        assert!(!is_freestanding("#![no_std]\nfn main() {}"));
        assert!(!is_freestanding(
            "// #![no_std]\n// #![no_main]\nfn main() {}"
        ));
        assert!(!is_freestanding("#!["));
    }
}
