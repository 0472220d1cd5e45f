//! `exec`: a further program in a container that runs.

use std::ffi::CString;
use std::fs;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use ounce_linux::init::{Act, Orders, Report, spawn};
use ounce_linux::namespace::Namespaces;
use ounce_linux::seccomp::Instruction;
use rustix::process::Signal;
use rustix::process::pidfd_send_signal;

use super::capability::CAPABILITIES;
use super::cgroup::Groups;
use super::config::{Capabilities, MemoryPolicy, Personality, Process, Seccomp};
use super::create::{Lists, hide, hold_places, set_limits, texts, told, users_of, write_pid};
use super::fault::RuntimeError;
use super::foreground::Front;
use super::hooks::foreign_namespaces;
use super::pause::{LIMITED, READY};
use super::state::{self, Record, Status};
use super::{Runtime, console, create, listener, process, seccomp};

/// What `exec` is told.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// File with the process, in place of what changes the container's own.
    pub process: Option<PathBuf>,
    /// Where a terminal is sent.
    pub console_socket: Option<PathBuf>,
    /// Where the process's number is written.
    pub pid_file: Option<PathBuf>,
    /// Whether its end is not waited for.
    pub detach: bool,
    /// Descriptors from 3 on that the program gets.
    pub preserve_fds: u32,
    /// Whether a paused container is no error.
    pub ignore_paused: bool,
    /// A control group below the container's.
    pub group: Option<String>,
    /// What changes the container's own process.
    pub changes: Changes,
}

/// What changes the container's own process.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    /// The program and its arguments.
    pub args: Vec<String>,
    /// Whether it has a terminal.
    pub terminal: bool,
    /// Folder it starts in.
    pub cwd: Option<String>,
    /// Variables.
    pub env: Vec<String>,
    /// User, and group after a colon.
    pub user: Option<String>,
    /// Further groups.
    pub additional_gids: Vec<u32>,
    /// Capabilities to add.
    pub capabilities: Vec<String>,
    /// Never gain privileges.
    pub no_new_privileges: bool,
    /// Profile of AppArmor.
    pub apparmor: Option<String>,
    /// Label of SELinux.
    pub label: Option<String>,
}

impl Changes {
    fn apply(&self, process: &mut Process) -> Result<(), RuntimeError> {
        process.args = self.args.clone();
        process.terminal = self.terminal;
        if let Some(cwd) = &self.cwd {
            process.cwd = cwd.clone();
        }
        process.env.extend(self.env.iter().cloned());
        if let Some(user) = &self.user {
            let wrong = || RuntimeError::Argument(format!("--user {user:?} is not UID or UID:GID"));
            let (uid, gid) = user
                .split_once(':')
                .map_or((user.as_str(), None), |(uid, gid)| (uid, Some(gid)));
            process.user.uid = uid.parse().map_err(|_| wrong())?;
            if let Some(gid) = gid {
                process.user.gid = gid.parse().map_err(|_| wrong())?;
            }
        }
        process
            .user
            .additional_gids
            .extend_from_slice(&self.additional_gids);
        if !self.capabilities.is_empty() {
            let sets = process
                .capabilities
                .get_or_insert_with(Capabilities::default);
            for name in &self.capabilities {
                let name = name.to_ascii_uppercase();
                let name = match name.starts_with("CAP_") {
                    true => name,
                    false => format!("CAP_{name}"),
                };
                if !CAPABILITIES.contains(&name.as_str()) {
                    return Err(RuntimeError::Argument(format!(
                        "unknown capability {name:?}"
                    )));
                }
                for set in [
                    &mut sets.bounding,
                    &mut sets.effective,
                    &mut sets.permitted,
                    &mut sets.ambient,
                ] {
                    set.push(name.clone());
                }
                // Ambient is what is inheritable only.
                sets.inheritable.push(name);
            }
        }
        process.no_new_privileges |= self.no_new_privileges;
        if self.apparmor.is_some() {
            process.apparmor_profile.clone_from(&self.apparmor);
        }
        if self.label.is_some() {
            process.selinux_label.clone_from(&self.label);
        }
        Ok(())
    }
}

fn read_process(path: &Path) -> Result<Process, RuntimeError> {
    let text = fs::read(path).map_err(RuntimeError::file("reading", path))?;
    let wrong = |source| RuntimeError::Json {
        path: path.to_owned(),
        source,
    };
    let mut value: serde_json::Value = serde_json::from_slice(&text).map_err(wrong)?;
    super::config::without_nulls(&mut value);
    serde_json::from_value(value).map_err(wrong)
}

