//! Taking the steps. Nothing here allocates, locks, or uses thread-local
//! storage: the child shares the memory of a parent that runs on.

use core::ffi::{CStr, c_void};
use core::ops::Range;
use core::ptr;
use core::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use rustix::fd::{AsFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, mkdirat, mknodat, openat, symlinkat, unlinkat,
};
use rustix::io::{Errno, read, write};
use rustix::process::{Rlimit, Signal};
use rustix::thread::{Gid, Uid};

use crate::clone::{self, Stack};
use crate::descriptor::{close_on_exec_from, duplicate, place};
use crate::launch::{Launch, MOST_PASSED, execute};
use crate::mount::{self, Attributes};
use crate::namespace::{self, Namespaces, loopback_up, unshare};
use crate::step::{Step, StepFailure, Tree};
use crate::{capability, seccomp};

/// Takes all steps; returns only when one fails.
pub(crate) fn run<P: AsRef<CStr>>(
    launch: &Launch<'_, P>,
    go: BorrowedFd<'_>,
    side_stack: &Stack,
) -> StepFailure {
    let side = Side::new(launch, go);
    let failure = take_all(launch, go, &side, side_stack);
    // It uses this function's frame.
    clone::wait(&side.running);
    failure
}

fn take_all<P: AsRef<CStr>>(
    launch: &Launch<'_, P>,
    go: BorrowedFd<'_>,
    side: &Side<'_, P>,
    side_stack: &Stack,
) -> StepFailure {
    let mut state = State::new(launch, go);
    let mut index = 0;
    while let Some(step) = launch.steps.get(index) {
        let taken = match step {
            Step::Aside(count) => {
                let first = index + 1;
                index += *count;
                side.start(first..first + *count, side_stack)
            }
            Step::JoinNetwork => match side.join() {
                Ok(network) => namespace::enter(network.as_fd(), Namespaces::NETWORK),
                Err(failure) => return failure,
            },
            step => state.take(step),
        };
        if let Err(errno) = taken {
            let step = index as u32;
            return StepFailure { step, errno };
        }
        index += 1;
    }
    // The list did not end with `Execute`.
    StepFailure {
        step: index.saturating_sub(1) as u32,
        errno: Errno::NOEXEC,
    }
}

/// What a second thread is to do, and what came of it.
struct Side<'a, P> {
    launch: &'a Launch<'a, P>,
    go: BorrowedFd<'a>,
    first: AtomicUsize,
    end: AtomicUsize,
    /// Its network namespace, once it has ended.
    network: AtomicI32,
    /// A [`StepFailure`] as bytes, or 0.
    failure: AtomicU64,
    running: AtomicU32,
}

impl<'a, P: AsRef<CStr>> Side<'a, P> {
    fn new(launch: &'a Launch<'a, P>, go: BorrowedFd<'a>) -> Self {
        Self {
            launch,
            go,
            first: AtomicUsize::new(0),
            end: AtomicUsize::new(0),
            network: AtomicI32::new(-1),
            failure: AtomicU64::new(0),
            running: AtomicU32::new(0),
        }
    }

    fn start(&self, steps: Range<usize>, stack: &Stack) -> Result<(), Errno> {
        // One stack, one thread.
        if self.end.load(Ordering::Relaxed) != 0 {
            return Err(Errno::BUSY);
        }
        self.first.store(steps.start, Ordering::Relaxed);
        self.end.store(steps.end, Ordering::Relaxed);
        let data = ptr::from_ref(self).cast::<c_void>();
        // SAFETY: `side_main` takes a `Side<P>` and ends its thread itself; `run`
        // waits for that before this value goes, and its parent keeps the stack
        // until this process is gone or has executed, which ends all threads.
        unsafe { clone::thread(stack, side_main::<P>, data, &self.running) }
    }

