//! System calls for programs without libc, as small as they get: descriptors
//! are plain numbers and a result is the kernel's own, negative for an error.
//!
//! `rustix` says more by its types, and its checks and conversions take a third
//! of a program of a few kilobytes. What is here is sound (the kernel writes
//! only where it was told to), but who owns a descriptor is the caller's to know.
//! The instruction stands where the call is made: it is shorter than the call of
//! a function that holds it.

mod confine;
mod file;
mod poll;
mod process;
mod socket;

use core::arch::asm;

pub use confine::{SERVING, SERVING_PACKED, allow_only, no_new_privileges, see_beneath};
pub use file::{
    File, FileKind, OPEN_FILE, OPEN_FOLDER, OPEN_SITE, close, entries, length, look, map, memory,
    open, open_beneath, read, read_at, seek, send_file, write,
};
pub use poll::{
    Change, ERROR, Event, HANGUP, OUTPUT, PEER_DONE, WATCH_ALL, WATCH_INPUT, epoll, is_writable,
    wait, wait_input, watch,
};
pub use process::{
    CHILD_CHANGED, Clock, descriptor_limit, drop_user, ended, moment, process_id, reap, signals,
    start, take_signal, time, user_id,
};
pub use socket::{
    Address, Kept, PEEK, Setting, TAKE, accept, adopt, bind, connect, keep, kept, listen, local,
    peer, receive, send, set, shutdown, socket,
};

pub use linux_raw_sys::errno;

/// A descriptor, or the negative of an error's number. Closing is up to the caller.
pub type Fd = i32;

/// A system call with 1 argument.
///
/// # Safety
/// As for any system call: each pointer among the arguments must be valid for
/// what the kernel reads or writes through it.
#[inline(always)]
unsafe fn call1(number: u32, a: usize) -> isize {
    let value: isize;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the ABI (man 2 syscall) clobbers rcx and r11; the rest is our
    // caller's promise.
    unsafe {
        asm!("syscall", inlateout("rax") number as usize => value,
            in("rdi") a,
            lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: the ABI clobbers x0 only; the rest is our caller's promise.
    unsafe {
        asm!("svc 0", in("x8") number as usize, inlateout("x0") a => value,
            
            options(nostack));
    }
    value
}

/// A system call with 2 arguments.
///
/// # Safety
/// As for any system call: each pointer among the arguments must be valid for
/// what the kernel reads or writes through it.
#[inline(always)]
unsafe fn call2(number: u32, a: usize, b: usize) -> isize {
    let value: isize;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the ABI (man 2 syscall) clobbers rcx and r11; the rest is our
    // caller's promise.
    unsafe {
        asm!("syscall", inlateout("rax") number as usize => value,
            in("rdi") a, in("rsi") b,
            lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: the ABI clobbers x0 only; the rest is our caller's promise.
    unsafe {
        asm!("svc 0", in("x8") number as usize, inlateout("x0") a => value,
            in("x1") b,
            options(nostack));
    }
    value
}

/// A system call with 3 arguments.
///
/// # Safety
/// As for any system call: each pointer among the arguments must be valid for
/// what the kernel reads or writes through it.
#[inline(always)]
unsafe fn call3(number: u32, a: usize, b: usize, c: usize) -> isize {
    let value: isize;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the ABI (man 2 syscall) clobbers rcx and r11; the rest is our
    // caller's promise.
    unsafe {
        asm!("syscall", inlateout("rax") number as usize => value,
            in("rdi") a, in("rsi") b, in("rdx") c,
            lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: the ABI clobbers x0 only; the rest is our caller's promise.
    unsafe {
        asm!("svc 0", in("x8") number as usize, inlateout("x0") a => value,
            in("x1") b, in("x2") c,
            options(nostack));
    }
    value
}

/// A system call with 4 arguments.
///
/// # Safety
/// As for any system call: each pointer among the arguments must be valid for
/// what the kernel reads or writes through it.
#[inline(always)]
unsafe fn call4(number: u32, a: usize, b: usize, c: usize, d: usize) -> isize {
    let value: isize;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the ABI (man 2 syscall) clobbers rcx and r11; the rest is our
    // caller's promise.
    unsafe {
        asm!("syscall", inlateout("rax") number as usize => value,
            in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d,
            lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: the ABI clobbers x0 only; the rest is our caller's promise.
    unsafe {
        asm!("svc 0", in("x8") number as usize, inlateout("x0") a => value,
            in("x1") b, in("x2") c, in("x3") d,
            options(nostack));
    }
    value
}

/// A system call with 5 arguments.
///
/// # Safety
/// As for any system call: each pointer among the arguments must be valid for
/// what the kernel reads or writes through it.
#[inline(always)]
unsafe fn call5(number: u32, a: usize, b: usize, c: usize, d: usize, e: usize) -> isize {
    let value: isize;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the ABI (man 2 syscall) clobbers rcx and r11; the rest is our
    // caller's promise.
    unsafe {
        asm!("syscall", inlateout("rax") number as usize => value,
            in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e,
            lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: the ABI clobbers x0 only; the rest is our caller's promise.
    unsafe {
        asm!("svc 0", in("x8") number as usize, inlateout("x0") a => value,
            in("x1") b, in("x2") c, in("x3") d, in("x4") e,
            options(nostack));
    }
    value
}

/// A system call with 6 arguments.
///
/// # Safety
/// As for any system call: each pointer among the arguments must be valid for
/// what the kernel reads or writes through it.
#[inline(always)]
unsafe fn call6(number: u32, a: usize, b: usize, c: usize, d: usize, e: usize, f: usize) -> isize {
    let value: isize;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the ABI (man 2 syscall) clobbers rcx and r11; the rest is our
    // caller's promise.
    unsafe {
        asm!("syscall", inlateout("rax") number as usize => value,
            in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e, in("r9") f,
            lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: the ABI clobbers x0 only; the rest is our caller's promise.
    unsafe {
        asm!("svc 0", in("x8") number as usize, inlateout("x0") a => value,
            in("x1") b, in("x2") c, in("x3") d, in("x4") e, in("x5") f,
            options(nostack));
    }
    value
}

/// A descriptor as an argument; the kernel looks at its low half.
#[inline(always)]
fn number(descriptor: Fd) -> usize {
    descriptor as u32 as usize
}
