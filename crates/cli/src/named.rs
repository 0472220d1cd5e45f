//! `run` of containers that have a name: in the background, or watched by this
//! process.

use std::collections::BTreeMap;
use std::fs;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ounce_oci::causes::in_one_line;
use ounce_run::containers::record::{Ended, Record, Restart, SCHEMA};
use ounce_run::containers::{Claim, Containers, Kind as Of, Running, StateError, keep};
use ounce_run::runtime::state::{now, process_start, rfc3339};
use ounce_run::{Container, Exit};

use crate::arguments::RunArguments;
use crate::commands::Context;
use crate::failure::{Failure, Kind};
use crate::output::Output;
use crate::start::Prepared;

/// Bytes of a log file, unless told: two of them are kept, in the runtime
/// directory, which as a rule is memory.
const LOG_BYTES: u64 = 1 << 20;
/// As docker has it.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// Puts what files say before what options say.
///
/// # Errors
/// A file cannot be read, or a line of it is no variable.
pub(crate) fn read_files(arguments: &mut RunArguments) -> Result<(), Failure> {
    let mut variables = Vec::new();
    for path in &arguments.env_file {
        let wrong = |what: String| {
            let place = path.display();
            Failure::new(Kind::Usage, format!("--env-file {place}: {what}"))
        };
        let text = fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
        for (number, line) in text.lines().enumerate() {
            let line = line.trim_start();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let name = line.split('=').next().unwrap_or_default();
            if name.is_empty() || name.contains(char::is_whitespace) {
                let number = number + 1;
                return Err(wrong(format!("line {number} is not NAME=VALUE or NAME")));
            }
            variables.push(line.to_owned());
        }
    }
    variables.append(&mut arguments.env);
    arguments.env = variables;
    Ok(())
}

fn record(arguments: &RunArguments, prepared: &Prepared, name: String) -> Record {
    let labels = arguments.label.iter().map(|label| {
        let (name, value) = label.split_once('=').unwrap_or((label, ""));
        (name.to_owned(), value.to_owned())
    });
    let log_bytes = match arguments.detach {
        true => arguments.log_size.map_or(LOG_BYTES, |size| size.0),
        false => 0,
    };
    let stop_timeout = arguments.stop_timeout.unwrap_or(STOP_TIMEOUT);
    let spec = &prepared.spec;
    Record {
        schema: SCHEMA.to_owned(),
        name,
        kind: Of::Container,
        image: arguments.what.clone(),
        digest: prepared.digest(),
        command: spec
            .arguments
            .iter()
            .map(|word| word.to_string_lossy().into_owned())
            .collect(),
        created: now(),
        ports: prepared.ports().into_iter().map(|(port, _)| port).collect(),
        labels: labels.collect::<BTreeMap<_, _>>(),
        restart: arguments.restart.unwrap_or(Restart::No),
        stop_timeout_ms: stop_timeout.as_millis().try_into().unwrap_or(u64::MAX),
        remove: arguments.rm,
        interactive: arguments.interactive,
        log_bytes,
        spec: Some(spec.clone()),
    }
}

/// Makes the container's folder; without a name by one that is made up.
fn claim(
    containers: &Containers,
    arguments: &RunArguments,
    prepared: &Prepared,
) -> Result<Claim, Failure> {
    if let Some(name) = &arguments.name {
        return Ok(containers.create(&record(arguments, prepared, name.clone()))?);
    }
    let base = base_name(&arguments.what);
    // Of processes that start at the same time none has the same number.
    let mut seed = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| u64::from(since.subsec_nanos()))
        ^ (u64::from(std::process::id()) << 32);
    for _ in 0..100 {
        // Knuth's MMIX generator.
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let name = format!("{base}-{:04x}", seed >> 48);
        match containers.create(&record(arguments, prepared, name)) {
            Err(StateError::Taken(_)) => {}
            other => return Ok(other?),
        }
    }
    Err(Failure::new(Kind::Host, "no name is free for the container").hint("give it one: --name"))
}

/// The last part of an image's name or of a path, as far as it can be a name.
fn base_name(what: &str) -> String {
    let last = what.trim_end_matches('/').rsplit('/').next().unwrap_or("");
    let last = last.split(['@', ':']).next().unwrap_or("");
    let name: String = last
        .chars()
        .map(|letter| match letter {
            letter if letter.is_ascii_alphanumeric() || "_.-".contains(letter) => letter,
            _ => '-',
        })
        .take(60)
        .collect();
    let name = name.trim_start_matches(['-', '_', '.']);
    match name.is_empty() {
        true => "container".to_owned(),
        false => name.to_owned(),
    }
}

