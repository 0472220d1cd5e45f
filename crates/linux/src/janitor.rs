//! A tiny process that outlives its parent by a moment and removes the control
//! groups that a killed parent could not.

use core::ffi::CStr;
use core::mem::MaybeUninit;

use linux_raw_sys::general as raw;
use rustix::event::Timespec;
use rustix::fd::{AsFd, BorrowedFd};
use rustix::fs::{AtFlags, Mode, OFlags, RawDir, openat, unlinkat};
use rustix::io::{Errno, read};

use crate::descriptor::{duplicate, place};
use crate::signal::{SignalSet, set_mask};
use crate::syscall::call;

/// How many folders one janitor looks after.
pub const MOST_FOLDERS: usize = 8;

/// Starts a janitor: when all write ends of the pipe `watch` are closed, it
/// removes each folder in `folders` whose name begins with `prefix`, trying
/// for ten seconds while they are still in use.
///
/// It is a fork, not a thread, has a session of its own, no signal but SIGKILL
/// reaches it, and it holds no other descriptor.
///
/// # Errors
/// The process cannot be made; EINVAL for more than [`MOST_FOLDERS`].
pub fn start(
    watch: BorrowedFd<'_>,
    folders: &[BorrowedFd<'_>],
    prefix: &CStr,
) -> Result<(), Errno> {
    if folders.len() > MOST_FOLDERS {
        return Err(Errno::INVAL);
    }
    let mask = set_mask(SignalSet::ALL)?;
    // All five arguments are 0: a fork without a signal at its end, on a copy of the stack.
    // SAFETY: the child has its own copy of memory, so it cannot harm ours; it
    // runs `sweep` only, which takes no lock that another thread may have held.
    let child = unsafe { call(raw::__NR_clone, [0; 6]) };
    if child == Ok(0) {
        let _ = sweep(watch, folders, prefix);
        loop {
            // SAFETY: ends this process only.
            let _ = unsafe { call(raw::__NR_exit_group, [0; 6]) };
        }
    }
    set_mask(mask)?;
    child.map(drop)
}

fn sweep(watch: BorrowedFd<'_>, folders: &[BorrowedFd<'_>], prefix: &CStr) -> Result<(), Errno> {
    let _ = rustix::process::setsid();
    let _ = rustix::process::chdir(c"/");
    let _ = rustix::thread::set_name(c"ounce-janitor");
    let mut copies = [-1; MOST_FOLDERS + 1];
    let sources = core::iter::once(&watch).chain(folders);
    for (copy, source) in copies.iter_mut().zip(sources) {
        *copy = duplicate(*source, 64)?;
    }
    let count = folders.len() + 1;
    for (number, copy) in copies.iter().take(count).enumerate() {
        // SAFETY: this process's own table; only the numbers below `count` are used from here on.
        unsafe { place(*copy, number as i32) }?;
    }
    // SAFETY: closes what no code of this process uses any more.
    unsafe {
        call(
            raw::__NR_close_range,
            [count, u32::MAX as usize, 0, 0, 0, 0],
        )
    }?;
    // SAFETY: the numbers 0 to `count` - 1 were placed above and stay open.
    let file = |number: usize| unsafe { BorrowedFd::borrow_raw(number as i32) };
    let mut byte = [0];
    while matches!(read(file(0), &mut byte), Ok(1) | Err(Errno::INTR)) {}
    for _ in 0..1000 {
        let mut left = false;
        for number in 1..count {
            left |= remove(file(number), prefix.to_bytes())?;
        }
        if !left {
            break;
        }
        pause();
    }
    Ok(())
}

/// Removes what can be; whether anything is left.
fn remove(folder: BorrowedFd<'_>, prefix: &[u8]) -> Result<bool, Errno> {
    let listing = openat(
        folder,
        c".",
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let mut buffer = [MaybeUninit::uninit(); 2048];
    let mut entries = RawDir::new(listing.as_fd(), &mut buffer);
    let mut left = false;
    while let Some(entry) = entries.next() {
        let Ok(entry) = entry else { break };
        if entry.file_name().to_bytes().starts_with(prefix) {
            left |= matches!(
                unlinkat(folder, entry.file_name(), AtFlags::REMOVEDIR),
                Err(Errno::BUSY)
            );
        }
    }
    Ok(left)
}

fn pause() {
    let time = Timespec {
        tv_sec: 0,
        tv_nsec: 10_000_000,
    };
    let _ = rustix::thread::nanosleep(&time);
}
