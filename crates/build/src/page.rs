//! A page of components: a Rust project that depends on `ounce-ui`, or names others that do.
//!
//! [`page`] looks and decides, [`compile`] has cargo make the modules. What a
//! page consists of beside them is `ship`'s; serving it, a site's.

use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use serde::{Deserialize, Serialize};

use crate::Event;
use crate::toolchain::Toolchain;

/// What components are compiled for.
pub const TRIPLE: &str = "wasm32-unknown-unknown";
/// The crate that makes a library a component.
const SDK: &str = "ounce-ui";
/// Most bytes of a manifest: it is written by hand.
const MANIFEST_BYTES: u64 = 1 << 20;
/// Most bytes of a module: pages take no larger ones.
const MODULE_BYTES: u64 = 64 << 20;
/// How many of the compiler's last lines a failure keeps.
const LAST_LINES: usize = 40;

/// What will be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PageRecipe {
    /// The project's own name.
    pub name: String,
    /// Its own files, where it has a folder of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<PathBuf>,
    /// In the order in which they are shown.
    pub components: Vec<ComponentRecipe>,
    /// Whether cargo may not use the network.
    pub offline: bool,
}

/// One component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ComponentRecipe {
    /// The package's name, and the image's.
    pub name: String,
    /// Where its manifest stands.
    pub folder: PathBuf,
}

/// A compiled component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComponentModule {
    /// The package's name.
    pub name: String,
    /// Its module.
    pub bytes: Vec<u8>,
}

/// There is no page to be had.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// Not readable.
    #[error("reading {}", path.display())]
    Read {
        /// What.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A manifest that cargo will not take either.
    #[error("{} is no manifest", path.display())]
    Manifest {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// One that is named is none.
    #[error("{} is no component: it does not depend on {SDK}", .0.display())]
    NoComponent(PathBuf),
    /// Two of one name.
    #[error("two components are called {0:?}")]
    Twice(String),
    /// Cargo could not be started.
    #[error("starting {}", tool.display())]
    Start {
        /// The program.
        tool: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Cargo said no.
    #[error("cargo does not compile {name} for {TRIPLE}: {status}")]
    Failed {
        /// The component.
        name: String,
        /// How it ended.
        status: ExitStatus,
        /// What it said last.
        last_lines: Vec<String>,
    },
    /// It compiled something else.
    #[error("{0} makes no module")]
    NoModule(String),
}

impl PageError {
    /// What to do about it.
    pub fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::NoComponent(_) => "docs/web.md shows one of 20 lines",
            Self::NoModule(_) => "its Cargo.toml needs [lib] crate-type = [\"cdylib\"]",
            Self::Start { .. } => "Rust is installed by https://rustup.rs",
            Self::Failed { last_lines, .. } if is_without_target(last_lines) => {
                return vec![format!("rustup target add {TRIPLE}")];
            }
            _ => return Vec::new(),
        };
        vec![hint.to_owned()]
    }

    /// Whether only the target's standard library is missing.
    pub fn lacks_target(&self) -> bool {
        matches!(self, Self::Failed { last_lines, .. } if is_without_target(last_lines))
    }
}

fn is_without_target(lines: &[String]) -> bool {
    lines
        .iter()
        .any(|line| line.contains("target may not be installed"))
}

#[derive(Deserialize)]
struct Manifest {
    package: Option<Package>,
    #[serde(default)]
    dependencies: toml::Table,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    #[serde(default)]
    metadata: Metadata,
}

#[derive(Default, Deserialize)]
struct Metadata {
    #[serde(default)]
    ounce: Own,
}

/// `[package.metadata.ounce]`.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Own {
    /// Folders of components, the project itself being `.`.
    #[serde(default)]
    components: Vec<PathBuf>,
}