/// Starts it in the background and prints its name.
///
/// # Errors
/// The name is taken, or there is no place to keep it. What keeps the program
/// from being started the process has said that was to start it.
pub(crate) fn detach(
    context: &Context,
    arguments: &RunArguments,
    prepared: &Prepared,
) -> Result<ExitCode, Failure> {
    let ounce = std::env::current_exe().map_err(|error| {
        Failure::new(Kind::Host, error).hint("ounce needs /proc: mount -t proc proc /proc")
    })?;
    let claim = claim(&context.containers(), arguments, prepared)?;
    let sockets: Vec<_> = prepared.ports().into_iter().map(|(_, file)| file).collect();
    let begun = keep::detach(&ounce, &claim, &sockets).map_err(Failure::from);
    let ended = begun.and_then(|begun| Ok(begun.wait()?));
    match ended {
        Ok(Ok(())) => {
            context.output.text(&format!("{}\n", claim.name()))?;
            Ok(ExitCode::SUCCESS)
        }
        other => {
            claim.remove()?;
            let code = other?.err().and_then(|status| status.code());
            let code = code.and_then(|code| u8::try_from(code).ok());
            Ok(ExitCode::from(code.unwrap_or(Kind::Start.code())))
        }
    }
}

/// A container that has a name and is watched by this process.
pub(crate) struct Named {
    /// Gone only where it has ended.
    claim: Option<Claim>,
    remove: bool,
    runs: std::cell::Cell<bool>,
}

impl Named {
    /// Makes its folder, if it was given a name.
    ///
    /// # Errors
    /// The name is taken, or there is no place to keep it.
    pub(crate) fn new(
        context: &Context,
        arguments: &RunArguments,
        prepared: &Prepared,
    ) -> Result<Option<Self>, Failure> {
        if arguments.name.is_none() {
            return Ok(None);
        }
        let claim = claim(&context.containers(), arguments, prepared)?;
        Ok(Some(Self {
            claim: Some(claim),
            remove: arguments.rm,
            runs: false.into(),
        }))
    }

    /// Tells that it runs.
    ///
    /// # Errors
    /// As the file system says.
    pub(crate) fn runs(&self, container: &Container) -> Result<(), Failure> {
        let Some(claim) = &self.claim else {
            return Ok(());
        };
        let began = |pid: i32| process_start(pid).map_or(0, |(began, _)| began);
        let own = std::process::id() as i32;
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        claim.write_running(&Running {
            pid: container.pid(),
            pid_started: began(container.pid()),
            keeper: own,
            keeper_started: began(own),
            started: rfc3339(since.as_secs(), since.subsec_nanos()),
            started_seconds: since.as_secs(),
            starts: 1,
            groups: container.groups(),
            address: container.address(),
            ..Running::default()
        })?;
        self.runs.set(true);
        Ok(())
    }

    /// Tells how it ended, and gives the exit code: of the signal that was meant,
    /// where another ounce has ended it. That it cannot be written is told, and
    /// the code is the program's nonetheless.
    ///
    /// # Errors
    /// Its folder was to be removed, and cannot be.
    pub(crate) fn ended(mut self, output: Output, exit: Exit) -> Result<u8, Failure> {
        let Some(claim) = self.claim.take() else {
            return Ok(exit.code());
        };
        let seconds = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        let ended = Ended {
            exit,
            seconds,
            start: 1,
        };
        let mut exit = exit;
        match claim.write_ended(ended) {
            Ok(()) => exit = Containers::end_in(claim.path(), claim.name()).unwrap_or(exit),
            Err(error) => output.note(&format!(
                "note: `ounce ps` will not know how it ended: {}",
                in_one_line(&error)
            )),
        }
        if self.remove {
            claim.remove()?;
        }
        Ok(exit.code())
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        // Its start failed: nothing is left of it.
        if let Some(claim) = self.claim.take()
            && !self.runs.get()
        {
            let _ = claim.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_up_names_begin_with_what_is_run() {
        for (what, name) in [
            ("hello", "hello"),
            ("registry.example/team/app:1.0", "app"),
            ("./target/release/my app", "my-app"),
            ("/srv/site/", "site"),
            ("oci:layout:tag", "oci"),
            ("...", "container"),
            ("", "container"),
        ] {
            assert_eq!(base_name(what), name, "{what}");
        }
    }
}
