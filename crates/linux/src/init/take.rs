//! Doing the acts, in a process that was just forked. Nothing here allocates:
//! it also runs where a thread of the maker held the allocator's lock.

use core::ffi::CStr;
use core::mem::ManuallyDrop;

use linux_raw_sys::general as raw;
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::fs::{
    Access, AtFlags, CWD, FileType, Gid, Mode, OFlags, Uid, accessat, chmodat, chownat, fchown,
    fstat, makedev, mknodat, openat, statat, symlinkat, unlinkat,
};
use rustix::io::{Errno, read, write};

use super::mounting::{self, READ_ONLY, set_attributes};
use super::place::{self, Kind};
use super::report::{LISTENER, REACHED, record};
use super::rights::{
    affinity, become_root, bound, capabilities, io_priority, join_keyring, memory_policy,
    personality, schedule, set_groups,
};
use super::{Act, Attributes, Mount, Orders, Source};
use crate::descriptor::{close_on_exec_from, place as put};
use crate::launch::execute;
use crate::namespace::{self, loopback_up, unshare};
use crate::step::StepFailure;
use crate::syscall::call;
use crate::{mount, seccomp};

/// Does all acts; comes back with the first failure and where to tell it.
pub(super) fn run<'a, P: AsRef<CStr>>(
    orders: &'a Orders<'a, P>,
    channel: BorrowedFd<'a>,
) -> Option<(BorrowedFd<'a>, StepFailure)> {
    // Never dropped: `await_start` closes what it owns, and the process ends
    // without coming back.
    let mut state = ManuallyDrop::new(State {
        orders,
        channel,
        report: channel,
        root: None,
        console: None,
        mask: None,
        entered: false,
        found: None,
    });
    for (index, act) in orders.acts.iter().enumerate() {
        if let Err(errno) = state.take(act) {
            let step = index as u32;
            return Some((state.report, StepFailure { step, errno }));
        }
    }
    None
}

struct State<'a, P> {
    orders: &'a Orders<'a, P>,
    channel: BorrowedFd<'a>,
    report: BorrowedFd<'a>,
    root: Option<OwnedFd>,
    /// The program's end of its terminal.
    console: Option<OwnedFd>,
    /// A mount of an empty folder, to be copied.
    mask: Option<OwnedFd>,
    entered: bool,
    found: Option<usize>,
}

