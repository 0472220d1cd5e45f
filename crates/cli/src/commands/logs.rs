//! `ounce logs`: what a detached container has said, on the streams it said it on.

use std::io::{self, ErrorKind, Write as _};
use std::process::ExitCode;

use ounce_run::containers::StateError;
use ounce_run::containers::logs::{Line, Log, Part, Stream};

use super::Context;
use crate::arguments::containers::LogsArguments;
use crate::failure::{Failure, Kind};

/// Prints it, and goes on with `--follow` until the container has ended.
pub(crate) fn run(context: &Context, arguments: &LogsArguments) -> Result<ExitCode, Failure> {
    let containers = context.containers();
    let seen = containers.find(&arguments.name)?;
    let mut log = Log::open(&seen.path);
    let mut writer = Writer {
        timestamps: arguments.timestamps,
        begun: [true; 2],
    };
    let part = Part {
        tail: arguments.tail,
        since: arguments.since.clone(),
    };
    let mut print = |line: &Line| writer.write(line);
    log.past(&part, &mut print).map_err(unreadable)?;
    if seen.record.log_bytes == 0 {
        context.output.note(match seen.record.spec {
            Some(_) => "it has no log: its output goes to the ounce that runs it",
            None => "it has no log of its own",
        });
    }
    if !arguments.follow {
        return Ok(ExitCode::SUCCESS);
    }
    let mut last = false;
    loop {
        if log.more(&mut print).map_err(unreadable)? {
            last = false;
            continue;
        }
        if last {
            return Ok(ExitCode::SUCCESS);
        }
        // What was written before it ended is read once more.
        last = match containers.find(&arguments.name) {
            Ok(seen) => !seen.status.is_alive(),
            Err(StateError::Missing(_)) => true,
            Err(error) => return Err(error.into()),
        };
    }
}

fn unreadable(error: io::Error) -> Failure {
    if error.kind() == ErrorKind::BrokenPipe {
        std::process::exit(0);
    }
    Failure::new(Kind::Host, error).hint("the log could not be read, or stdout not be written")
}

struct Writer {
    timestamps: bool,
    /// Whether the next text of a stream begins a line.
    begun: [bool; 2],
}

impl Writer {
    fn write(&mut self, line: &Line) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(line.text.len() + 40);
        let begun = &mut self.begun[usize::from(line.stream == Stream::Error)];
        if self.timestamps && *begun {
            bytes.extend_from_slice(line.time.as_bytes());
            bytes.push(b' ');
        }
        *begun = line.whole;
        bytes.extend_from_slice(&line.text);
        if line.whole {
            bytes.push(b'\n');
        }
        match line.stream {
            Stream::Output => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(&bytes)?;
                stdout.flush()
            }
            Stream::Error => io::stderr().lock().write_all(&bytes),
        }
    }
}
