//! The raw clone3(2) of a process or thread that shares its maker's memory, and
//! the waiting of one for the other.

use core::ffi::c_void;
use core::ptr;
use core::sync::atomic::{AtomicU32, Ordering};

use linux_raw_sys::general as raw;
use rustix::io::Errno;

use crate::mapping::Mapping;
use crate::syscall::{call, result};

/// A stack: its lowest address. The memory is `nest`'s.
#[derive(Clone, Copy)]
pub(crate) struct Stack(*mut u8);

impl Stack {
    /// Unoptimised code needs more than the 8 KiB that a release build does;
    /// pages that are not touched cost nothing.
    pub(crate) const SIZE: usize = 256 << 10;
    /// Of these, the lowest ones, which are to be inaccessible.
    pub(crate) const GUARD: usize = 64 << 10;

    /// The stack from this address on.
    pub(crate) fn at(lowest: *mut u8) -> Self {
        Self(lowest)
    }

    /// Its lowest address, as clone3(2) takes it.
    pub(crate) fn base(self) -> u64 {
        self.0.expose_provenance() as u64
    }
}

/// A stack of its own mapping, with an inaccessible part below it; unmapped when
/// dropped.
pub(crate) struct MappedStack(Mapping);

impl MappedStack {
    pub(crate) fn new() -> Result<Self, Errno> {
        let mapping = Mapping::new(Stack::SIZE)?;
        // SAFETY: the mapping was just made.
        unsafe { mapping.guard(0, Stack::GUARD) }?;
        Ok(Self(mapping))
    }

    /// The stack in it.
    pub(crate) fn stack(&self) -> Stack {
        Stack(self.0.base())
    }
}

/// What clone3(2) is asked for by who asks for nothing.
pub(crate) const NOTHING: raw::clone_args = raw::clone_args {
    flags: 0,
    pidfd: 0,
    child_tid: 0,
    parent_tid: 0,
    exit_signal: 0,
    stack: 0,
    stack_size: 0,
    tls: 0,
    set_tid: 0,
    set_tid_size: 0,
    cgroup: 0,
};

/// clone3(2), whose child calls `entry` on its new stack and never returns.
///
/// # Safety
/// The structure asks for a stack that is unused and outlives the child's use
/// of it, and `entry` may be called with `data` there.
pub(crate) unsafe fn clone3(
    arguments: &raw::clone_args,
    entry: extern "C" fn(*const c_void) -> !,
    data: *const c_void,
) -> isize {
    let value: isize;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: in the parent this is one system call. In the child rsp is the
    // top of its stack, 16-byte aligned as a call wants it; r8 and r9 are kept
    // by the kernel; `entry` does not return.
    unsafe {
        core::arch::asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, r9",
            "call r8",
            "ud2",
            "2:",
            inlateout("rax") raw::__NR_clone3 as isize => value,
            in("rdi") ptr::from_ref(arguments),
            in("rsi") size_of::<raw::clone_args>(),
            in("r8") entry,
            in("r9") data,
            lateout("rcx") _,
            lateout("r11") _,
        );
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: in the parent this is one system call. In the child sp is the top
    // of its stack, 16-byte aligned; x9 and x10 are kept by the kernel; `entry`
    // does not return.
    unsafe {
        core::arch::asm!(
            "svc 0",
            "cbnz x0, 2f",
            "mov x29, xzr",
            "mov x30, xzr",
            "mov x0, x10",
            "blr x9",
            "brk #1",
            "2:",
            in("x8") raw::__NR_clone3 as usize,
            inlateout("x0") ptr::from_ref(arguments) as isize => value,
            in("x1") size_of::<raw::clone_args>(),
            in("x9") entry,
            in("x10") data,
        );
    }
    value
}

/// Starts a thread of the calling process, which shares all but its namespaces
/// and credentials. `running` is 1 until it has ended.
///
/// # Errors
/// As clone3(2) says.
///
/// # Safety
/// `entry` may be called with `data`, uses no thread-local storage and ends by
/// [`exit_thread`]; `stack` and what `data` and `running` point to outlive it.
pub(crate) unsafe fn thread(
    stack: Stack,
    entry: extern "C" fn(*const c_void) -> !,
    data: *const c_void,
    running: &AtomicU32,
) -> Result<(), Errno> {
    running.store(1, Ordering::Release);
    let flags = raw::CLONE_VM
        | raw::CLONE_FS
        | raw::CLONE_FILES
        | raw::CLONE_SIGHAND
        | raw::CLONE_THREAD
        | raw::CLONE_SYSVSEM
        | raw::CLONE_CHILD_CLEARTID;
    let arguments = raw::clone_args {
        flags: u64::from(flags),
        child_tid: running.as_ptr() as u64,
        stack: stack.base(),
        stack_size: Stack::SIZE as u64,
        ..NOTHING
    };
    // SAFETY: the structure is complete; the rest is our caller's promise.
    let started = result(unsafe { clone3(&arguments, entry, data) });
    if started.is_err() {
        running.store(0, Ordering::Release);
    }
    started.map(drop)
}

/// Waits while a word has this value. What wakes is [`wake`], or the kernel at
/// the end of a thread (man 2 set_tid_address).
pub(crate) fn wait(word: &AtomicU32, value: u32) {
    while word.load(Ordering::Acquire) == value {
        // SAFETY: FUTEX_WAIT reads the word, which is alive.
        let _ = unsafe {
            call(
                raw::__NR_futex,
                [
                    word.as_ptr() as usize,
                    raw::FUTEX_WAIT as usize,
                    value as usize,
                    0,
                    0,
                    0,
                ],
            )
        };
    }
}

/// Wakes all who [`wait`] for this word to change.
pub(crate) fn wake(word: &AtomicU32) {
    // SAFETY: FUTEX_WAKE takes the word's address alone and writes nothing.
    let _ = unsafe {
        call(
            raw::__NR_futex,
            [
                word.as_ptr() as usize,
                raw::FUTEX_WAKE as usize,
                i32::MAX as usize,
                0,
                0,
                0,
            ],
        )
    };
}

/// Ends the calling thread.
pub(crate) fn exit_thread() -> ! {
    loop {
        // SAFETY: ends this thread only; nothing of its stack is used afterwards.
        let _ = unsafe { call(raw::__NR_exit, [0; 6]) };
    }
}

/// Ends the process, all its threads included.
pub(crate) fn exit(code: usize) -> ! {
    loop {
        // SAFETY: ends this process only; nothing of it is used afterwards.
        let _ = unsafe { call(raw::__NR_exit_group, [code, 0, 0, 0, 0, 0]) };
    }
}
