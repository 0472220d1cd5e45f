//! A container in the foreground: its signals, its terminal, its end.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use ounce_run::terminal::{Event, Pty, Signals, Terminal, Tty, supervise};
use ounce_run::{Container, Exit};

use crate::output::{Output, warn};

/// To be begun before the container is started, so that no signal is lost.
pub(crate) struct Session {
    // Dropped in this order: the user's terminal is put back last but for the
    // signals, which would end us before that.
    pty: Option<Pty>,
    theirs: Option<Tty>,
    _terminal: Option<Terminal>,
    signals: Signals,
}

impl Session {
    /// Takes the signals over; with `tty`, makes a terminal for the program
    /// and passes every key of ours on to it.
    ///
    /// # Errors
    /// No descriptor or no terminal is left.
    pub(crate) fn begin(tty: bool) -> io::Result<Self> {
        let signals = Signals::block()?;
        let (stdin, stdout) = (io::stdin(), io::stdout());
        let terminal = Terminal::save(stdin.as_fd())?;
        let (pty, theirs) = if tty {
            let (pty, theirs) = Pty::open(stdin.as_fd(), stdout.as_fd())?;
            if let Some(terminal) = &terminal {
                terminal.raw()?;
            }
            (Some(pty), Some(theirs))
        } else {
            (None, None)
        };
        Ok(Self {
            pty,
            theirs,
            _terminal: terminal,
            signals,
        })
    }

    /// The program's standard streams, if it has a terminal of its own.
    pub(crate) fn streams(&self) -> Option<[BorrowedFd<'_>; 3]> {
        self.theirs.as_ref().map(|tty| [tty.slave.as_fd(); 3])
    }

    /// Whether a signal has come that asks for an end.
    pub(crate) fn is_asked_to_end(&self) -> bool {
        matches!(self.signals.asked_to_end(), Ok(Some(_)))
    }

    /// Waits for the container's end, with signals passed on and the terminal relayed.
    ///
    /// # Errors
    /// The wait itself fails.
    pub(crate) fn follow(mut self, container: &mut Container, output: Output) -> io::Result<Exit> {
        // Ours to hold only until the start: its last holder's end is the end of output.
        self.theirs = None;
        let end = supervise(
            container.id(),
            container.pidfd(),
            &self.signals,
            self.pty.as_mut(),
            &mut [],
            &mut |event| {
                if let (Event::StillRunning(signal), false) = (event, output.quiet) {
                    warn(&format!(
                        "the program goes on 10 s after signal {}; Ctrl-C kills it",
                        signal.as_raw()
                    ));
                }
            },
        )?;
        let exit = container.wait()?;
        Ok(match end.killed_by {
            Some(signal) => Exit::Signal(signal.as_raw()),
            None => exit,
        })
    }
}
