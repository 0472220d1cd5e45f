//! What is done with a container that is there: state, start, kill, delete,
//! list, pause, resume, ps.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ounce_linux::Errno;
use ounce_linux::init::Report;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags, open};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::Serialize;

use super::fault::RuntimeError;
use super::hooks::{self, Place};
use super::state::{self, Folder, Record, Status};
use super::{Runtime, create, plan};

/// What `state` and `list` print.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Shown {
    /// Version of the specification.
    pub oci_version: String,
    /// The container.
    pub id: String,
    /// Its first process, 0 when it has ended.
    pub pid: i32,
    /// How far it is.
    pub status: &'static str,
    /// Its bundle.
    pub bundle: PathBuf,
    /// Its root.
    pub rootfs: PathBuf,
    /// When it was made.
    pub created: String,
    /// The bundle's annotations.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Who made it.
    pub owner: String,
}

impl Runtime {
    /// What there is to know of a container.
    ///
    /// # Errors
    /// There is none by this id.
    pub fn state(&self, id: &str) -> Result<Shown, RuntimeError> {
        let record = state::read(&self.root, id)?;
        Ok(self.shown(record))
    }

    fn shown(&self, record: Record) -> Shown {
        let status = record.status(&self.root);
        let pid = match status {
            Status::Stopped => 0,
            _ => record.pid,
        };
        Shown {
            pid,
            status: status.name(),
            owner: state::owner_name(record.owner),
            oci_version: record.oci_version,
            id: record.id,
            bundle: record.bundle,
            rootfs: record.rootfs,
            created: record.created,
            annotations: record.annotations,
        }
    }

    /// All containers.
    ///
    /// # Errors
    /// The state directory cannot be read.
    pub fn list(&self) -> Result<Vec<Shown>, RuntimeError> {
        let ids = state::ids(&self.root)?;
        // One may go while we look.
        let records = ids.iter().filter_map(|id| state::read(&self.root, id).ok());
        Ok(records.map(|record| self.shown(record)).collect())
    }

    /// Gives the word to start.
    ///
    /// # Errors
    /// It was started before, or its program cannot be executed.
    pub fn start(&self, id: &str) -> Result<(), RuntimeError> {
        let folder = Folder::open(&self.root, id)?;
        let record = state::read(&self.root, id)?;
        let status = record.status(&self.root);
        if status != Status::Created {
            return Err(RuntimeError::Status {
                id: id.to_owned(),
                action: "start",
                status: status.name(),
            });
        }
        let config = state::read_config(folder.path())?;
        if config.process.is_none() {
            end(&record);
            return Err(RuntimeError::config(
                "process is missing: there is no program to start",
            ));
        }
        let hooks = config.hooks.clone().unwrap_or_default();
        let inside = Place::Container(record.pid);
        let before = hooks::run(
            &hooks.start_container,
            "startContainer",
            inside,
            &record,
            status,
            config
                .process
                .as_ref()
                .map(|process| process.env.as_slice()),
        );
        if let Err(error) = before {
            // The specification wants it stopped, and gone. Hooks for what is
            // started run all the same: with runc they do.
            let after = &hooks.poststart;
            let _ = hooks::run(after, "poststart", Place::Host, &record, status, None);
            end(&record);
            return Err(error);
        }
        let path = folder.path().join("report");
        let report = open(
            &path,
            OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC,
            Mode::empty(),
        )
        .map_err(RuntimeError::errno("opening", &path))?;
        let path = folder.path().join("start");
        let start = match open(
            &path,
            OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC,
            Mode::empty(),
        ) {
            // Nobody waits at the other end.
            Err(Errno::NXIO) => {
                return Err(RuntimeError::NotRunning(id.to_owned(), "stopped"));
            }
            other => other.map_err(RuntimeError::errno("opening", &path))?,
        };
        rustix::io::write(&start, b"g").map_err(RuntimeError::errno("writing", &path))?;
        fs::remove_file(&path).map_err(RuntimeError::file("removing", &path))?;
        let _ = fs::remove_file(folder.path().join("report"));
        let mut files = [PollFd::new(&report, PollFlags::IN)];
        while let Err(Errno::INTR) = poll(&mut files, None) {}
        match Report::read(report.as_fd()).map_err(RuntimeError::kernel("starting the program"))? {
            Report::Failed(failure) => {
                let bundle = &record.bundle;
                let program = config.process.clone().unwrap_or_default();
                let acts = self.acts_again(&config, bundle, &record)?;
                return Err(create::told(failure, &acts, &program));
            }
            Report::Gone => {}
            _ => return Err(RuntimeError::Ended),
        }
        let after = hooks::run(
            &hooks.poststart,
            "poststart",
            Place::Host,
            &record,
            Status::Running,
            None,
        );
        if after.is_err() {
            end(&record);
        }
        after
    }