    /// Waits for the thread, and gives its network namespace.
    fn join(&self) -> Result<OwnedFd, StepFailure> {
        clone::wait(&self.running);
        let failure = self.failure.load(Ordering::Acquire);
        if failure != 0 {
            return Err(StepFailure::from_bytes(failure.to_ne_bytes()));
        }
        let network = self.network.swap(-1, Ordering::AcqRel);
        if network < 0 {
            // Nothing was started aside: the plan is wrong.
            let step = self.end.load(Ordering::Relaxed) as u32;
            return Err(StepFailure {
                step,
                errno: Errno::BADF,
            });
        }
        // SAFETY: the thread gave its descriptor away, in a table that both share.
        Ok(unsafe { OwnedFd::from_raw_fd(network) })
    }

    fn work(&self) -> Result<OwnedFd, StepFailure> {
        let mut state = State::new(self.launch, self.go);
        let steps = self.first.load(Ordering::Relaxed)..self.end.load(Ordering::Relaxed);
        let last = steps.end.saturating_sub(1) as u32;
        for index in steps {
            let step = self.launch.steps.get(index).ok_or(Errno::NOEXEC);
            step.and_then(|step| state.take(step))
                .map_err(|errno| StepFailure {
                    step: index as u32,
                    errno,
                })?;
        }
        namespace::network_file().map_err(|errno| StepFailure { step: last, errno })
    }
}

extern "C" fn side_main<P: AsRef<CStr>>(side: *const c_void) -> ! {
    // SAFETY: `Side::start` passes its own address, which outlives this thread.
    let side = unsafe { &*side.cast::<Side<'_, P>>() };
    match side.work() {
        Ok(network) => side.network.store(network.into_raw_fd(), Ordering::Release),
        Err(failure) => side
            .failure
            .store(u64::from_ne_bytes(failure.to_bytes()), Ordering::Release),
    }
    clone::exit_thread()
}

struct State<'a, P> {
    launch: &'a Launch<'a, P>,
    go: BorrowedFd<'a>,
    root: Option<OwnedFd>,
    /// The host's `/dev` and the container's, while devices are bound.
    devices: Option<(OwnedFd, OwnedFd)>,
}

const MOUNT_READ_ONLY: Attributes = Attributes {
    read_only: true,
    no_exec: true,
    devices: false,
};

/// Read-only keeps mode and times of the host's node; the device itself can be
/// written all the same.
const DEVICE: Attributes = Attributes {
    read_only: true,
    no_exec: true,
    devices: true,
};

/// A folder that something is made in.
enum Parent<'a> {
    Own(OwnedFd),
    Open(BorrowedFd<'a>),
}

impl AsFd for Parent<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Own(file) => file.as_fd(),
            Self::Open(file) => *file,
        }
    }
}

impl<'a, P: AsRef<CStr>> State<'a, P> {
    fn new(launch: &'a Launch<'a, P>, go: BorrowedFd<'a>) -> Self {
        Self {
            launch,
            go,
            root: None,
            devices: None,
        }
    }