impl Runtime {
    /// Runs a program in a container; unless detached, waits for its end and
    /// gives its exit code.
    ///
    /// # Errors
    /// The container does not run, or the program cannot be executed.
    pub fn exec(&self, id: &str, options: &Options) -> Result<u8, RuntimeError> {
        let _places = hold_places(options.preserve_fds)?;
        let record = state::read(&self.root, id)?;
        let status = record.status(&self.root);
        let fine = match status {
            Status::Created | Status::Running => true,
            Status::Paused => options.ignore_paused,
            Status::Creating | Status::Stopped => false,
        };
        if !fine {
            return match status {
                Status::Stopped => Err(RuntimeError::NotRunning(id.to_owned(), status.name())),
                status => Err(RuntimeError::Status {
                    id: id.to_owned(),
                    action: "exec in",
                    status: status.name(),
                }),
            };
        }
        let config = state::read_config(&self.root.join(id))?;
        let linux = config.linux();
        let program = match &options.process {
            Some(path) => read_process(path)?,
            None => {
                let mut process = config.process.clone().unwrap_or_default();
                // Of the first process only.
                process.console_size = None;
                options.changes.apply(&mut process)?;
                process
            }
        };
        let filter = match &linux.seccomp {
            Some(list) => seccomp::compile(list)?,
            None => Vec::new(),
        };
        let groups = below(&record.groups, options.group.as_deref())?;
        enter(&Entering {
            name: id,
            pid: record.pid,
            groups: &groups,
            program: &program,
            seccomp: linux.seccomp.as_ref(),
            filter: &filter,
            personality: linux.personality.as_ref(),
            memory_policy: linux.memory_policy.as_ref(),
            root: &record.rootfs,
            stdio: None,
            record: Some(&record),
            options,
        })
    }
}

/// A program that is to run in a container that is there.
pub(crate) struct Entering<'a> {
    /// The container's name.
    pub(crate) name: &'a str,
    /// A process of it.
    pub(crate) pid: i32,
    /// Control groups to be in.
    pub(crate) groups: &'a Groups,
    /// The program.
    pub(crate) program: &'a Process,
    /// Whether there is a filter of system calls, and how it is installed.
    pub(crate) seccomp: Option<&'a Seccomp>,
    /// The filter itself.
    pub(crate) filter: &'a [Instruction],
    /// Execution domain.
    pub(crate) personality: Option<&'a Personality>,
    /// Where memory is taken from.
    pub(crate) memory_policy: Option<&'a MemoryPolicy>,
    /// Where the container's list of users is.
    pub(crate) root: &'a Path,
    /// Standard streams, if they are not our own.
    pub(crate) stdio: Option<[BorrowedFd<'a>; 3]>,
    /// What a listener of the filter is told.
    pub(crate) record: Option<&'a Record>,
    /// Terminal, number file and descriptors.
    pub(crate) options: &'a Options,
}

