//! The server: started, waited for, and asked whether it still runs.

use core::ffi::CStr;

use ounce_bootstrap::lambda::Wire as _;
use ounce_bootstrap::lambda::exchange::{Out, Reading};
use ounce_bootstrap::lambda::http::json::Sink as _;
use ounce_bootstrap::{Fault, Program, Socket, now_ms};
use ounce_linux::bare;
use ounce_linux::descriptor::c_str;
use ounce_linux::process::Text;
use rustix::fd::AsFd as _;
use rustix::fs::{Mode, OFlags};

use super::options::Options;

/// The most words of a command, and the most variables.
const MAX_WORDS: usize = 64;
const MAX_VARIABLES: usize = 256;
/// The most bytes of a command that stands in a file.
const MAX_COMMAND_BYTES: usize = 8_192;
/// How long the server may take until it is ready. Lambda itself ends a start after
/// 10 seconds, and then allows it the function's time, which is 15 minutes at most.
const READY_MS: u64 = 60_000;
/// How long a process may take to end whose connections are closed.
const ENDING_MS: u32 = 500;
/// Between two attempts.
const PAUSE_MS: u32 = 1;

/// The server that was started.
#[derive(Debug)]
pub(super) struct Server {
    child: i32,
}

impl Server {
    /// Starts the server of the command line, or else of the file, and waits until it
    /// is ready.
    pub(super) fn start(program: &Program, options: &Options) -> Result<Self, Fault<'static>> {
        let mut words: [Text<'static>; MAX_WORDS + 1] = [Text::END; MAX_WORDS + 1];
        let first = match program.arguments().next() {
            Some(first) => {
                list(program.arguments(), &mut words).ok_or(TOO_MANY)?;
                first
            }
            None => {
                let bytes = command_file().ok_or(NO_COMMAND)?;
                let strings = || Strings(bytes);
                list(strings(), &mut words).ok_or(TOO_MANY)?;
                strings().next().ok_or(NO_COMMAND)?
            }
        };
        let mut variables = [Text::END; MAX_VARIABLES + 1];
        list(program.environment(), &mut variables).ok_or(TOO_MANY)?;

        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let file = rustix::fs::open(first, flags, Mode::empty()).map_err(|_| NOT_FOUND)?;
        let child = bare::start(file.as_fd(), &words, &variables);
        if child < 0 {
            return Err(NOT_STARTED);
        }
        let server = Self { child };
        server.wait(options)?;
        Ok(server)
    }

    /// Waits until it is ready, or has ended, or takes too long.
    fn wait(&self, options: &Options) -> Result<(), Fault<'static>> {
        let until = now_ms() + READY_MS;
        let mut socket = Socket::to([127, 0, 0, 1], options.port);
        loop {
            if socket.connect().is_ok() && is_ready(&mut socket, options, until) {
                socket.close();
                return Ok(());
            }
            socket.close();
            if let Some(end) = self.ended() {
                return Err(end);
            }
            if now_ms() > until {
                return Err(Fault {
                    kind: "Adapter.NotReady",
                    message: "the server does not listen, within a minute, on port",
                    number: Some(options.port.into()),
                });
            }
            bare::wait_input(-1, PAUSE_MS);
        }
    }

    /// How it has ended, if it ends soon: the kernel closes connections of a process
    /// that ends a while before it can be told that it has.
    pub(super) fn ends_soon(&self) -> Option<Fault<'static>> {
        for _ in 0..ENDING_MS / PAUSE_MS {
            let end = self.ended();
            if end.is_some() {
                return end;
            }
            bare::wait_input(-1, PAUSE_MS);
        }
        None
    }

    /// How it has ended, if it has.
    pub(super) fn ended(&self) -> Option<Fault<'static>> {
        let status = bare::ended(self.child)?;
        let (message, number) = match status & 0x7f {
            0 if status >> 8 == 127 => return Some(NOT_STARTED),
            0 => ("the server ended with status", status >> 8 & 0xff),
            signal => ("the server was ended by signal", signal),
        };
        Some(Fault {
            kind: "Adapter.ServerEnded",
            message,
            number: Some(number.into()),
        })
    }
}

/// Whether it answers what it is to answer when it is ready.
fn is_ready(socket: &mut Socket, options: &Options, until_ms: u64) -> bool {
    if options.ready_path.is_empty() {
        return true;
    }
    let mut out = Out::new(socket);
    out.put(b"GET ");
    out.put(options.ready_path.as_bytes());
    out.put(b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let mut buffer = [0; 4_096];
    out.end().is_ok()
        && Reading::head(socket, &mut buffer, until_ms, false)
            .is_ok_and(|reading| reading.status < 500)
}

/// Puts strings into a list that ends as execve(2) wants it, which it does already.
fn list<'a>(strings: impl Iterator<Item = &'a CStr>, places: &mut [Text<'a>]) -> Option<()> {
    let most = places.len() - 1;
    let mut places = places.iter_mut().take(most);
    for string in strings {
        *places.next()? = Text::new(string);
    }
    Some(())
}

/// The command in the file beside the program.
fn command_file() -> Option<&'static [u8]> {
    let file = bare::open(c"bootstrap.args", bare::OPEN_FILE);
    let buffer = bare::memory(MAX_COMMAND_BYTES);
    let count = usize::try_from(bare::read(file, buffer)).ok()?;
    bare::close(file);
    // One that fills the buffer may go on.
    buffer
        .get(..count)
        .filter(|bytes| bytes.len() < MAX_COMMAND_BYTES)
}

/// Strings that end with NUL each.
struct Strings(&'static [u8]);

impl Iterator for Strings {
    type Item = &'static CStr;

    fn next(&mut self) -> Option<&'static CStr> {
        let string = c_str(self.0)?;
        self.0 = self.0.get(string.to_bytes_with_nul().len()..)?;
        Some(string)
    }
}

const NO_COMMAND: Fault<'static> = Fault::new(
    "Adapter.NoCommand",
    "no program to start: neither an argument nor ./bootstrap.args",
);
const TOO_MANY: Fault<'static> = Fault::new(
    "Adapter.NoCommand",
    "the command has more than 64 words, or the environment more than 256 variables",
);
const NOT_FOUND: Fault<'static> =
    Fault::new("Adapter.NotStarted", "the server's program is not there");
const NOT_STARTED: Fault<'static> = Fault::new(
    "Adapter.NotStarted",
    "the server's program cannot be executed",
);
