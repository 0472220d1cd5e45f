//! Puts a Python application together: wheels are fetched by pip for the
//! interpreter of the base, installed by ounce itself, and compiled to
//! bytecode by a Python of the same version. No code of a wheel runs.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use ounce_oci::Platform;
use ounce_oci::layer::{Content, Entry, EntryKind};

use super::interpreter::{Interpreter, InterpreterError};
use super::recipe::{APP, LIBRARIES, PythonRecipe, Start};
use super::wheel::{self, Installed, Keep, Place, WheelError};
use crate::Event;
use crate::compile::{CompileError, Refusal, Running, lines};
use crate::toolchain::Toolchain;

/// Most bytes of one wheel.
const WHEEL_BYTES: u64 = 4 << 30;
/// Most wheels of one application.
const MOST_WHEELS: usize = 10_000;
/// Compiles a list of sources.
const COMPILE: &str = include_str!("compile.py");

/// An application, ready to stand on a base.
#[derive(Debug)]
pub(crate) struct Application {
    /// Its files.
    pub(crate) entries: Vec<Entry>,
    /// The whole command.
    pub(crate) command: Vec<String>,
    /// Variables that it needs.
    pub(crate) environment: BTreeMap<String, String>,
    /// What is worth saying.
    pub(crate) notes: Vec<String>,
}

