//! Starting a container, waiting for it, and ending it.

use std::borrow::Cow;
use std::ffi::{CStr, CString, OsStr};
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ounce_linux::Errno;
use ounce_linux::mount::{self, Attributes};
use ounce_linux::process::{self, Begun, Birth, Launch, Process, StartFailure, Text};
use ounce_linux::seccomp::Instruction;
use ounce_linux::step::{Step, StepFailure};
use ounce_linux::trace::Observed;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::CWD;
use rustix::io::fcntl_dupfd_cloexec;
use rustix::process::{
    DumpableBehavior, Pid, Signal, WaitId, WaitIdOptions, pidfd_send_signal, set_dumpable_behavior,
    waitid,
};

use crate::failure::StartError;
use crate::ground::Ground;
use crate::groups::{self, GroupFault, Groups};
use crate::host::{self, Host};
use crate::network::{self, Connection};
use crate::plan::{self, Group, HostTree, Plan, UserMap, plan_from};
use crate::room;
use crate::spec::{Limits, Network, Spec, SystemCalls};
use crate::syscalls;

/// A running container. Dropping it kills it and removes what it had.
#[derive(Debug)]
pub struct Container {
    process: Process,
    groups: Groups,
    exit: Option<Exit>,
    killed_for: Option<i32>,
    left: bool,
    connection: Connection,
}

/// What goes on without us: see [`Container::leave`].
#[derive(Debug)]
pub struct Left {
    /// Its first process, as the host numbers it; still the calling process's child.
    pub pid: i32,
    /// Its control groups, to be removed when it has ended.
    pub groups: Vec<PathBuf>,
}

/// How a container ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Its program returned this.
    Code(u8),
    /// A signal ended it.
    Signal(i32),
}

impl std::fmt::Display for Exit {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(out, "exit code {code}"),
            Self::Signal(signal) => write!(out, "signal {signal}"),
        }
    }
}

impl Exit {
    /// What `run` exits with: the program's own code, or 128 and the signal.
    pub fn code(self) -> u8 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => 128u8.saturating_add(signal.clamp(0, 127) as u8),
        }
    }
}

/// What a container uses of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Memory {
    /// Bytes of its first process that no other has and that were written.
    pub private_dirty_bytes: u64,
    /// Its proportional share of bytes that are mapped.
    pub pss_bytes: u64,
    /// Bytes that are mapped and in memory.
    pub rss_bytes: u64,
    /// What its control group counts, kernel memory included, if there is one.
    pub group_bytes: Option<u64>,
}

/// Starts a container with our own standard streams.
///
/// It dies with the calling thread, so that has to outlive it.
///
/// # Errors
/// See [`StartError`]; nothing is left then.
pub fn start(spec: &Spec) -> Result<Container, StartError> {
    let (input, output, error) = (io::stdin(), io::stdout(), io::stderr());
    start_with(spec, [input.as_fd(), output.as_fd(), error.as_fd()])
}

/// As [`start`], with these as standard input, output and error.
///
/// # Errors
/// As [`start`].
pub fn start_with(spec: &Spec, stdio: [BorrowedFd<'_>; 3]) -> Result<Container, StartError> {
    Beginning::of(spec).start(spec, stdio)
}

/// A container whose namespaces are made while it is still found out what is to
/// run in them. Dropping it leaves nothing.
#[derive(Debug)]
pub struct Beginning {
    host: Host,
    ground: Ground,
    limits: Limits,
    made: Result<(Begun, Made), StartError>,
}

/// How many threads take the steps of a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Threads {
    /// One after the other.
    One,
    /// Network and mounts at the same time.
    Two,
}

/// The control groups that are made before the clone or after it.
#[derive(Debug)]
struct Made {
    name: String,
    groups: Groups,
    /// Not made yet.
    after: Vec<Group>,
}

