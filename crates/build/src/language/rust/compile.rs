//! Runs cargo as a recipe says, its output line by line, and measures what
//! the size flags save.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use ounce_oci::Digest;
use serde::Deserialize;

use super::auditable;
use super::smallest::{self, LAYOUT};
use crate::Event;
use crate::artifact::ArtifactError;
use crate::compile::{CompileError, Memory, Refusal, Running, Saved, ladder, lines};
use crate::flag::{By, Flag};
use crate::program::{self, ProgramError};
use crate::recipe::CargoRecipe;
use crate::settings::Measure;
use crate::toolchain::Toolchain;

fn failure_hints(text: &str, target: &str) -> Vec<String> {
    let mut hints = Vec::new();
    if text.contains("-Zbuild-std") || text.contains("rust-src") {
        hints.push("--smallest takes the newest unstable options: `rustup update`".to_owned());
    }
    if text.contains("failed to find tool") || text.contains("ToolNotFound") {
        let name = target.replace('-', "_");
        hints.push(format!(
            "a dependency is written in C and wants a C compiler for {target}: set CC_{name}, \
             for instance to a script that runs `zig cc -target {}`",
            target.replace("-unknown", "")
        ));
    }
    if text.contains("rust-lld") && text.contains("unknown argument") {
        hints.push(format!(
            "a dependency passes arguments for cc to the linker: set \
             target.{target}.linker = \"cc\" in .cargo/config.toml"
        ));
    }
    if text.contains("--offline") {
        hints.push("run it once with the network, or `cargo fetch`".to_owned());
    }
    hints
}

/// Compiles; gives the program.
pub(crate) fn compile(
    recipe: &CargoRecipe,
    toolchain: &Toolchain,
    on: &mut dyn FnMut(Event),
) -> Result<(PathBuf, Vec<u8>), CompileError> {
    let added: Vec<&Flag> = added(recipe).collect();
    let path = cargo(recipe, toolchain, &added, &recipe.target_dir, on)?;
    let bytes = program::read(&path)?;
    Ok((path, bytes))
}

fn added(recipe: &CargoRecipe) -> impl Iterator<Item = &Flag> {
    recipe.flags.iter().filter(|flag| flag.by == By::Ounce)
}

/// Measures what the flags saved of `program`, by compiling without them; the
/// result is kept beside cargo's, for as long as the program stays the same.
pub(crate) fn measure(
    recipe: &CargoRecipe,
    toolchain: &Toolchain,
    program: &[u8],
    on: &mut dyn FnMut(Event),
) -> Result<Vec<Saved>, CompileError> {
    let flags: Vec<&Flag> = added(recipe).collect();
    let rungs = match recipe.measure {
        Measure::EachFlag => flags.len(),
        Measure::Total => 1,
        Measure::Auto | Measure::No => 0,
    };
    if rungs == 0 || flags.is_empty() {
        return Ok(Vec::new());
    }
    let key = format!("{} {rungs} {flags:?}", Digest::of(program));
    let memory = Memory {
        file: recipe
            .target_dir
            .join(format!("sizes-{}-{}.json", recipe.bin, recipe.target)),
        key,
    };
    if let Some(saved) = memory.read() {
        return Ok(saved);
    }
    let folder = recipe.target_dir.join("sizes");
    let mut sizes = Vec::new();
    for rung in 0..rungs {
        on(Event::Measuring {
            flag: flags[rung].text(),
        });
        let path = cargo(recipe, toolchain, &flags[..rung], &folder, on)?;
        let bytes = fs::metadata(&path).map_err(|source| ProgramError::Read { path, source })?;
        sizes.push(bytes.len());
    }
    sizes.push(program.len() as u64);
    let names: Vec<String> = match recipe.measure {
        Measure::EachFlag => flags.iter().map(|flag| flag.text()).collect(),
        _ => vec![
            flags
                .iter()
                .map(|flag| flag.text())
                .collect::<Vec<_>>()
                .join(", "),
        ],
    };
    let saved = ladder(names, &sizes);
    memory.keep(&saved);
    Ok(saved)
}

#[derive(Deserialize)]
struct Message {
    reason: String,
    executable: Option<PathBuf>,
    #[serde(default)]
    filenames: Vec<PathBuf>,
    target: Option<MessageTarget>,
}

#[derive(Deserialize)]
struct MessageTarget {
    name: String,
    kind: Vec<String>,
}

