//! Taking the steps. Nothing here allocates, locks, or uses thread-local
//! storage: the child shares the memory of a parent that runs on.

use core::ffi::CStr;
use core::ptr;
use core::sync::atomic::Ordering;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, mkdirat, mknodat, openat, statat, symlinkat, unlinkat,
};
use rustix::io::{Errno, write};
use rustix::process::{Rlimit, Signal};
use rustix::thread::{Gid, Uid};

use crate::clone;
use crate::descriptor::{close_on_exec_from, duplicate, place};
use crate::launch::{Launch, MOST_PASSED, execute};
use crate::mount::{self, Attributes};
use crate::namespace::{loopback_up, unshare};
use crate::nest::{Shared, side_main};
use crate::step::{Step, StepFailure, Tree};
use crate::{capability, landlock, seccomp, trace};

/// Takes a step that names no path and nothing of a launch.
pub(crate) fn first<P>(step: &Step<P>, shared: &Shared) -> Result<(), Errno> {
    match step {
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
        Step::NewSys => {
            match mount::create(c"sysfs", &[], MOUNT_READ_ONLY) {
                Ok(sys) => shared.left.sys.put(sys),
                Err(Errno::PERM) => {}
                Err(errno) => return Err(errno),
            }
            Ok(())
        }
        Step::LeaveTree => {
            shared.free.set();
            Ok(())
        }
        Step::DieWithParent => {
            rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
            parent_lives(shared)
        }
        _ => Err(Errno::INVAL),
    }
}

/// A parent that died before the death signal was set sends none; its end
/// of the pipe tells.
fn parent_lives(shared: &Shared) -> Result<(), Errno> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    // SAFETY: `process` has put it there; nothing closes it before exec.
    let life = unsafe { shared.life() };
    let mut files = [PollFd::from_borrowed_fd(life, PollFlags::empty())];
    poll(&mut files, Some(&Timespec::default()))?;
    if files[0].revents().contains(PollFlags::HUP) {
        return Err(Errno::PIPE);
    }
    Ok(())
}

/// Takes all steps but the first ones, which are taken; returns only when one fails.
pub(crate) fn run<P: AsRef<CStr>>(
    launch: &Launch<'_, P>,
    taken: usize,
    shared: &Shared,
) -> StepFailure {
    let mut state = State::new(launch, shared);
    let alone = shared.alone.load(Ordering::Relaxed);
    let mut index = taken;
    if alone && let Err(errno) = receive(shared) {
        let step = index as u32;
        return StepFailure { step, errno };
    }
    while let Some(step) = launch.steps.get(index) {
        let here = index as u32;
        let taken = match step {
            Step::Aside(_) | Step::Join if alone => Ok(()),
            Step::Aside(count) => {
                index += *count;
                second_thread(shared)
            }
            Step::Join => {
                wait_for_second(shared);
                let failure = shared.side_failure.load(Ordering::Acquire);
                if let Some(failure) = StepFailure::from_word(failure) {
                    return failure;
                }
                state.take_over()
            }
            step => state.take(step),
        };
        if let Err(errno) = taken {
            return StepFailure { step: here, errno };
        }
        index += 1;
    }
    // The list did not end with `Execute`.
    StepFailure {
        step: index.saturating_sub(1) as u32,
        errno: Errno::NOEXEC,
    }
}

/// Takes in what the parent has sent, to a child that was begun before.
fn receive(shared: &Shared) -> Result<(), Errno> {
    if shared.steps.is_empty() {
        return Ok(());
    }
    // SAFETY: `process` has put it there; nothing closes it before exec.
    shared.files.receive(unsafe { shared.life() })
}

/// Has a second thread, which takes the steps aside; one may be there already.
fn second_thread(shared: &Shared) -> Result<(), Errno> {
    if !shared.steps.is_empty() {
        return Ok(());
    }
    let data = ptr::from_ref(shared).cast();
    let (stack, running) = (shared.side_stack(), &shared.side_running);
    // SAFETY: `side_main` ends its thread itself and uses no thread-local
    // storage; the stack and `shared` lie in the nest.
    unsafe { clone::thread(stack, side_main, data, running) }
}