impl Beginning {
    /// Begins a container with this network and these limits. What goes wrong is
    /// told by [`Beginning::start`].
    ///
    /// It dies with the calling thread, so that has to outlive it.
    pub fn new(network: Network, limits: &Limits) -> Self {
        let low_ports = true;
        Self::on(Ground { network, low_ports }, limits)
    }

    /// Begins what this spec wants, and no more.
    pub fn of(spec: &Spec) -> Self {
        Self::on(Ground::of(spec), &spec.limits)
    }

    fn on(ground: Ground, limits: &Limits) -> Self {
        // A second thread where a processor is idle; else it would but wait for
        // its turn, and the first one for it.
        let threads = match host::has_idle_processors() {
            true => Threads::Two,
            false => Threads::One,
        };
        Self::with(ground, limits, threads)
    }

    /// As [`Beginning::new`], with so many threads at work on the start.
    pub fn with_threads(network: Network, limits: &Limits, threads: Threads) -> Self {
        let low_ports = true;
        Self::with(Ground { network, low_ports }, limits, threads)
    }

    fn with(ground: Ground, limits: &Limits, threads: Threads) -> Self {
        let host = Host::probe_for(limits);
        let made = begin(&host, ground, limits, threads);
        Self {
            host,
            ground,
            limits: *limits,
            made,
        }
    }

