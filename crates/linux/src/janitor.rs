//! A tiny process that outlives its parent by a moment and removes the control
//! groups that a killed parent could not.

use core::ffi::{CStr, c_void};
use core::mem::MaybeUninit;
use core::ptr;

use linux_raw_sys::general as raw;
use rustix::event::Timespec;
use rustix::fd::{AsFd, AsRawFd, BorrowedFd};
use rustix::fs::{AtFlags, Mode, OFlags, RawDir, openat, unlinkat};
use rustix::io::{Errno, read};

use crate::clone::{clone3, exit};
use crate::descriptor::{duplicate, place};
use crate::signal::{SignalSet, set_mask};
use crate::syscall::{call, result};

/// How many folders one janitor looks after.
pub const MOST_FOLDERS: usize = 8;

/// Starts a janitor: when all write ends of the pipe `watch` are closed, it
/// removes each folder in `folders` whose name begins with `prefix`, trying
/// for ten seconds while they are still in use.
///
/// It is a process, not a thread, has a session of its own, no signal but SIGKILL
/// reaches it, and it holds no other descriptor. It shares the caller's memory,
/// of which it uses the few pages that are mapped for it here: a copy would cost
/// the caller a fault for each page that it writes from then on.
///
/// # Errors
/// The process cannot be made; EINVAL for more than [`MOST_FOLDERS`] or a
/// prefix of more than 63 bytes.
pub fn start(
    watch: BorrowedFd<'_>,
    folders: &[BorrowedFd<'_>],
    prefix: &CStr,
) -> Result<(), Errno> {
    if folders.len() > MOST_FOLDERS || prefix.count_bytes() >= LONGEST_PREFIX {
        return Err(Errno::INVAL);
    }
    let mut task = Task {
        files: [-1; MOST_FOLDERS + 1],
        count: folders.len() + 1,
        prefix: [0; LONGEST_PREFIX],
    };
    let sources = core::iter::once(&watch).chain(folders);
    for (file, source) in task.files.iter_mut().zip(sources) {
        *file = source.as_raw_fd();
    }
    for (to, from) in task.prefix.iter_mut().zip(prefix.to_bytes()) {
        *to = *from;
    }
    let place = Room::new(task)?;
    let arguments = raw::clone_args {
        flags: raw::CLONE_VM.into(),
        pidfd: 0,
        child_tid: 0,
        parent_tid: 0,
        // None at its end.
        exit_signal: 0,
        stack: place.0.expose_provenance() as u64,
        stack_size: STACK as u64,
        tls: 0,
        set_tid: 0,
        set_tid_size: 0,
        cgroup: 0,
    };
    let mask = set_mask(SignalSet::ALL)?;
    // SAFETY: the structure is complete, and the stack unused and big enough; it
    // and the task above it are never unmapped once the janitor runs. Without
    // thread-local storage of its own it uses none.
    let child = result(unsafe { clone3(&arguments, main, place.task().cast()) });
    set_mask(mask)?;
    child?;
    core::mem::forget(place);
    Ok(())
}

/// What a janitor has to know. The descriptors are those of its own table, which
/// is a copy of its maker's.
struct Task {
    files: [i32; MOST_FOLDERS + 1],
    count: usize,
    prefix: [u8; LONGEST_PREFIX],
}

const LONGEST_PREFIX: usize = 64;
/// Unoptimised code needs more than a release build does.
const STACK: usize = 128 << 10;
const ROOM: usize = STACK + (4 << 10);

/// A stack and, above it, a [`Task`].
struct Room(*mut u8);

impl Room {
    fn new(task: Task) -> Result<Self, Errno> {
        const { assert!(size_of::<Task>() <= ROOM - STACK) };
        let access = (raw::PROT_READ | raw::PROT_WRITE) as usize;
        let kind = (raw::MAP_PRIVATE | raw::MAP_ANONYMOUS | raw::MAP_NORESERVE) as usize;
        // SAFETY: a new private mapping at an address of the kernel's choice.
        let base = unsafe { call(raw::__NR_mmap, [0, ROOM, access, kind, usize::MAX, 0]) }?;
        let room = Self(ptr::with_exposed_provenance_mut(base));
        // SAFETY: within the mapping just made, page-aligned, in no other use.
        unsafe { room.task().cast_mut().write(task) };
        Ok(room)
    }

    fn task(&self) -> *const Task {
        self.0.wrapping_add(STACK).cast()
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        // SAFETY: our own mapping, which no janitor runs on: `start` forgets one
        // that is in use.
        let _ = unsafe { call(raw::__NR_munmap, [self.0 as usize, ROOM, 0, 0, 0, 0]) };
    }
}

extern "C" fn main(task: *const c_void) -> ! {
    // SAFETY: `start` passes the address of a `Task` that is never unmapped.
    let task = unsafe { &*task.cast::<Task>() };
    let _ = sweep(task);
    exit(0)
}

fn sweep(task: &Task) -> Result<(), Errno> {
    let _ = rustix::process::setsid();
    let _ = rustix::process::chdir(c"/");
    let _ = rustix::thread::set_name(c"ounce-janitor");
    let count = task.count.min(MOST_FOLDERS + 1);
    let prefix = CStr::from_bytes_until_nul(&task.prefix).map_err(|_| Errno::INVAL)?;
    let mut copies = [-1; MOST_FOLDERS + 1];
    for (copy, source) in copies.iter_mut().zip(&task.files).take(count) {
        // SAFETY: they were open in the maker's table, of which this is a copy.
        *copy = duplicate(unsafe { BorrowedFd::borrow_raw(*source) }, 64)?;
    }
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
