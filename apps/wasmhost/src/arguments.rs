//! The command line. `ounce` writes it, people only to look at what it does,
//! so it is read by hand and in one way.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use crate::failure::{Failure, USAGE};

/// What is told to people.
pub(crate) const HELP: &str = "\
ounce-wasmhost: runs one WebAssembly module; what `ounce run` starts in a container

ounce-wasmhost run [OPTIONS] MODULE [-- ARGUMENTS]
  --compiled FILE   what `compile` made of it; code of this machine, so only of one's own
  --dir PATH        a folder that the module may read and write (repeat); --dir-ro only to read
  --cwd PATH        a granted folder that the module also finds as `/`, its working folder
  --network         the network that this process has; else none
  --memory BYTES    most memory that an instance may grow to; 1 GiB unless told
  --timeout MS      a command is ended after this long; a request is, of a server
  --invoke NAME     the exported function to call; ARGUMENTS are its arguments
  --port PORT       where requests are taken that nobody hands a socket for; 8080 unless told
  --name NAME       what the module finds as the name it was started by
ounce-wasmhost compile MODULE > FILE     code for this machine, ahead of time
ounce-wasmhost component MODULE > FILE   a component of a module that wit-bindgen made
ounce-wasmhost check MODULE              whether it is valid, and what it asks for
ounce-wasmhost measure [--instances N] [--compiled FILE] MODULE
ounce-wasmhost --version

Exit codes: the module's own; 124 out of time, 125 not started, 126 not a module
that can be run, 134 trapped.
";

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Task {
    Help,
    Version,
    Run(Start),
    Compile(PathBuf),
    Component(PathBuf),
    Check(PathBuf),
    Measure(Measure),
}

/// A module to be started, and what it is given.
#[derive(Debug, Default, Clone)]
pub(crate) struct Start {
    /// The module or component.
    pub(crate) module: PathBuf,
    /// Code of it for this machine.
    pub(crate) compiled: Option<PathBuf>,
    /// Folders, and whether they can be written.
    pub(crate) folders: Vec<(PathBuf, bool)>,
    /// The folder that is found as `/`.
    pub(crate) cwd: Option<PathBuf>,
    /// Whether it has this process' network.
    pub(crate) network: bool,
    /// Most bytes of its memories.
    pub(crate) memory_bytes: Option<usize>,
    /// How long a command, or a request, may take.
    pub(crate) timeout: Option<Duration>,
    /// A function to be called.
    pub(crate) invoke: Option<String>,
    /// Where requests are taken without sockets that are handed in.
    pub(crate) port: Option<u16>,
    /// What it was started by.
    pub(crate) name: Option<String>,
    /// Its arguments.
    pub(crate) arguments: Vec<String>,
    /// Its environment: this process' own, read once.
    pub(crate) environment: Vec<(String, String)>,
}

/// What is to be measured.
#[derive(Debug)]
pub(crate) struct Measure {
    pub(crate) module: PathBuf,
    pub(crate) compiled: Option<PathBuf>,
    pub(crate) instances: usize,
}

/// Reads the words after the program's name.
pub(crate) fn parse(words: impl Iterator<Item = OsString>) -> Result<Task, Failure> {
    let mut words = words.map(text);
    let Some(verb) = words.next().transpose()? else {
        return Err(usage("what is to be done? ounce-wasmhost --help"));
    };
    let rest: Vec<String> = words.collect::<Result<_, _>>()?;
    match verb.as_str() {
        "-h" | "--help" | "help" => Ok(Task::Help),
        "-V" | "--version" => Ok(Task::Version),
        "run" => run(rest).map(Task::Run),
        "compile" => one(rest).map(Task::Compile),
        "component" => one(rest).map(Task::Component),
        "check" => one(rest).map(Task::Check),
        "measure" => measure(rest).map(Task::Measure),
        other => Err(usage(format!(
            "there is no {other:?}: ounce-wasmhost --help"
        ))),
    }
}

fn run(words: Vec<String>) -> Result<Start, Failure> {
    let mut start = Start::default();
    let mut words = words.into_iter();
    let mut module = None;
    while let Some(word) = words.next() {
        let mut value = |what: &str| {
            words
                .next()
                .ok_or_else(|| usage(format!("{what} wants a value")))
        };
        match word.as_str() {
            "--compiled" => start.compiled = Some(value("--compiled")?.into()),
            "--dir" => start.folders.push((value("--dir")?.into(), true)),
            "--dir-ro" => start.folders.push((value("--dir-ro")?.into(), false)),
            "--cwd" => start.cwd = Some(value("--cwd")?.into()),
            "--network" => start.network = true,
            "--memory" => start.memory_bytes = Some(number(&value("--memory")?)?),
            "--timeout" => {
                start.timeout = Some(Duration::from_millis(number(&value("--timeout")?)?));
            }
            "--invoke" => start.invoke = Some(value("--invoke")?),
            "--port" => start.port = Some(number(&value("--port")?)?),
            "--name" => start.name = Some(value("--name")?),
            "--" => {
                start.arguments = words.collect();
                break;
            }
            option if option.starts_with('-') => {
                return Err(usage(format!("there is no option {option}")));
            }
            _ if module.is_none() => module = Some(PathBuf::from(word)),
            _ => {
                return Err(usage(format!(
                    "{word:?} is one too many: arguments of the module stand after --"
                )));
            }
        }
    }
    start.module = module.ok_or_else(|| usage("which module?"))?;
    Ok(start)
}

fn measure(words: Vec<String>) -> Result<Measure, Failure> {
    let mut words = words.into_iter();
    let (mut module, mut compiled, mut instances) = (None, None, 1000);
    while let Some(word) = words.next() {
        let value = |next: Option<String>| next.ok_or_else(|| usage("a value is missing"));
        match word.as_str() {
            "--instances" => instances = number(&value(words.next())?)?,
            "--compiled" => compiled = Some(PathBuf::from(value(words.next())?)),
            _ => module = Some(PathBuf::from(word)),
        }
    }
    Ok(Measure {
        module: module.ok_or_else(|| usage("which module?"))?,
        compiled,
        instances,
    })
}

fn one(words: Vec<String>) -> Result<PathBuf, Failure> {
    match <[String; 1]>::try_from(words) {
        Ok([file]) => Ok(file.into()),
        Err(_) => Err(usage("one module is wanted")),
    }
}

fn text(word: OsString) -> Result<String, Failure> {
    word.into_string()
        .map_err(|word| usage(format!("{word:?} is not UTF-8, which WASI's texts are")))
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, Failure> {
    text.parse()
        .map_err(|_| usage(format!("{text:?} is no number that fits")))
}

fn usage(text: impl Into<String>) -> Failure {
    Failure::new(USAGE, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Result<Task, Failure> {
        parse(text.split_whitespace().map(OsString::from))
    }

    #[test]
    fn what_follows_two_dashes_is_the_modules() {
        let Ok(Task::Run(start)) = words("run --network --memory 65536 m.wasm -- --network x")
        else {
            panic!("not a run");
        };
        assert!(start.network);
        assert_eq!(start.memory_bytes, Some(65536));
        assert_eq!(start.arguments, ["--network", "x"]);
    }

    #[test]
    fn wrong_words_are_told_and_nothing_is_guessed() {
        for text in [
            "",
            "run",
            "run a b",
            "run --wat a",
            "run --memory",
            "run --memory -1 a",
            "run --port 70000 a",
            "compile",
            "compile a b",
            "other",
        ] {
            assert_eq!(words(text).unwrap_err().code, USAGE, "{text}");
        }
    }
}