fn wait_for_second(shared: &Shared) {
    clone::wait(&shared.side_running, 1);
}

/// Takes the steps aside, if there are any.
pub(crate) fn aside<P: AsRef<CStr>>(launch: &Launch<'_, P>, shared: &Shared) {
    let mut steps = launch.steps.iter().enumerate();
    let Some((at, count)) = steps.find_map(|(at, step)| match step {
        Step::Aside(count) => Some((at, *count)),
        _ => None,
    }) else {
        return;
    };
    let mut state = State::new(launch, shared);
    let fail = |index: usize, errno| {
        let step = index as u32;
        let failure = StepFailure { step, errno };
        shared
            .side_failure
            .store(failure.to_word(), Ordering::Release);
    };
    if let Err(errno) = receive(shared) {
        return fail(at, errno);
    }
    for index in at + 1..=at + count {
        let step = launch.steps.get(index).ok_or(Errno::NOEXEC);
        if let Err(errno) = step.and_then(|step| state.take(step)) {
            return fail(index, errno);
        }
    }
    state.leave();
}

/// In the container's `/dev`, while masks are made.
const MASK: &CStr = c".mask";
const FOLDER: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

struct State<'a, P> {
    launch: &'a Launch<'a, P>,
    shared: &'a Shared,
    root: Option<OwnedFd>,
    /// The container's `/proc`, while files of it are masked.
    proc: Option<OwnedFd>,
    /// The host's `/dev`, while devices are bound.
    host_devices: Option<OwnedFd>,
    /// The container's.
    devices: Option<OwnedFd>,
    /// An empty folder, for masks to be copied from.
    empty: Option<OwnedFd>,
    /// What was found at the first programs' paths, before a filter that may
    /// forbid to look: nothing yet, a file, or an error.
    programs: [Option<Result<(), Errno>>; 16],
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
    fn new(launch: &'a Launch<'a, P>, shared: &'a Shared) -> Self {
        Self {
            launch,
            shared,
            root: None,
            proc: None,
            host_devices: None,
            devices: None,
            empty: None,
            programs: [None; 16],
        }
    }

    /// Leaves what the first thread goes on with.
    fn leave(self) {
        let left = &self.shared.left;
        let files = [
            (self.root, &left.root),
            (self.devices, &left.devices),
            (self.empty, &left.empty),
        ];
        for (file, place) in files {
            if let Some(file) = file {
                place.put(file);
            }
        }
    }

    /// Takes over what the second thread has left.
    fn take_over(&mut self) -> Result<(), Errno> {
        let left = &self.shared.left;
        self.root = left.root.take();
        self.devices = left.devices.take();
        self.empty = left.empty.take();
        Ok(())
    }

    fn take(&mut self, step: &Step<P>) -> Result<(), Errno> {
        match step {
            // `run` takes these; within a second thread they make no sense.
            Step::Aside(_) | Step::Join => Err(Errno::INVAL),
            Step::DieWithParent
            | Step::Unshare(_)
            | Step::Loopback
            | Step::OpenPorts
            | Step::NewSys
            | Step::LeaveTree => first(step, self.shared),
            Step::OpenGroup(index) => {
                let path = self.launch.tasks.get(*index).ok_or(Errno::BADF)?;
                let file = openat(
                    CWD,
                    path.as_ref(),
                    OFlags::WRONLY | OFlags::CLOEXEC,
                    Mode::empty(),
                )?;
                let place = self.shared.left.tasks.get(*index).ok_or(Errno::BADF)?;
                place.put(file);
                Ok(())
            }
            Step::JoinGroup(index) => {
                let place = self.shared.left.tasks.get(*index).ok_or(Errno::BADF)?;
                let file = place.take().ok_or(Errno::BADF)?;
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
                self.cover(tree.as_fd(), c"proc", OFlags::DIRECTORY)?;
                self.proc = Some(tree);
                Ok(())
            }
            Step::Sys => {
                self.shared.free.wait();
                if self.shared.left.sys.is_empty() {
                    first(&Step::<P>::NewSys, self.shared)?;
                }
                match self.shared.left.sys.take() {
                    Some(tree) => self.cover(tree.as_fd(), c"sys", OFlags::DIRECTORY),
                    None => Ok(()),
                }
            }
            Step::AwaitParent => {
                self.shared.go.wait();
                Ok(())
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
                self.keep_or_end_masks()?;
                // They need the host's /proc, and a sysfs in sight for a new one.
                self.shared.free.wait();
                mount::enter(self.root()?)
            }
            Step::Session => rustix::process::setsid().map(drop),
            Step::ControllingTerminal => {
                let input = match self.shared.files.get(0) {
                    // SAFETY: `Step::Descriptors` has placed it there, and
                    // nothing closes it before exec.
                    Some(_) => unsafe { BorrowedFd::borrow_raw(0) },
                    None => self.launch.stdio[0],
                };
                rustix::process::ioctl_tiocsctty(input)
            }
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
            } => {
                self.end_masks()?;
                become_user(*uid, *gid, *clear_groups)
            }
            Step::DropCapabilities => capability::drop_all(),
            // Not by name: a link of /proc could lead through a descriptor of
            // ours to a folder of the host (CVE-2024-21626).
            Step::Enter(path) => rustix::process::fchdir(mount::plain(path.as_ref())?),
            Step::Descriptors => self.descriptors(),
            Step::NoNewPrivileges => rustix::thread::set_no_new_privs(true),
            Step::Scope => landlock::scope().map(drop),
            Step::Observe { sockets } => {
                self.find_programs();
                // SAFETY: `process` has put it there; nothing closes it before exec.
                let life = unsafe { self.shared.life() };
                trace::hand_over(life, *sockets, self.launch.watch)
            }
            Step::Filter => {
                self.find_programs();
                seccomp::install(self.launch.filter)
            }
            Step::Execute => Err(self.execute()),
        }
    }

    /// Looks at the programs' paths, once, while no filter forbids it or tells of it.
    fn find_programs(&mut self) {
        for (found, program) in self.programs.iter_mut().zip(self.launch.programs) {
            found.get_or_insert_with(|| mount::plain(program.as_ref()).map(drop));
        }
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
                let before = self.launch.stdio.len() + self.launch.passed.len();
                let tree = self
                    .shared
                    .files
                    .get(before + index)
                    .unwrap_or(tree.as_fd());
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
        if let (Some(own), Some(name)) = (&self.devices, bytes.strip_prefix(b"dev/"))
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
        if self.host_devices.is_none() {
            self.host_devices = Some(openat(CWD, c"/dev", FOLDER, Mode::empty())?);
            self.devices = Some(mount::inside(self.root()?, c"dev", OFlags::DIRECTORY)?);
        }
        let host = self.host_devices.as_ref().ok_or(Errno::BADF)?;
        let own = self.devices.as_ref().ok_or(Errno::BADF)?;
        let node = mount::copy(host.as_fd(), name, false)?;
        mount::restrict(node.as_fd(), DEVICE, false)?;
        let mode = Mode::from_raw_mode(0o666);
        mknodat(own.as_fd(), name, FileType::RegularFile, mode, 0)?;
        // By name: this tmpfs holds only what was just made, so no link.
        mount::attach_at(node.as_fd(), own.as_fd(), name)
    }

    fn mask(&mut self, path: &CStr) -> Result<(), Errno> {
        let name = path.to_bytes_with_nul().strip_prefix(b"proc/");
        if let (Some(proc), Some(name)) = (&self.proc, name)
            && !name.contains(&b'/')
        {
            // The kernel's own folder, made a moment ago: nobody has put a link there.
            let name = CStr::from_bytes_with_nul(name).map_err(|_| Errno::INVAL)?;
            let stat = match statat(proc, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => stat,
                Err(Errno::NOENT | Errno::ACCESS) => return Ok(()),
                Err(errno) => return Err(errno),
            };
            let cover = self.cover_for(stat.st_mode)?;
            let proc = self.proc.as_ref().ok_or(Errno::BADF)?;
            return mount::attach_at(cover.as_fd(), proc.as_fd(), name);
        }
        let place = match mount::inside(self.root()?, path, OFlags::NOFOLLOW) {
            Ok(place) => place,
            Err(Errno::NOENT | Errno::ACCESS) => return Ok(()),
            Err(errno) => return Err(errno),
        };
        let mode = rustix::fs::fstat(&place)?.st_mode;
        let cover = self.cover_for(mode)?;
        mount::attach(cover.as_fd(), place.as_fd())
    }

    /// Something empty to lie over a file or a folder of this mode. A copy that
    /// is closed without having been attached costs a wait for all processors,
    /// so what is to be covered is looked at before.
    fn cover_for(&mut self, mode: u32) -> Result<OwnedFd, Errno> {
        let own = self.devices.as_ref().ok_or(Errno::BADF)?;
        if FileType::from_raw_mode(mode) != FileType::Directory {
            // The container's own, with its restrictions.
            return mount::copy(own.as_fd(), c"null", false);
        }
        let empty = empty_folder(own, &mut self.empty)?;
        let cover = mount::copy(empty.as_fd(), c"", false)?;
        mount::restrict(cover.as_fd(), MOUNT_READ_ONLY, false)?;
        Ok(cover)
    }

    /// Has the folder that masks are copied from for those that are laid after
    /// the root was entered, or none if there are none: a thread that is no user
    /// of the namespace could not make it.
    fn keep_or_end_masks(&mut self) -> Result<(), Errno> {
        let mut steps = self.launch.steps.iter();
        let entered = steps.find(|step| matches!(step, Step::EnterRoot));
        if entered.is_some() && steps.any(|step| matches!(step, Step::Mask(_))) {
            let own = self.devices.as_ref().ok_or(Errno::BADF)?;
            return empty_folder(own, &mut self.empty).map(drop);
        }
        self.end_masks()
    }

    /// Removes that folder. Where it is bound it stays, empty for ever, since
    /// nothing can be made in it.
    fn end_masks(&mut self) -> Result<(), Errno> {
        match (self.empty.take(), &self.devices) {
            (Some(_), Some(own)) => unlinkat(own, MASK, AtFlags::REMOVEDIR),
            _ => Ok(()),
        }
    }

    fn descriptors(&self) -> Result<(), Errno> {
        let passed = self.launch.passed;
        let first_free = 3 + passed.len();
        // All sources move out of the way before any is placed: a source may
        // have the number that another is to get. The pipes stay usable too.
        let mut copies = [-1; MOST_PASSED + 3];
        let sources = self.launch.stdio.iter().chain(passed);
        for (index, (copy, source)) in copies.iter_mut().zip(sources).enumerate() {
            let source = self.shared.files.get(index).unwrap_or(*source);
            *copy = duplicate(source, first_free.max(64))?;
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
        for (index, program) in self.launch.programs.iter().enumerate() {
            let program = program.as_ref();
            // /proc/self/exe is ounce itself here: a path through such a link
            // would execute the host's program in the container (CVE-2019-5736).
            let found = self.programs.get(index).copied().flatten();
            let errno = match found.unwrap_or_else(|| mount::plain(program).map(drop)) {
                Ok(()) => execute(program, self.launch.arguments, self.launch.environment),
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

fn empty_folder<'a>(
    devices: &OwnedFd,
    empty: &'a mut Option<OwnedFd>,
) -> Result<&'a OwnedFd, Errno> {
    match empty {
        Some(empty) => Ok(empty),
        None => {
            mkdirat(devices, MASK, Mode::from_raw_mode(0o555))?;
            Ok(empty.insert(openat(devices, MASK, FOLDER, Mode::empty())?))
        }
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
