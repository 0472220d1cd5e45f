//! A started program in a process group of its own, ended when dropped.

use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::tool::shown;

/// A running program; dropping it asks it to end, then makes it.
#[derive(Debug)]
pub(crate) struct Started {
    child: Child,
    patience: Duration,
}

impl Started {
    /// Starts `command` in a process group of its own.
    pub(crate) fn new(command: &mut Command) -> Result<Self> {
        use std::os::unix::process::CommandExt as _;
        let child = command
            .process_group(0)
            .spawn()
            .with_context(|| format!("starting {}", shown(command)))?;
        Ok(Self {
            child,
            patience: Duration::from_secs(5),
        })
    }

    /// Whether the program still runs.
    pub(crate) fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// The child itself.
    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process_group(group, signal);
        }
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if self.runs() {
            self.signal(Signal::TERM);
        }
        let deadline = Instant::now() + self.patience;
        while self.runs() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(2));
        }
        if self.runs() {
            self.signal(Signal::KILL);
            let _ = self.child.wait();
        }
    }
}
