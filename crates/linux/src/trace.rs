//! Watching a program's system calls by seccomp's user notification: the
//! calling thread waits in the kernel until the watcher lets it go on
//! (man 2 seccomp_unotify). What the calls mean is left to `run::trial`.
//!
//! Chosen over ptrace: the filter is inherited by every child and thread
//! without a race, a call that is not asked for costs nothing, signals stay
//! what they are, and a call whose watcher is gone fails with ENOSYS instead of
//! passing unseen. The watcher reads the arguments while the caller waits; another
//! thread of the same program could change them in between, so this records what
//! friendly programs do and guards against none.

use core::mem::{MaybeUninit, size_of};

use linux_raw_sys::general as raw;
use rustix::cmsg_space;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use rustix::io::{Errno, IoSliceMut};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketFlags, SocketType,
    recvmsg, socket_with,
};

use crate::nest::Files;
use crate::seccomp::{Instruction, install_with};
use crate::syscall::call;

/// Most sockets that are handed over.
pub const MOST_SOCKETS: usize = 64;

// linux/seccomp.h
const NEW_LISTENER: u32 = 1 << 3;
/// Linux 5.19: once received, the wait is broken off by a fatal signal only; else
/// a handled signal would have the same call told twice.
const WAIT_KILLABLE: u32 = 1 << 5;
const CONTINUE: u32 = 1;
/// Linux 6.6: caller and watcher are run by the same processor in turn.
const SYNC_WAKE_UP: u64 = 1;

// _IOWR('!', 0, struct seccomp_notif), _IOWR('!', 1, struct seccomp_notif_resp),
// _IOW('!', 2, __u64), _IOW('!', 4, __u64)
const RECEIVE: u32 = 0xc050_2100;
const SEND: u32 = 0xc018_2101;
const IS_VALID: u32 = 0x4008_2102;
const SET_FLAGS: u32 = 0x4008_2104;

/// What a child handed over.
#[derive(Debug)]
pub struct Observed {
    /// TCP sockets of its network namespace, neither bound nor connected.
    pub sockets: [Option<OwnedFd>; MOST_SOCKETS],
    /// Where its calls are told, if it is watched.
    pub listener: Option<OwnedFd>,
}

/// A call that waits (`struct seccomp_notif`).
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Notification {
    /// Names it to the listener.
    pub id: u64,
    /// The calling thread, in the process namespace of who receives.
    pub thread: i32,
    flags: u32,
    /// The call's number.
    pub number: u32,
    architecture: u32,
    instruction: u64,
    /// Its arguments.
    pub arguments: [u64; 6],
}

#[repr(C)]
struct Response {
    id: u64,
    value: i64,
    error: i32,
    flags: u32,
}

/// Makes the sockets, installs the filter and sends them all through `life`.
pub(crate) fn hand_over(
    life: BorrowedFd<'_>,
    sockets: usize,
    watch: &[Instruction],
) -> Result<(), Errno> {
    let mut files: [Option<OwnedFd>; MOST_SOCKETS + 1] = [const { None }; MOST_SOCKETS + 1];
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    for place in files.iter_mut().take(sockets.min(MOST_SOCKETS)) {
        *place = Some(socket_with(
            AddressFamily::INET,
            SocketType::STREAM,
            flags,
            None,
        )?);
    }
    if !watch.is_empty() {
        let number = match install_with(watch, NEW_LISTENER | WAIT_KILLABLE) {
            Err(Errno::INVAL) => install_with(watch, NEW_LISTENER),
            result => result,
        }?;
        // SAFETY: a descriptor that the kernel has just made for this process.
        files[MOST_SOCKETS] = Some(unsafe { OwnedFd::from_raw_fd(number as i32) });
    }
    // From here on calls are told; sendmsg and close have to be among those that are not.
    Files::send(life, files.iter().flatten().map(AsFd::as_fd))
}

/// Takes in what the child hands over; nothing if it ends first.
pub(crate) fn receive_over(
    life: BorrowedFd<'_>,
    child: BorrowedFd<'_>,
    sockets: usize,
    watched: bool,
) -> Result<Option<Observed>, Errno> {
    let mut watching = [
        PollFd::from_borrowed_fd(life, PollFlags::IN),
        PollFd::from_borrowed_fd(child, PollFlags::IN),
    ];
    loop {
        match poll(&mut watching, None) {
            Err(Errno::INTR) => continue,
            Err(errno) => return Err(errno),
            Ok(_) => {}
        }
        if watching[0].revents().contains(PollFlags::IN) {
            break;
        }
        if !watching[1].revents().is_empty() || !watching[0].revents().is_empty() {
            return Ok(None);
        }
    }
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MOST_SOCKETS + 1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let mut bytes = [IoSliceMut::new(&mut byte)];
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    recvmsg(life, &mut bytes, &mut ancillary, flags)?;
    let mut observed = Observed {
        sockets: [const { None }; MOST_SOCKETS],
        listener: None,
    };
    let mut places = observed.sockets.iter_mut().take(sockets);
    let files = ancillary.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(files) => Some(files),
        _ => None,
    });
    for file in files.flatten() {
        match places.next() {
            Some(place) => *place = Some(file),
            None => observed.listener = Some(file),
        }
    }
    if watched && observed.listener.is_none() {
        return Err(Errno::PROTO);
    }
    Ok(Some(observed))
}