    /// What it was begun on.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Starts it. A spec with another network or other limits is begun anew.
    ///
    /// # Errors
    /// See [`StartError`]; nothing is left then.
    pub fn start(self, spec: &Spec, stdio: [BorrowedFd<'_>; 3]) -> Result<Container, StartError> {
        self.start_observed(spec, stdio, None)
    }

    /// As [`Beginning::start`], of a container that is to be left: nobody but its
    /// heir looks after its control groups.
    ///
    /// # Errors
    /// As there.
    pub fn start_unguarded(
        self,
        spec: &Spec,
        stdio: [BorrowedFd<'_>; 3],
    ) -> Result<Container, StartError> {
        self.start_as(spec, stdio, None)
    }

    /// As [`Beginning::start`], observed by a trial.
    pub(crate) fn start_observed(
        self,
        spec: &Spec,
        stdio: [BorrowedFd<'_>; 3],
        observing: Option<Observing<'_>>,
    ) -> Result<Container, StartError> {
        let container = self.start_as(spec, stdio, observing)?;
        container.groups.guard();
        Ok(container)
    }

    fn start_as(
        self,
        spec: &Spec,
        stdio: [BorrowedFd<'_>; 3],
        observing: Option<Observing<'_>>,
    ) -> Result<Container, StartError> {
        if !self.ground.serves(spec) || self.limits != spec.limits {
            drop(self);
            return Self::of(spec).start_as(spec, stdio, observing);
        }
        let roomy = room::with_room(spec).map_err(|fault| StartError::Host {
            path: fault.path,
            source: fault.source,
        })?;
        let spec = roomy.as_ref().unwrap_or(spec);
        let mut plan = plan_from(spec, &self.host, self.ground)?;
        let mut instead = None;
        let (watch, observe) = match observing {
            None => (&[][..], None),
            Some(Observing {
                sockets,
                watch,
                allow,
                observe,
            }) => {
                // Before the list of what the program may do, which may forbid this.
                let last = |step: &Step<_>| matches!(step, Step::Filter | Step::Execute);
                let at = plan.steps.iter().position(last).unwrap_or(0);
                plan.steps.insert(at, Step::Observe { sockets });
                instead = allow;
                (watch, Some(observe))
            }
        };
        let lists = Lists::of(spec)?;
        let filter = match &spec.system_calls {
            _ if instead.is_some() => Cow::Borrowed(instead.unwrap_or_default()),
            SystemCalls::Only(calls) => {
                Cow::Owned(syscalls::filter_of(calls).map_err(|_| StartError::Calls)?)
            }
            SystemCalls::Default | SystemCalls::All => Cow::Borrowed(syscalls::filter()),
        };
        let trees = plan.trees.iter().map(copy).collect::<Result<Vec<_>, _>>()?;
        let passed: Vec<_> = spec.sockets.iter().map(|one| one.file.as_fd()).collect();
        // Last of all that can go wrong: what is wrong with the spec is told first.
        let (begun, made) = self.made?;
        let Made {
            name,
            mut groups,
            after,
        } = made;
        let tasks = groups::tasks(&after, &name)?;
        let launch = Launch {
            namespaces: plan.namespaces,
            steps: &plan.steps,
            trees: &trees,
            stdio,
            passed: &passed,
            programs: &plan.programs,
            arguments: &lists.arguments(),
            environment: &lists.environment(),
            filter: &filter,
            watch,
            tasks: &tasks,
            cgroup: None,
        };
        let mut connection = Connection::default();
        let meanwhile = |pid: Pid| {
            let pid = pid.as_raw_nonzero().get();
            if !after.is_empty() {
                groups = Groups::make(&after, &name)?;
            }
            map_users(pid, &plan.users)?;
            if spec.network == Network::Bridge {
                // It waits for us, and its program finds the network up.
                connection = network::connect(pid, self.host.uid == 0)?;
            }
            Ok(())
        };
        let started = begun.start_observed(&launch, meanwhile, |observed| match observe {
            Some(observe) => observe(observed),
            None => Ok(()),
        });
        if self.host.uid == 0 {
            // Becoming another user, the child has made our common memory
            // undumpable, and with it our /proc files another's.
            let _ = set_dumpable_behavior(DumpableBehavior::Dumpable);
        }
        let process = started.map_err(|failure| explain(failure, &plan, spec))?;
        Ok(Container {
            process,
            groups,
            exit: None,
            killed_for: None,
            left: false,
            connection,
        })
    }
}

/// What a trial has of a container's start beyond the container.
pub(crate) struct Observing<'a> {
    /// TCP sockets of its network that are wanted.
    pub(crate) sockets: usize,
    /// The filter that tells of system calls; empty for none.
    pub(crate) watch: &'a [Instruction],
    /// In place of the filter of what the program may do.
    pub(crate) allow: Option<&'a [Instruction]>,
    /// Takes them, before the program is executed.
    pub(crate) observe: &'a mut dyn FnMut(Observed) -> Result<(), StartError>,
}

fn begin(
    host: &Host,
    ground: Ground,
    limits: &Limits,
    threads: Threads,
) -> Result<(Begun, Made), StartError> {
    // A unified group has to be there before the clone; others are made and
    // filled while the child makes its namespaces.
    let (before, after): (Vec<_>, Vec<_>) = plan::groups(limits, host)?
        .into_iter()
        .partition(|group| group.unified);
    let name = groups::fresh_name();
    let groups = Groups::make(&before, &name)?;
    let birthplace = groups.birthplace()?;
    let begun = process::begin(&Birth {
        namespaces: plan::NAMESPACES,
        cgroup: birthplace.as_ref().map(AsFd::as_fd),
        steps: ground.first(),
        beside: threads == Threads::Two,
    })
    .map_err(|source| StartError::Clone { source })?;
    let made = Made {
        name,
        groups,
        after,
    };
    Ok((begun, made))
}

impl From<GroupFault> for StartError {
    fn from(fault: GroupFault) -> Self {
        Self::Group {
            path: fault.path,
            source: fault.source,
        }
    }
}

fn copy(tree: &HostTree) -> Result<OwnedFd, StartError> {
    let copy = || {
        let copy = mount::copy(CWD, &tree.path, true)?;
        let attributes = Attributes {
            read_only: tree.read_only,
            ..Attributes::default()
        };
        mount::restrict(copy.as_fd(), attributes, true)?;
        Ok(copy)
    };
    copy().map_err(|source| StartError::Host {
        path: Path::new(OsStr::from_bytes(tree.path.as_bytes())).to_owned(),
        source,
    })
}

fn map_users(pid: i32, users: &UserMap) -> Result<(), StartError> {
    let write = |file: &'static str, text: &str| {
        fs::write(format!("/proc/{pid}/{file}"), text)
            .map_err(|source| StartError::Users { file, source })
    };
    if users.deny_groups {
        write("setgroups", "deny")?;
    }
    write("uid_map", &users.uids)?;
    write("gid_map", &users.gids)
}

/// Arguments and environment as the kernel reads them.
struct Lists {
    arguments: Vec<CString>,
    environment: Vec<CString>,
}

impl Lists {
    fn of(spec: &Spec) -> Result<Self, StartError> {
        let text = |text: &OsStr| {
            CString::new(text.as_bytes())
                .map_err(|_| plan::PlanError::Zero(text.to_string_lossy().into_owned()))
        };
        let arguments = spec.arguments.iter().map(|one| text(one));
        let mut environment = spec
            .environment
            .iter()
            .map(|one| text(one))
            .collect::<Result<Vec<_>, _>>()?;
        if !spec.sockets.is_empty() {
            let names: Vec<_> = spec.sockets.iter().map(|one| one.name.as_str()).collect();
            let count = format!("LISTEN_FDS={}", spec.sockets.len());
            let names = format!("LISTEN_FDNAMES={}", names.join(":"));
            for variable in [count.as_str(), "LISTEN_PID=1", names.as_str()] {
                environment.push(text(variable.as_ref())?);
            }
        }
        Ok(Self {
            arguments: arguments.collect::<Result<_, _>>()?,
            environment,
        })
    }

    fn arguments(&self) -> Vec<Text<'_>> {
        list(&self.arguments)
    }

    fn environment(&self) -> Vec<Text<'_>> {
        list(&self.environment)
    }
}

