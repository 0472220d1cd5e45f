//! The steps a child takes between clone and exec, as values. Taking them is
//! left to `take`.
//!
//! A failure travels as two numbers: which step, and why.

use core::ffi::CStr;
use core::fmt;

use rustix::io::Errno;
use rustix::process::Resource;

use crate::namespace::Namespaces;

/// Where a tree of mounts comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tree<P> {
    /// Copied by the child from this path of the host.
    Path(P),
    /// Copied and restricted by the parent before: an index into [`Launch::trees`](crate::process::Launch::trees).
    Ready(usize),
}

/// One step of the child. Paths within the container are relative to its root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step<P> {
    /// Leaves the next so many steps to a second thread, which takes them at the
    /// same time: making a network namespace takes the kernel as long as all
    /// mounts together.
    Aside(usize),
    /// Waits for the second thread, and goes on with its root.
    Join,
    /// Opens the `tasks` file of a control group of version 1, by its index in
    /// [`Launch::tasks`](crate::process::Launch::tasks), for [`Step::JoinGroup`].
    OpenGroup(usize),
    /// Moves into that group. A thread that moves itself need not wait for all
    /// processors, as its parent would with `cgroup.procs` (5 to 12 ms measured).
    JoinGroup(usize),
    /// Moves into further namespaces.
    Unshare(Namespaces),
    /// Brings `lo` up.
    Loopback,
    /// Lets every user bind ports below 1024 (of this network namespace).
    OpenPorts,
    /// Sets the host name.
    Hostname(P),
    /// Makes a tree of the host the future root, read-only.
    Root(Tree<P>),
    /// Makes an empty tmpfs the future root, to be filled and then sealed.
    EmptyRoot,
    /// Mounts a new procfs, read-only.
    Proc,
    /// Makes a new sysfs, which shows the network namespace of the thread that
    /// makes it, for [`Step::Sys`] to mount.
    NewSys,
    /// Lets the second thread enter the root ([`Step::EnterRoot`] waits for this):
    /// no step of the first thread after this names a path of the host.
    LeaveTree,
    /// Mounts a new sysfs, read-only; left out where the host forbids it.
    Sys,
    /// Waits until the parent has mapped the users and filled the control groups.
    AwaitParent,
    /// Becomes user and group 0 of the user namespace, without further groups.
    BecomeRoot,
    /// Mounts a new tmpfs.
    Tmpfs {
        /// On this folder.
        target: P,
        /// Options of tmpfs(5), `size` and `mode`.
        size: P,
        /// Octal.
        mode: P,
        /// Whether programs in it can be executed.
        executable: bool,
    },
    /// Mounts a new devpts.
    Terminals,
    /// Makes a folder.
    Directory {
        /// Where.
        path: P,
        /// Its permission bits.
        mode: u32,
    },
    /// Makes an empty file, to be covered.
    File(P),
    /// Makes a symbolic link.
    Symlink {
        /// Where.
        path: P,
        /// What it says.
        target: P,
    },
    /// Binds the host's `/dev/NAME`.
    Device(P),
    /// Binds a tree of the host.
    Bind {
        /// From.
        tree: Tree<P>,
        /// Onto this file or folder.
        target: P,
        /// Whether nothing can be written.
        read_only: bool,
    },
    /// Covers a file with `/dev/null` or a folder with an empty one, if it is there.
    Mask(P),
    /// Makes the assembled root read-only.
    Seal,
    /// Makes the future root the root, and lets go of the host's mounts.
    EnterRoot,
    /// Starts a session without a terminal.
    Session,
    /// Makes standard input the controlling terminal.
    ControllingTerminal,
    /// Sets a limit, soft and hard.
    Limit(Resource, u64),
    /// Empties the bounding set of capabilities and takes user 0's privilege away.
    ForbidCapabilities,
    /// Becomes the user that runs the program.
    BecomeUser {
        /// User.
        uid: u32,
        /// Group.
        gid: u32,
        /// Whether the other groups can be, and are, given up.
        clear_groups: bool,
    },
    /// Gives up every capability.
    DropCapabilities,
    /// Changes the folder.
    Enter(P),
    /// Places the standard streams and the passed descriptors; all else closes at exec.
    Descriptors,
    /// Dies when the thread that started it does.
    DieWithParent,
    /// Never gains a privilege by executing a file.
    NoNewPrivileges,
    /// Is cut off from abstract sockets of others, where the kernel can do it.
    Scope,
    /// Hands the starter so many TCP sockets of this network namespace, and the
    /// listener of [`Launch::watch`](crate::process::Launch::watch), which it installs.
    Observe {
        /// At most [`MOST_SOCKETS`](crate::trace::MOST_SOCKETS).
        sockets: usize,
    },
    /// Installs the filter of system calls.
    Filter,
    /// Executes the program.
    Execute,
}