/// An application could not be put together.
#[derive(Debug, thiserror::Error)]
pub enum PythonError {
    /// The base.
    #[error(transparent)]
    Interpreter(#[from] InterpreterError),
    /// A tool.
    #[error(transparent)]
    Tool(#[from] CompileError),
    /// A package without a wheel that fits.
    #[error("{package} has no wheel for Python {python} on {platform}")]
    NoWheel {
        /// As it is required.
        package: String,
        /// The interpreter's version.
        python: String,
        /// The platform.
        platform: String,
        /// What pip said.
        last_lines: Vec<String>,
    },
    /// A wheel that is not as it must be.
    #[error("installing {wheel}")]
    Wheel {
        /// Its file name.
        wheel: String,
        /// Why not.
        #[source]
        source: WheelError,
    },
    /// The project itself gives a wheel for this machine's Python only.
    #[error("the project's own wheel, {0}, holds compiled code")]
    OwnWheel(String),
    /// Two wheels with different files of one name.
    #[error("/{path} comes from {one} and, otherwise, from {other}")]
    Clash {
        /// The file.
        path: String,
        /// Whose.
        one: String,
        /// And whose.
        other: String,
    },
    /// The command is not among what was installed.
    #[error("no wheel brings a command {name:?}, only {}", listed(known))]
    NoScript {
        /// As asked.
        name: String,
        /// Those there are.
        known: Vec<String>,
    },
    /// The disk.
    #[error("{action} {}", path.display())]
    Io {
        /// `reading`, `writing`.
        action: &'static str,
        /// What.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

fn listed(known: &[String]) -> String {
    match known {
        [] => "none".to_owned(),
        known => known.join(", "),
    }
}

impl PythonError {
    /// Whether the index could not be reached.
    pub fn is_network(&self) -> bool {
        // pip gives one exit code for all, and these words (urllib3's).
        let words = [
            "Failed to establish a new connection",
            "Temporary failure in name resolution",
            "Read timed out",
            "Max retries exceeded",
            "ProxyError",
        ];
        let said = self.said().join("\n");
        words.iter().any(|word| said.contains(word))
    }

    /// What the tool that failed wrote last.
    pub fn said(&self) -> &[String] {
        match self {
            Self::Tool(CompileError::Failed(refusal)) => &refusal.last_lines,
            Self::NoWheel { last_lines, .. } => last_lines,
            _ => &[],
        }
    }

    /// What to do about it.
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::Interpreter(error) => error.hints(),
            Self::Tool(error) => error.hints(),
            Self::NoWheel { package, .. } => {
                let name = package.split(['=', '<', '>', '~', '!', ' ', ';']).next();
                vec![format!(
                    "it is there as sources only, or not for this Python: build a wheel where \
                     its compiler is, `pip wheel {} --no-deps --wheel-dir wheels`, and name the \
                     folder: `wheels = \"wheels\"` under [python]",
                    name.unwrap_or(package)
                )]
            }
            Self::OwnWheel(_) => vec![
                "build it on the platform it is for, and name its folder: `wheels = \"wheels\"` \
                 under [python], with `package = false`"
                    .to_owned(),
            ],
            Self::Wheel {
                source: WheelError::Content(_) | WheelError::Unrecorded(_) | WheelError::Absent(_),
                ..
            } => vec![
                "the wheel was changed after it was built, or is broken: do not use it".to_owned(),
            ],
            _ => Vec::new(),
        }
    }
}

fn failed(action: &'static str, path: &Path, source: io::Error) -> PythonError {
    PythonError::Io {
        action,
        path: path.to_owned(),
        source,
    }
}

/// Does what the recipe says for this interpreter.
///
/// # Errors
/// The first step that fails; nothing is left but files in the work folder.
pub(crate) fn application(
    recipe: &PythonRecipe,
    interpreter: &Interpreter,
    platform: &Platform,
    toolchain: &Toolchain,
    on: &mut dyn FnMut(Event),
) -> Result<Application, PythonError> {
    let wheels = recipe.work.join("wheels");
    empty(&wheels)?;
    let mut notes = Vec::new();
    fetch(recipe, interpreter, platform, toolchain, &wheels, on)?;
    let fetched = list(&wheels)?;
    let own = match &recipe.package {
        false => None,
        true => own_wheel(recipe, toolchain, on)?,
    };
    let mut files: BTreeMap<String, (Installed, String)> = BTreeMap::new();
    let mut scripts = BTreeMap::new();
    let mut packages = Vec::new();
    let keep = Keep {
        tests: recipe.keep_tests,
    };
    for path in fetched.iter().chain(&own) {
        let name = file_name(path);
        on(Event::Installing {
            wheel: name.clone(),
        });
        let bytes = read(path, WHEEL_BYTES)?;
        let wheel =
            wheel::read(&name, &bytes, platform, keep).map_err(|source| PythonError::Wheel {
                wheel: name.clone(),
                source,
            })?;
        let known = format!("{} {}", wheel.name, wheel.version);
        for file in wheel.files {
            add(&mut files, place(&file.place), file, &known)?;
        }
        scripts.extend(wheel.scripts);
        packages.push(known);
    }
    packages.sort();
    if !packages.is_empty() {
        notes.push(format!("installed {}", packages.join(", ")));
    }
    for (path, from) in &recipe.sources {
        let file = Installed {
            place: Place::Packages(path.clone()),
            executable: false,
            bytes: read(from, WHEEL_BYTES)?,
        };
        add(&mut files, format!("{APP}/{path}"), file, "the project")?;
    }
    let command = command(recipe, interpreter, &scripts, &files)?;
    if recipe.bytecode {
        match bytecode(recipe, interpreter, toolchain, &files, on)? {
            Compiled::Files(compiled) => {
                for (path, bytes) in compiled {
                    let file = Installed {
                        place: Place::Packages(path.clone()),
                        executable: false,
                        bytes,
                    };
                    add(&mut files, path, file, "bytecode")?;
                }
            }
            Compiled::NoPython => notes.push(format!(
                "no bytecode, so each start compiles what it imports: there is no Python {} on \
                 this machine to compile it; install it, or `uv python install {0}`",
                interpreter.version_text()
            )),
        }
    }
    let has_sources = !recipe.sources.is_empty();
    let libraries = format!("/{LIBRARIES}");
    let path = match has_sources {
        true => format!("/{APP}:{libraries}"),
        false => libraries,
    };
    let environment = [
        ("PYTHONPATH", path.as_str()),
        // Nothing may be written, and whoever reads the log reads it now.
        ("PYTHONDONTWRITEBYTECODE", "1"),
        ("PYTHONUNBUFFERED", "1"),
    ];
    Ok(Application {
        entries: files
            .into_iter()
            .map(|(path, (file, _))| Entry {
                path,
                kind: EntryKind::File(Content::Bytes(file.bytes)),
                mode: if file.executable { 0o755 } else { 0o644 },
                uid: 0,
                gid: 0,
            })
            .collect(),
        command,
        environment: environment
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        notes,
    })
}

/// Where a file stands in the image.
fn place(place: &Place) -> String {
    match place {
        Place::Packages(path) => format!("{LIBRARIES}/{path}"),
        Place::Scripts(path) => format!("{APP}/bin/{path}"),
        Place::Prefix(path) => format!("usr/{path}"),
    }
}

/// Adds a file; an equal one may be there already, as namespaces have them.
fn add(
    files: &mut BTreeMap<String, (Installed, String)>,
    path: String,
    file: Installed,
    from: &str,
) -> Result<(), PythonError> {
    if let Some((there, one)) = files.get(&path) {
        if there.bytes == file.bytes {
            return Ok(());
        }
        return Err(PythonError::Clash {
            path,
            one: one.clone(),
            other: from.to_owned(),
        });
    }
    files.insert(path, (file, from.to_owned()));
    Ok(())
}

/// Fetches the wheels of all that is required.
fn fetch(
    recipe: &PythonRecipe,
    interpreter: &Interpreter,
    platform: &Platform,
    toolchain: &Toolchain,
    wheels: &Path,
    on: &mut dyn FnMut(Event),
) -> Result<(), PythonError> {
    let requirements = &recipe.requirements;
    let as_written = requirements.lines.is_empty();
    if requirements.from.is_empty() || (as_written && requirements.complete) {
        return Ok(());
    }
    let mut arguments: Vec<String> = recipe.pip_arguments.clone();
    arguments.push("download".to_owned());
    arguments.extend(
        [
            "--quiet",
            "--disable-pip-version-check",
            "--no-input",
            "--progress-bar=off",
            "--only-binary=:all:",
            "--implementation=cp",
        ]
        .map(str::to_owned),
    );
    let (major, minor) = interpreter.version;
    arguments.push(format!("--python-version={major}.{minor}"));
    for abi in [
        format!("cp{major}{minor}"),
        "abi3".to_owned(),
        "none".to_owned(),
    ] {
        arguments.push(format!("--abi={abi}"));
    }
    for name in interpreter.platforms(platform)? {
        arguments.push(format!("--platform={name}"));
    }
    arguments.push(format!("--dest={}", wheels.display()));
    if recipe.offline {
        arguments.push("--no-index".to_owned());
    }
    if let Some(folder) = &recipe.wheels {
        arguments.push(format!("--find-links={}", folder.display()));
    }
    if requirements.complete {
        arguments.push("--no-deps".to_owned());
    }
    match as_written {
        true => arguments.extend(
            requirements
                .from
                .iter()
                .flat_map(|path| ["-r".to_owned(), path.display().to_string()]),
        ),
        false => {
            let path = recipe.work.join("requirements.txt");
            let text = requirements.lines.join("\n") + "\n";
            fs::write(&path, text).map_err(|source| failed("writing", &path, source))?;
            arguments.extend(["-r".to_owned(), path.display().to_string()]);
        }
    }
    on(Event::Fetching {
        what: format!("wheels for Python {major}.{minor} on {platform}"),
    });
    let explain = |last_lines: Vec<String>, error: CompileError| match unmatched(&last_lines) {
        Some(package) => PythonError::NoWheel {
            package,
            python: interpreter.version_text(),
            platform: platform.to_string(),
            last_lines,
        },
        None => error.into(),
    };
    run(recipe, toolchain, &recipe.pip, &arguments, on).map_err(|error| match error {
        CompileError::Failed(refusal) => {
            explain(refusal.last_lines.clone(), CompileError::Failed(refusal))
        }
        error => error.into(),
    })
}

/// The requirement that pip found nothing for.
fn unmatched(last_lines: &[String]) -> Option<String> {
    let mark = "No matching distribution found for ";
    last_lines.iter().find_map(|line| {
        let (_, rest) = line.split_once(mark)?;
        let rest = rest.split(" (from").next().unwrap_or(rest);
        Some(rest.trim().to_owned())
    })
}

/// The wheel of the project itself, which its own build system makes.
fn own_wheel(
    recipe: &PythonRecipe,
    toolchain: &Toolchain,
    on: &mut dyn FnMut(Event),
) -> Result<Option<PathBuf>, PythonError> {
    let folder = recipe.work.join("own");
    empty(&folder)?;
    let mut arguments: Vec<String> = recipe.pip_arguments.clone();
    arguments.push("wheel".to_owned());
    arguments.extend(
        [
            "--quiet",
            "--disable-pip-version-check",
            "--no-input",
            "--progress-bar=off",
            "--no-deps",
        ]
        .map(str::to_owned),
    );
    if recipe.offline {
        arguments.push("--no-index".to_owned());
        arguments.push("--no-build-isolation".to_owned());
    }
    arguments.push(format!("--wheel-dir={}", folder.display()));
    arguments.push(recipe.folder.display().to_string());
    on(Event::Fetching {
        what: format!("the wheel of {}", recipe.name),
    });
    run(recipe, toolchain, &recipe.pip, &arguments, on)?;
    let mut made = list(&folder)?;
    let Some(path) = made.pop() else {
        return Ok(None);
    };
    let name = file_name(&path);
    match name.ends_with("-none-any.whl") {
        true => Ok(Some(path)),
        false => Err(PythonError::OwnWheel(name)),
    }
}

fn run(
    recipe: &PythonRecipe,
    toolchain: &Toolchain,
    tool: &Path,
    arguments: &[String],
    on: &mut dyn FnMut(Event),
) -> Result<(), CompileError> {
    let mut command = toolchain.command(tool, &recipe.folder);
    command.args(arguments);
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = Running::start(&mut command)?;
    let said = match child.0.stderr.take() {
        Some(stderr) => lines(stderr, on).map_err(CompileError::Output)?,
        None => Vec::new(),
    };
    let status = child.0.wait().map_err(CompileError::Output)?;
    if status.success() {
        return Ok(());
    }
    let name = tool.file_name().unwrap_or(tool.as_os_str());
    Err(CompileError::Failed(Box::new(Refusal {
        tool: name.to_string_lossy().into_owned(),
        bin: recipe.name.clone(),
        target: "Python".to_owned(),
        status,
        hints: hints(&said.join("\n")),
        last_lines: said,
    })))
}

/// What to do about a pip that failed with these last words.
fn hints(text: &str) -> Vec<String> {
    let mut hints = Vec::new();
    if text.contains("THESE PACKAGES DO NOT MATCH THE HASHES") {
        hints.push(
            "a package is not the one that was locked: lock again only if you know why".to_owned(),
        );
    }
    if text.contains("In --require-hashes mode") {
        hints.push(
            "some requirements have hashes and some have none: pip-compile --generate-hashes, or \
             uv export"
                .to_owned(),
        );
    }
    if text.contains("No module named pip") {
        hints.push("install pip: python3-pip of your distribution".to_owned());
    }
    hints
}

/// The command that starts the application.
fn command(
    recipe: &PythonRecipe,
    interpreter: &Interpreter,
    scripts: &BTreeMap<String, String>,
    files: &BTreeMap<String, (Installed, String)>,
) -> Result<Vec<String>, PythonError> {
    let python = interpreter.path.clone();
    let call = |module: &str, function: &str| {
        let first = function.split('.').next().unwrap_or(function);
        vec![
            python.clone(),
            "-c".to_owned(),
            format!("import sys; from {module} import {first}; sys.exit({function}())"),
        ]
    };
    Ok(match &recipe.start {
        Start::File(path) => vec![python, format!("/{APP}/{path}")],
        Start::Module(module) => vec![python, "-m".to_owned(), module.clone()],
        Start::Function { module, function } => call(module, function),
        Start::Script(name) => match scripts.get(name).and_then(|it| it.split_once(':')) {
            Some((module, function)) => call(module, function),
            // A package that is started by its own name.
            None if files.contains_key(&format!("{LIBRARIES}/{name}/__main__.py")) => {
                vec![python, "-m".to_owned(), name.clone()]
            }
            None => {
                return Err(PythonError::NoScript {
                    name: name.clone(),
                    known: scripts.keys().cloned().collect(),
                });
            }
        },
    })
}

enum Compiled {
    Files(Vec<(String, Vec<u8>)>),
    /// There is no Python of that version here.
    NoPython,
}

/// Compiles all sources by a Python of the same version on this machine.
fn bytecode(
    recipe: &PythonRecipe,
    interpreter: &Interpreter,
    toolchain: &Toolchain,
    files: &BTreeMap<String, (Installed, String)>,
    on: &mut dyn FnMut(Event),
) -> Result<Compiled, PythonError> {
    let Some(python) = python_of(interpreter, toolchain, &recipe.folder) else {
        return Ok(Compiled::NoPython);
    };
    let folder = recipe.work.join("bytecode");
    empty(&folder)?;
    let mut jobs = String::new();
    let mut wanted = Vec::new();
    for (path, (file, _)) in files {
        let compiled = ounce_rootfs::python::compiled(Path::new(path), &interpreter.tag());
        let Some(target) = compiled.and_then(|target| Some(target.to_str()?.to_owned())) else {
            continue;
        };
        // The list has one source a line.
        if path.contains(['\t', '\n', '\r']) || path.starts_with(&format!("{APP}/bin/")) {
            continue;
        }
        let number = wanted.len();
        let source = folder.join(format!("{number}.py"));
        fs::write(&source, &file.bytes).map_err(|error| failed("writing", &source, error))?;
        let out = folder.join(format!("{number}.pyc"));
        jobs += &format!("{}\t{}\t/{path}\n", source.display(), out.display());
        wanted.push((target, out));
    }
    on(Event::Bytecode {
        files: wanted.len(),
    });
    let list = folder.join("jobs");
    fs::write(&list, jobs).map_err(|source| failed("writing", &list, source))?;
    let script = folder.join("compile.py");
    fs::write(&script, COMPILE).map_err(|source| failed("writing", &script, source))?;
    let mut command = toolchain.command(&python, &folder);
    command
        .args(["-I", "-S", "-B", "-W", "ignore"])
        .args([&script, &list])
        // Isolated, Python reads no variable but these two of its start.
        .env("PYTHONHASHSEED", "0")
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut child = Running::start(&mut command)?;
    let said = match child.0.stderr.take() {
        Some(stderr) => lines(stderr, on).map_err(CompileError::Output)?,
        None => Vec::new(),
    };
    let status = child.0.wait().map_err(CompileError::Output)?;
    if !status.success() {
        return Err(CompileError::Failed(Box::new(Refusal {
            tool: python.display().to_string(),
            bin: recipe.name.clone(),
            target: "bytecode".to_owned(),
            status,
            hints: Vec::new(),
            last_lines: said,
        }))
        .into());
    }
    let mut compiled = Vec::new();
    for (target, out) in wanted {
        if out.is_file() {
            compiled.push((target, read(&out, WHEEL_BYTES)?));
        }
    }
    Ok(Compiled::Files(compiled))
}

/// A Python of the interpreter's version on this machine, whose compiled files
/// are therefore the same.
fn python_of(interpreter: &Interpreter, toolchain: &Toolchain, folder: &Path) -> Option<PathBuf> {
    const TELL: &str = "import sys; print(sys.implementation.name, '%d.%d' % sys.version_info[:2])";
    let version = interpreter.version_text();
    let expected = format!("cpython {version}");
    let fits = |path: &PathBuf| {
        toolchain
            .answer(path, folder, &["-I", "-S", "-c", TELL])
            .is_some_and(|told| told.trim() == expected)
    };
    let names = [
        format!("python{version}"),
        "python3".to_owned(),
        "python".to_owned(),
    ];
    let found = names
        .iter()
        .filter_map(|name| toolchain.find(name))
        .find(fits);
    found.or_else(|| {
        let uv = toolchain.find("uv")?;
        let told = toolchain.answer(&uv, folder, &["python", "find", &version])?;
        Some(PathBuf::from(told.trim())).filter(fits)
    })
}

/// The wheels in a folder, by name.
fn list(folder: &Path) -> Result<Vec<PathBuf>, PythonError> {
    let read = || -> io::Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_file() {
                found.push(path);
            }
            if found.len() > MOST_WHEELS {
                return Err(io::Error::other("more wheels than an application has"));
            }
        }
        found.sort();
        Ok(found)
    };
    read().map_err(|source| failed("reading", folder, source))
}