    fn take(&mut self, step: &Step<P>) -> Result<(), Errno> {
        match step {
            // `take_all` takes these; within a side thread they make no sense.
            Step::Aside(_) | Step::JoinNetwork => Err(Errno::INVAL),
            Step::JoinGroup(index) => {
                let path = self.launch.tasks.get(*index).ok_or(Errno::BADF)?;
                let file = openat(
                    CWD,
                    path.as_ref(),
                    OFlags::WRONLY | OFlags::CLOEXEC,
                    Mode::empty(),
                )?;
                write(&file, b"0").map(drop)
            }
            Step::Unshare(namespaces) => unshare(*namespaces),
            Step::Loopback => loopback_up(),
            Step::OpenPorts => {
                let file = openat(
                    CWD,
                    c"/proc/sys/net/ipv4/ip_unprivileged_port_start",
                    OFlags::WRONLY | OFlags::CLOEXEC,
                    Mode::empty(),
                )?;
                write(&file, b"0").map(drop)
            }
            Step::Hostname(name) => rustix::system::sethostname(name.as_ref().to_bytes()),
            Step::Root(tree) => {
                let attributes = Attributes {
                    read_only: true,
                    ..Attributes::default()
                };
                let tree = self.tree(tree, attributes)?;
                mount::attach_over_root(tree.as_fd())?;
                self.root = Some(tree);
                Ok(())
            }
            Step::EmptyRoot => {
                let options = [(c"size", c"1m"), (c"mode", c"755")];
                let tree = mount::create(c"tmpfs", &options, Attributes::default())?;
                mount::attach_over_root(tree.as_fd())?;
                self.root = Some(tree);
                Ok(())
            }
            Step::Proc => {
                let tree = mount::create(c"proc", &[], MOUNT_READ_ONLY)?;
                self.cover(tree.as_fd(), c"proc", OFlags::DIRECTORY)
            }
            Step::Sys => match mount::create(c"sysfs", &[], MOUNT_READ_ONLY) {
                Ok(tree) => self.cover(tree.as_fd(), c"sys", OFlags::DIRECTORY),
                Err(Errno::PERM) => Ok(()),
                Err(errno) => Err(errno),
            },
            Step::AwaitParent => {
                let mut byte = [0];
                match read(self.go, &mut byte)? {
                    0 => Err(Errno::PIPE),
                    _ => Ok(()),
                }
            }
            Step::BecomeRoot => become_user(0, 0, true),
            Step::Tmpfs {
                target,
                size,
                mode,
                executable,
            } => {
                let options = [(c"size", size.as_ref()), (c"mode", mode.as_ref())];
                let attributes = Attributes {
                    no_exec: !executable,
                    ..Attributes::default()
                };
                let tree = mount::create(c"tmpfs", &options, attributes)?;
                self.cover(tree.as_fd(), target.as_ref(), OFlags::DIRECTORY)
            }
            Step::Terminals => {
                let options = [(c"ptmxmode", c"0666"), (c"mode", c"0620")];
                let attributes = Attributes {
                    no_exec: true,
                    devices: true,
                    read_only: false,
                };
                let tree = mount::create(c"devpts", &options, attributes)?;
                self.cover(tree.as_fd(), c"dev/pts", OFlags::DIRECTORY)
            }
            Step::Directory { path, mode } => {
                // mkdirat obeys the umask; only /dev/shm and /tmp want more than 0755.
                let (parent, name) = self.parent(path.as_ref())?;
                mkdirat(parent.as_fd(), name, Mode::from_raw_mode(*mode))?;
                if mode & 0o022 != 0 {
                    rustix::fs::chmodat(
                        parent.as_fd(),
                        name,
                        Mode::from_raw_mode(*mode),
                        AtFlags::empty(),
                    )?;
                }
                Ok(())
            }
            Step::File(path) => {
                let (parent, name) = self.parent(path.as_ref())?;
                mknodat(
                    parent.as_fd(),
                    name,
                    FileType::RegularFile,
                    Mode::from_raw_mode(0o644),
                    0,
                )
            }
            Step::Symlink { path, target } => {
                let (parent, name) = self.parent(path.as_ref())?;
                symlinkat(target.as_ref(), parent.as_fd(), name)
            }
            Step::Device(name) => self.device(name.as_ref()),
            Step::Bind {
                tree,
                target,
                read_only,
            } => {
                let attributes = Attributes {
                    read_only: *read_only,
                    ..Attributes::default()
                };
                let tree = self.tree(tree, attributes)?;
                self.cover(tree.as_fd(), target.as_ref(), OFlags::empty())
            }
            Step::Mask(path) => self.mask(path.as_ref()),
            Step::Seal => mount::restrict(
                self.root()?,
                Attributes {
                    read_only: true,
                    ..Attributes::default()
                },
                false,
            ),
            Step::EnterRoot => {
                self.devices = None;
                let root = self.root.take().ok_or(Errno::INVAL)?;
                mount::enter(root.as_fd())
            }
            Step::Session => rustix::process::setsid().map(drop),
            Step::ControllingTerminal => rustix::process::ioctl_tiocsctty(self.launch.stdio[0]),
            Step::Limit(resource, value) => rustix::process::setrlimit(
                *resource,
                Rlimit {
                    current: Some(*value),
                    maximum: Some(*value),
                },
            ),
            Step::ForbidCapabilities => capability::forbid_all(),
            Step::BecomeUser {
                uid,
                gid,
                clear_groups,
            } => become_user(*uid, *gid, *clear_groups),
            Step::DropCapabilities => capability::drop_all(),
            Step::Enter(path) => rustix::process::chdir(path.as_ref()),
            Step::Descriptors => self.descriptors(),
            Step::DieWithParent => {
                rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
                self.parent_lives()
            }
            Step::NoNewPrivileges => rustix::thread::set_no_new_privs(true),
            Step::Filter => seccomp::install(self.launch.filter),
            Step::Execute => Err(self.execute()),
        }
    }

