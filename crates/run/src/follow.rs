//! Following a container in the foreground: signals passed on, and a terminal
//! of its own, with the user's in raw mode and restored on every way out.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ounce_linux::Errno;
use ounce_linux::mask::{BlockedSignals, SignalSet};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::Signal;
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{
    OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize,
};

use crate::lifecycle::{Container, Exit};

/// What is passed on.
const PASSED: [Signal; 8] = [
    Signal::HUP,
    Signal::INT,
    Signal::QUIT,
    Signal::USR1,
    Signal::USR2,
    Signal::TERM,
    Signal::CONT,
    Signal::WINCH,
];

/// Signals that wait to be passed on. Make it before the container, so that
/// none is lost between, and on the thread that starts it, before any other
/// thread is made.
///
/// # Errors
/// As signalfd(2) says.
pub fn signals() -> io::Result<BlockedSignals> {
    Ok(BlockedSignals::new(SignalSet::of(&PASSED))?)
}

/// A container's terminal, on the user's.
#[derive(Debug)]
pub struct Terminal {
    ours: OwnedFd,
    theirs: Option<OwnedFd>,
    saved: Option<Termios>,
}

impl Terminal {
    /// Makes a terminal as large as the user's. If standard input is one, it
    /// is in raw mode until this is dropped.
    ///
    /// # Errors
    /// No terminal can be had from `/dev/ptmx`.
    pub fn new() -> io::Result<Self> {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let ours = openpt(flags)?;
        grantpt(&ours)?;
        unlockpt(&ours)?;
        let theirs = ioctl_tiocgptpeer(&ours, flags)?;
        let mut terminal = Self {
            ours,
            theirs: Some(theirs),
            saved: None,
        };
        terminal.resize();
        let input = io::stdin();
        if isatty(&input) {
            let saved = tcgetattr(&input)?;
            let mut raw = saved.clone();
            raw.make_raw();
            tcsetattr(&input, OptionalActions::Now, &raw)?;
            terminal.saved = Some(saved);
        }
        Ok(terminal)
    }

    /// The container's end, for [`crate::start_with`].
    pub fn streams(&self) -> Option<[BorrowedFd<'_>; 3]> {
        self.theirs.as_ref().map(|theirs| [theirs.as_fd(); 3])
    }

    fn resize(&self) {
        if let Ok(size) = tcgetwinsize(io::stdin()) {
            let _ = tcsetwinsize(&self.ours, size);
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if let Some(saved) = &self.saved {
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, saved);
        }
    }
}

/// Passes signals on, and what goes over the terminal, until the container has ended.
///
/// # Errors
/// As [`Container::wait`], or polling fails.
pub fn follow(
    container: &mut Container,
    signals: &BlockedSignals,
    mut terminal: Option<&mut Terminal>,
) -> io::Result<Exit> {
    if let Some(terminal) = terminal.as_deref_mut() {
        // Our copy would keep the terminal open after the container's last.
        terminal.theirs = None;
    }
    let mut input_open = true;
    loop {
        let (ended, output, input) = {
            let input = io::stdin();
            let pidfd = container.pidfd();
            let mut files = vec![
                PollFd::from_borrowed_fd(pidfd, PollFlags::IN),
                PollFd::new(signals, PollFlags::IN),
            ];
            if let Some(terminal) = terminal.as_deref() {
                files.push(PollFd::new(&terminal.ours, PollFlags::IN));
                if input_open {
                    files.push(PollFd::new(&input, PollFlags::IN));
                }
            }
            match poll(&mut files, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
            let ready = |index: usize| {
                files
                    .get(index)
                    .is_some_and(|file| !file.revents().is_empty())
            };
            (ready(0), ready(2), ready(3))
        };
        while let Some(taken) = signals.take()? {
            if taken.signal == Signal::WINCH
                && let Some(terminal) = terminal.as_deref()
            {
                // The kernel tells the container's own terminal, and that its processes.
                terminal.resize();
            } else {
                // It may have ended just now.
                let _ = container.kill(taken.signal);
            }
        }
        if let Some(terminal) = terminal.as_deref() {
            if output {
                pass(terminal.ours.as_fd(), io::stdout().as_fd());
            }
            if input && !pass(io::stdin().as_fd(), terminal.ours.as_fd()) {
                input_open = false;
                // End of file, as typed.
                let _ = rustix::io::write(&terminal.ours, &[4]);
            }
        }
        if ended {
            if let Some(terminal) = terminal.as_deref() {
                drain(terminal);
            }
            return container.wait();
        }
    }
}

/// Copies what is there; whether there may be more.
fn pass(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> bool {
    let mut buffer = [0; 4096];
    let count = match rustix::io::read(from, &mut buffer) {
        Ok(0) => return false,
        Ok(count) => count,
        Err(Errno::INTR | Errno::AGAIN) => return true,
        Err(_) => return false,
    };
    let mut rest = &buffer[..count];
    while !rest.is_empty() {
        match rustix::io::write(to, rest) {
            Ok(count) => rest = &rest[count..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                let mut files = [PollFd::from_borrowed_fd(to, PollFlags::OUT)];
                let _ = poll(&mut files, None);
            }
            Err(_) => return false,
        }
    }
    true
}

/// What the container wrote last is still in the terminal.
fn drain(terminal: &Terminal) {
    loop {
        let mut files = [PollFd::new(&terminal.ours, PollFlags::IN)];
        let now = rustix::event::Timespec::default();
        let ready = poll(&mut files, Some(&now)).is_ok_and(|count| count > 0);
        if !ready || !files[0].revents().contains(PollFlags::IN) {
            return;
        }
        if !pass(terminal.ours.as_fd(), io::stdout().as_fd()) {
            return;
        }
    }
}
