//! Signals, clocks, and who the process is.

use linux_raw_sys::general as raw;
use rustix::fd::BorrowedFd;

use super::{Fd, call1, call2, call4, call5, number};
use crate::launch::{Text, execute_file};

/// A clock's seconds.
#[derive(Debug, Clone, Copy)]
pub enum Clock {
    /// Since 1970.
    Real = raw::CLOCK_REALTIME as isize,
    /// Since some start; never goes back.
    Steady = raw::CLOCK_MONOTONIC as isize,
}

/// SIGCHLD.
pub const CHILD_CHANGED: u32 = 17;

const fn bit(signal: u32) -> u64 {
    1 << (signal - 1)
}

/// Blocks SIGTERM, SIGINT, SIGCHLD and SIGPIPE, and opens a descriptor for the
/// first three (signalfd(2)), so that no handler ever runs.
pub fn signals() -> Fd {
    const WATCHED: u64 = bit(raw::SIGTERM) | bit(raw::SIGINT) | bit(raw::SIGCHLD);
    const BLOCKED: u64 = WATCHED | bit(raw::SIGPIPE);
    /// SFD_NONBLOCK and SFD_CLOEXEC, which are open(2)'s.
    const FLAGS: usize = (raw::O_NONBLOCK | raw::O_CLOEXEC) as usize;
    const BYTES: usize = size_of::<u64>();
    let (watched, blocked) = (WATCHED, BLOCKED);
    // SAFETY: both calls read one live 64-bit set, whose size is given; no
    // former set is asked for.
    unsafe {
        call4(
            raw::__NR_rt_sigprocmask,
            raw::SIG_BLOCK as usize,
            &raw const blocked as usize,
            0,
            BYTES,
        );
        call4(
            raw::__NR_signalfd4,
            usize::MAX,
            &raw const watched as usize,
            BYTES,
            FLAGS,
        ) as Fd
    }
}

/// Takes the next signal off what [`signals`] opened; 0 where there is none.
/// `scratch` takes the kernel's record of 128 bytes.
pub fn take_signal(fd: Fd, scratch: &mut [u8]) -> u32 {
    if super::read(fd, scratch) < 4 {
        return 0;
    }
    scratch
        .first_chunk()
        .map_or(0, |bytes| u32::from_ne_bytes(*bytes))
}

/// Waits for all children that have ended: as PID 1 a process inherits orphans.
#[inline(never)]
pub fn reap() {
    // SAFETY: neither a status nor a usage is asked for.
    while unsafe { call4(raw::__NR_wait4, usize::MAX, 0, raw::WNOHANG as usize, 0) } > 0 {}
}

/// Starts a program that is open as a child (fork(2), execveat(2)), which is
/// killed when this process ends; the child's id, or a negative error. It has the
/// caller's standard streams and what is not closed on exec. For programs with one
/// thread: only system calls come before its own first instruction. Where it
/// cannot be executed it ends with status 127.
pub fn start(file: BorrowedFd<'_>, arguments: &[Text<'_>], environment: &[Text<'_>]) -> i32 {
    /// PR_SET_PDEATHSIG (prctl(2)).
    const PARENT_DEATH: u32 = 1;
    // SAFETY: without CLONE_VM the child goes on with copies of everything here, its
    // stack included, and no pointer is given.
    let child = unsafe { call5(raw::__NR_clone, raw::SIGCHLD as usize, 0, 0, 0, 0) };
    if child == 0 {
        control(PARENT_DEATH, raw::SIGKILL as usize);
        execute_file(file, arguments, environment);
        // SAFETY: no pointer is given; nothing comes after it.
        unsafe { call1(raw::__NR_exit_group, 127) };
    }
    child as i32
}

/// How a child has ended, as wait(2) has it: 256 times its status, or the signal;
/// `None` while it runs.
pub fn ended(child: i32) -> Option<u32> {
    let mut status = 0_u32;
    // SAFETY: a live integer of 32 bits is written.
    let found = unsafe {
        call4(
            raw::__NR_wait4,
            number(child),
            &raw mut status as usize,
            raw::WNOHANG as usize,
            0,
        )
    };
    (found != 0).then_some(status)
}

/// A clock's whole seconds (clock_gettime(2)).
#[inline(never)]
pub fn time(clock: Clock) -> u64 {
    moment(clock)[0]
}

/// A clock's seconds and nanoseconds (clock_gettime(2)).
#[inline(always)]
pub fn moment(clock: Clock) -> [u64; 2] {
    let mut time = [0_u64; 2];
    // SAFETY: a timespec of two 64-bit numbers is written.
    unsafe {
        call2(
            raw::__NR_clock_gettime,
            clock as usize,
            &raw mut time as usize,
        )
    };
    time
}

/// getpid(2).
pub fn process_id() -> u32 {
    // SAFETY: a call without arguments; what stands in the first is not looked at.
    unsafe { call1(raw::__NR_getpid, 0) as u32 }
}

/// geteuid(2).
pub fn user_id() -> u32 {
    // SAFETY: as in `process_id`.
    unsafe { call1(raw::__NR_geteuid, 0) as u32 }
}

/// Becomes another user, for good and without further groups; the first error.
pub fn drop_user(user: u32, group: u32) -> i32 {
    // SAFETY: no pointer is given; an empty list of groups has none.
    unsafe {
        let mut result = call2(raw::__NR_setgroups, 0, 0);
        if result >= 0 {
            result = call1(raw::__NR_setgid, group as usize);
        }
        if result >= 0 {
            result = call1(raw::__NR_setuid, user as usize);
        }
        result as i32
    }
}

/// How many descriptors the process may have, raised as far as it goes.
pub fn descriptor_limit() -> u64 {
    let mut limits = [0_u64; 2];
    // SAFETY: a rlimit64 of two 64-bit numbers is written by the first call and
    // read by the second.
    unsafe {
        call4(
            raw::__NR_prlimit64,
            0,
            raw::RLIMIT_NOFILE as usize,
            0,
            &raw mut limits as usize,
        );
        let current = limits[0];
        limits[0] = limits[1];
        let raised = call4(
            raw::__NR_prlimit64,
            0,
            raw::RLIMIT_NOFILE as usize,
            &raw const limits as usize,
            0,
        );
        if raised < 0 {
            limits[0] = current;
        }
    }
    limits[0]
}

/// prctl(2) with a number.
pub(super) fn control(option: u32, value: usize) -> i32 {
    // SAFETY: the callers' options take no pointer.
    unsafe { call5(raw::__NR_prctl, number(option as i32), value, 0, 0, 0) as i32 }
}