fn cargo(
    recipe: &CargoRecipe,
    toolchain: &Toolchain,
    flags: &[&Flag],
    target_dir: &Path,
    on: &mut dyn FnMut(Event),
) -> Result<PathBuf, CompileError> {
    let no_program = || ArtifactError::NoProgram {
        bin: recipe.bin.clone(),
    };
    let mut command = toolchain.command(&toolchain.cargo, &recipe.folder);
    command.args(&recipe.arguments);
    if let Some(smallest) = &recipe.smallest
        && smallest::is_with_library(flags)
    {
        command.args(["-Zbuild-std=std,panic_abort", "-Zbuild-std-features="]);
        if smallest::is_aborting(flags) {
            command.arg("-Zpanic-immediate-abort");
        }
        if smallest.bootstrap {
            command.env("RUSTC_BOOTSTRAP", "1");
        }
    }
    command.arg("--message-format=json-render-diagnostics");
    command.arg("--target-dir").arg(target_dir);
    let of_profile = |flag: &&&Flag| smallest::is_of_profile(flag, flags);
    for flag in flags.iter().filter(of_profile) {
        command.arg("--config").arg(format!(
            "profile.{}.{}={}",
            recipe.profile, flag.key, flag.value
        ));
    }
    command.args(recipe.rustflags.arguments(&recipe.target));
    if let Some((name, flags)) = recipe.rustflags.variable(toolchain) {
        command.env(name, flags);
    }
    command.args(arguments_of_program(recipe, toolchain, flags)?);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = Running::start(&mut command)?;
    let (Some(mut stdout), Some(stderr)) = (child.0.stdout.take(), child.0.stderr.take()) else {
        return Err(no_program().into());
    };
    // Both pipes are read at once, or cargo would stop at the one that is full.
    let messages = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        stdout.read_to_end(&mut bytes).map(|_| bytes)
    });
    let last_lines = lines(stderr, on).map_err(CompileError::Output)?;
    let status = child.0.wait().map_err(CompileError::Output)?;
    let messages = match messages.join() {
        Ok(bytes) => bytes.map_err(CompileError::Output)?,
        Err(panic) => std::panic::resume_unwind(panic),
    };
    if !status.success() {
        return Err(CompileError::Failed(Box::new(Refusal {
            tool: "cargo".to_owned(),
            bin: recipe.bin.clone(),
            target: recipe.target.clone(),
            status,
            hints: failure_hints(&last_lines.join("\n"), &recipe.target),
            last_lines,
        })));
    }
    messages
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice::<Message>(line).ok())
        .filter(|message| message.reason == "compiler-artifact")
        .filter(|message| {
            message.target.as_ref().is_some_and(|target| {
                let wanted = match recipe.library {
                    true => "cdylib",
                    false => "bin",
                };
                target.name == recipe.bin && target.kind.iter().any(|kind| kind == wanted)
            })
        })
        .find_map(|message| match recipe.library {
            // Beside it stands what other crates would link.
            true => message
                .filenames
                .into_iter()
                .find(|file| file.extension().is_some_and(|ending| ending == "wasm")),
            false => message.executable,
        })
        .ok_or_else(|| no_program().into())
}

/// What rustc is told for the program alone, behind `--`; the files it names are
/// written before.
fn arguments_of_program(
    recipe: &CargoRecipe,
    toolchain: &Toolchain,
    flags: &[&Flag],
) -> Result<Vec<String>, CompileError> {
    let mut arguments = Vec::new();
    if let Some(smallest) = &recipe.smallest
        && smallest::is_of_program(flags)
    {
        if let Some(layout) = &smallest.layout {
            write_once(layout, LAYOUT.as_bytes())?;
        }
        arguments.extend(smallest.arguments.iter().cloned());
    }
    if recipe.auditable {
        let object = auditable::object(recipe, toolchain)?;
        // Cargo does not look into it: another list is another name.
        let digest = Digest::of(&object).to_string();
        let short: String = digest.chars().skip("sha256:".len()).take(16).collect();
        let path = recipe.target_dir.join(format!("crates-{short}.o"));
        write_once(&path, &object)?;
        let shown = path.strip_prefix(&recipe.workspace_root).unwrap_or(&path);
        arguments.push(format!("-Clink-arg={}", shown.display()));
    }
    if !arguments.is_empty() {
        arguments.insert(0, "--".to_owned());
    }
    Ok(arguments)
}

/// Writes a file that others may read at the same time, whole or not at all.
fn write_once(path: &Path, bytes: &[u8]) -> Result<(), CompileError> {
    let failed = |source| CompileError::Write {
        path: path.to_owned(),
        source,
    };
    if fs::read(path).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    let new = path.with_extension(format!("new-{}", std::process::id()));
    fs::write(&new, bytes).map_err(failed)?;
    fs::rename(&new, path).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_c_compiler_and_a_foreign_linker_argument_get_their_hints() {
        let target = "aarch64-unknown-linux-musl";
        let hints = failure_hints(
            "error: failed to find tool \"aarch64-linux-musl-gcc\"",
            target,
        );
        assert!(hints[0].contains("CC_aarch64_unknown_linux_musl"));
        let hints = failure_hints("rust-lld: error: unknown argument '-Wl,-z'", target);
        assert!(hints[0].contains("linker = \"cc\""));
        assert!(failure_hints("error[E0308]: mismatched types", target).is_empty());
    }
}
