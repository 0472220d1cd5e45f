//! Hooks: programs of the host, or of the container, that get its state on
//! standard input (config.md, "POSIX-platform Hooks").

use std::ffi::CString;
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use ounce_linux::Errno;
use ounce_linux::init::{Act, Held, Orders, Report, spawn};
use ounce_linux::namespace::Namespaces;
use ounce_linux::process::Text;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{WaitId, WaitIdOptions, waitid};

use super::config::Hook;
use super::fault::{RuntimeError, text};
use super::state::{Printed, Record, Status};

/// Where hooks of a kind run.
#[derive(Debug, Clone, Copy)]
pub enum Place {
    /// In the runtime's namespaces.
    Host,
    /// In those of the container whose first process this is.
    Container(i32),
}

/// All kinds of namespaces, with their names below /proc/PID/ns.
pub const NAMESPACES: [(&str, Namespaces); 7] = [
    ("user", Namespaces::USER),
    ("mnt", Namespaces::MOUNT),
    ("pid", Namespaces::PID),
    ("net", Namespaces::NETWORK),
    ("ipc", Namespaces::IPC),
    ("uts", Namespaces::HOSTNAME),
    ("cgroup", Namespaces::CGROUP),
];

/// The namespaces of a process that are not ours.
///
/// # Errors
/// It is gone, or we may not look.
pub fn foreign_namespaces(pid: i32) -> Result<Vec<(OwnedFd, Namespaces)>, RuntimeError> {
    let mut found = Vec::new();
    for (name, kind) in NAMESPACES {
        let path = format!("/proc/{pid}/ns/{name}");
        let path = Path::new(&path);
        let (Ok(theirs), Ok(ours)) = (
            fs::metadata(path),
            fs::metadata(format!("/proc/self/ns/{name}")),
        ) else {
            // This kernel has no such kind, or the process is gone: said below.
            continue;
        };
        if (theirs.dev(), theirs.ino()) == (ours.dev(), ours.ino()) {
            continue;
        }
        let file = fs::File::open(path).map_err(RuntimeError::file("opening", path))?;
        found.push((file.into(), kind));
    }
    Ok(found)
}

/// Runs hooks one after the other. One without an environment of its own gets
/// the inherited one.
///
/// # Errors
/// The first that fails.
pub fn run(
    hooks: &[Hook],
    kind: &'static str,
    place: Place,
    record: &Record,
    status: Status,
    inherited: Option<&[String]>,
) -> Result<(), RuntimeError> {
    if hooks.is_empty() {
        return Ok(());
    }
    let state =
        serde_json::to_vec(&Printed::new(record, status)).map_err(|source| RuntimeError::Json {
            path: "state".into(),
            source,
        })?;
    for hook in hooks {
        run_one(hook, kind, place, &state, &record.bundle, inherited)?;
    }
    Ok(())
}

fn run_one(
    hook: &Hook,
    kind: &'static str,
    place: Place,
    state: &[u8],
    bundle: &Path,
    inherited: Option<&[String]>,
) -> Result<(), RuntimeError> {
    let failed = |problem: String| RuntimeError::Hook {
        kind,
        path: hook.path.clone(),
        problem,
    };
    if !hook.path.starts_with('/') {
        return Err(failed("its path is not absolute".to_owned()));
    }
    if hook.timeout.is_some_and(|timeout| timeout <= 0) {
        return Err(failed("its timeout is not above 0".to_owned()));
    }
    let broken = |errno: Errno| failed(crate::failure::reason(errno));
    let (state_read, state_write) = pipe_with(PipeFlags::CLOEXEC).map_err(broken)?;
    let (said_read, said_write) = pipe_with(PipeFlags::CLOEXEC).map_err(broken)?;
    let null = fs::File::open("/dev/null").map_err(|error| failed(error.to_string()))?;
    let held = launch(
        hook,
        place,
        bundle,
        [state_read.as_fd(), null.as_fd(), said_write.as_fd()],
        inherited,
    )?;
    drop((state_read, said_write));
    match held.next().map_err(broken)? {
        Report::Failed(failure) => return Err(broken(failure.errno)),
        Report::Gone => {}
        _ => return Err(failed("it made an unexpected report".to_owned())),
    }
    // A hook need not read it, nor live that long.
    let _ = fs::File::from(state_write).write_all(state);
    let deadline = hook
        .timeout
        .and_then(|seconds| Instant::now().checked_add(Duration::from_secs(seconds as u64)));
    let ended = wait(&held, &said_read, deadline).map_err(broken)?;
    let Some((code, said)) = ended else {
        return Err(failed(format!(
            "it took longer than its {} s and was killed",
            hook.timeout.unwrap_or_default()
        )));
    };
    let _ = held.release();
    match code {
        0 => Ok(()),
        code => {
            let said = said.trim();
            let more = match said.is_empty() {
                true => String::new(),
                false => format!(": {said}"),
            };
            Err(failed(format!("exit status {code}{more}")))
        }
    }
}

