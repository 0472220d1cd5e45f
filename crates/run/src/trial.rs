//! One trial of a container: start it, put the test to it, note what came of
//! it, and leave nothing behind. With a watcher, also what files and system
//! calls it used.
//!
//! What the test proves is the caller's to say: here are only exit code, output
//! and answers. Nothing is compared with a clock but the deadline.

mod ask;
mod calls;
mod observed;
mod watch;

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use ounce_linux::seccomp::Instruction;
use ounce_linux::trace::{self, Observed as Handed};
use ounce_oci::Digest;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal, kill_process_group, pidfd_send_signal};

use crate::failure::StartError;
use crate::lifecycle::{Beginning, Container, Exit, Observing};
use crate::spec::Spec;
use crate::{plan, syscalls};
use ask::{Asking, Next};
use observed::MOST_OUTPUT;
use watch::Watcher;

pub use calls::How;
pub use observed::{Answer, Observed, Printed, Trouble};
pub use watch::{Touch, Witnessed};

/// What is kept of standard error, to be shown when a trial fails.
const LAST_WORDS: usize = 4 << 10;
/// How often it is asked whether somebody wants an end.
const PATIENCE: Duration = Duration::from_millis(20);
/// How long a program that was watched may take to end by SIGTERM.
const GRACE: Duration = Duration::from_secs(1);
/// Between two tries to connect to a server that does not listen yet.
const PAUSE: Duration = Duration::from_micros(500);

/// What is put to a container.
pub enum Test<'a> {
    /// It runs to its end: exit code and output count.
    End,
    /// Each path is asked for over HTTP at this port, one after the other:
    /// status and body count.
    Ask(u16, &'a [String]),
    /// A program of the host, begun by this once the port (if there is one)
    /// takes connections; its exit code and output count.
    Script(
        Option<u16>,
        &'a mut dyn FnMut(&Container) -> io::Result<Child>,
    ),
}

/// How a trial is made.
pub struct Case<'a> {
    /// What is started.
    pub spec: &'a Spec,
    /// What is put to it.
    pub test: Test<'a>,
    /// How long it may take.
    pub timeout: Duration,
    /// Whether to note files and system calls, and to end it by SIGTERM first,
    /// so that what it uses at its end is seen as well.
    pub watch: bool,
    /// Asked now and then whether to break off.
    pub interrupted: &'a dyn Fn() -> bool,
}

/// What came of a trial that could be made.
#[derive(Debug)]
pub struct Trial {
    /// What can be compared, or why the test came to no end.
    pub result: Result<Observed, Trouble>,
    /// Processor time of all its processes.
    pub processor: Duration,
    /// From the start of the container to the end of the test.
    pub elapsed: Duration,
    /// What it wrote to standard error last.
    pub last_words: String,
    /// What was seen of it, if it was watched.
    pub witnessed: Option<Witnessed>,
}

/// A trial could not be made.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    /// Somebody wants an end.
    #[error("interrupted")]
    Interrupted,
    /// The container of the trial did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The host refused.
    #[error("{step}")]
    Host {
        /// What was being done.
        step: &'static str,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The watcher may have missed something.
    #[error("the trace may be incomplete: {0}")]
    Lost(String),
}

impl Trial {
    fn failed(trouble: Trouble, elapsed: Duration) -> Self {
        Self {
            result: Err(trouble),
            processor: Duration::ZERO,
            elapsed,
            last_words: String::new(),
            witnessed: None,
        }
    }
}

fn host(step: &'static str) -> impl FnOnce(Errno) -> TrialError {
    move |errno| TrialError::Host {
        step,
        source: errno.into(),
    }
}

/// The filters of a program that is watched: what is told, and what it may do.
struct Filters {
    watch: Vec<Instruction>,
    allow: Vec<Instruction>,
}

impl Filters {
    fn new() -> Result<Self, StartError> {
        let long = |_| StartError::Internal("a list of calls to be told is too long");
        Ok(Self {
            watch: syscalls::telling_filter(calls::SILENT).map_err(long)?,
            allow: syscalls::filter_leaving(calls::REFUSED).map_err(long)?,
        })
    }
}