/// Which step failed, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepFailure {
    /// Index into [`Launch::steps`](crate::process::Launch::steps).
    pub step: u32,
    /// The kernel's reason.
    pub errno: Errno,
}

impl StepFailure {
    /// As it is written into a pipe.
    pub(crate) fn to_bytes(self) -> [u8; 8] {
        self.to_word().to_ne_bytes()
    }

    /// Whatever the bytes are, they come from a child of ours.
    pub(crate) fn from_bytes(bytes: [u8; 8]) -> Self {
        Self::from_word(u64::from_ne_bytes(bytes)).unwrap_or(Self {
            step: 0,
            errno: Errno::IO,
        })
    }

    /// Never 0.
    pub(crate) fn to_word(self) -> u64 {
        u64::from(self.step) << 32 | u64::from(self.errno.raw_os_error().cast_unsigned())
    }

    pub(crate) fn from_word(word: u64) -> Option<Self> {
        (word != 0).then(|| Self {
            step: (word >> 32) as u32,
            errno: Errno::from_raw_os_error((word as u32 as i32).clamp(1, 4095)),
        })
    }
}

impl<P: AsRef<CStr>> fmt::Display for Step<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn text<P: AsRef<CStr>>(path: &P) -> Shown<'_> {
            Shown(path.as_ref())
        }
        match self {
            Self::Unshare(namespaces) if namespaces.contains(Namespaces::NETWORK) => {
                write!(f, "making a network namespace")
            }
            Self::Unshare(_) => write!(f, "making namespaces"),
            Self::Aside(_) => write!(f, "starting a second thread"),
            Self::Join => write!(f, "waiting for the second thread"),
            Self::NewSys => write!(f, "making a sysfs"),
            Self::LeaveTree => write!(f, "leaving the host's tree"),
            Self::OpenGroup(_) => write!(f, "opening a control group"),
            Self::JoinGroup(_) => write!(f, "entering a control group"),
            Self::Loopback => write!(f, "bringing up the loopback interface"),
            Self::OpenPorts => write!(f, "allowing ports below 1024"),
            Self::Hostname(name) => write!(f, "setting the host name {}", text(name)),
            Self::Root(Tree::Path(path)) => write!(f, "mounting {} as the root", text(path)),
            Self::Root(Tree::Ready(_)) => write!(f, "mounting the root"),
            Self::EmptyRoot => write!(f, "mounting an empty root"),
            Self::Proc => write!(f, "mounting /proc"),
            Self::Sys => write!(f, "mounting /sys"),
            Self::AwaitParent => write!(f, "waiting for ounce"),
            Self::BecomeRoot => write!(f, "becoming user 0 of the container"),
            Self::Tmpfs { target, .. } => write!(f, "mounting a tmpfs on /{}", text(target)),
            Self::Terminals => write!(f, "mounting /dev/pts"),
            Self::Directory { path, .. } => write!(f, "making the folder /{}", text(path)),
            Self::File(path) => write!(f, "making the file /{}", text(path)),
            Self::Symlink { path, .. } => write!(f, "making the link /{}", text(path)),
            Self::Device(name) => write!(f, "binding /dev/{}", text(name)),
            Self::Bind { tree, target, .. } => match tree {
                Tree::Path(path) => write!(f, "binding {} to /{}", text(path), text(target)),
                Tree::Ready(_) => write!(f, "binding a volume to /{}", text(target)),
            },
            Self::Mask(path) => write!(f, "masking /{}", text(path)),
            Self::Seal => write!(f, "making the root read-only"),
            Self::EnterRoot => write!(f, "entering the root"),
            Self::Session => write!(f, "starting a session"),
            Self::ControllingTerminal => write!(f, "taking the terminal"),
            Self::Limit(resource, _) => write!(f, "setting the limit {resource:?}"),
            Self::ForbidCapabilities => write!(f, "emptying the bounding set of capabilities"),
            Self::BecomeUser { uid, gid, .. } => write!(f, "becoming user {uid}:{gid}"),
            Self::DropCapabilities => write!(f, "dropping capabilities"),
            Self::Enter(path) => write!(f, "entering the folder {}", text(path)),
            Self::Descriptors => write!(f, "placing file descriptors"),
            Self::DieWithParent => write!(f, "tying the container's life to ounce's"),
            Self::NoNewPrivileges => write!(f, "forbidding new privileges"),
            Self::Scope => write!(f, "hiding abstract sockets"),
            Self::Observe { .. } => write!(f, "handing sockets and listener to ounce"),
            Self::Filter => write!(f, "installing the system call filter"),
            Self::Execute => write!(f, "executing the program"),
        }
    }
}

/// A C string as text, whatever its bytes.
pub(crate) struct Shown<'a>(pub(crate) &'a CStr);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.to_bytes().utf8_chunks() {
            f.write_str(chunk.valid())?;
            if !chunk.invalid().is_empty() {
                f.write_str("\u{fffd}")?;
            }
        }
        Ok(())
    }
}