impl<'a, P: AsRef<CStr>> State<'a, P> {
    fn take(&mut self, act: &Act<P>) -> Result<(), Errno> {
        match act {
            Act::Unshare(namespaces) => unshare(*namespaces),
            Act::Join { file, namespace } => namespace::enter(self.file(*file)?, *namespace),
            // A thread that moves itself need not wait for all processors.
            Act::JoinGroup(file) => write(self.file(*file)?, b"0").map(drop),
            Act::Pause(number) => self.tell(record(*number, REACHED)),
            Act::Session => match rustix::process::setsid() {
                // It leads one already.
                Ok(_) | Err(Errno::PERM) => Ok(()),
                Err(errno) => Err(errno),
            },
            Act::BecomeRoot => become_root(),
            Act::Write { path, text } => write_file(path.as_ref(), text.as_ref().to_bytes()),
            Act::Keyring(name) => join_keyring(name.as_ref()),
            Act::Loopback => loopback_up(),
            Act::Hostname(name) => rustix::system::sethostname(name.as_ref().to_bytes()),
            Act::Domainname(name) => rustix::system::setdomainname(name.as_ref().to_bytes()),
            Act::Propagation(flags) => {
                mounting::old_mount(c"", c"/", c"", *flags | u64::from(raw::MS_REC), c"")
            }
            Act::Root(source) => self.place_root(source),
            Act::ForeignRoot(path) => {
                let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
                let place = openat(CWD, path.as_ref(), flags, Mode::empty())?;
                // On itself, and apart from the host's: one unmount takes all
                // away that is mounted in it.
                let tree = mounting::copy_tree(path.as_ref(), true)?;
                let private = u64::from(raw::MS_PRIVATE);
                set_attributes(tree.as_fd(), Attributes::default(), private, None, true)?;
                mount::attach(tree.as_fd(), place.as_fd())?;
                self.root = Some(tree);
                Ok(())
            }
            Act::Mount(mount) => match self.mount(mount) {
                Err(_) if mount.optional => Ok(()),
                other => other,
            },
            Act::Restrict { target, attributes } => {
                let place = mount::inside(self.root()?, target.as_ref(), OFlags::empty())?;
                set_attributes(place.as_fd(), *attributes, 0, None, false)
            }
            Act::Node {
                path,
                kind,
                mode,
                major,
                minor,
                uid,
                gid,
                bind,
            } => {
                if *bind {
                    return self.bind_node(path.as_ref());
                }
                let device = makedev(*major, *minor);
                self.node(path.as_ref(), *kind, *mode, device, *uid, *gid)
            }
            Act::Symlink { path, target } => {
                let (folder, name) = place::parent(self.root()?, path.as_ref())?;
                match symlinkat(target.as_ref(), &folder, name) {
                    // What the image has there stays, as with runc and crun.
                    Err(Errno::EXIST) => Ok(()),
                    other => other,
                }
            }
            Act::EnterRoot { pivot } => {
                self.mask = None;
                let root = self.root()?;
                if *pivot {
                    pivot_into(root)
                } else {
                    rustix::process::fchdir(root)?;
                    rustix::process::chroot(c".")?;
                    rustix::process::chdir(c"/")
                }
            }
            Act::ChangeRoot(file) => {
                rustix::process::fchdir(self.file(*file)?)?;
                rustix::process::chroot(c".")?;
                rustix::process::chdir(c"/")
            }
            Act::RootPropagation(flags) => mounting::old_mount(c"", c"/", c"", *flags, c""),
            Act::SealRoot => {
                let attributes = Attributes {
                    set: READ_ONLY,
                    clear: 0,
                };
                set_attributes(self.root()?, attributes, 0, None, false)
            }
            Act::ReadOnly(path) => self.read_only(path.as_ref()),
            Act::Mask(path) => self.mask(path.as_ref()),
            Act::Console {
                socket,
                size,
                mount,
            } => self.make_console(*socket, *size, *mount),
            Act::OwnStreams(uid) => self.own_streams(*uid),
            Act::Folder(path) => place::make(self.root()?, path.as_ref(), Kind::Folder).map(drop),
            Act::Enter { path, again } => self.enter(path.as_ref(), *again),
            Act::Schedule(scheduler) => schedule(scheduler),
            Act::IoPriority(value) => io_priority(*value),
            Act::Personality(domain) => personality(*domain),
            Act::Affinity => affinity(self.orders.processors),
            Act::MemoryPolicy(mode) => memory_policy(*mode, self.orders.nodes),
            Act::Bound(set) => bound(*set),
            Act::BecomeUser {
                uid,
                gid,
                groups,
                umask,
            } => self.become_user(*uid, *gid, *groups, *umask),
            Act::Capabilities(set) => capabilities(set),
            Act::NoNewPrivileges => rustix::thread::set_no_new_privs(true),
            Act::Filter { flags, listener } => self.filter(*flags, *listener),
            Act::Descriptors(preserved) => self.descriptors(*preserved),
            Act::Find => self.find(),
            Act::AwaitStart { file, preserved } => self.await_start(*file, *preserved),
            Act::Execute => Err(self.execute()),
        }
    }