/// Makes a trial. The calling thread has to live until it returns, and nothing
/// of the container does afterwards.
///
/// # Errors
/// See [`TrialError`]. A container that does not start is a [`Trouble`] of the
/// trial where its own files may be the reason, else an error.
pub fn run(case: Case<'_>) -> Result<Trial, TrialError> {
    let begun = Instant::now();
    let (output, their_output) = pipe()?;
    let (errors, their_errors) = pipe()?;
    let null = rustix::fs::open(
        c"/dev/null",
        OFlags::RDONLY | OFlags::CLOEXEC,
        rustix::fs::Mode::empty(),
    )
    .map_err(host("opening /dev/null"))?;
    let sockets = match &case.test {
        Test::Ask(_, paths) => ask::sockets_for(paths.len()),
        Test::Script(Some(_), _) => ask::sockets_for(0),
        Test::End | Test::Script(None, _) => 0,
    };
    let filters = case.watch.then(Filters::new).transpose()?;
    let mut handed: Option<Handed> = None;
    let mut watcher = None;
    let started = {
        let mut observe = |mut observed: Handed| {
            if let Some(listener) = observed.listener.take() {
                let started = Watcher::start(listener);
                watcher = Some(started.map_err(|_| StartError::Internal("no thread is left"))?);
            }
            handed = Some(observed);
            Ok(())
        };
        let observing = Observing {
            sockets,
            watch: filters.as_ref().map_or(&[], |filters| &filters.watch),
            allow: filters.as_ref().map(|filters| &filters.allow[..]),
            observe: &mut observe,
        };
        let beginning = Beginning::new(case.spec.network, &case.spec.limits);
        let streams = [null.as_fd(), their_output.as_fd(), their_errors.as_fd()];
        beginning.start_observed(case.spec, streams, Some(observing))
    };
    drop((their_output, their_errors));
    let mut container = match started {
        Ok(container) => container,
        Err(error @ (StartError::Execute { .. } | StartError::Step { .. })) => {
            let trouble = Trouble::Start(error.to_string());
            return Ok(Trial::failed(trouble, begun.elapsed()));
        }
        Err(error) => return Err(error.into()),
    };
    let sockets = handed.map(|handed| handed.sockets.into_iter().flatten().collect());
    let mut going = Going {
        begun,
        timeout: case.timeout,
        interrupted: case.interrupted,
        output: Stream::new(output)?,
        errors: Stream::new(errors)?,
    };
    let result = going.test(&mut container, case.test, sockets.unwrap_or_default());
    let elapsed = begun.elapsed();
    if result.is_ok() && case.watch {
        going.ask_to_end(&mut container);
    }
    let _ = pidfd_send_signal(container.pidfd(), Signal::KILL);
    // Waits for its end, and the end of all that it has started.
    let micros = trace::processor_micros(container.pidfd()).unwrap_or(0);
    drop(container);
    going.errors.drain();
    let mut witnessed = watcher.map(Watcher::join);
    if let Some(witnessed) = &mut witnessed {
        add_start(case.spec, witnessed)?;
    }
    let result = match result {
        Ok(observed) => Ok(observed),
        Err(Break::Trouble(trouble)) => Err(trouble),
        Err(Break::Error(error)) => return Err(error),
    };
    if let Some(reason) = witnessed.as_ref().and_then(|seen| seen.lost.clone()) {
        return Err(TrialError::Lost(reason));
    }
    let words = &going.errors.bytes;
    Ok(Trial {
        result,
        processor: Duration::from_micros(micros),
        elapsed,
        last_words: String::from_utf8_lossy(words).trim().to_owned(),
        witnessed,
    })
}

fn pipe() -> Result<(OwnedFd, OwnedFd), TrialError> {
    pipe_with(PipeFlags::CLOEXEC).map_err(host("making a pipe"))
}

