//! Runs a language's tools as a recipe says, their output line by line, finds
//! the program they made, and measures what the size flags save.

use std::collections::VecDeque;
use std::fs;
use std::io::{self, BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use ounce_oci::Digest;
use serde::{Deserialize, Serialize};

use crate::Event;
use crate::artifact::{self, ArtifactError};
use crate::language::rust::auditable::AuditableError;
use crate::program::{self, ProgramError};
use crate::tool::{Call, Output, Steps, ToolRecipe};
use crate::toolchain::Toolchain;

/// Lines of a tool's output that an error repeats.
const LAST_LINES: usize = 20;

/// The tools did not give a program.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// One could not be started.
    #[error("starting {}", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Its output broke off.
    #[error("reading what the compiler writes")]
    Output(#[source] io::Error),
    /// A folder or file for the tools could not be made.
    #[error("writing {}", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It failed.
    #[error(transparent)]
    Failed(Box<Refusal>),
    /// The list of a program's crates.
    #[error(transparent)]
    Auditable(#[from] AuditableError),
    /// It made no program, or several.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// What it made cannot be used.
    #[error(transparent)]
    Program(#[from] ProgramError),
}

/// A compiler that was not content.
#[derive(Debug, thiserror::Error)]
#[error("{tool} could not compile {bin} for {target} ({status})")]
pub struct Refusal {
    /// The tool's name.
    pub tool: String,
    /// The program.
    pub bin: String,
    /// The target.
    pub target: String,
    /// The tool's exit status.
    pub status: ExitStatus,
    /// The end of what it wrote.
    pub last_lines: Vec<String>,
    /// What to do about it, as far as those words tell.
    pub hints: Vec<String>,
}

impl CompileError {
    /// What to do about it.
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::Failed(refusal) => refusal.hints.clone(),
            Self::Artifact(error) => error.hints(),
            Self::Program(error) => error.hints(),
            _ => Vec::new(),
        }
    }
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

/// What each flag saved, from the sizes before it and after the last.
pub(crate) fn ladder(flags: Vec<String>, sizes: &[u64]) -> Vec<Saved> {
    flags
        .into_iter()
        .zip(sizes.windows(2))
        .map(|(flag, pair)| Saved {
            flag,
            before_bytes: pair[0],
            after_bytes: pair[1],
        })
        .collect()
}

/// What was measured of a program, kept for as long as its bytes stay the same.
pub(crate) struct Memory {
    pub(crate) file: PathBuf,
    pub(crate) key: String,
}

impl Memory {
    pub(crate) fn read(&self) -> Option<Vec<Saved>> {
        let json = fs::read(&self.file).ok()?;
        let (known, saved): (String, Vec<Saved>) = serde_json::from_slice(&json).ok()?;
        (known == self.key).then_some(saved)
    }

    pub(crate) fn keep(&self, saved: &[Saved]) {
        // Only a cache: that it cannot be written costs time, not truth.
        if let Ok(json) = serde_json::to_vec(&(&self.key, saved)) {
            let _ = fs::write(&self.file, json);
        }
    }
}

/// A tool that runs, and is ended when the caller goes away early.
pub(crate) struct Running(pub(crate) Child);

impl Running {
    pub(crate) fn start(command: &mut Command) -> Result<Self, CompileError> {
        let child = command.spawn().map_err(|source| CompileError::Start {
            program: command.get_program().into(),
            source,
        })?;
        Ok(Self(child))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

/// Tells each line, and gives the last ones.
pub(crate) fn lines(from: impl Read, on: &mut dyn FnMut(Event)) -> io::Result<Vec<String>> {
    let mut last_lines = VecDeque::new();
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    while {
        line.clear();
        from.read_until(b'\n', &mut line)? > 0
    } {
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        if last_lines.len() == LAST_LINES {
            last_lines.pop_front();
        }
        last_lines.push_back(text.clone());
        on(Event::CompilerLine(text));
    }
    Ok(last_lines.into())
}

/// Makes the program and reads it.
pub(crate) fn compile(
    recipe: &ToolRecipe,
    toolchain: &Toolchain,
    on: &mut dyn FnMut(Event),
) -> Result<(PathBuf, Vec<u8>), CompileError> {
    let path = steps(&recipe.build, recipe, toolchain, on)?;
    let bytes = program::read(&path)?;
    Ok((path, bytes))
}

/// Measures what the flags saved of `program`, by the builds of the ladder.
pub(crate) fn measure(
    recipe: &ToolRecipe,
    toolchain: &Toolchain,
    program: &[u8],
    on: &mut dyn FnMut(Event),
) -> Result<Vec<Saved>, CompileError> {
    if recipe.ladder.is_empty() {
        return Ok(Vec::new());
    }
    let names: Vec<String> = recipe.ladder.iter().map(|rung| rung.flag.clone()).collect();
    let memory = Memory {
        file: recipe.work.join("sizes.json"),
        key: format!("{} {names:?}", Digest::of(program)),
    };
    if let Some(saved) = memory.read() {
        return Ok(saved);
    }
    let mut sizes = Vec::new();
    for rung in &recipe.ladder {
        on(Event::Measuring {
            flag: rung.flag.clone(),
        });
        let path = steps(&rung.build, recipe, toolchain, on)?;
        let bytes = fs::metadata(&path).map_err(|source| ProgramError::Read { path, source })?;
        sizes.push(bytes.len());
    }
    sizes.push(program.len() as u64);
    let saved = ladder(names, &sizes);
    memory.keep(&saved);
    Ok(saved)
}

/// Does the steps of one build; gives the program's path.
fn steps(
    build: &Steps,
    recipe: &ToolRecipe,
    toolchain: &Toolchain,
    on: &mut dyn FnMut(Event),
) -> Result<PathBuf, CompileError> {
    let write = |path: &Path, work: &dyn Fn(&Path) -> io::Result<()>| {
        work(path).map_err(|source| CompileError::Write {
            path: path.to_owned(),
            source,
        })
    };
    write(&recipe.work, &|path| fs::create_dir_all(path))?;
    // What an earlier build left is not this one's.
    match &build.output {
        Output::File(path) => {
            if path.symlink_metadata().is_ok() {
                write(path, &|path| fs::remove_file(path))?;
            }
            let parent = path.parent().unwrap_or(Path::new("/"));
            write(parent, &|path| fs::create_dir_all(path))?;
        }
        Output::Folder { folder, .. }
        | Output::CMake { folder, .. }
        | Output::Meson { folder, .. }
            if folder.symlink_metadata().is_ok() =>
        {
            write(folder, &|path| fs::remove_dir_all(path))?;
        }
        _ => {}
    }
    if let Some(copy) = &build.copy {
        write(&copy.to, &|path| copy.context.copy_to(path))?;
    }
    for file in &build.files {
        let parent = file.path.parent().unwrap_or(Path::new("/"));
        write(parent, &|path| fs::create_dir_all(path))?;
        write(&file.path, &|path| fs::write(path, &file.text))?;
    }
    for call in &build.calls {
        run(call, recipe, toolchain, on)?;
    }
    Ok(artifact::find(&build.output, &recipe.bin)?)
}

fn run(
    call: &Call,
    recipe: &ToolRecipe,
    toolchain: &Toolchain,
    on: &mut dyn FnMut(Event),
) -> Result<(), CompileError> {
    let mut command = toolchain.command(&call.tool, &call.folder);
    command.args(&call.arguments).envs(&call.environment);
    // One pipe for both, so that lines keep their order: ninja tells a
    // compiler's complaints on its standard output.
    let (reader, writer) = io::pipe().map_err(CompileError::Output)?;
    command.stdout(writer.try_clone().map_err(CompileError::Output)?);
    command.stderr(writer);
    let mut child = Running::start(&mut command)?;
    // The command holds the writing ends until it is given others.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let last_lines = lines(reader, on).map_err(CompileError::Output)?;
    let status = child.0.wait().map_err(CompileError::Output)?;
    if status.success() {
        return Ok(());
    }
    let tool = call.tool.file_name().unwrap_or(call.tool.as_os_str());
    Err(CompileError::Failed(Box::new(Refusal {
        tool: tool.to_string_lossy().into_owned(),
        bin: recipe.bin.clone(),
        target: recipe.target.clone(),
        status,
        hints: (recipe.explain)(&last_lines.join("\n")),
        last_lines,
    })))
}
