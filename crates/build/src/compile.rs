//! Runs cargo as a recipe says, its output line by line, and measures what
//! the size flags save.

use std::collections::VecDeque;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};

use ounce_oci::Digest;
use serde::{Deserialize, Serialize};

use crate::Event;
use crate::auditable::{self, AuditableError};
use crate::cargo::Toolchain;
use crate::profile::{By, Flag, FlagOf};
use crate::program::{self, ProgramError};
use crate::recipe::CargoRecipe;
use crate::settings::Measure;
use crate::smallest::LAYOUT;

/// Lines of cargo's output that an error repeats.
const LAST_LINES: usize = 20;

/// Cargo did not give a program.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// It could not be started.
    #[error("starting {}", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Its output broke off.
    #[error("reading what cargo writes")]
    Output(#[source] std::io::Error),
    /// It failed.
    #[error("cargo could not compile {bin} for {target} ({status})")]
    Failed {
        /// The program.
        bin: String,
        /// The target.
        target: String,
        /// Cargo's exit status.
        status: ExitStatus,
        /// The end of what it wrote.
        last_lines: Vec<String>,
    },
    /// It succeeded but named no program.
    #[error("cargo compiled {bin}, but named no program that it made")]
    NoProgram {
        /// The program.
        bin: String,
    },
    /// The list of its crates.
    #[error(transparent)]
    Auditable(#[from] AuditableError),
    /// What the linker is to be given cannot be written.
    #[error("writing {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// What it made cannot be used.
    #[error(transparent)]
    Program(#[from] ProgramError),
}

impl CompileError {
    /// What to do about it.
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::Failed {
                last_lines, target, ..
            } => failure_hints(&last_lines.join("\n"), target),
            Self::Program(error) => error.hints(),
            _ => Vec::new(),
        }
    }
}

fn failure_hints(text: &str, target: &str) -> Vec<String> {
    let mut hints = Vec::new();
    if text.contains("rust-src") && text.contains("--offline") {
        hints.push(
            "the standard library has crates of its own: build once with the network".to_owned(),
        );
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

/// What the size flags did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    /// The flag as `key=value`, or all of them.
    pub flag: String,
    /// Bytes of the program without it, with those before it.
    pub before_bytes: u64,
    /// Bytes with it.
    pub after_bytes: u64,
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
    let memory = recipe
        .target_dir
        .join(format!("sizes-{}-{}.json", recipe.bin, recipe.target));
    if let Some(saved) = remembered(&memory, &key) {
        return Ok(saved);
    }
    let folder = recipe.target_dir.join("sizes");
    let mut sizes = Vec::new();
    for rung in 0..rungs {
        on(Event::Measuring {
            flag: text(flags[rung]),
        });
        let path = cargo(recipe, toolchain, &flags[..rung], &folder, on)?;
        let bytes = fs::metadata(&path).map_err(|source| ProgramError::Read { path, source })?;
        sizes.push(bytes.len());
    }
    sizes.push(program.len() as u64);
    let names: Vec<String> = match recipe.measure {
        Measure::EachFlag => flags.iter().map(|flag| text(flag)).collect(),
        _ => vec![
            flags
                .iter()
                .map(|flag| text(flag))
                .collect::<Vec<_>>()
                .join(", "),
        ],
    };
    let saved: Vec<Saved> = names
        .into_iter()
        .zip(sizes.windows(2))
        .map(|(flag, pair)| Saved {
            flag,
            before_bytes: pair[0],
            after_bytes: pair[1],
        })
        .collect();
    // Only a cache: that it cannot be written costs time, not truth.
    if let Ok(json) = serde_json::to_vec(&(&key, &saved)) {
        let _ = fs::write(&memory, json);
    }
    Ok(saved)
}

fn remembered(memory: &Path, key: &str) -> Option<Vec<Saved>> {
    let json = fs::read(memory).ok()?;
    let (known, saved): (String, Vec<Saved>) = serde_json::from_slice(&json).ok()?;
    (known == key).then_some(saved)
}

fn text(flag: &Flag) -> String {
    format!("{}={}", flag.key, flag.value)
}

/// Ends cargo when the caller goes away early.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

#[derive(Deserialize)]
struct Message {
    reason: String,
    executable: Option<PathBuf>,
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
    let mut command = toolchain.command(&toolchain.cargo, &recipe.folder);
    command.args(&recipe.arguments);
    let is_aborting = flags.iter().any(|flag| flag.of == FlagOf::Panic);
    if let Some(smallest) = &recipe.smallest
        && flags.iter().any(|flag| flag.of == FlagOf::Library)
    {
        command.args(["-Zbuild-std=std,panic_abort", "-Zbuild-std-features="]);
        if is_aborting {
            command.arg("-Zpanic-immediate-abort");
        }
        if smallest.bootstrap {
            command.env("RUSTC_BOOTSTRAP", "1");
        }
    }
    command.arg("--message-format=json-render-diagnostics");
    command.arg("--target-dir").arg(target_dir);
    for flag in flags {
        let is_told = match flag.of {
            FlagOf::Profile => flag.key != "panic" || !is_aborting,
            FlagOf::Panic => true,
            FlagOf::Library | FlagOf::Program => false,
        };
        if is_told {
            command.arg("--config").arg(format!(
                "profile.{}.{}={}",
                recipe.profile, flag.key, flag.value
            ));
        }
    }
    command.args(recipe.rustflags.arguments(&recipe.target));
    if let Some((name, flags)) = recipe.rustflags.variable(toolchain) {
        command.env(name, flags);
    }
    command.args(arguments_of_program(recipe, toolchain, flags)?);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().map_err(|source| CompileError::Start {
        program: toolchain.cargo.clone(),
        source,
    })?;
    let mut child = Running(child);
    let (Some(mut stdout), Some(stderr)) = (child.0.stdout.take(), child.0.stderr.take()) else {
        return Err(CompileError::NoProgram {
            bin: recipe.bin.clone(),
        });
    };
    // Both pipes are read at once, or cargo would stop at the one that is full.
    let messages = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        stdout.read_to_end(&mut bytes).map(|_| bytes)
    });
    let mut last_lines = VecDeque::new();
    let mut stderr = BufReader::new(stderr);
    let mut line = Vec::new();
    loop {
        line.clear();
        if stderr
            .read_until(b'\n', &mut line)
            .map_err(CompileError::Output)?
            == 0
        {
            break;
        }
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        if last_lines.len() == LAST_LINES {
            last_lines.pop_front();
        }
        last_lines.push_back(text.clone());
        on(Event::CompilerLine(text));
    }
    let status = child.0.wait().map_err(CompileError::Output)?;
    let messages = match messages.join() {
        Ok(bytes) => bytes.map_err(CompileError::Output)?,
        Err(panic) => std::panic::resume_unwind(panic),
    };
    if !status.success() {
        return Err(CompileError::Failed {
            bin: recipe.bin.clone(),
            target: recipe.target.clone(),
            status,
            last_lines: last_lines.into(),
        });
    }
    messages
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice::<Message>(line).ok())
        .filter(|message| message.reason == "compiler-artifact")
        .filter(|message| {
            message.target.as_ref().is_some_and(|target| {
                target.name == recipe.bin && target.kind.iter().any(|kind| kind == "bin")
            })
        })
        .find_map(|message| message.executable)
        .ok_or_else(|| CompileError::NoProgram {
            bin: recipe.bin.clone(),
        })
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
        && flags.iter().any(|flag| flag.of == FlagOf::Program)
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