/// What the kernel looks at before the program is there to be watched.
fn add_start(spec: &Spec, witnessed: &mut Witnessed) -> Result<(), TrialError> {
    let touch = |path: &Path, how| Touch {
        path: spec.workdir.join(path),
        root: None,
        follow: true,
        how,
        by_python: false,
    };
    witnessed.touches.push(touch(Path::new(""), How::Entered));
    for program in plan::programs(spec).map_err(StartError::from)? {
        let path = Path::new(OsStr::from_bytes(program.as_bytes()));
        witnessed.touches.push(touch(path, How::Executed));
    }
    witnessed.touches.sort();
    witnessed.touches.dedup();
    Ok(())
}

/// A stream of the program that is read as it comes.
struct Stream {
    /// Gone when it has ended.
    file: Option<OwnedFd>,
    bytes: Vec<u8>,
    /// How many have come.
    count: u64,
}

impl Stream {
    fn new(file: OwnedFd) -> Result<Self, TrialError> {
        rustix::io::ioctl_fionbio(&file, true).map_err(host("preparing a pipe"))?;
        Ok(Self {
            file: Some(file),
            bytes: Vec::new(),
            count: 0,
        })
    }

    /// Takes what is there, and keeps all of it.
    fn drain(&mut self) {
        let mut buffer = [0; 16 << 10];
        while let Some(file) = &self.file {
            match rustix::io::read(file, &mut buffer) {
                Ok(0) => self.file = None,
                Ok(count) => {
                    self.count += count as u64;
                    self.bytes.extend_from_slice(&buffer[..count]);
                    if self.bytes.len() > MOST_OUTPUT {
                        return;
                    }
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                Err(_) => self.file = None,
            }
        }
    }

    /// Keeps the last words only.
    fn forget(&mut self) {
        let surplus = self.bytes.len().saturating_sub(LAST_WORDS);
        self.bytes.drain(..surplus);
    }

    fn printed(&self, code: u8, complains: bool) -> Printed {
        let begins = String::from_utf8_lossy(&self.bytes);
        Printed {
            code,
            output: Digest::of(&self.bytes),
            output_bytes: self.count,
            begins: begins.chars().take(80).collect(),
            complains,
        }
    }
}

enum Break {
    Trouble(Trouble),
    Error(TrialError),
}

impl From<Trouble> for Break {
    fn from(trouble: Trouble) -> Self {
        Self::Trouble(trouble)
    }
}

impl From<TrialError> for Break {
    fn from(error: TrialError) -> Self {
        Self::Error(error)
    }
}

struct Going<'a> {
    begun: Instant,
    timeout: Duration,
    interrupted: &'a dyn Fn() -> bool,
    output: Stream,
    errors: Stream,
}