fn file_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str());
    name.to_string_lossy().into_owned()
}

/// An empty folder, whatever was there.
fn empty(folder: &Path) -> Result<(), PythonError> {
    let make = || -> io::Result<()> {
        match fs::remove_dir_all(folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        fs::create_dir_all(folder)
    };
    make().map_err(|source| failed("emptying", folder, source))
}

fn read(path: &Path, limit_bytes: u64) -> Result<Vec<u8>, PythonError> {
    let get = || -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let file = fs::File::open(path)?;
        file.take(limit_bytes + 1).read_to_end(&mut bytes)?;
        match bytes.len() as u64 > limit_bytes {
            true => Err(io::Error::other(format!("longer than {limit_bytes} bytes"))),
            false => Ok(bytes),
        }
    };
    get().map_err(|source| failed("reading", path, source))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_package_that_has_no_wheel_is_named() {
        let lines = [
            "ERROR: Could not find a version that satisfies the requirement uwsgi==2.0.21 (from versions: none)",
            "ERROR: No matching distribution found for uwsgi==2.0.21 (from -r x (line 1))",
        ];
        assert_eq!(
            unmatched(&lines.map(str::to_owned)).as_deref(),
            Some("uwsgi==2.0.21")
        );
        assert_eq!(unmatched(&["other".to_owned()]), None);
    }

    #[test]
    fn equal_files_may_come_twice_and_others_may_not() {
        let mut files = BTreeMap::new();
        let file = |bytes: &[u8]| Installed {
            place: Place::Packages("a".to_owned()),
            executable: false,
            bytes: bytes.to_vec(),
        };
        add(&mut files, "a".to_owned(), file(b"1"), "one").unwrap();
        add(&mut files, "a".to_owned(), file(b"1"), "two").unwrap();
        let error = add(&mut files, "a".to_owned(), file(b"2"), "three 3").unwrap_err();
        assert_eq!(
            error.to_string(),
            "/a comes from one and, otherwise, from three 3"
        );
    }
}