/// Runs it; unless detached, waits for its end and gives its exit code.
///
/// # Errors
/// The container is gone, or the program cannot be executed.
pub(crate) fn enter(of: &Entering<'_>) -> Result<u8, RuntimeError> {
    let (program, options, groups) = (of.program, of.options, of.groups);
    console::check(program.terminal, options.console_socket.as_deref())?;
    if options.detach && program.terminal && options.console_socket.is_none() {
        return Err(RuntimeError::Argument(
            "a terminal without anybody at it: give --console-socket, or do not detach".to_owned(),
        ));
    }
    let limits = process::limits(program)?;
    let front = match options.detach {
        true => None,
        false => Some(Front::begin()?),
    };
    let mut wanted = Vec::new();
    let mut acts: Vec<Act<CString>> = vec![Act::Session];
    for door in groups.doors() {
        wanted.push(super::plan::File::Group(door));
        acts.push(Act::JoinGroup(wanted.len() - 1));
    }
    let spaces = foreign_namespaces(of.pid)?;
    let joins: Vec<_> = spaces
        .iter()
        .map(|(file, kind)| (file.as_fd(), *kind))
        .collect();
    let users = joins.iter().any(|(_, kind)| *kind == Namespaces::USER);
    if users {
        acts.push(Act::BecomeRoot);
    }
    let time = format!("/proc/{}/ns/time", of.pid);
    if differs(&time, "/proc/self/ns/time") {
        wanted.push(super::plan::File::Namespace(time.into()));
        acts.push(Act::Join {
            file: wanted.len() - 1,
            namespace: Namespaces::TIME,
        });
    }
    acts.push(Act::Keyring(super::fault::text(format!(
        "_ses.{}",
        of.name
    ))?));
    process::labels(program, &mut acts)?;
    if program.terminal {
        wanted.push(super::plan::File::Console);
        acts.push(Act::Console {
            socket: wanted.len() - 1,
            size: process::console_size(program)?,
            mount: false,
        });
    }
    let affinity = program.exec_cpu_affinity.clone().unwrap_or_default();
    let processors = match affinity.last.as_deref().filter(|list| !list.is_empty()) {
        Some(list) => process::bits(list)?,
        None => Vec::new(),
    };
    if !processors.is_empty() {
        acts.push(Act::Affinity);
    }
    process::acts(
        program,
        &process::Around {
            seccomp: of.seccomp,
            start: None,
            preserved: options.preserve_fds,
            groups: !users || rustix::process::geteuid().is_root(),
            personality: of.personality,
            memory_policy: of.memory_policy,
        },
        &mut acts,
    )?;
    // A stream that is not made for the program is its caller's.
    if of.stdio.is_some() && !program.terminal {
        acts.retain(|act| !matches!(act, Act::OwnStreams(_)));
    }
    let (files, terminal) = create::open_files(&wanted, None, options.console_socket.as_deref())?;
    let lists = Lists::of(program, &users_of(of.root))?;
    let birthplace = groups.birthplace()?;
    if let Some(list) = affinity.initial.as_deref().filter(|list| !list.is_empty()) {
        set_own_affinity(list)?;
    }
    let orders = Orders {
        joins: &joins,
        namespaces: Namespaces::NONE,
        cgroup: birthplace.as_ref().map(AsFd::as_fd),
        acts: &acts,
        files: &files,
        stdio: of.stdio,
        groups: &program.user.additional_gids,
        processors: &processors,
        nodes: &[],
        filter: of.filter,
        programs: &lists.programs,
        arguments: &texts(&lists.arguments),
        environment: &texts(&lists.environment),
    };
    hide(&None);
    let held = spawn(&orders).map_err(RuntimeError::kernel("entering the container"))?;
    let pid = held.pid().as_raw_nonzero().get();
    if let Some(adjustment) = program.oom_score_adj {
        create::adjust_oom_score(pid, adjustment)?;
    }
    let broken = "talking with the new process";
    loop {
        match held.next().map_err(RuntimeError::kernel(broken))? {
            Report::Reached(LIMITED) => set_limits(held.pid(), &limits)?,
            Report::Reached(READY) => {
                if let Some(path) = &options.pid_file {
                    write_pid(path, pid)?;
                }
                held.go().map_err(RuntimeError::kernel(broken))?;
                // Now it executes, and tells nothing but a failure.
                match held.next().map_err(RuntimeError::kernel(broken))? {
                    Report::Failed(failure) => return Err(told(failure, &acts, program)),
                    _ => break,
                }
            }
            Report::Listener(number) => {
                let seccomp = of.seccomp.ok_or(RuntimeError::Ended)?;
                let pidfd = held.pidfd().ok_or(RuntimeError::Ended)?;
                let record = of.record.ok_or(RuntimeError::Ended)?;
                listener::hand_on(pidfd, number, seccomp, record)?;
            }
            Report::Failed(failure) => return Err(told(failure, &acts, program)),
            Report::Reached(_) | Report::Gone => return Err(RuntimeError::Ended),
        }
        held.go().map_err(RuntimeError::kernel(broken))?;
    }
    let process = held.release().map_err(RuntimeError::kernel(broken))?;
    match front {
        None => Ok(0),
        Some(front) => {
            let followed = front.follow(&process, terminal);
            if followed.is_err() {
                let _ = pidfd_send_signal(&process.pidfd, Signal::KILL);
            }
            followed
        }
    }
}

/// Whether two files are not the same.
fn differs(one: &str, other: &str) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    match (fs::metadata(one), fs::metadata(other)) {
        (Ok(one), Ok(other)) => (one.dev(), one.ino()) != (other.dev(), other.ino()),
        _ => false,
    }
}

/// The groups of a path below the container's.
fn below(groups: &Groups, path: Option<&str>) -> Result<Groups, RuntimeError> {
    let mut groups = groups.clone();
    let Some(path) = path else {
        return Ok(groups);
    };
    // `cpu,memory:/path` is for these hierarchies only.
    let (names, path) = match path.split_once(':') {
        Some((names, path)) => (Some(names), path),
        None => (None, path),
    };
    let path = Path::new(path.trim_start_matches('/'));
    let plain = path
        .components()
        .all(|part| matches!(part, std::path::Component::Normal(_)));
    if !plain {
        return Err(RuntimeError::Argument(format!(
            "--cgroup {} is no path below the container's",
            path.display()
        )));
    }
    for (name, folder) in &mut groups.separate {
        if names.is_none_or(|names| names.split(',').any(|one| one == name)) {
            folder.push(path);
        }
    }
    if let (Some(folder), None) = (&mut groups.unified, names) {
        folder.push(path);
    }
    Ok(groups)
}

fn set_own_affinity(list: &str) -> Result<(), RuntimeError> {
    let bits = process::bits(list)?;
    let mut set = rustix::thread::CpuSet::new();
    for (index, word) in bits.iter().enumerate() {
        for bit in (0..64).filter(|bit| word & 1 << bit != 0) {
            let number = index * 64 + bit;
            if number < rustix::thread::CpuSet::MAX_CPU {
                set.set(number);
            }
        }
    }
    rustix::thread::sched_setaffinity(None, &set).map_err(RuntimeError::kernel(format!(
        "setting the processors {list}"
    )))
}