/// The page at a path, if there is one; all else is for [`plan`](crate::plan()).
///
/// # Errors
/// A manifest that cannot be read, or that names what is no component.
pub fn page(path: &Path, offline: bool) -> Result<Option<PageRecipe>, PageError> {
    let Some((package, is_component)) = manifest(path)? else {
        return Ok(None);
    };
    let named = package.metadata.ounce.components;
    if named.is_empty() && !is_component {
        return Ok(None);
    }
    let folders = match named.is_empty() {
        true => vec![path.to_owned()],
        false => named.iter().map(|folder| path.join(folder)).collect(),
    };
    let mut components: Vec<ComponentRecipe> = Vec::new();
    for folder in folders {
        let Some((package, true)) = manifest(&folder)? else {
            return Err(PageError::NoComponent(folder));
        };
        if components.iter().any(|other| other.name == package.name) {
            return Err(PageError::Twice(package.name));
        }
        components.push(ComponentRecipe {
            name: package.name,
            folder,
        });
    }
    let files = path.join("page");
    Ok(Some(PageRecipe {
        name: package.name,
        files: files.is_dir().then_some(files),
        components,
        offline,
    }))
}

/// The package in a folder, and whether it is a component.
fn manifest(folder: &Path) -> Result<Option<(Package, bool)>, PageError> {
    let path = folder.join("Cargo.toml");
    let failed = |source| PageError::Read {
        path: path.clone(),
        source,
    };
    if !path.is_file() {
        return Ok(None);
    }
    let mut text = String::new();
    let file = fs::File::open(&path).map_err(failed)?;
    file.take(MANIFEST_BYTES)
        .read_to_string(&mut text)
        .map_err(failed)?;
    let manifest: Manifest = toml::from_str(&text).map_err(|source| PageError::Manifest {
        path: path.clone(),
        source: Box::new(source),
    })?;
    let is_component = manifest.dependencies.contains_key(SDK);
    Ok(manifest.package.map(|package| (package, is_component)))
}

/// Has cargo make every component.
///
/// # Errors
/// Cargo cannot be started, says no, or makes no module.
pub fn compile(
    recipe: &PageRecipe,
    toolchain: &Toolchain,
    on: &mut dyn FnMut(Event),
) -> Result<Vec<ComponentModule>, PageError> {
    recipe
        .components
        .iter()
        .map(|component| {
            on(Event::Compiling {
                bin: component.name.clone(),
                target: TRIPLE.to_owned(),
            });
            let path = cargo(component, recipe.offline, toolchain, on)?;
            let failed = |source| PageError::Read {
                path: path.clone(),
                source,
            };
            let mut bytes = Vec::new();
            let file = fs::File::open(&path).map_err(failed)?;
            file.take(MODULE_BYTES)
                .read_to_end(&mut bytes)
                .map_err(failed)?;
            Ok(ComponentModule {
                name: component.name.clone(),
                bytes,
            })
        })
        .collect()
}

#[derive(Deserialize)]
struct Message {
    reason: String,
    #[serde(default)]
    manifest_path: PathBuf,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

fn cargo(
    component: &ComponentRecipe,
    offline: bool,
    toolchain: &Toolchain,
    on: &mut dyn FnMut(Event),
) -> Result<PathBuf, PageError> {
    let failed = |source| PageError::Read {
        path: component.folder.clone(),
        source,
    };
    let folder = component.folder.canonicalize().map_err(failed)?;
    let mut command = toolchain.command(&toolchain.cargo, &folder);
    command
        .args(["build", "--release", "--lib", "--target", TRIPLE])
        .arg("--message-format=json-render-diagnostics")
        .args(["--config", &flags(&folder, toolchain)]);
    if offline {
        command.arg("--offline");
    }
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let start = |source| PageError::Start {
        tool: toolchain.cargo.clone(),
        source,
    };
    let mut child = command.spawn().map_err(start)?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    // Both pipes are read at once, or cargo would stop at the one that is full.
    let messages = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut stdout) = stdout {
            stdout.read_to_end(&mut bytes)?;
        }
        Ok::<_, io::Error>(bytes)
    });
    let mut last_lines = Vec::new();
    for line in stderr
        .into_iter()
        .flat_map(|err| BufReader::new(err).lines())
    {
        let line = line.map_err(failed)?;
        if last_lines.len() == LAST_LINES {
            last_lines.remove(0);
        }
        last_lines.push(line.clone());
        on(Event::CompilerLine(line));
    }
    let status = child.wait().map_err(failed)?;
    let messages = match messages.join() {
        Ok(bytes) => bytes.map_err(failed)?,
        Err(panic) => std::panic::resume_unwind(panic),
    };
    if !status.success() {
        return Err(PageError::Failed {
            name: component.name.clone(),
            status,
            last_lines,
        });
    }
    let own = folder.join("Cargo.toml");
    messages
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice::<Message>(line).ok())
        .filter(|message| message.reason == "compiler-artifact" && message.manifest_path == own)
        .flat_map(|message| message.filenames)
        .find(|file| file.extension().is_some_and(|ending| ending == "wasm"))
        .ok_or_else(|| PageError::NoModule(component.name.clone()))
}