    /// The acts that a container was made by, to tell which one failed.
    fn acts_again(
        &self,
        config: &super::config::Config,
        bundle: &Path,
        record: &Record,
    ) -> Result<Vec<ounce_linux::init::Act<std::ffi::CString>>, RuntimeError> {
        let hierarchies = super::cgroup::Hierarchies::probe();
        let setting = plan::Setting {
            bundle,
            rootfs: &record.rootfs,
            groups: &record.groups,
            hierarchies: &hierarchies,
            root: rustix::process::geteuid().is_root(),
            pivot: true,
            keyring: Some(""),
            preserved: 0,
        };
        Ok(plan::plan(config, &setting)?.acts)
    }

    /// Sends a signal to the first process, or to all.
    ///
    /// # Errors
    /// It has ended.
    pub fn kill(&self, id: &str, signal: i32, all: bool) -> Result<(), RuntimeError> {
        let record = state::read(&self.root, id)?;
        let status = record.status(&self.root);
        let raw = Signal::from_named_raw(signal);
        if all {
            let Some(signal) = raw else {
                return Err(RuntimeError::Argument(format!("no signal {signal}")));
            };
            let reached = record.groups.signal(signal);
            if record.groups.is_empty() && record.is_alive() {
                send(&record, signal.as_raw())?;
            }
            // containerd asks for it when all have ended, and wants no error.
            let _ = reached;
            return Ok(());
        }
        match status {
            Status::Stopped => Err(RuntimeError::NotRunning(id.to_owned(), status.name())),
            Status::Creating => Err(RuntimeError::Status {
                id: id.to_owned(),
                action: "kill",
                status: status.name(),
            }),
            Status::Created if ends(signal) => {
                // Only ounce is in it so far, and as the first process of its
                // namespace deaf to what would end any other.
                send(&record, Signal::KILL.as_raw())
            }
            Status::Paused => {
                send(&record, signal)?;
                if signal == Signal::KILL.as_raw() {
                    let _ = record.groups.freeze(false);
                }
                Ok(())
            }
            _ => send(&record, signal),
        }
    }

    /// Removes a container that has ended; with `force` one that has not, and
    /// then it is no error that there is none. Gives what hooks failed on.
    ///
    /// # Errors
    /// It runs, or something of it cannot be removed.
    pub fn delete(&self, id: &str, force: bool) -> Result<Vec<RuntimeError>, RuntimeError> {
        let folder = match Folder::open(&self.root, id) {
            Err(RuntimeError::Missing(_)) if force => return Ok(Vec::new()),
            other => other?,
        };
        let record = match state::read(&self.root, id) {
            // Left over from a `create` that was killed.
            Err(RuntimeError::Missing(_) | RuntimeError::Json { .. }) if force => {
                return folder.remove().map(|()| Vec::new());
            }
            other => other?,
        };
        let status = record.status(&self.root);
        match status {
            Status::Stopped => {}
            // runc deletes a container that was never started.
            _ if force || status == Status::Created => end(&record),
            _ => {
                return Err(RuntimeError::Status {
                    id: id.to_owned(),
                    action: "delete",
                    status: status.name(),
                });
            }
        }
        // What shares the host's processes, or was left by `exec`, is ended too.
        if !record.groups.processes().is_empty() {
            let _ = record.groups.freeze(false);
            record.groups.signal(Signal::KILL);
        }
        record.groups.remove()?;
        let hooks = state::read_config(folder.path())
            .ok()
            .and_then(|config| config.hooks)
            .unwrap_or_default();
        if record.bound_root {
            // All that was mounted in it goes with it.
            let _ = rustix::mount::unmount(&record.rootfs, rustix::mount::UnmountFlags::DETACH);
        }
        folder.remove()?;
        let mut record = record;
        record.pid = 0;
        // The container is gone, whatever becomes of them: what fails is told
        // and changes nothing (runtime.md, "Lifecycle", step 13).
        let mut warnings = Vec::new();
        for hook in &hooks.poststop {
            let one = std::slice::from_ref(hook);
            let run = hooks::run(one, "poststop", Place::Host, &record, Status::Stopped, None);
            warnings.extend(run.err());
        }
        Ok(warnings)
    }

