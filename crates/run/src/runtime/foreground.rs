//! A container's program in the foreground: its terminal, its signals, its end.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use ounce_linux::process::Process;
use rustix::io::Errno;
use rustix::process::{WaitId, WaitIdOptions, waitid};

use super::create::{Created, Options};
use super::fault::RuntimeError;
use super::{Runtime, console};
use crate::terminal::{Pty, Signals, Terminal, supervise};

/// Signals and terminal, taken over before the program starts.
pub(super) struct Front {
    signals: Signals,
}

fn fault(source: io::Error) -> RuntimeError {
    RuntimeError::File {
        action: "waiting for",
        path: "the program".into(),
        source,
    }
}

impl Front {
    pub(super) fn begin() -> Result<Self, RuntimeError> {
        let signals = Signals::block().map_err(fault)?;
        Ok(Self { signals })
    }

    /// Waits for the program's end, and gives its exit code: of a signal, 128
    /// and its number.
    pub(super) fn follow(
        self,
        process: &Process,
        terminal: Option<OwnedFd>,
    ) -> Result<u8, RuntimeError> {
        let (stdin, stdout) = (io::stdin(), io::stdout());
        let mut saved = None;
        let mut pty = None;
        if let Some(socket) = terminal {
            let master = console::receive(&socket)?;
            let made = Pty::of_master(master, stdin.as_fd(), stdout.as_fd()).map_err(fault)?;
            pty = Some(made);
            saved = Terminal::save(stdin.as_fd()).map_err(fault)?;
            if let Some(terminal) = &saved {
                terminal.raw().map_err(fault)?;
            }
        }
        let end = supervise(
            process.pid,
            process.pidfd.as_fd(),
            &self.signals,
            pty.as_mut(),
            &mut [],
            &mut |_| {},
        )
        .map_err(fault)?;
        drop(saved);
        let code = reap(process)?;
        Ok(match end.killed_by {
            Some(signal) => 128 + signal.as_raw() as u8,
            None => code,
        })
    }
}

/// Reaps our child and gives its exit code.
pub(super) fn reap(process: &Process) -> Result<u8, RuntimeError> {
    loop {
        let id = WaitId::PidFd(process.pidfd.as_fd());
        match waitid(id, WaitIdOptions::EXITED) {
            Ok(Some(status)) => {
                return Ok(match (status.exit_status(), status.terminating_signal()) {
                    (Some(code), _) => code as u8,
                    (None, Some(signal)) => 128u8.saturating_add(signal.clamp(0, 127) as u8),
                    (None, None) => 255,
                });
            }
            Ok(None) | Err(Errno::INTR) => {}
            Err(errno) => return Err(RuntimeError::kernel("waiting for the program")(errno)),
        }
    }
}

impl Runtime {
    /// Makes a container and starts it; unless detached, waits for its end,
    /// removes it and gives its exit code.
    ///
    /// # Errors
    /// As of `create` and `start`; nothing is left then.
    pub fn run(
        &self,
        id: &str,
        options: &Options,
        detach: bool,
        keep: bool,
        tell: &mut dyn FnMut(&str),
    ) -> Result<u8, RuntimeError> {
        let front = match detach {
            true => None,
            false => Some(Front::begin()?),
        };
        let created = self.create(id, options, tell)?;
        if detach && created.terminal.is_some() {
            let _ = self.delete(id, true);
            return Err(RuntimeError::Argument(
                "a terminal without anybody at it: give --console-socket, or do not detach"
                    .to_owned(),
            ));
        }
        let Created {
            terminal, process, ..
        } = created;
        if let Err(error) = self.start(id) {
            let _ = reap_if_ended(&process);
            let _ = self.delete(id, true);
            return Err(error);
        }
        let Some(front) = front else {
            return Ok(0);
        };
        let code = front.follow(&process, terminal)?;
        if !keep {
            self.delete(id, true)?;
        }
        Ok(code)
    }
}

fn reap_if_ended(process: &Process) -> Result<(), Errno> {
    let id = WaitId::PidFd(process.pidfd.as_fd());
    waitid(id, WaitIdOptions::EXITED | WaitIdOptions::NOHANG).map(drop)
}
