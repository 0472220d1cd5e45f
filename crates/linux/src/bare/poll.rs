//! Waiting for many descriptors: epoll(7).

use linux_raw_sys::general as raw;

use super::{Fd, call1, call4, call5, number};

/// Something happened to a descriptor, as `struct epoll_event`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
#[cfg_attr(not(target_arch = "x86_64"), repr(align(8)))]
pub struct Event {
    /// What, such as [`OUTPUT`].
    pub flags: u32,
    // Only x86-64 packs the struct.
    #[cfg(not(target_arch = "x86_64"))]
    gap: u32,
    /// What [`watch`] was told to say, both halves.
    pub token: u32,
    /// The second half.
    pub extra: u32,
}

impl Event {
    /// Nothing happened.
    pub const NONE: Self = Self {
        flags: 0,
        #[cfg(not(target_arch = "x86_64"))]
        gap: 0,
        token: 0,
        extra: 0,
    };
}

/// The descriptor takes output.
pub const OUTPUT: u32 = raw::EPOLLOUT;
/// An error is to be fetched.
pub const ERROR: u32 = raw::EPOLLERR;
/// Both ways are closed.
pub const HANGUP: u32 = raw::EPOLLHUP;
/// The peer sends no more.
pub const PEER_DONE: u32 = raw::EPOLLRDHUP;
/// Tells as long as there is input.
pub const WATCH_INPUT: u32 = raw::EPOLLIN;
/// Tells each change once: input, room for output, the peer's end.
pub const WATCH_ALL: u32 = raw::EPOLLIN | raw::EPOLLOUT | raw::EPOLLRDHUP | raw::EPOLLET;

/// What [`watch`] does.
#[derive(Debug, Clone, Copy)]
#[repr(u32)]
pub enum Change {
    /// Begins to watch.
    Add = raw::EPOLL_CTL_ADD,
    /// Watches no more.
    Remove = raw::EPOLL_CTL_DEL,
    /// Watches otherwise, and tells anew what is already there.
    Modify = raw::EPOLL_CTL_MOD,
}

/// epoll_create1(2), closed on exec.
pub fn epoll() -> Fd {
    // SAFETY: no pointer is given.
    unsafe { call1(raw::__NR_epoll_create1, raw::EPOLL_CLOEXEC as usize) as Fd }
}

/// epoll_ctl(2).
#[inline(never)]
pub fn watch(epoll: Fd, change: Change, fd: Fd, flags: u32, token: u32, extra: u32) -> i32 {
    let event = Event {
        flags,
        #[cfg(not(target_arch = "x86_64"))]
        gap: 0,
        token,
        extra,
    };
    // SAFETY: the last argument points to a live epoll_event, which is only read.
    unsafe {
        call4(
            raw::__NR_epoll_ctl,
            number(epoll),
            change as usize,
            number(fd),
            &raw const event as usize,
        ) as i32
    }
}

/// epoll_wait(2): how many of the events were written. -1 ms is for ever.
pub fn wait(epoll: Fd, events: &mut [Event], timeout_ms: i32) -> i32 {
    // SAFETY: the kernel writes at most so many events as the slice has; any
    // bits make an event. There is no mask, and its size is not looked at then.
    unsafe {
        call5(
            raw::__NR_epoll_pwait,
            number(epoll),
            events.as_mut_ptr() as usize,
            events.len(),
            timeout_ms as u32 as usize,
            0,
        ) as i32
    }
}

/// Waits until there is input, the peer's end included, for so many milliseconds;
/// 0 where there is none by then. Of a negative descriptor there never is
/// (ppoll(2)).
#[inline(never)]
pub fn wait_input(fd: Fd, timeout_ms: u32) -> i32 {
    let mut poll = raw::pollfd {
        fd,
        events: raw::POLLIN as i16,
        revents: 0,
    };
    let patience = raw::__kernel_timespec {
        tv_sec: (timeout_ms / 1_000).into(),
        tv_nsec: (timeout_ms % 1_000 * 1_000_000).into(),
    };
    // SAFETY: as in `is_writable`.
    unsafe {
        call4(
            raw::__NR_ppoll,
            &raw mut poll as usize,
            1,
            &raw const patience as usize,
            0,
        ) as i32
    }
}

/// Whether a descriptor takes output at once (ppoll(2)).
pub fn is_writable(fd: Fd) -> bool {
    let mut poll = raw::pollfd {
        fd,
        events: raw::POLLOUT as i16,
        revents: 0,
    };
    let now = raw::__kernel_timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: one live pollfd is read and written, one live timespec is read;
    // there is no mask, and its size is not looked at then.
    let found = unsafe {
        call4(
            raw::__NR_ppoll,
            &raw mut poll as usize,
            1,
            &raw const now as usize,
            0,
        )
    };
    found > 0 && poll.revents as u32 & raw::POLLOUT != 0
}
