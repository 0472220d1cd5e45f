//! The first process of a container that a bundle describes (OCI runtime
//! specification): what it does as values, [`Act`]s, and the process itself,
//! [`Held`], which does them and stops where its maker has work of its own.
//!
//! Beside `step`, which knows one kind of container and starts it as fast as
//! can be, this does whatever a bundle asks for. The process has memory of its
//! own, for its maker is gone long before it executes its program.

mod held;
mod mounting;
mod place;
mod report;
mod rights;
mod take;

use core::ffi::CStr;
use core::fmt;

use rustix::fd::{BorrowedFd, OwnedFd};

use crate::launch::Text;
use crate::namespace::Namespaces;
use crate::seccomp::Instruction;
use crate::step::Shown;

pub use held::{Held, spawn};
pub use mounting::{ID_MAPPED, READ_ONLY, copy_tree, set_attributes};
pub use place::Kind;
pub use report::Report;

/// Attributes of a mount to be set and cleared (man 2 mount_setattr).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Attributes {
    /// `MOUNT_ATTR_*` to set.
    pub set: u64,
    /// `MOUNT_ATTR_*` to clear.
    pub clear: u64,
}

impl Attributes {
    /// Whether there is nothing to change.
    pub fn is_empty(self) -> bool {
        self.set == 0 && self.clear == 0
    }
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source<P> {
    /// A new file system.
    New {
        /// Its type.
        kind: P,
        /// Where it comes from, as the first field of /proc/mounts.
        source: P,
        /// Its own options, separated by commas.
        options: P,
    },
    /// A tree of the host, copied by this process.
    Path {
        /// Where it is.
        path: P,
        /// With the mounts below.
        recursive: bool,
    },
    /// A tree that was copied before: an index into [`Orders::files`].
    Ready(usize),
}

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount<P> {
    /// What is mounted.
    pub source: Source<P>,
    /// Where, absolute in the container.
    pub target: P,
    /// What is made there if there is nothing.
    pub place: Kind,
    /// Whether a symbolic link in the place of the target is an error.
    pub no_link: bool,
    /// Attributes of the mount.
    pub attributes: Attributes,
    /// Attributes of it and all below.
    pub recursive: Attributes,
    /// `MS_SHARED`, `MS_SLAVE`, `MS_PRIVATE` or `MS_UNBINDABLE`, or 0 to leave it.
    pub propagation: u64,
    /// The same for it and all below.
    pub recursive_propagation: u64,
    /// Whether the content of the folder is copied into the new file system.
    pub copy_up: bool,
    /// Whether it may fail: what is then told is nothing.
    pub optional: bool,
}

/// The five sets of capabilities, a bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Capabilities {
    /// What can be gained at all.
    pub bounding: u64,
    /// What counts.
    pub effective: u64,
    /// What may be made to count.
    pub permitted: u64,
    /// What is kept over an exec of a file that inherits it.
    pub inheritable: u64,
    /// What is kept over any exec.
    pub ambient: u64,
}

/// Scheduling of a process (man 2 sched_setattr).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scheduler {
    /// `SCHED_*`.
    pub policy: u32,
    /// `SCHED_FLAG_*`.
    pub flags: u64,
    /// For the ordinary policies.
    pub nice: i32,
    /// For the real-time policies.
    pub priority: u32,
    /// Nanoseconds.
    pub runtime: u64,
    /// Nanoseconds.
    pub deadline: u64,
    /// Nanoseconds.
    pub period: u64,
}