impl Going<'_> {
    fn test(
        &mut self,
        container: &mut Container,
        test: Test<'_>,
        sockets: Vec<OwnedFd>,
    ) -> Result<Observed, Break> {
        match test {
            Test::End => self.until_end(container),
            Test::Ask(port, paths) => {
                let mut asking = Asking::new(paths, port, sockets);
                self.ask(container, &mut asking)?;
                Ok(Observed::Answered(asking.answers))
            }
            Test::Script(port, begin) => {
                if let Some(port) = port {
                    self.ask(container, &mut Asking::new(&[], port, sockets))?;
                }
                let script = begin(container).map_err(|source| TrialError::Host {
                    step: "starting the test script",
                    source,
                })?;
                self.script(container, Script(script))
            }
        }
    }

    fn until_end(&mut self, container: &mut Container) -> Result<Observed, Break> {
        loop {
            if let Some(exit) = self.ended(container)? {
                self.output.drain();
                self.errors.drain();
                self.check_output()?;
                let complains = self.errors.count > 0;
                return Ok(Observed::Ended(self.output.printed(exit.code(), complains)));
            }
            self.wait(container, None, PATIENCE)?;
            self.check_output()?;
            self.check(&|| "the program still runs".to_owned())?;
        }
    }

    fn ask(&mut self, container: &mut Container, asking: &mut Asking<'_>) -> Result<(), Break> {
        loop {
            let next = asking.advance()?;
            let (flags, patience) = match next {
                Next::Done => return Ok(()),
                Next::Readable => (PollFlags::IN, PATIENCE),
                Next::Writable => (PollFlags::OUT, PATIENCE),
                Next::Moment => (PollFlags::empty(), PAUSE),
            };
            if let Some(exit) = self.ended(container)? {
                return Err(Trouble::Ended { exit }.into());
            }
            let socket = asking.socket().filter(|_| !flags.is_empty());
            self.wait(container, socket.map(|socket| (socket, flags)), patience)?;
            // What a server prints is no part of its test.
            self.output.forget();
            self.check(&|| asking.doing())?;
        }
    }

    fn script(&mut self, container: &mut Container, mut script: Script) -> Result<Observed, Break> {
        let stdout = script.0.stdout.take().map(OwnedFd::from);
        let mut printed = match stdout {
            Some(stdout) => Stream::new(stdout)?,
            None => Stream {
                file: None,
                bytes: Vec::new(),
                count: 0,
            },
        };
        loop {
            printed.drain();
            if printed.bytes.len() > MOST_OUTPUT {
                return Err(Trouble::Output.into());
            }
            let status = script.0.try_wait().map_err(|source| TrialError::Host {
                step: "waiting for the test script",
                source,
            })?;
            if let Some(status) = status {
                printed.drain();
                let code = status.code().map_or(255, |code| code as u8);
                return Ok(Observed::Script(printed.printed(code, false)));
            }
            let file = printed
                .file
                .as_ref()
                .map(|file| (file.as_fd(), PollFlags::IN));
            self.wait(container, file, Duration::from_millis(2))?;
            self.output.forget();
            self.check(&|| "the test script still runs".to_owned())?;
        }
    }

    /// How it has ended, if it has; it stays to be waited for.
    fn ended(&self, container: &mut Container) -> Result<Option<Exit>, TrialError> {
        container.look().map_err(|source| TrialError::Host {
            step: "waiting for the program",
            source,
        })
    }

    /// Waits for the program's end, its output, and `other`, but not for long.
    fn wait(
        &mut self,
        container: &Container,
        other: Option<(BorrowedFd<'_>, PollFlags)>,
        patience: Duration,
    ) -> Result<(), TrialError> {
        let left = self.timeout.saturating_sub(self.begun.elapsed());
        let timeout = Timespec::try_from(patience.min(left)).unwrap_or_default();
        {
            let mut files = vec![PollFd::from_borrowed_fd(container.pidfd(), PollFlags::IN)];
            let streams = [&self.output.file, &self.errors.file];
            for file in streams.into_iter().flatten() {
                files.push(PollFd::new(file, PollFlags::IN));
            }
            if let Some((file, flags)) = other {
                files.push(PollFd::from_borrowed_fd(file, flags));
            }
            match poll(&mut files, Some(&timeout)) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(host("waiting for the program")(errno)),
            }
        }
        self.output.drain();
        self.errors.drain();
        self.errors.forget();
        Ok(())
    }

    fn check_output(&self) -> Result<(), Trouble> {
        match self.output.bytes.len() > MOST_OUTPUT {
            true => Err(Trouble::Output),
            false => Ok(()),
        }
    }

    fn check(&self, doing: &dyn Fn() -> String) -> Result<(), Break> {
        if (self.interrupted)() {
            return Err(TrialError::Interrupted.into());
        }
        if self.begun.elapsed() >= self.timeout {
            let trouble = Trouble::TimedOut {
                doing: doing(),
                waited: self.timeout,
            };
            return Err(trouble.into());
        }
        Ok(())
    }

    /// Sends SIGTERM and waits a while.
    fn ask_to_end(&mut self, container: &mut Container) {
        let _ = container.kill(Signal::TERM);
        let end = Instant::now() + GRACE;
        self.timeout = Duration::MAX;
        while Instant::now() < end && matches!(container.look(), Ok(None)) {
            if self.wait(container, None, PATIENCE).is_err() || (self.interrupted)() {
                return;
            }
            self.output.forget();
        }
    }
}

/// The test script; whatever it has started in its process group goes with it.
struct Script(Child);

impl Drop for Script {
    fn drop(&mut self) {
        if let Some(group) = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.0.wait();
    }
}
