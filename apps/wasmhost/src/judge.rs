//! The specification's own tests (`.wast`), run in the engines that modules are
//! run in. Only by hand, with the feature `judge`: docs/conformance.md has the
//! counts and how to get them.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use wasmtime_wast::{Async, SpectestConfig, WastContext};

use crate::failure::{Failure, NOT_EXECUTABLE, USAGE};
use crate::settings::{Compiler, Rooms, engine};

/// Those who make code, in the order in which a start tries them, and the one
/// that works ahead of time.
const COMPILERS: [(&str, Compiler); 3] = [
    ("Winch", Compiler::Quick),
    ("Cranelift, plain", Compiler::Plain),
    ("Cranelift", Compiler::Best),
];

/// Runs each file of a folder, and tells of each compiler which do not pass.
pub(crate) fn run(folder: &Path) -> Result<ExitCode, Failure> {
    let failed = |error: std::io::Error| {
        Failure::new(USAGE, format!("reading {}", folder.display())).because_of(&error)
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|ending| ending == "wast") {
            files.push(path);
        }
    }
    files.sort();
    for (name, compiler) in COMPILERS {
        let engine = engine(compiler, false, Rooms::Single, true)?;
        let mut faults = Vec::new();
        for file in &files {
            if let Err(error) = one(&engine, file) {
                faults.push((file, error));
            }
        }
        println!("{name}: {} of {}", files.len() - faults.len(), files.len());
        for (file, error) in faults {
            let file = file.file_name().unwrap_or_default().to_string_lossy();
            let cause = error.root_cause().to_string();
            println!("  {file}: {}", cause.lines().next().unwrap_or_default());
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn one(engine: &wasmtime::Engine, file: &PathBuf) -> wasmtime::Result<()> {
    let mut context = WastContext::new(engine, Async::Yes, |_| {});
    // Others word what is wrong differently.
    context.ignore_error_messages(true);
    context.register_spectest(&SpectestConfig {
        use_shared_memory: false,
        suppress_prints: true,
    })?;
    context.run_file(file)
}

/// What the engine is built without; the driver of the tests brings it along.
pub(crate) fn without(config: &mut wasmtime::Config) {
    config.gc_support(false);
    config.wasm_exceptions(false);
    config.wasm_threads(false);
}

/// Only a judge has this word.
pub(crate) fn folder() -> Result<Option<PathBuf>, Failure> {
    let mut words = std::env::args_os().skip(1);
    if words.next().is_none_or(|word| word != "judge") {
        return Ok(None);
    }
    let folder = words.next();
    folder
        .map(|folder| Some(folder.into()))
        .ok_or_else(|| Failure::new(NOT_EXECUTABLE, "which folder of .wast files?"))
}