/// Waits for the end; `None` past the deadline. The process is reaped then.
fn wait(
    held: &Held,
    said: &OwnedFd,
    deadline: Option<Instant>,
) -> Result<Option<(i32, String)>, Errno> {
    let pidfd = held.pidfd().ok_or(Errno::SRCH)?;
    let mut text = Vec::new();
    let mut said = fs::File::from(said.try_clone().map_err(|_| Errno::MFILE)?);
    rustix::io::ioctl_fionbio(&said, true)?;
    loop {
        let mut buffer = [0; 1024];
        // Kept short: it becomes an error's text.
        while let Ok(count @ 1..) = said.read(&mut buffer) {
            text.extend_from_slice(&buffer[..count]);
            text.truncate(4096);
        }
        let status = waitid(
            WaitId::PidFd(pidfd),
            WaitIdOptions::EXITED | WaitIdOptions::NOHANG,
        );
        match status {
            Ok(Some(status)) => {
                while let Ok(count @ 1..) = said.read(&mut buffer) {
                    text.extend_from_slice(&buffer[..count]);
                    text.truncate(4096);
                }
                let code = match (status.exit_status(), status.terminating_signal()) {
                    (Some(code), _) => code,
                    (None, Some(signal)) => 128 + signal,
                    _ => 255,
                };
                return Ok(Some((code, String::from_utf8_lossy(&text).into_owned())));
            }
            Ok(None) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| left.is_zero()) {
            return Ok(None);
        }
        let timeout = left.and_then(|left| Timespec::try_from(left).ok());
        let mut files = [
            PollFd::from_borrowed_fd(pidfd, PollFlags::IN),
            PollFd::new(&said, PollFlags::IN),
        ];
        match poll(&mut files, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
        // At its end the pipe is always ready: only the process counts then.
        if files[1].revents() == PollFlags::HUP {
            let mut files = [PollFd::from_borrowed_fd(pidfd, PollFlags::IN)];
            match poll(&mut files, timeout.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
    }
}

fn launch(
    hook: &Hook,
    place: Place,
    bundle: &Path,
    stdio: [BorrowedFd<'_>; 3],
    inherited: Option<&[String]>,
) -> Result<Held, RuntimeError> {
    let program = text(&hook.path)?;
    let arguments: Vec<CString> = match hook.args.is_empty() {
        true => vec![program.clone()],
        false => hook.args.iter().map(text).collect::<Result<_, _>>()?,
    };
    let environment: Vec<CString> = match (&hook.env, inherited) {
        (Some(own), _) => own.iter().map(text).collect::<Result<_, _>>()?,
        (None, Some(inherited)) => inherited.iter().map(text).collect::<Result<_, _>>()?,
        (None, None) => Vec::new(),
    };
    let spaces = match place {
        Place::Host => Vec::new(),
        Place::Container(pid) => foreign_namespaces(pid)?,
    };
    let joins: Vec<_> = spaces
        .iter()
        .map(|(file, kind)| (file.as_fd(), *kind))
        .collect();
    let mut acts = Vec::new();
    let mut files = Vec::new();
    if let Place::Container(pid) = place {
        // Before it has entered its own root, that of its first process is the
        // runtime's, and what lies over it in the namespace is not.
        let path = format!("/proc/{pid}/root");
        let root =
            fs::File::open(&path).map_err(RuntimeError::file("opening", Path::new(&path)))?;
        files.push(OwnedFd::from(root));
        acts.push(Act::ChangeRoot(0));
    }
    if let (Place::Host, Some(bundle)) = (place, bundle.to_str()) {
        acts.push(Act::Enter {
            path: text(bundle)?,
            again: true,
        });
    }
    acts.push(Act::Descriptors(0));
    acts.push(Act::Execute);
    let argument_list: Vec<Text<'_>> = arguments
        .iter()
        .map(|one| Text::new(one))
        .chain([Text::END])
        .collect();
    let environment_list: Vec<Text<'_>> = environment
        .iter()
        .map(|one| Text::new(one))
        .chain([Text::END])
        .collect();
    let orders = Orders {
        joins: &joins,
        namespaces: Namespaces::NONE,
        cgroup: None,
        acts: &acts,
        files: &files,
        stdio: Some(stdio),
        groups: &[],
        processors: &[],
        nodes: &[],
        filter: &[],
        programs: &[program],
        arguments: &argument_list,
        environment: &environment_list,
    };
    spawn(&orders).map_err(RuntimeError::kernel(format!(
        "starting the hook {}",
        hook.path
    )))
}