    /// Freezes all processes, or lets them go on.
    ///
    /// # Errors
    /// It does not run, or has no control group that can.
    pub fn freeze(&self, id: &str, frozen: bool) -> Result<(), RuntimeError> {
        let _folder = Folder::open(&self.root, id)?;
        let record = state::read(&self.root, id)?;
        let status = record.status(&self.root);
        let (action, fine) = match frozen {
            true => ("pause", matches!(status, Status::Running | Status::Created)),
            false => ("resume", status == Status::Paused),
        };
        if !fine {
            return Err(RuntimeError::Status {
                id: id.to_owned(),
                action,
                status: status.name(),
            });
        }
        record.groups.freeze(frozen)
    }

    /// The processes of a container, as we number them.
    ///
    /// # Errors
    /// There is none by this id.
    pub fn processes(&self, id: &str) -> Result<Vec<i32>, RuntimeError> {
        let record = state::read(&self.root, id)?;
        let mut found = record.groups.processes();
        if record.groups.is_empty() && record.is_alive() {
            found.push(record.pid);
        }
        Ok(found)
    }
}

/// Whether a signal ends a process that does nothing about it.
fn ends(signal: i32) -> bool {
    signal != 0 && crate::lifecycle::ends_by_default(signal)
}

fn send(record: &Record, signal: i32) -> Result<(), RuntimeError> {
    let gone = || RuntimeError::NotRunning(record.id.clone(), "stopped");
    let pid = Pid::from_raw(record.pid).ok_or_else(gone)?;
    let file = match pidfd_open(pid, PidfdFlags::empty()) {
        Err(Errno::SRCH) => return Err(gone()),
        other => other.map_err(RuntimeError::kernel("opening the first process"))?,
    };
    // The number may have been given to another meanwhile.
    if !record.is_alive() {
        return Err(gone());
    }
    if signal == 0 {
        return Ok(());
    }
    let sent = match Signal::from_named_raw(signal) {
        Some(signal) => pidfd_send_signal(&file, signal),
        None => ounce_linux::signal::send_by_number(file.as_fd(), signal),
    };
    match sent {
        Err(Errno::SRCH) => Err(gone()),
        other => other.map_err(RuntimeError::kernel(format!("sending signal {signal}"))),
    }
}

/// Kills the first process and waits until it is gone.
fn end(record: &Record) {
    let _ = send(record, Signal::KILL.as_raw());
    let _ = record.groups.freeze(false);
    let begin = Instant::now();
    while record.is_alive() && begin.elapsed() < Duration::from_secs(10) {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The number of a signal by name or number.
///
/// # Errors
/// There is none such.
pub fn signal_number(text: &str) -> Result<i32, RuntimeError> {
    let wrong = || RuntimeError::Argument(format!("unknown signal {text:?}"));
    if let Ok(number) = text.parse::<i32>() {
        return match number {
            0..=64 => Ok(number),
            _ => Err(wrong()),
        };
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let (name, offset) = match name.split_once(['+', '-']) {
        Some((base, offset)) => (base, offset.parse::<i32>().map_err(|_| wrong())?),
        None => (name, 0),
    };
    match name {
        "RTMIN" if (0..=30).contains(&offset) && !upper.contains('-') => Ok(34 + offset),
        "RTMAX" if (0..=30).contains(&offset) && !upper.contains('+') => Ok(64 - offset),
        _ if offset != 0 || upper.contains(['+', '-']) => Err(wrong()),
        name => SIGNALS
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, number)| *number)
            .ok_or_else(wrong),
    }
}

/// asm-generic/signal.h
const SIGNALS: [(&str, i32); 34] = [
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("IOT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("STKFLT", 16),
    ("CHLD", 17),
    ("CLD", 17),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("VTALRM", 26),
    ("PROF", 27),
    ("WINCH", 28),
    ("IO", 29),
    ("POLL", 29),
    ("PWR", 30),
    ("SYS", 31),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_names_and_numbers() {
        for (text, number) in [
            ("TERM", 15),
            ("SIGKILL", 9),
            ("sigusr1", 10),
            ("28", 28),
            ("RTMIN", 34),
            ("SIGRTMIN+3", 37),
            ("RTMAX-1", 63),
            ("0", 0),
        ] {
            assert_eq!(signal_number(text).unwrap(), number, "{text}");
        }
        for text in ["", "65", "-1", "NOPE", "TERM+1", "RTMIN-1", "RTMIN+99"] {
            assert!(signal_number(text).is_err(), "{text}");
        }
    }
}