fn list(texts: &[CString]) -> Vec<Text<'_>> {
    let texts = texts.iter().map(|text| Text::new(text));
    texts.chain([Text::END]).collect()
}

fn explain(failure: StartFailure<StartError>, plan: &Plan, spec: &Spec) -> StartError {
    let StepFailure { step, errno } = match failure {
        StartFailure::Launch => return StartError::Internal("more than 64 sockets to hand in"),
        StartFailure::Clone(source) => return StartError::Clone { source },
        StartFailure::Caller(error) => return error,
        StartFailure::Step(failure) => failure,
    };
    match plan.steps.get(step as usize) {
        None => StartError::Internal("a step that was not in the plan"),
        Some(Step::Execute) => StartError::Execute {
            program: spec.arguments.first().map_or_else(String::new, |program| {
                program.to_string_lossy().into_owned()
            }),
            source: errno,
        },
        Some(step) => StartError::Step {
            hint: hint(step, errno),
            step: step.to_string(),
            source: errno,
        },
    }
}

fn hint(step: &Step<CString>, errno: Errno) -> Option<String> {
    let target = |target: &CStr| target.to_string_lossy().into_owned();
    match (step, errno) {
        (Step::Proc, Errno::PERM) => Some(
            "the host's /proc is partly hidden, as in a container: run that one with \
             --security-opt systempaths=unconfined"
                .into(),
        ),
        (Step::Proc, Errno::NOENT) => Some("the root has no folder /proc".into()),
        (Step::Tmpfs { target: at, .. } | Step::Bind { target: at, .. }, Errno::NOENT) => Some(
            format!("/{} has to be in the volume that it lies in", target(at)),
        ),
        (Step::Unshare(_), Errno::NOSPC | Errno::USERS) => {
            Some("the host's limit of namespaces is reached: sysctl -a | grep user.max_".into())
        }
        (Step::Enter(_), Errno::NOENT) => {
            Some("the image has no such folder: see --workdir".into())
        }
        (_, Errno::MFILE) => {
            Some("too few files may be open at once: ulimit -n 1024 is enough".into())
        }
        (Step::Filter, _) => Some("the kernel lacks CONFIG_SECCOMP_FILTER".into()),
        (_, Errno::PERM | Errno::ACCESS) => Some(
            "a security module or an outer container may forbid it: try as another user, or \
             outside of it"
                .into(),
        ),
        _ => None,
    }
}