/// One thing that the process does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act<P> {
    /// Moves into further new namespaces.
    Unshare(Namespaces),
    /// Moves into a namespace: an index into [`Orders::files`].
    Join {
        /// Which file.
        file: usize,
        /// Of what kind.
        namespace: Namespaces,
    },
    /// Moves into a control group by its `tasks` file: an index into [`Orders::files`].
    JoinGroup(usize),
    /// Tells its maker how far it is and waits for its word.
    Pause(u32),
    /// Leads a session of its own.
    Session,
    /// Becomes user and group 0 of its user namespace, if there are such.
    BecomeRoot,
    /// Writes a file of the host.
    Write {
        /// Where.
        path: P,
        /// What.
        text: P,
    },
    /// Takes a new session keyring by this name, where the kernel has keyrings.
    Keyring(P),
    /// Brings `lo` up.
    Loopback,
    /// Sets the host name.
    Hostname(P),
    /// Sets the NIS domain name.
    Domainname(P),
    /// Sets how mounts of the whole namespace propagate.
    Propagation(u64),
    /// Makes a tree the future root.
    Root(Source<P>),
    /// Binds the root on itself: there is no mount namespace of its own.
    ForeignRoot(P),
    /// Mounts something within the future root.
    Mount(Mount<P>),
    /// Changes attributes of the mount at a path of the future root.
    Restrict {
        /// Where.
        target: P,
        /// How.
        attributes: Attributes,
    },
    /// Makes a device node, or binds the host's where nodes cannot be made.
    Node {
        /// Where, absolute in the container.
        path: P,
        /// `S_IFCHR`, `S_IFBLK` or `S_IFIFO`.
        kind: u32,
        /// Permission bits.
        mode: u32,
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
        /// Owner.
        uid: u32,
        /// Group.
        gid: u32,
        /// Whether the host's node is bound.
        bind: bool,
    },
    /// Makes a symbolic link, in place of what is there.
    Symlink {
        /// Where, absolute in the container.
        path: P,
        /// What it says.
        target: P,
    },
    /// Makes the future root the root.
    EnterRoot {
        /// By pivot_root(2), which leaves nothing of the host's mounts.
        pivot: bool,
    },
    /// Takes the folder with this index in [`Orders::files`] for the root.
    ChangeRoot(usize),
    /// Sets how the root propagates.
    RootPropagation(u64),
    /// Makes the root read-only.
    SealRoot,
    /// Makes a path read-only, with all below, if it is there.
    ReadOnly(P),
    /// Covers a file with `/dev/null` or a folder with an empty one, if it is there.
    Mask(P),
    /// Makes a terminal and sends its other end over the socket with this index.
    Console {
        /// Index into [`Orders::files`].
        socket: usize,
        /// Columns and rows.
        size: Option<(u16, u16)>,
        /// Whether it is mounted on /dev/console.
        mount: bool,
    },
    /// Gives the standard streams to a user.
    OwnStreams(u32),
    /// Makes a folder, with those above, if it is not there.
    Folder(P),
    /// Changes the folder; a folder that cannot be entered now may be later.
    Enter {
        /// Where.
        path: P,
        /// Whether it is tried again.
        again: bool,
    },
    /// Sets scheduling.
    Schedule(Scheduler),
    /// Sets the priority of input and output (man 2 ioprio_set).
    IoPriority(u32),
    /// Sets the execution domain.
    Personality(u32),
    /// Sets the processors it may use, by [`Orders::processors`].
    Affinity,
    /// Sets a memory policy: mode with flags, and [`Orders::nodes`].
    MemoryPolicy(u32),
    /// Empties the bounding set of what is not in this one.
    Bound(u64),
    /// Becomes the user that runs the program; keeps capabilities until they are set.
    BecomeUser {
        /// User.
        uid: u32,
        /// Group.
        gid: u32,
        /// Whether [`Orders::groups`] become its further groups.
        groups: bool,
        /// File mode mask.
        umask: Option<u32>,
    },
    /// Sets the sets of capabilities but the bounding one.
    Capabilities(Capabilities),
    /// Never gains a privilege by executing a file.
    NoNewPrivileges,
    /// Installs the filter of system calls.
    Filter {
        /// `SECCOMP_FILTER_FLAG_*`.
        flags: u32,
        /// Whether its listener is told to the maker.
        listener: bool,
    },
    /// Closes all but the standard streams and so many more at exec.
    Descriptors(u32),
    /// Looks for the program; told now, its absence is no surprise later.
    Find,
    /// Closes all but what is needed, waits for the word to start on a pipe
    /// of [`Orders::files`], and from then on tells failures on the next one.
    AwaitStart {
        /// Which.
        file: usize,
        /// Descriptors from 3 on that stay open.
        preserved: u32,
    },
    /// Executes the program.
    Execute,
}

