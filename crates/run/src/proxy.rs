//! A proxy for programs that cannot be handed a listening socket: it takes
//! connections outside and makes them anew on the container's own loopback.
//!
//! It is a process of its own, since it lives in the container's user and
//! network namespaces and a process with threads cannot enter the former. The
//! command line starts itself again as `ounce proxy`; the child's standard
//! input is a socket over which it is told what to serve, answers once, and
//! then learns of the starter's end. So no descriptor has to survive an exec
//! by its number, the child may be started before the container (its start
//! then costs no time), and whatever fails in it is told by name.
//!
//! After it has entered, it holds no capability, cannot gain one, is no longer
//! root, and ends with the container. What it copies is in `relay`.

mod relay;

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use ounce_linux::signal::{SignalSet, set_mask};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recv, recvmsg,
    send, sendmsg, socketpair,
};
use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior};
use rustix::thread::{
    CapabilitySet, CapabilitySets, ThreadNameSpaceType, clear_ambient_capability_set,
    move_into_thread_name_spaces, set_capabilities, set_no_new_privs,
};

use relay::{MOST_CONNECTIONS, Relay};

/// The hidden subcommand under which the command line calls [`main`].
pub const SUBCOMMAND: &str = "proxy";

/// Descriptors that one message may carry (SCM_MAX_FD, include/net/scm.h).
const MOST_DESCRIPTORS: usize = 253;
/// Listeners one proxy serves; the container's descriptor goes along.
pub const MOST_ROUTES: usize = MOST_DESCRIPTORS - 1;

/// How long the child may take from being told to being ready.
const READY_LIMIT: Duration = Duration::from_secs(5);

/// How long the proxy lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// As long as the container and the process that started it, whichever ends first.
    Starter,
    /// As long as the container, for one that is left running.
    Container,
}

/// What the child was doing when it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[repr(u8)]
pub enum Step {
    /// Reading what it was told.
    #[error("reading what to serve")]
    Receive = 1,
    /// setns(2).
    #[error("entering the container's namespaces")]
    Enter,
    /// The container has the host's network, so there is nothing to pass on.
    #[error("looking for the container's own network")]
    OwnNetwork,
    /// Giving up privileges.
    #[error("giving up privileges")]
    Drop,
    /// Making the epoll set and watching.
    #[error("watching the sockets")]
    Watch,
}

impl Step {
    fn from_number(number: u8) -> Option<Self> {
        [
            Self::Receive,
            Self::Enter,
            Self::OwnNetwork,
            Self::Drop,
            Self::Watch,
        ]
        .into_iter()
        .find(|step| *step as u8 == number)
    }
}