    fn file(&self, index: usize) -> Result<BorrowedFd<'a>, Errno> {
        self.orders
            .files
            .get(index)
            .map(AsFd::as_fd)
            .ok_or(Errno::BADF)
    }

    fn root(&self) -> Result<BorrowedFd<'_>, Errno> {
        self.root.as_ref().map(AsFd::as_fd).ok_or(Errno::INVAL)
    }

    fn tell(&self, record: [u8; 8]) -> Result<(), Errno> {
        write(self.channel, &record)?;
        await_byte(self.channel)
    }

    fn place_root(&mut self, source: &Source<P>) -> Result<(), Errno> {
        let tree = mounting::tree(source, Attributes::default(), self.orders.files)?;
        // Where the host's mounts are still shared with it, this one is not.
        let slave = u64::from(raw::MS_SLAVE);
        set_attributes(tree.as_fd(), Attributes::default(), slave, None, true)?;
        mount::attach_over_root(tree.as_fd())?;
        self.root = Some(tree);
        Ok(())
    }

    fn mount(&self, mount: &Mount<P>) -> Result<(), Errno> {
        let root = self.root()?;
        let target = mount.target.as_ref();
        let place = match mount.no_link {
            // Made where it is not there, but never through a link.
            true => match place::plain(root, target) {
                Err(Errno::NOENT) => place::make(root, target, mount.place)?,
                other => other?,
            },
            false => place::make(root, target, mount.place)?,
        };
        let tree = match mounting::tree(&mount.source, mount.attributes, self.orders.files) {
            // An option is longer than the new interface takes.
            Err(Errno::TOOBIG) => return self.mount_by_name(mount, place.as_fd()),
            other => other?,
        };
        mounting::finish(tree.as_fd(), mount)?;
        if mount.copy_up {
            mounting::copy_up(place.as_fd(), tree.as_fd())?;
        }
        mount::attach(tree.as_fd(), place.as_fd())
    }

    fn mount_by_name(&self, mount: &Mount<P>, place: BorrowedFd<'_>) -> Result<(), Errno> {
        let Source::New {
            kind,
            source,
            options,
        } = &mount.source
        else {
            return Err(Errno::TOOBIG);
        };
        let mut name = *b"/proc/self/fd/\0\0\0\0\0\0\0\0\0\0\0";
        let mut digits = [0; 10];
        let mut number = place.as_raw_fd().unsigned_abs();
        let mut first = digits.len();
        while number > 0 || first == digits.len() {
            first -= 1;
            digits[first] = b'0' + (number % 10) as u8;
            number /= 10;
        }
        for (to, from) in name[14..].iter_mut().zip(&digits[first..]) {
            *to = *from;
        }
        let name = CStr::from_bytes_until_nul(&name).map_err(|_| Errno::INVAL)?;
        let set = mount.attributes.set;
        let mut flags = set & 0xf;
        for (attribute, flag) in [
            (raw::MOUNT_ATTR_NOATIME, raw::MS_NOATIME),
            (raw::MOUNT_ATTR_STRICTATIME, raw::MS_STRICTATIME),
            (raw::MOUNT_ATTR_NODIRATIME, raw::MS_NODIRATIME),
        ] {
            if set & u64::from(attribute) != 0 {
                flags |= u64::from(flag);
            }
        }
        let (kind, source) = (kind.as_ref(), source.as_ref());
        mounting::old_mount(source, name, kind, flags, options.as_ref())
    }

    fn node(
        &self,
        path: &CStr,
        kind: u32,
        mode: u32,
        device: u64,
        uid: u32,
        gid: u32,
    ) -> Result<(), Errno> {
        let (folder, name) = place::parent(self.root()?, path)?;
        let kind = FileType::from_raw_mode(kind);
        let mode = Mode::from_raw_mode(mode & 0o7777);
        if let Ok(there) = statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            let same = FileType::from_raw_mode(there.st_mode) == kind
                && (kind == FileType::Fifo || there.st_rdev == device);
            if !same {
                unlinkat(&folder, name, AtFlags::empty())?;
            }
        }
        match mknodat(&folder, name, kind, mode, device) {
            Err(Errno::EXIST) | Ok(()) => {}
            Err(errno) => return Err(errno),
        }
        // The umask had its part in the mode.
        chmodat(&folder, name, mode, AtFlags::empty())?;
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        chownat(
            &folder,
            name,
            Some(uid),
            Some(gid),
            AtFlags::SYMLINK_NOFOLLOW,
        )
    }

    /// Binds the host's node of the same path.
    fn bind_node(&self, path: &CStr) -> Result<(), Errno> {
        let tree = mount::copy(CWD, path, false)?;
        let place = place::make(self.root()?, path, Kind::File)?;
        mount::attach(tree.as_fd(), place.as_fd())
    }

    fn read_only(&self, path: &CStr) -> Result<(), Errno> {
        let place = match mount::inside(self.root()?, path, OFlags::empty()) {
            Ok(place) => place,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
            Err(errno) => return Err(errno),
        };
        let tree = mount::copy(place.as_fd(), c"", true)?;
        let attributes = Attributes {
            set: READ_ONLY,
            clear: 0,
        };
        set_attributes(tree.as_fd(), attributes, 0, None, true)?;
        mount::attach(tree.as_fd(), place.as_fd())
    }

    fn mask(&mut self, path: &CStr) -> Result<(), Errno> {
        let place = match mount::inside(self.root()?, path, OFlags::empty()) {
            Ok(place) => place,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::ACCESS) => return Ok(()),
            Err(errno) => return Err(errno),
        };
        let kind = FileType::from_raw_mode(fstat(&place)?.st_mode);
        if kind != FileType::Directory {
            // The host's: what the container has there may be anything.
            let null = mount::copy(CWD, c"/dev/null", false)?;
            return mount::attach(null.as_fd(), place.as_fd());
        }
        if let Some(mask) = &self.mask {
            let copy = mount::copy(mask.as_fd(), c"", false)?;
            return mount::attach(copy.as_fd(), place.as_fd());
        }
        let options = [(c"size", c"0"), (c"nr_inodes", c"2"), (c"mode", c"755")];
        let attributes = mount::Attributes {
            read_only: true,
            no_exec: true,
            devices: false,
        };
        let empty = mount::create(c"tmpfs", &options, attributes)?;
        mount::attach(empty.as_fd(), place.as_fd())?;
        self.mask = Some(mount::inside(self.root()?, path, OFlags::empty())?);
        Ok(())
    }

    fn make_console(
        &mut self,
        socket: usize,
        size: Option<(u16, u16)>,
        on_console: bool,
    ) -> Result<(), Errno> {
        use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, unlockpt};
        use rustix::termios::{Winsize, tcsetwinsize};
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let master = openat(CWD, c"/dev/ptmx", flags, Mode::empty())?;
        let status = fstat(&master)?;
        // An image can have anything by that name.
        if FileType::from_raw_mode(status.st_mode) != FileType::CharacterDevice
            || status.st_rdev != makedev(5, 2)
        {
            return Err(Errno::NOTTY);
        }
        unlockpt(&master)?;
        let slave = ioctl_tiocgptpeer(
            &master,
            OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC,
        )?;
        if let Some((columns, rows)) = size {
            let size = Winsize {
                ws_col: columns,
                ws_row: rows,
                ws_xpixel: 0,
                ws_ypixel: 0,
            };
            tcsetwinsize(&master, size)?;
        }
        send_file(self.file(socket)?, b"/dev/ptmx", master.as_fd())?;
        if on_console {
            let tree = mount::copy(slave.as_fd(), c"", false)?;
            let root = openat(
                CWD,
                c"/",
                OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
                Mode::empty(),
            )?;
            let place = place::make(root.as_fd(), c"/dev/console", Kind::File)?;
            mount::attach(tree.as_fd(), place.as_fd())?;
        }
        rustix::process::ioctl_tiocsctty(&slave)?;
        self.console = Some(slave);
        Ok(())
    }

    fn own_streams(&self, uid: u32) -> Result<(), Errno> {
        let uid = Uid::from_raw(uid);
        if let Some(console) = &self.console {
            return own(console.as_fd(), uid);
        }
        for stream in self.streams() {
            own(stream, uid)?;
        }
        Ok(())
    }

    fn streams(&self) -> [BorrowedFd<'a>; 3] {
        self.orders.stdio.unwrap_or(
            // SAFETY: only looked at; what is not open ends in an error.
            [0, 1, 2].map(|number| unsafe { BorrowedFd::borrow_raw(number) }),
        )
    }

    fn enter(&mut self, path: &CStr, again: bool) -> Result<(), Errno> {
        if self.entered {
            return Ok(());
        }
        match rustix::process::chdir(path) {
            Ok(()) => {}
            // The user may be allowed what user 0 of the namespace is not.
            Err(Errno::ACCESS) if !again => return Ok(()),
            Err(errno) => return Err(errno),
        }
        // A folder of the host, reached through a descriptor that leaked, is
        // told by the kernel as out of reach (CVE-2024-21626).
        let mut buffer = [0u8; 4096];
        // SAFETY: the kernel writes at most as many bytes as it is told there are.
        let length = unsafe {
            call(
                raw::__NR_getcwd,
                [buffer.as_mut_ptr() as usize, buffer.len(), 0, 0, 0, 0],
            )
        };
        match length {
            Ok(_) if buffer.first() != Some(&b'/') => return Err(Errno::NOENT),
            Ok(_) | Err(Errno::RANGE) => {}
            Err(errno) => return Err(errno),
        }
        self.entered = true;
        Ok(())
    }

    fn become_user(
        &self,
        uid: u32,
        gid: u32,
        groups: bool,
        umask: Option<u32>,
    ) -> Result<(), Errno> {
        rustix::thread::set_keep_capabilities(true)?;
        if groups {
            set_groups(self.orders.groups)?;
        }
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        rustix::thread::set_thread_res_gid(gid, gid, gid)?;
        rustix::thread::set_thread_res_uid(uid, uid, uid)?;
        if let Some(umask) = umask {
            rustix::process::umask(Mode::from_raw_mode(umask & 0o777));
        }
        Ok(())
    }

    fn filter(&self, flags: u32, listener: bool) -> Result<(), Errno> {
        let file = seccomp::install_with(self.orders.filter, flags)?;
        if listener {
            self.tell(record(file as u32, LISTENER))?;
            // SAFETY: made by the kernel for us; nothing else uses it.
            unsafe { rustix::io::close(file as i32) };
        }
        Ok(())
    }

    fn descriptors(&self, preserved: u32) -> Result<(), Errno> {
        let sources = match &self.console {
            Some(console) => Some([console.as_fd(); 3]),
            None => self.orders.stdio,
        };
        if let Some(sources) = sources {
            // Out of each other's way first.
            let mut copies = [-1; 3];
            for (copy, source) in copies.iter_mut().zip(sources) {
                *copy = crate::descriptor::duplicate(source, 3)?;
            }
            for (number, copy) in copies.into_iter().enumerate() {
                // SAFETY: the process's own table; its standard streams are used by nothing here.
                unsafe { put(copy, number as i32) }?;
            }
        }
        close_on_exec_from(3 + preserved as usize)
    }

    fn find(&mut self) -> Result<(), Errno> {
        let mut reason = Errno::NOENT;
        for (index, program) in self.orders.programs.iter().enumerate() {
            match executable(program.as_ref()) {
                Ok(()) => {
                    self.found = Some(index);
                    return Ok(());
                }
                Err(Errno::NOENT | Errno::NOTDIR) => {}
                Err(errno) => reason = errno,
            }
        }
        Err(reason)
    }

    fn await_start(&mut self, index: usize, preserved: u32) -> Result<(), Errno> {
        let (start, report) = (self.file(index)?, self.file(index + 1)?);
        self.report = report;
        // It may wait for days: nothing of its maker stays open meanwhile.
        let mut kept = [start.as_raw_fd(), report.as_raw_fd()];
        kept.sort_unstable();
        let mut first = 3 + preserved;
        for last in kept.map(i32::cast_unsigned).into_iter().chain([u32::MAX]) {
            // SAFETY: the process's own table; what it uses from here on are
            // the two that are kept, its standard streams and what it preserves.
            unsafe { close_range(first, last.wrapping_sub(u32::from(last != u32::MAX))) }?;
            first = last.wrapping_add(1);
        }
        await_byte(start)
    }

    fn execute(&self) -> Errno {
        let programs = match self.found {
            Some(index) => self.orders.programs.get(index..=index).unwrap_or_default(),
            None => self.orders.programs,
        };
        // Nothing but the call itself: the filter may allow no other any more.
        let mut reason = Errno::NOENT;
        for program in programs {
            let program = program.as_ref();
            let errno = execute(program, self.orders.arguments, self.orders.environment);
            if errno != Errno::NOENT && errno != Errno::NOTDIR {
                reason = errno;
                if errno != Errno::ACCESS {
                    return errno;
                }
            }
        }
        reason
    }
}