/// All that the process needs, made ready before it exists.
#[derive(Debug)]
pub struct Orders<'a, P> {
    /// Existing namespaces that it is born in.
    pub joins: &'a [(BorrowedFd<'a>, Namespaces)],
    /// New namespaces that it is born in.
    pub namespaces: Namespaces,
    /// A cgroup v2 folder that it is born in.
    pub cgroup: Option<BorrowedFd<'a>>,
    /// What it does; the last one executes.
    pub acts: &'a [Act<P>],
    /// Files that acts name by their index.
    pub files: &'a [OwnedFd],
    /// Standard streams, if they are not the maker's own.
    pub stdio: Option<[BorrowedFd<'a>; 3]>,
    /// Further groups of its user.
    pub groups: &'a [u32],
    /// A bit for each processor.
    pub processors: &'a [u64],
    /// A bit for each memory node.
    pub nodes: &'a [u64],
    /// The filter of system calls.
    pub filter: &'a [Instruction],
    /// Paths to execute, the first that exists.
    pub programs: &'a [P],
    /// Arguments; the last is [`Text::END`].
    pub arguments: &'a [Text<'a>],
    /// Environment; the last is [`Text::END`].
    pub environment: &'a [Text<'a>],
}

impl<P: AsRef<CStr>> fmt::Display for Act<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn text<P: AsRef<CStr>>(path: &P) -> Shown<'_> {
            Shown(path.as_ref())
        }
        match self {
            Self::Unshare(_) => write!(f, "making namespaces"),
            Self::Join { .. } => write!(f, "entering a namespace"),
            Self::JoinGroup(_) => write!(f, "entering a control group"),
            Self::Pause(_) => write!(f, "waiting for ounce"),
            Self::Session => write!(f, "starting a session"),
            Self::BecomeRoot => write!(f, "becoming user 0 of the container"),
            Self::Write { path, text: what } => {
                write!(f, "writing {} to {}", text(what), text(path))
            }
            Self::Keyring(_) => write!(f, "making a session keyring"),
            Self::Loopback => write!(f, "bringing up the loopback interface"),
            Self::Hostname(name) => write!(f, "setting the host name {}", text(name)),
            Self::Domainname(name) => write!(f, "setting the domain name {}", text(name)),
            Self::Propagation(_) => write!(f, "setting the propagation of mounts"),
            Self::Root(Source::Path { path, .. }) | Self::ForeignRoot(path) => {
                write!(f, "mounting {} as the root", text(path))
            }
            Self::Root(_) => write!(f, "mounting the root"),
            Self::Mount(mount) => {
                let target = text(&mount.target);
                match &mount.source {
                    Source::New { kind, .. } => write!(f, "mounting {} to {target}", text(kind)),
                    Source::Path { path, .. } => write!(f, "binding {} to {target}", text(path)),
                    Source::Ready(_) => write!(f, "binding to {target}"),
                }
            }
            Self::Restrict { target, .. } => write!(f, "making {} read-only", text(target)),
            Self::Node { path, .. } => write!(f, "making the device {}", text(path)),
            Self::Symlink { path, .. } => write!(f, "making the link {}", text(path)),
            Self::EnterRoot { .. } | Self::ChangeRoot(_) => write!(f, "entering the root"),
            Self::RootPropagation(_) => write!(f, "setting the propagation of the root"),
            Self::SealRoot => write!(f, "making the root read-only"),
            Self::ReadOnly(path) => write!(f, "making {} read-only", text(path)),
            Self::Mask(path) => write!(f, "masking {}", text(path)),
            Self::Console { .. } => write!(f, "making the terminal"),
            Self::OwnStreams(_) => write!(f, "giving the standard streams to the user"),
            Self::Folder(path) => write!(f, "making the folder {}", text(path)),
            Self::Enter { path, .. } => write!(f, "entering the folder {}", text(path)),
            Self::Schedule(_) => write!(f, "setting the scheduler"),
            Self::IoPriority(_) => write!(f, "setting the io priority"),
            Self::Personality(_) => write!(f, "setting the personality"),
            Self::Affinity => write!(f, "setting the processors"),
            Self::MemoryPolicy(_) => write!(f, "setting the memory policy"),
            Self::Bound(_) => write!(f, "bounding the capabilities"),
            Self::BecomeUser { uid, gid, .. } => write!(f, "becoming user {uid}:{gid}"),
            Self::Capabilities(_) => write!(f, "setting the capabilities"),
            Self::NoNewPrivileges => write!(f, "forbidding new privileges"),
            Self::Filter { .. } => write!(f, "installing the system call filter"),
            Self::Descriptors(_) => write!(f, "closing file descriptors"),
            Self::Find => write!(f, "looking for the program"),
            Self::AwaitStart { .. } => write!(f, "waiting for the start"),
            Self::Execute => write!(f, "executing the program"),
        }
    }
}
