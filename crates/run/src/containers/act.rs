//! Ending containers, and waiting for their end.

use std::fs::{self, File};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::time::{Duration, Instant};

use ounce_linux::signal::send_by_number;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Signal, pidfd_send_signal};

use super::fault::StateError;
use super::folder::{Containers, Seen, Status, process_of};
use super::record::{EXIT_BYTES, Ended, Kind, Running};
use crate::lifecycle::{Exit, ends_by_default, looks_after};

/// How long the keeper may take once its container has ended.
const KEEPER_PATIENCE: Duration = Duration::from_secs(10);
/// How often is looked for what nothing tells of.
const LOOK: Duration = Duration::from_millis(5);

impl Containers {
    /// Sends a signal to the first process of a container.
    ///
    /// The kernel shields that from signals that it has no handler for. So that
    /// SIGTERM ends a program without handlers here as it does everywhere else,
    /// it is then killed, and counts as ended by the signal that was meant.
    ///
    /// One that is sent SIGTERM or SIGKILL is not started again.
    ///
    /// # Errors
    /// It does not run.
    pub fn signal(&self, name: &str, signal: i32) -> Result<(), StateError> {
        let seen = self.running(name)?;
        let (process, running) = main_process(&seen)?;
        if [Signal::TERM.as_raw(), Signal::KILL.as_raw()].contains(&signal) {
            forbid_restart(&seen)?;
        }
        let sent = match replaced(running, signal) {
            true => {
                mean(&seen, signal)?;
                Signal::KILL.as_raw()
            }
            false => signal,
        };
        // It may end at this very moment, which is what a signal is for.
        let _ = send_by_number(process.as_fd(), sent);
        Ok(())
    }

    /// Asks a container to end by SIGTERM, and kills it when it takes longer than
    /// `grace`, or than it was made with. Comes back when its end is recorded.
    ///
    /// # Errors
    /// There is none, or it does not end. One that has ended is no error.
    pub fn stop(&self, name: &str, grace: Option<Duration>) -> Result<(), StateError> {
        let seen = self.find(name)?;
        if !seen.status.is_alive() {
            return Ok(());
        }
        forbid_restart(&seen)?;
        // Between two starts it is the keeper that has to hear of it.
        let seen = self.settled(name)?;
        let Some(running) = seen.running.as_ref().filter(|_| seen.status.is_alive()) else {
            return Ok(());
        };
        let keeper = process_of(running.keeper, running.keeper_started);
        let main = process_of(running.pid, running.pid_started);
        let grace = grace.unwrap_or(Duration::from_millis(seen.record.stop_timeout_ms));
        match &main {
            Some(main) => {
                let _ = match replaced(running, Signal::TERM.as_raw()) {
                    true => {
                        mean(&seen, Signal::TERM.as_raw())?;
                        pidfd_send_signal(main, Signal::KILL)
                    }
                    false => pidfd_send_signal(main, Signal::TERM),
                };
                if !ended_within(main, grace) {
                    let _ = pidfd_send_signal(main, Signal::KILL);
                }
            }
            None => {
                if let Some(keeper) = &keeper {
                    let _ = pidfd_send_signal(keeper, Signal::TERM);
                    if seen.record.kind == Kind::Service && !ended_within(keeper, grace) {
                        let _ = pidfd_send_signal(keeper, Signal::KILL);
                    }
                }
            }
        }
        // A foreground `ounce` ends with its container as the keeper does.
        if let Some(keeper) = &keeper
            && !ended_within(keeper, KEEPER_PATIENCE)
        {
            return Err(StateError::Stuck(name.to_owned()));
        }
        Ok(())
    }

    /// Waits for the end of a container: for good, restarts included.
    ///
    /// # Errors
    /// There is none, it is a service, or its keeper was killed and its end is not known.
    pub fn wait(&self, name: &str) -> Result<Exit, StateError> {
        let seen = self.settled(name)?;
        let unknown = || StateError::NotRunning(name.to_owned(), Status::Dead.name());
        if let Status::Exited(ended) = seen.status {
            return Ok(ended.exit);
        }
        let path = seen.path.join("exit");
        // Opened while it is there: with `--rm` it is gone at the end.
        let exit = File::open(&path).map_err(StateError::file("opening", &path))?;
        let running = seen.running.as_ref().ok_or_else(unknown)?;
        if let Some(keeper) = process_of(running.keeper, running.keeper_started) {
            ended_within(&keeper, Duration::MAX);
        }
        match self.find(name) {
            Ok(seen) => match seen.status {
                Status::Exited(ended) => Ok(ended.exit),
                _ => Err(unknown()),
            },
            Err(StateError::Missing(_)) => {
                let mut bytes = [0; EXIT_BYTES];
                let read = exit.read_exact_at(&mut bytes, 0);
                read.map_err(StateError::file("reading", &path))?;
                let ended = Ended::parse(&bytes).ok().flatten();
                ended.map(|ended| ended.exit).ok_or_else(unknown)
            }
            Err(error) => Err(error),
        }
    }

    /// A container that runs, with a program.
    pub(crate) fn running(&self, name: &str) -> Result<Seen, StateError> {
        let seen = self.settled(name)?;
        match seen.status {
            Status::Running => Ok(seen),
            status => Err(StateError::NotRunning(name.to_owned(), status.name())),
        }
    }

    /// A container that is not just being started.
    fn settled(&self, name: &str) -> Result<Seen, StateError> {
        let end = Instant::now() + KEEPER_PATIENCE;
        loop {
            let seen = self.find(name)?;
            if seen.status != Status::Starting || Instant::now() > end {
                return Ok(seen);
            }
            std::thread::sleep(LOOK);
        }
    }
}

/// The first process of a container that runs.
pub(crate) fn main_process(seen: &Seen) -> Result<(OwnedFd, &Running), StateError> {
    let gone = || StateError::NotRunning(seen.name.clone(), "ending");
    let running = seen.running.as_ref().ok_or_else(gone)?;
    let process = process_of(running.pid, running.pid_started).ok_or_else(gone)?;
    Ok((process, running))
}

/// Whether SIGKILL has to take the place of a signal.
fn replaced(running: &Running, signal: i32) -> bool {
    // 0 asks but whether it is there.
    signal > 0 && ends_by_default(signal) && !looks_after(running.pid, signal)
}

/// Has the keeper not start the container again.
fn forbid_restart(seen: &Seen) -> Result<(), StateError> {
    let path = seen.path.join("stop");
    fs::write(&path, "").map_err(StateError::file("writing", &path))
}

/// Notes which signal SIGKILL was sent for.
fn mean(seen: &Seen, signal: i32) -> Result<(), StateError> {
    let path = seen.path.join("stop");
    fs::write(&path, signal.to_string()).map_err(StateError::file("writing", &path))
}

/// Whether a process ends within this time.
fn ended_within(process: &OwnedFd, time: Duration) -> bool {
    let begin = Instant::now();
    loop {
        let left = time.saturating_sub(begin.elapsed());
        let timeout = Timespec::try_from(left).ok();
        let mut files = [PollFd::from_borrowed_fd(process.as_fd(), PollFlags::IN)];
        match poll(&mut files, timeout.as_ref()) {
            Ok(1..) => return true,
            Ok(_) if left.is_zero() => return false,
            _ => {}
        }
    }
}
