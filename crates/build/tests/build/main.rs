//! Builds images for real: projects in temporary folders, compiled offline.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod alpine;
mod c;
mod debian;
mod go;
mod input;
mod project;
mod site;
mod smallest;

use std::fs;
use std::io::Write as _;
use std::path::Path;

use ounce_build::{Built, Event, PlanError, Recipe, Request, Toolchain, execute, plan};
use ounce_oci::Store;

/// A request for `path` with this process's environment.
pub(crate) fn request(path: &Path) -> Request {
    let mut request = Request::new(path, Toolchain::new(std::env::vars_os()));
    request.offline = true;
    request
}

/// Whether a tool is installed; says so aloud if not, for the tally of what was skipped.
pub(crate) fn has(tool: &str) -> bool {
    let found = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
        .any(|folder| folder.join(tool).is_file());
    if !found {
        // Past the capture of the harness, so that it is counted.
        let _ = writeln!(std::io::stderr(), "skipped: {tool} is not installed");
    }
    found
}

pub(crate) fn recipe(path: &Path) -> Result<Recipe, PlanError> {
    plan(&request(path))
}

/// Builds into a store of its own; fails the test with cargo's words.
pub(crate) fn build(request: &Request) -> (tempfile::TempDir, Built) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let mut lines = Vec::new();
    let built = execute(&plan(request).unwrap(), &store, &mut |event| {
        if let Event::CompilerLine(line) = event {
            lines.push(line);
        }
    });
    match built {
        Ok(built) => {
            assert!(store.verify().unwrap().faults.is_empty());
            (folder, built)
        }
        Err(error) => panic!("{error}: {}", lines.join("\n")),
    }
}

pub(crate) fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// A package with one program that prints.
pub(crate) fn package(folder: &Path, name: &str, more: &str) {
    write(
        &folder.join("Cargo.toml"),
        &format!("[package]\nname = \"{name}\"\nversion = \"1.2.3\"\nedition = \"2021\"\n{more}"),
    );
    write(
        &folder.join("src/main.rs"),
        "fn main() { println!(\"hello\"); }\n",
    );
}