impl Container {
    /// Its first process, as the host numbers it.
    pub fn pid(&self) -> i32 {
        self.process.pid.as_raw_nonzero().get()
    }

    /// The same number, typed.
    pub fn id(&self) -> Pid {
        self.process.pid
    }

    /// Gives the descriptor of its process a number from `least` on, where one is free.
    pub(crate) fn move_descriptor(&mut self, least: i32) {
        if let Ok(copy) = fcntl_dupfd_cloexec(&self.process.pidfd, least) {
            self.process.pidfd = copy;
        }
    }

    /// Readable when it has ended.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.process.pidfd.as_fd()
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// None that the kernel documents for our own child.
    pub fn wait(&mut self) -> io::Result<Exit> {
        loop {
            if let Some(exit) = self.reap(WaitIdOptions::EXITED)? {
                return Ok(exit);
            }
        }
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    /// As [`Container::wait`].
    pub fn try_wait(&mut self) -> io::Result<Option<Exit>> {
        self.reap(WaitIdOptions::EXITED | WaitIdOptions::NOHANG)
    }

    /// How it has ended, if it has, without waiting for it: it stays to be.
    pub(crate) fn look(&self) -> io::Result<Option<Exit>> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        match waitid(WaitId::PidFd(self.process.pidfd.as_fd()), options) {
            Ok(status) => Ok(status.map(|status| match status.terminating_signal() {
                Some(signal) => Exit::Signal(signal),
                None => Exit::Code(status.exit_status().unwrap_or_default() as u8),
            })),
            Err(Errno::INTR) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    fn reap(&mut self, options: WaitIdOptions) -> io::Result<Option<Exit>> {
        if self.exit.is_none() {
            let status = match waitid(WaitId::PidFd(self.process.pidfd.as_fd()), options) {
                Ok(Some(status)) => status,
                Ok(None) | Err(Errno::INTR) => return Ok(None),
                Err(errno) => return Err(errno.into()),
            };
            let signal = status.terminating_signal();
            self.exit = Some(match (status.exit_status(), signal, self.killed_for) {
                (_, Some(9), Some(signal)) => Exit::Signal(signal),
                (_, Some(signal), _) => Exit::Signal(signal),
                (code, None, _) => Exit::Code(code.unwrap_or_default() as u8),
            });
        }
        Ok(self.exit)
    }

    /// Sends a signal to its first process.
    ///
    /// The kernel shields the first process of a namespace from signals that it
    /// has no handler for. So that SIGTERM and Ctrl-C end a program without
    /// handlers here as they do everywhere else, it is then killed, and
    /// [`Exit::Signal`] tells the signal that was meant.
    ///
    /// # Errors
    /// It has ended (ESRCH).
    pub fn kill(&mut self, signal: Signal) -> io::Result<()> {
        let number = signal.as_raw();
        if self.exit.is_some() {
            return Err(Errno::SRCH.into());
        }
        if ends_by_default(number) && !looks_after(self.pid(), number) {
            self.killed_for = Some(number);
            pidfd_send_signal(&self.process.pidfd, Signal::KILL)?;
            return Ok(());
        }
        Ok(pidfd_send_signal(&self.process.pidfd, signal)?)
    }

    /// Whether its first process has a handler for a signal.
    pub fn handles(&self, signal: Signal) -> bool {
        has_bit(self.pid(), &["SigCgt:", "SigBlk:"], signal.as_raw())
    }

    /// Asks it to end by SIGTERM, and after `grace` kills it.
    ///
    /// # Errors
    /// As [`Container::wait`].
    pub fn stop(&mut self, grace: Duration) -> io::Result<Exit> {
        if let Some(exit) = self.try_wait()? {
            return Ok(exit);
        }
        // It may end at this very moment, which is what is wanted.
        let _ = self.kill(Signal::TERM);
        let end = Instant::now() + grace;
        loop {
            if let Some(exit) = self.try_wait()? {
                return Ok(exit);
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let _ = pidfd_send_signal(&self.process.pidfd, Signal::KILL);
                return self.wait();
            }
            let mut files = [PollFd::new(&self.process.pidfd, PollFlags::IN)];
            let _ = poll(&mut files, Timespec::try_from(left).ok().as_ref());
        }
    }

    /// Whether it has ended, or does within this time; it is not reaped by this.
    ///
    /// One that is on its way out has no namespaces any more before it counts as
    /// ended: who finds none has to wait a moment for the reason.
    pub fn ends_within(&self, time: Duration) -> bool {
        let timeout = Timespec::try_from(time).ok();
        let mut files = [PollFd::new(&self.process.pidfd, PollFlags::IN)];
        matches!(poll(&mut files, timeout.as_ref()), Ok(1..))
    }

    /// Leaves it running, as this process's child, to whatever program this
    /// process executes next.
    pub fn leave(mut self) -> Left {
        self.left = true;
        self.connection.leave();
        Left {
            pid: self.pid(),
            groups: self.groups.leave(),
        }
    }

    /// The process that its way out to the network goes by, if there is one.
    pub fn network_helper(&self) -> Option<i32> {
        self.connection.helper()
    }

    /// Its address, where its network has others.
    pub fn address(&self) -> Option<String> {
        self.connection.address.clone()
    }

    /// The folders of its control groups.
    pub fn groups(&self) -> Vec<PathBuf> {
        self.groups.folders()
    }

    /// What it uses of memory now.
    ///
    /// # Errors
    /// It has ended, or its first process cannot be looked at.
    pub fn memory(&self) -> io::Result<Memory> {
        let mut memory = memory(self.pid())?;
        memory.group_bytes = self.groups.memory_bytes();
        Ok(memory)
    }
}

/// What a process uses of memory now; its control group is not asked.
///
/// # Errors
/// It has ended, or cannot be looked at.
pub fn memory(pid: i32) -> io::Result<Memory> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let kibibytes = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name))
            .and_then(|rest| rest.split_whitespace().next())
            .and_then(|number| number.parse::<u64>().ok())
            .unwrap_or_default()
    };
    Ok(Memory {
        // Not Private_Dirty: that also counts pages of files that were
        // written to disk just now, as an image is that was unpacked.
        private_dirty_bytes: kibibytes("Anonymous:") << 10,
        pss_bytes: kibibytes("Pss:") << 10,
        rss_bytes: kibibytes("Rss:") << 10,
        group_bytes: None,
    })
}

/// Whether a process catches, blocks or ignores a signal; one that cannot be
/// looked at counts as such.
pub(crate) fn looks_after(pid: i32, signal: i32) -> bool {
    has_bit(pid, &["SigCgt:", "SigIgn:", "SigBlk:"], signal)
}

fn has_bit(pid: i32, names: &[&str], signal: i32) -> bool {
    let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) else {
        return true;
    };
    let bit = 1u64 << (signal - 1);
    names.iter().any(|name| {
        status
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
            .is_none_or(|mask| mask & bit != 0)
    })
}

/// Whether a signal ends a process that does nothing about it (man 7 signal).
pub(crate) fn ends_by_default(signal: i32) -> bool {
    // SIGCHLD, SIGCONT, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU, SIGURG, SIGWINCH
    !matches!(signal, 9 | 17..=23 | 28)
}

impl Drop for Container {
    fn drop(&mut self) {
        if self.exit.is_none() && !self.left {
            let _ = pidfd_send_signal(&self.process.pidfd, Signal::KILL);
            let _ = self.wait();
        }
        // `groups` removes itself, now that nothing is in it.
    }
}