/// Beside what the project says itself: short jumps, and no folder of this
/// machine in the places of panics, so that the same source gives the same bytes.
fn flags(folder: &Path, toolchain: &Toolchain) -> String {
    let mut flags = vec!["-Clink-arg=--compress-relocations".to_owned()];
    let home = |variable: &str, below: &str| {
        let told = toolchain.get(variable).map(PathBuf::from);
        told.or_else(|| Some(Path::new(toolchain.get("HOME")?).join(below)))
    };
    let places = [
        (home("CARGO_HOME", ".cargo"), "cargo"),
        (home("RUSTUP_HOME", ".rustup"), "rustup"),
        (Some(folder.to_owned()), "."),
    ];
    for (place, name) in places {
        if let Some(place) = place {
            flags.push(format!("--remap-path-prefix={}={name}", place.display()));
        }
    }
    let flags: Vec<toml::Value> = flags.into_iter().map(toml::Value::from).collect();
    format!("target.{TRIPLE}.rustflags={}", toml::Value::from(flags))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(folder: &Path, name: &str, rest: &str) {
        fs::create_dir_all(folder).unwrap();
        let text = format!("[package]\nname = \"{name}\"\n{rest}");
        fs::write(folder.join("Cargo.toml"), text).unwrap();
    }

    #[test]
    fn a_project_that_depends_on_the_sdk_is_a_page_of_itself() {
        let folder = tempfile::tempdir().unwrap();
        project(folder.path(), "one", "[dependencies]\nounce-ui = \"1\"");
        let found = page(folder.path(), false).unwrap().unwrap();
        assert_eq!(found.name, "one");
        assert_eq!(found.components[0].folder, folder.path());
        project(folder.path(), "one", "[dependencies]\nserde = \"1\"");
        assert_eq!(page(folder.path(), false).unwrap(), None);
    }

    #[test]
    fn a_page_of_several_names_them_and_each_is_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        let own = "[package.metadata.ounce]\ncomponents = [\"a\", \"b\"]";
        project(folder.path(), "all", own);
        project(
            &folder.path().join("a"),
            "a",
            "[dependencies]\nounce-ui = \"1\"",
        );
        let error = page(folder.path(), false).unwrap_err();
        assert!(matches!(error, PageError::NoComponent(_)), "{error}");
        project(
            &folder.path().join("b"),
            "a",
            "[dependencies]\nounce-ui = \"1\"",
        );
        let error = page(folder.path(), false).unwrap_err();
        assert!(matches!(error, PageError::Twice(_)), "{error}");
    }

    #[test]
    fn a_folder_without_a_package_is_no_page_and_a_broken_manifest_is_told() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(page(folder.path(), false).unwrap(), None);
        fs::write(folder.path().join("Cargo.toml"), "[workspace]").unwrap();
        assert_eq!(page(folder.path(), false).unwrap(), None);
        fs::write(folder.path().join("Cargo.toml"), "[package").unwrap();
        assert!(page(folder.path(), false).is_err());
    }
}
