//! `ounce exec`: a further program in a container that runs.

use std::io;
use std::os::fd::AsFd;
use std::process::ExitCode;

use ounce_run::Errno;
use ounce_run::containers::exec::{ExecError, Further};
use ounce_run::runtime::{RuntimeError, seal};

use super::Context;
use crate::arguments::containers::ExecArguments;
use crate::failure::{Failure, Kind};
use crate::start;

/// Runs it and passes its exit code on; 125 to 127 as docker has them.
pub(crate) fn run(context: &Context, arguments: &ExecArguments) -> Result<ExitCode, Failure> {
    // A process of ours is in the container for a moment.
    seal::seal(std::env::args_os(), std::env::vars_os())
        .map_err(|error| Failure::new(Kind::Start, error))?;
    let words = |words: &[std::ffi::OsString]| -> Result<Vec<String>, Failure> {
        let texts = words.iter().map(|word| {
            let text = word.to_str().map(str::to_owned);
            text.ok_or_else(|| Failure::new(Kind::Start, format!("{word:?} is not UTF-8")))
        });
        texts.collect()
    };
    let mut environment = words(&start::environment(&arguments.env))?;
    if arguments.tty && !environment.iter().any(|one| one.starts_with("TERM=")) {
        // What the terminal is only this side knows.
        let term = std::env::var("TERM").unwrap_or_else(|_| "xterm".to_owned());
        environment.push(format!("TERM={term}"));
    }
    let further = Further {
        arguments: words(&arguments.command)?,
        environment,
        workdir: arguments.workdir.clone(),
        user: arguments.user.clone(),
        terminal: arguments.tty,
        detach: arguments.detach,
    };
    let nothing = start::no_input()?;
    let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
    let input = match arguments.interactive {
        true => stdin.as_fd(),
        false => nothing.as_fd(),
    };
    // What runs on is not to hold the pipes of whoever waits for us.
    let stdio = match arguments.detach {
        true => [nothing.as_fd(); 3],
        false => [input, stdout.as_fd(), stderr.as_fd()],
    };
    let code = context.containers().exec(&arguments.name, &further, stdio);
    Ok(ExitCode::from(code?))
}

impl From<ExecError> for Failure {
    fn from(error: ExecError) -> Self {
        let (kind, hint) = match &error {
            ExecError::State(error) => (Kind::Start, error.hint()),
            ExecError::Enter(RuntimeError::Execute { source, .. }) if *source == Errno::NOENT => (
                Kind::NotFound,
                Some("the container has no such program: `ounce debug` brings a shell".to_owned()),
            ),
            ExecError::Enter(RuntimeError::Execute { .. }) => (Kind::NotExecutable, None),
            ExecError::User(_) => (
                Kind::Start,
                Some("give the user by number: --user UID:GID".to_owned()),
            ),
            ExecError::Enter(RuntimeError::Step { source, .. }) if *source == Errno::INVAL => (
                Kind::Start,
                Some("without root a container has one user: leave --user out".to_owned()),
            ),
            _ => (Kind::Start, None),
        };
        let failure = Self::new(kind, error);
        hint.into_iter().fold(failure, Self::hint)
    }
}
