//! A further program in a container that runs: by the namespaces that the
//! runtime face enters, with the rights that the container's own program has.

use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use super::act::main_process;
use super::fault::StateError;
use super::folder::Containers;
use super::record::Running;
use crate::host::Host;
use crate::image::{self, ImageError};
use crate::runtime::cgroup::Groups;
use crate::runtime::config::{Process, Rlimit, Seccomp, User};
use crate::runtime::exec::{Entering, Options, enter};
use crate::runtime::fault::RuntimeError;
use crate::spec::{Limits, Spec, SystemCalls};
use crate::syscalls;

/// What is to run.
#[derive(Debug, Clone, Default)]
pub struct Further {
    /// The program and its arguments.
    pub arguments: Vec<String>,
    /// `NAME=VALUE`, over the container's own.
    pub environment: Vec<String>,
    /// In place of the container's.
    pub workdir: Option<String>,
    /// In place of the container's: `USER[:GROUP]`, names or numbers.
    pub user: Option<String>,
    /// Whether it has a terminal.
    pub terminal: bool,
    /// Whether its end is not waited for.
    pub detach: bool,
}

/// Why there is no further program.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// The container does not run, or is damaged.
    #[error(transparent)]
    State(#[from] StateError),
    /// The container is another process's matter.
    #[error("container {0:?} has no program of its own to join")]
    Service(String),
    /// The user is unknown.
    #[error(transparent)]
    User(#[from] ImageError),
    /// The container's list of system calls makes no filter.
    #[error("the container's list of system calls has too many gaps for one filter")]
    Calls,
    /// The kernel refuses.
    #[error(transparent)]
    Enter(#[from] RuntimeError),
}

impl Containers {
    /// Runs a further program in a container, with these standard streams where
    /// it has no terminal; unless detached, waits for its end and gives its exit
    /// code.
    ///
    /// # Errors
    /// See [`ExecError`].
    pub fn exec(
        &self,
        name: &str,
        further: &Further,
        stdio: [BorrowedFd<'_>; 3],
    ) -> Result<u8, ExecError> {
        let seen = self.running(name)?;
        let spec = seen.record.spec.as_ref();
        let spec = spec.ok_or_else(|| ExecError::Service(name.to_owned()))?;
        // Held until the namespaces are open: the number stays its own.
        let (_process, running) = main_process(&seen)?;
        let root = PathBuf::from(format!("/proc/{}/root", running.pid));
        let program = process(spec, further, &root)?;
        let filter = match &spec.system_calls {
            SystemCalls::All => None,
            SystemCalls::Default => Some(syscalls::filter().to_vec()),
            SystemCalls::Only(calls) => {
                Some(syscalls::filter_of(calls).map_err(|_| ExecError::Calls)?)
            }
        };
        // That it is there is all that counts: it is compiled already.
        let list = filter.as_ref().map(|_| Seccomp::default());
        let options = Options {
            detach: further.detach,
            ..Options::default()
        };
        let code = enter(&Entering {
            name,
            pid: running.pid,
            groups: &groups(running),
            program: &program,
            seccomp: list.as_ref(),
            filter: filter.as_deref().unwrap_or_default(),
            personality: None,
            memory_policy: None,
            root: &root,
            stdio: (!further.terminal).then_some(stdio),
            record: None,
            options: &options,
        })?;
        Ok(code)
    }
}

/// The program as the runtime face has it: with no capability, as the
/// container's own.
fn process(spec: &Spec, further: &Further, root: &Path) -> Result<Process, ExecError> {
    let user = match &further.user {
        Some(user) => image::resolve(user, root)?,
        None => spec.user,
    };
    let own = spec.environment.iter().filter_map(|one| one.to_str());
    let workdir = spec.workdir.to_string_lossy().into_owned();
    let limit = |kind: &str, value: u64| Rlimit {
        kind: kind.to_owned(),
        soft: value,
        hard: value,
    };
    let mut rlimits = vec![limit("RLIMIT_CORE", 0)];
    if Host::probe_for(&Limits::default()).counts_apart {
        let most = spec.limits.pids.unwrap_or(Limits::PIDS);
        rlimits.push(limit("RLIMIT_NPROC", most.into()));
    }
    Ok(Process {
        terminal: further.terminal,
        cwd: further.workdir.clone().unwrap_or(workdir),
        env: own
            .map(str::to_owned)
            .chain(further.environment.iter().cloned())
            .collect(),
        args: further.arguments.clone(),
        rlimits,
        no_new_privileges: true,
        user: User {
            uid: user.uid,
            gid: user.gid,
            ..User::default()
        },
        ..Process::default()
    })
}

/// The container's groups as the runtime face has them.
pub(super) fn groups(running: &Running) -> Groups {
    let mut groups = Groups::default();
    for folder in &running.groups {
        if folder.join("cgroup.controllers").exists() {
            groups.unified = Some(folder.clone());
        } else {
            // `/sys/fs/cgroup/cpu,cpuacct/…`: which it is tells a file of it.
            let kinds = [
                ("pids", "pids.max"),
                ("memory", "memory.usage_in_bytes"),
                ("cpu", "cpu.cfs_quota_us"),
            ];
            let kind = kinds.iter().find(|(_, file)| folder.join(file).exists());
            let name = kind.map_or("other", |(name, _)| name);
            groups.separate.insert(name.to_owned(), folder.clone());
        }
    }
    groups
}