/// As [`mount::enter`], where the host's mounts may still be shared with it:
/// what is let go of here stays mounted there.
fn pivot_into(root: BorrowedFd<'_>) -> Result<(), Errno> {
    use rustix::mount::{UnmountFlags, unmount};
    rustix::process::fchdir(root)?;
    // The old root then lies on top and is taken off (man 2 pivot_root).
    rustix::process::pivot_root(c".", c".")?;
    let apart = u64::from(raw::MS_SLAVE | raw::MS_REC);
    mounting::old_mount(c"", c".", c"", apart, c"")?;
    unmount(c".", UnmountFlags::DETACH)?;
    rustix::process::chdir(c"/")
}

/// Closes a range of descriptors, both ends included; an empty one is nothing.
///
/// # Safety
/// Nothing that is used afterwards is in it.
unsafe fn close_range(first: u32, last: u32) -> Result<(), Errno> {
    if first > last {
        return Ok(());
    }
    // SAFETY: our caller's promise.
    unsafe {
        call(
            raw::__NR_close_range,
            [first as usize, last as usize, 0, 0, 0, 0],
        )
    }
    .map(drop)
}

fn await_byte(file: BorrowedFd<'_>) -> Result<(), Errno> {
    let mut byte = [0];
    loop {
        match read(file, &mut byte) {
            Ok(0) => return Err(Errno::PIPE),
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

fn write_file(path: &CStr, text: &[u8]) -> Result<(), Errno> {
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    let file = openat(CWD, path, flags, Mode::empty())?;
    match write(&file, text)? {
        count if count == text.len() => Ok(()),
        _ => Err(Errno::IO),
    }
}

/// Whether the calling user can execute what is there. /proc/self/exe is ounce
/// itself here: a path through such a link would execute the host's program in
/// the container (CVE-2019-5736).
fn executable(program: &CStr) -> Result<(), Errno> {
    let file = mount::plain(program)?;
    if FileType::from_raw_mode(fstat(&file)?.st_mode) != FileType::RegularFile {
        return Err(Errno::ACCESS);
    }
    accessat(CWD, program, Access::EXEC_OK, AtFlags::EACCESS)
}

fn own(stream: BorrowedFd<'_>, uid: Uid) -> Result<(), Errno> {
    let status = match fstat(stream) {
        Ok(status) => status,
        Err(Errno::BADF) => return Ok(()),
        Err(errno) => return Err(errno),
    };
    let is_null = FileType::from_raw_mode(status.st_mode) == FileType::CharacterDevice
        && status.st_rdev == makedev(1, 3);
    if status.st_uid == uid.as_raw() || is_null {
        return Ok(());
    }
    match fchown(stream, Some(uid), None) {
        // A user that the namespace has not, a read-only disk, a socket.
        Ok(()) | Err(Errno::INVAL | Errno::PERM | Errno::ROFS) => Ok(()),
        Err(errno) => Err(errno),
    }
}

fn send_file(socket: BorrowedFd<'_>, text: &[u8], file: BorrowedFd<'_>) -> Result<(), Errno> {
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
    let mut space = [core::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let files = [file];
    if !control.push(SendAncillaryMessage::ScmRights(&files)) {
        return Err(Errno::NOBUFS);
    }
    let text = [rustix::io::IoSlice::new(text)];
    sendmsg(socket, &text, &mut control, SendFlags::NOSIGNAL).map(drop)
}