/// Why there is no proxy.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// The process could not be started.
    #[error("starting the port proxy")]
    Start(#[source] io::Error),
    /// It could not be told what to serve, or did not answer.
    #[error("talking to the port proxy")]
    Talk(#[source] io::Error),
    /// It ended without a word.
    #[error("the port proxy ended before it was ready ({0})")]
    Ended(ExitStatus),
    /// More ports than one message can carry.
    #[error("{0} published ports, more than one proxy serves ({MOST_ROUTES})")]
    TooMany(usize),
    /// A step failed.
    #[error("port proxy: {step}")]
    Step {
        /// Which one.
        step: Step,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

impl ProxyError {
    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Step {
                step: Step::Enter, ..
            } => Some("use --network host, or a program that takes its socket by LISTEN_FDS"),
            Self::Step {
                step: Step::OwnNetwork,
                ..
            } => Some("with --network host the program is reached without a published port"),
            Self::TooMany(_) => Some("publish fewer ports"),
            _ => None,
        }
    }
}

/// A port proxy that was started.
///
/// Dropped before [`Proxy::serve`] or with [`Lifetime::Starter`], it is ended
/// and reaped; with [`Lifetime::Container`] it goes on.
#[derive(Debug)]
pub struct Proxy {
    child: Child,
    control: Option<OwnedFd>,
    left_running: bool,
}

/// The command for `exe proxy`, to be handed to [`Proxy::start`].
pub fn command(exe: &Path) -> Command {
    let mut command = Command::new(exe);
    command.arg(SUBCOMMAND);
    command
}

impl Proxy {
    /// Starts the process, which then waits to be told by [`Proxy::serve`].
    ///
    /// Its standard input is ours, output and error are closed to it, and it
    /// has a process group of its own, so that Ctrl-C does not end it before
    /// the program had its say.
    ///
    /// # Errors
    /// [`ProxyError::Start`].
    pub fn start(mut command: Command) -> Result<Self, ProxyError> {
        let (ours, theirs) = socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )
        .map_err(|errno| ProxyError::Start(errno.into()))?;
        let child = command
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .current_dir("/")
            .process_group(0)
            .spawn()
            .map_err(ProxyError::Start)?;
        Ok(Self {
            child,
            control: Some(ours),
            left_running: false,
        })
    }

    /// Tells the process to serve: each listener with the port inside, and the
    /// pidfd of a process in the container, whose namespaces are entered and
    /// whose end is the proxy's. Returns when it takes connections.
    ///
    /// The listeners can be closed afterwards; they are non-blocking from here on.
    ///
    /// # Errors
    /// The step of the child that failed; the process has ended then.
    pub fn serve(
        &mut self,
        routes: &[(BorrowedFd<'_>, u16)],
        container: BorrowedFd<'_>,
        lifetime: Lifetime,
    ) -> Result<(), ProxyError> {
        if routes.len() > MOST_ROUTES {
            return Err(ProxyError::TooMany(routes.len()));
        }
        let Some(control) = &self.control else {
            return Err(ProxyError::Talk(Errno::NOTCONN.into()));
        };
        let told = tell(control, routes, container, lifetime).and_then(|()| {
            let mut reply = [0; 5];
            let count = answer(control, &mut reply)?;
            Ok((reply, count))
        });
        match told {
            Ok(([0, ..], 1)) => {}
            Ok(([step, a, b, c, d], 5)) => {
                let source = io::Error::from_raw_os_error(i32::from_le_bytes([a, b, c, d]));
                return Err(Step::from_number(step).map_or_else(
                    || ProxyError::Talk(Errno::PROTO.into()),
                    |step| ProxyError::Step { step, source },
                ));
            }
            // It is gone: how is what its status tells.
            Ok((_, 0)) | Err(Errno::PIPE | Errno::CONNRESET) => {
                let status = self.child.wait().map_err(ProxyError::Talk)?;
                return Err(ProxyError::Ended(status));
            }
            Ok(_) => return Err(ProxyError::Talk(Errno::PROTO.into())),
            Err(errno) => return Err(ProxyError::Talk(errno.into())),
        }
        if lifetime == Lifetime::Container {
            self.left_running = true;
            self.control = None;
        }
        Ok(())
    }

    /// The number of the process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the process after the container's end: connections may take
    /// up to a second to deliver what is in flight.
    ///
    /// # Errors
    /// As wait(2) says.
    pub fn finish(mut self) -> io::Result<ExitStatus> {
        self.control = None;
        self.child.wait()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if !self.left_running {
            // Both fail only when it has ended already.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// The message: lifetime, then each port, little-endian; with it go the
/// listeners in the same order and the container.
fn tell(
    control: &OwnedFd,
    routes: &[(BorrowedFd<'_>, u16)],
    container: BorrowedFd<'_>,
    lifetime: Lifetime,
) -> Result<(), Errno> {
    let mut message = vec![u8::from(lifetime == Lifetime::Starter)];
    message.extend(routes.iter().flat_map(|(_, port)| port.to_le_bytes()));
    let mut files: Vec<BorrowedFd<'_>> = routes.iter().map(|(file, _)| *file).collect();
    files.push(container);
    let rights = SendAncillaryMessage::ScmRights(&files);
    let mut space = vec![MaybeUninit::uninit(); rights.size()];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !ancillary.push(rights) {
        return Err(Errno::MSGSIZE);
    }
    sendmsg(
        control,
        &[IoSlice::new(&message)],
        &mut ancillary,
        SendFlags::NOSIGNAL,
    )
    .map(drop)
}

fn answer(control: &OwnedFd, reply: &mut [u8]) -> Result<usize, Errno> {
    let end = Instant::now() + READY_LIMIT;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let timeout = Timespec {
            tv_sec: left.as_secs() as i64,
            tv_nsec: left.subsec_nanos().into(),
        };
        match poll(&mut [PollFd::new(control, PollFlags::IN)], Some(&timeout)) {
            Ok(0) => return Err(Errno::TIMEDOUT),
            Ok(_) => {
                return recv(control, reply, RecvFlags::empty()).map(|(count, _)| count);
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// What the child was told.
struct Told {
    routes: Vec<relay::Route>,
    container: OwnedFd,
    lifetime: Lifetime,
}

/// The whole of `ounce proxy`: serves what standard input tells until the
/// container's end. To be called before any thread is started.
///
/// Nothing needs to be printed on failure: the starter was told, and standard
/// error leads nowhere.
///
/// # Errors
/// The step that failed. Called by hand, with another standard input, it is
/// [`Step::Receive`].
pub fn main() -> Result<(), ProxyError> {
    let control = io::stdin()
        .as_fd()
        .try_clone_to_owned()
        .map_err(ProxyError::Talk)?;
    match prepare(&control) {
        Ok(Some(relay)) => {
            // A starter that is gone by now is noticed by the lifeline, or does not matter.
            let _ = send(&control, &[0], SendFlags::NOSIGNAL);
            drop(control);
            relay.run().map_err(failed(Step::Watch))
        }
        // The starter has ended or changed its mind before the container began.
        Ok(None) => Ok(()),
        Err((step, errno)) => {
            let mut reply = vec![step as u8];
            reply.extend(errno.raw_os_error().to_le_bytes());
            let _ = send(&control, &reply, SendFlags::NOSIGNAL);
            Err(failed(step)(errno))
        }
    }
}

fn failed(step: Step) -> impl Fn(Errno) -> ProxyError {
    move |errno| ProxyError::Step {
        step,
        source: errno.into(),
    }
}

fn prepare(control: &OwnedFd) -> Result<Option<Relay>, (Step, Errno)> {
    let at = |step: Step| move |errno: Errno| (step, errno);
    // The starter may have blocked signals to forward them; they end this process.
    set_mask(SignalSet::EMPTY).map_err(at(Step::Receive))?;
    let Some(told) = listen_to(control).map_err(at(Step::Receive))? else {
        return Ok(None);
    };
    if shares_network(told.container.as_fd()) == Some(true) {
        return Err((Step::OwnNetwork, Errno::EXIST));
    }
    let user_entered = enter(told.container.as_fd()).map_err(at(Step::Enter))?;
    give_up_privileges(user_entered).map_err(at(Step::Drop))?;
    let lifeline = (told.lifetime == Lifetime::Starter)
        .then(|| rustix::io::fcntl_dupfd_cloexec(control, 3))
        .transpose()
        .map_err(at(Step::Watch))?;
    if lifeline.is_none() {
        // Standard input is one end of the socket, and nobody reads the other one.
        let null = rustix::fs::open(
            "/dev/null",
            rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC,
            rustix::fs::Mode::empty(),
        )
        .map_err(at(Step::Watch))?;
        rustix::stdio::dup2_stdin(&null).map_err(at(Step::Watch))?;
    }
    Relay::new(told.routes, told.container, lifeline, most_connections())
        .map(Some)
        .map_err(at(Step::Watch))
}

/// Reads the message; none when the starter has closed its end.
fn listen_to(control: &OwnedFd) -> Result<Option<Told>, Errno> {
    let mut message = [0u8; 1 + 2 * MOST_ROUTES];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(
        control,
        &mut [IoSliceMut::new(&mut message)],
        &mut ancillary,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    let mut files: Vec<OwnedFd> = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            files.extend(rights);
        }
    }
    if received.bytes == 0 {
        return Ok(None);
    }
    // Descriptors are cut off where this process may open no more of them.
    if received.flags.contains(ReturnFlags::CTRUNC) {
        return Err(Errno::MFILE);
    }
    let ports: Vec<u16> = message[1..received.bytes]
        .chunks_exact(2)
        .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
        .collect();
    let container = files.pop().ok_or(Errno::PROTO)?;
    if files.len() != ports.len() {
        return Err(Errno::PROTO);
    }
    Ok(Some(Told {
        routes: files
            .into_iter()
            .zip(ports)
            .map(|(listener, port)| relay::Route { listener, port })
            .collect(),
        container,
        lifetime: if message[0] == 1 {
            Lifetime::Starter
        } else {
            Lifetime::Container
        },
    }))
}

/// Whether the container's network is ours, where /proc tells. Connections to
/// it would come back to our own listener.
fn shares_network(container: BorrowedFd<'_>) -> Option<bool> {
    let number = container.as_raw_fd();
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{number}")).ok()?;
    let pid: u32 = info
        .lines()
        .find_map(|line| line.strip_prefix("Pid:"))?
        .trim()
        .parse()
        .ok()?;
    let inside = std::fs::metadata(format!("/proc/{pid}/ns/net")).ok()?;
    let ours = std::fs::metadata("/proc/thread-self/ns/net").ok()?;
    Some(inside.ino() == ours.ino())
}

/// Enters the container's network namespace, and its user namespace where that
/// is another one than ours; tells whether it was.
fn enter(container: BorrowedFd<'_>) -> Result<bool, Errno> {
    let network = ThreadNameSpaceType::NETWORK;
    match move_into_thread_name_spaces(container, network | ThreadNameSpaceType::USER) {
        Ok(()) => Ok(true),
        // EINVAL says that the user namespace is ours already (man 2 setns).
        Err(Errno::INVAL) => move_into_thread_name_spaces(container, network).map(|()| false),
        Err(errno) => Err(errno),
    }
}

/// From here on the process is nobody in particular.
fn give_up_privileges(user_entered: bool) -> Result<(), Errno> {
    set_no_new_privs(true)?;
    if rustix::process::geteuid().is_root() {
        become_nobody(user_entered)?;
    }
    clear_ambient_capability_set()?;
    set_capabilities(
        None,
        CapabilitySets {
            effective: CapabilitySet::empty(),
            permitted: CapabilitySet::empty(),
            inheritable: CapabilitySet::empty(),
        },
    )?;
    // Processes of the container's user cannot look into this one.
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
}

/// Root without capabilities still owns root's files.
fn become_nobody(user_entered: bool) -> Result<(), Errno> {
    const NOBODY: u32 = 65534;
    // The kernel's calls change one thread, and this process has one only.
    let changed = rustix::thread::set_thread_groups(&[])
        .and_then(|()| {
            let group = rustix::process::Gid::from_raw(NOBODY);
            rustix::thread::set_thread_res_gid(group, group, group)
        })
        .and_then(|()| {
            let user = rustix::process::Uid::from_raw(NOBODY);
            rustix::thread::set_thread_res_uid(user, user, user)
        });
    match changed {
        // The container's user namespace may have no such user, and may forbid
        // to change groups; its root is an unprivileged user outside.
        Err(Errno::INVAL | Errno::PERM) if user_entered => Ok(()),
        changed => changed,
    }
}

/// As many as the limit on open files leaves, after it is raised to the most allowed.
fn most_connections() -> usize {
    // Beside the connections: listeners, epoll, pidfd, lifeline, standard files.
    const OTHERS: u64 = MOST_ROUTES as u64 + 8;
    let wanted = 2 * MOST_CONNECTIONS as u64 + OTHERS;
    let limit = getrlimit(Resource::Nofile);
    let mut current = limit.current.unwrap_or(u64::MAX);
    if current < wanted {
        let raised = limit.maximum.unwrap_or(u64::MAX).min(wanted);
        let request = Rlimit {
            current: Some(raised),
            maximum: limit.maximum,
        };
        if rustix::process::setrlimit(Resource::Nofile, request).is_ok() {
            current = raised;
        }
    }
    let free = current.saturating_sub(OTHERS) / 2;
    usize::try_from(free)
        .unwrap_or(MOST_CONNECTIONS)
        .clamp(1, MOST_CONNECTIONS)
}