    /// A parent that died before the death signal was set sends none; its end
    /// of the pipe tells.
    fn parent_lives(&self) -> Result<(), Errno> {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let mut files = [PollFd::from_borrowed_fd(self.go, PollFlags::empty())];
        poll(&mut files, Some(&Timespec::default()))?;
        if files[0].revents().contains(PollFlags::HUP) {
            return Err(Errno::PIPE);
        }
        Ok(())
    }

    fn root(&self) -> Result<BorrowedFd<'_>, Errno> {
        self.root.as_ref().map(AsFd::as_fd).ok_or(Errno::INVAL)
    }

    fn tree(&self, tree: &Tree<P>, attributes: Attributes) -> Result<OwnedFd, Errno> {
        match tree {
            Tree::Path(path) => {
                let tree = mount::copy(CWD, path.as_ref(), true)?;
                mount::restrict(tree.as_fd(), attributes, true)?;
                Ok(tree)
            }
            Tree::Ready(index) => {
                let tree = self.launch.trees.get(*index).ok_or(Errno::BADF)?;
                rustix::io::fcntl_dupfd_cloexec(tree, 3)
            }
        }
    }

    fn cover(&self, tree: BorrowedFd<'_>, target: &CStr, more: OFlags) -> Result<(), Errno> {
        let place = mount::inside(self.root()?, target, more)?;
        mount::attach(tree, place.as_fd())
    }

    /// The folder that `path` lies in, and its last part.
    fn parent<'p>(&self, path: &'p CStr) -> Result<(Parent<'_>, &'p CStr), Errno> {
        let bytes = path.to_bytes_with_nul();
        if let (Some((_, own)), Some(name)) = (&self.devices, bytes.strip_prefix(b"dev/"))
            && !name.contains(&b'/')
        {
            let name = CStr::from_bytes_with_nul(name).map_err(|_| Errno::INVAL)?;
            return Ok((Parent::Open(own.as_fd()), name));
        }
        let Some(slash) = bytes.iter().rposition(|byte| *byte == b'/') else {
            let root = mount::inside(self.root()?, c".", OFlags::DIRECTORY)?;
            return Ok((Parent::Own(root), path));
        };
        let mut folder = [0; 256];
        folder
            .get_mut(..slash)
            .ok_or(Errno::NAMETOOLONG)?
            .copy_from_slice(&bytes[..slash]);
        let folder = CStr::from_bytes_until_nul(&folder).map_err(|_| Errno::NAMETOOLONG)?;
        let name = CStr::from_bytes_with_nul(&bytes[slash + 1..]).map_err(|_| Errno::INVAL)?;
        Ok((
            Parent::Own(mount::inside(self.root()?, folder, OFlags::DIRECTORY)?),
            name,
        ))
    }

    fn device(&mut self, name: &CStr) -> Result<(), Errno> {
        if self.devices.is_none() {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let host = openat(CWD, c"/dev", flags, Mode::empty())?;
            let own = mount::inside(self.root()?, c"dev", OFlags::DIRECTORY)?;
            self.devices = Some((host, own));
        }
        let (host, own) = self.devices.as_ref().ok_or(Errno::BADF)?;
        let node = mount::copy(host.as_fd(), name, false)?;
        mount::restrict(node.as_fd(), DEVICE, false)?;
        let mode = Mode::from_raw_mode(0o666);
        mknodat(own.as_fd(), name, FileType::RegularFile, mode, 0)?;
        // By name: this tmpfs holds only what was just made, so no link.
        mount::attach_at(node.as_fd(), own.as_fd(), name)
    }

    fn mask(&self, path: &CStr) -> Result<(), Errno> {
        let place = match mount::inside(self.root()?, path, OFlags::NOFOLLOW) {
            Ok(place) => place,
            Err(Errno::NOENT | Errno::ACCESS) => return Ok(()),
            Err(errno) => return Err(errno),
        };
        let (_, own) = self.devices.as_ref().ok_or(Errno::BADF)?;
        // A copy that is closed without having been attached costs a wait for
        // all processors, so the kind is asked for before.
        let kind = FileType::from_raw_mode(rustix::fs::fstat(&place)?.st_mode);
        if kind != FileType::Directory {
            // The container's own, with its restrictions.
            let null = mount::copy(own.as_fd(), c"null", false)?;
            return mount::attach(null.as_fd(), place.as_fd());
        }
        // A folder that is removed while it is bound elsewhere stays there,
        // empty for ever, since nothing can be made in it.
        mkdirat(own.as_fd(), c".mask", Mode::from_raw_mode(0o555))?;
        let empty = mount::copy(own.as_fd(), c".mask", false)?;
        mount::restrict(empty.as_fd(), MOUNT_READ_ONLY, false)?;
        mount::attach(empty.as_fd(), place.as_fd())?;
        unlinkat(own.as_fd(), c".mask", AtFlags::REMOVEDIR)
    }

    fn descriptors(&self) -> Result<(), Errno> {
        let passed = self.launch.passed;
        let first_free = 3 + passed.len();
        // All sources move out of the way before any is placed: a source may
        // have the number that another is to get. The pipes stay usable too.
        let mut copies = [-1; MOST_PASSED + 3];
        let sources = self.launch.stdio.iter().chain(passed);
        for (copy, source) in copies.iter_mut().zip(sources) {
            *copy = duplicate(*source, first_free.max(64))?;
        }
        for (number, copy) in copies.iter().take(first_free).enumerate() {
            // SAFETY: this is the child's own table; the pipes lie above
            // all of them (see `child_main`), and no other descriptor is used again.
            unsafe { place(*copy, number as i32) }?;
        }
        close_on_exec_from(first_free)
    }

    fn execute(&self) -> Errno {
        let mut reason = Errno::NOENT;
        for program in self.launch.programs {
            let program = program.as_ref();
            // /proc/self/exe is ounce itself here: a path through such a link
            // would execute the host's program in the container (CVE-2019-5736).
            let found = mount::plain(program);
            let errno = match found {
                Ok(_) => execute(program, self.launch.arguments, self.launch.environment),
                Err(errno) => errno,
            };
            if errno != Errno::NOENT && errno != Errno::NOTDIR {
                reason = errno;
                // As a shell does: a file that may not be executed does not
                // end the search along PATH, all else does.
                if errno != Errno::ACCESS {
                    return errno;
                }
            }
        }
        reason
    }
}

fn become_user(uid: u32, gid: u32, clear_groups: bool) -> Result<(), Errno> {
    // Groups first: they cannot be changed any more afterwards.
    if clear_groups {
        rustix::thread::set_thread_groups(&[])?;
    }
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    rustix::thread::set_thread_res_gid(gid, gid, gid)?;
    rustix::thread::set_thread_res_uid(uid, uid, uid)
}