/// An ioctl whose argument is a structure of `T`.
fn control<T>(listener: BorrowedFd<'_>, request: u32, data: &mut T) -> Result<(), Errno> {
    // SAFETY: each request of this module is passed the structure that its
    // number was made of, which the kernel reads and fills and does not keep.
    unsafe {
        call(
            raw::__NR_ioctl,
            [
                listener.as_raw_fd() as usize,
                request as usize,
                core::ptr::from_mut(data) as usize,
                0,
                0,
                0,
            ],
        )
    }
    .map(drop)
}

/// Has caller and watcher take turns, where the kernel can: half the time a call.
pub fn take_turns(listener: BorrowedFd<'_>) -> Result<(), Errno> {
    let number = listener.as_raw_fd() as usize;
    let arguments = [number, SET_FLAGS as usize, SYNC_WAKE_UP as usize, 0, 0, 0];
    // SAFETY: this request's argument is a plain number.
    unsafe { call(raw::__NR_ioctl, arguments) }.map(drop)
}

/// Waits for the next call.
///
/// # Errors
/// ENOENT where the caller was killed meanwhile: nothing was lost, ask again.
/// EINTR. Poll the listener first to learn that nobody is left (POLLHUP).
pub fn receive(listener: BorrowedFd<'_>) -> Result<Notification, Errno> {
    const { assert!(size_of::<Notification>() == 80) };
    // The kernel wants it zeroed.
    let mut notification = Notification::default();
    control(listener, RECEIVE, &mut notification)?;
    Ok(notification)
}

/// Lets the call go on as it was made.
///
/// # Errors
/// ENOENT where the caller was killed or interrupted meanwhile.
pub fn go_on(listener: BorrowedFd<'_>, id: u64) -> Result<(), Errno> {
    let mut response = Response {
        id,
        value: 0,
        error: 0,
        flags: CONTINUE,
    };
    control(listener, SEND, &mut response)
}

/// Has the call fail without being made.
///
/// # Errors
/// As [`go_on`].
pub fn refuse(listener: BorrowedFd<'_>, id: u64, errno: Errno) -> Result<(), Errno> {
    let mut response = Response {
        id,
        value: 0,
        error: -errno.raw_os_error(),
        flags: 0,
    };
    control(listener, SEND, &mut response)
}

/// Whether the caller still waits: what was read of it before was its own.
pub fn still_waits(listener: BorrowedFd<'_>, id: u64) -> bool {
    let mut id = id;
    control(listener, IS_VALID, &mut id).is_ok()
}

/// Reads memory of another process (man 2 process_vm_readv); how many bytes
/// came, fewer than asked for where the rest is not mapped.
///
/// # Errors
/// EFAULT where nothing is mapped there, EPERM, ESRCH.
pub fn read_memory(thread: i32, address: u64, into: &mut [u8]) -> Result<usize, Errno> {
    #[repr(C)]
    struct Span {
        base: usize,
        length: usize,
    }
    let local = Span {
        base: into.as_mut_ptr() as usize,
        length: into.len(),
    };
    let remote = Span {
        base: address as usize,
        length: into.len(),
    };
    // SAFETY: one span each, laid out as struct iovec; the local one is `into`,
    // which the kernel writes at most whole, and the remote one is another's.
    unsafe {
        call(
            raw::__NR_process_vm_readv,
            [
                thread as usize,
                &raw const local as usize,
                1,
                &raw const remote as usize,
                1,
                0,
            ],
        )
    }
}

/// Microseconds of processor that a child of ours and those it has waited for
/// have used, once it has ended; it still can be waited for afterwards.
///
/// # Errors
/// ECHILD where it is none of ours, or was waited for.
pub fn processor_micros(child: BorrowedFd<'_>) -> Result<u64, Errno> {
    // <linux/wait.h>, <linux/resource.h>
    const P_PIDFD: usize = 3;
    let mut information = [0u64; 16];
    let mut usage = [0i64; 18];
    let flags = (raw::WEXITED | raw::WNOWAIT) as usize;
    // SAFETY: the kernel fills a siginfo_t of 128 bytes and a struct rusage of
    // 144 bytes (two times and fourteen longs), which both are.
    unsafe {
        call(
            raw::__NR_waitid,
            [
                P_PIDFD,
                child.as_raw_fd() as usize,
                information.as_mut_ptr() as usize,
                flags,
                usage.as_mut_ptr() as usize,
                0,
            ],
        )
    }?;
    let micros = (usage[0] + usage[2]) * 1_000_000 + usage[1] + usage[3];
    Ok(micros.unsigned_abs())
}
