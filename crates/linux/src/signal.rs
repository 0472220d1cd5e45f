//! Signals as file descriptors: blocked in the process, read from a signalfd
//! (signalfd(2)), so that no handler ever runs and PID 1 misses none.
//!
//! rustix leaves masks and signalfd out of its safe interface, since a libc may
//! claim signals for itself; the system calls are made here.

use core::mem::size_of;
use rustix::fd::{FromRawFd, OwnedFd};
use rustix::io::Errno;

/// Interrupt from the terminal (Ctrl-C).
pub const SIGINT: u32 = 2;
/// Write to a closed connection.
pub const SIGPIPE: u32 = 13;
/// The polite request to stop.
pub const SIGTERM: u32 = 15;
/// A child changed state.
pub const SIGCHLD: u32 = 17;

/// A set of signals, as the kernel's `sigset_t`: 64 bits, on every architecture
/// supported here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SignalSet(u64);

impl SignalSet {
    /// No signal.
    pub const EMPTY: Self = Self(0);

    /// The set with one signal more; numbers outside 1 to 64 add nothing.
    #[must_use]
    pub const fn with(self, signal: u32) -> Self {
        match signal {
            1..=64 => Self(self.0 | 1 << (signal - 1)),
            _ => self,
        }
    }
}

/// Blocks signals in the calling thread, beside those blocked already, and
/// returns the mask there was before (rt_sigprocmask(2)).
///
/// # Errors
/// None that the kernel documents for these arguments.
pub fn block(set: SignalSet) -> Result<SignalSet, Errno> {
    change_mask(0, set)
}

/// Sets the calling thread's mask, as to undo [`block`], and returns the one
/// there was before.
///
/// # Errors
/// None that the kernel documents for these arguments.
pub fn set_mask(set: SignalSet) -> Result<SignalSet, Errno> {
    change_mask(2, set)
}

fn change_mask(how: usize, set: SignalSet) -> Result<SignalSet, Errno> {
    let mut before = 0_u64;
    // SAFETY: rt_sigprocmask reads 8 bytes at its second argument and writes 8
    // at its third; both are live u64s, and the fourth argument states that
    // size. Changing the mask touches no memory of this program.
    let result = unsafe {
        call4(
            number::RT_SIGPROCMASK,
            how,
            &raw const set.0 as usize,
            &raw mut before as usize,
            size_of::<u64>(),
        )
    };
    check(result).map(|_| SignalSet(before))
}

/// Opens a descriptor that reads these signals, which must be blocked
/// (signalfd4(2)); non-blocking and closed on exec. Read it with [`read`].
///
/// # Errors
/// `EMFILE`, `ENFILE`, `ENOMEM`, or `ENODEV` where anonymous inodes are missing.
pub fn signalfd(set: SignalSet) -> Result<OwnedFd, Errno> {
    /// O_NONBLOCK and O_CLOEXEC, equal on x86-64 and AArch64 (asm-generic).
    const FLAGS: usize = 0o4000 | 0o2_000_000;
    // SAFETY: signalfd4 reads 8 bytes at its second argument, a live u64 whose
    // size the third states; -1 asks for a new descriptor.
    let result = unsafe {
        call4(
            number::SIGNALFD4,
            usize::MAX,
            &raw const set.0 as usize,
            size_of::<u64>(),
            FLAGS,
        )
    };
    let descriptor = check(result)?;
    // SAFETY: the kernel has just opened this descriptor for us alone, and
    // descriptors fit in 31 bits.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor as i32) })
}

/// Takes the next pending signal's number off a [`signalfd`]; `None` when there
/// is none.
///
/// # Errors
/// `EINTR` and what else read(2) gives.
pub fn read(descriptor: &OwnedFd) -> Result<Option<u32>, Errno> {
    // struct signalfd_siginfo is 128 bytes and begins with the number.
    let mut info = [0_u8; 128];
    match rustix::io::read(descriptor, &mut info) {
        Ok(_) => Ok(info.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes))),
        Err(Errno::AGAIN) => Ok(None),
        Err(error) => Err(error),
    }
}

fn check(result: isize) -> Result<usize, Errno> {
    // -4095 to -1 are errors, all else is a result (syscall(2)).
    usize::try_from(result).map_err(|_| Errno::from_raw_os_error(result.unsigned_abs() as i32))
}

#[cfg(target_arch = "x86_64")]
mod number {
    pub(super) const RT_SIGPROCMASK: usize = 14;
    pub(super) const SIGNALFD4: usize = 289;
}

#[cfg(target_arch = "aarch64")]
mod number {
    pub(super) const SIGNALFD4: usize = 74;
    pub(super) const RT_SIGPROCMASK: usize = 135;
}

/// One system call of four arguments.
///
/// # Safety
/// As the call of this number requires.
#[cfg(target_arch = "x86_64")]
pub(crate) unsafe fn call4(number: usize, a: usize, b: usize, c: usize, d: usize) -> isize {
    let result;
    // SAFETY: the syscall instruction clobbers rcx, r11 and rax only, which is
    // declared; the memory it may touch is the caller's promise.
    unsafe {
        core::arch::asm!(
            "syscall",
            inlateout("rax") number as isize => result,
            in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d,
            lateout("rcx") _, lateout("r11") _,
            options(nostack),
        );
    }
    result
}

/// One system call of four arguments.
///
/// # Safety
/// As the call of this number requires.
#[cfg(target_arch = "aarch64")]
pub(crate) unsafe fn call4(number: usize, a: usize, b: usize, c: usize, d: usize) -> isize {
    let result;
    // SAFETY: svc 0 changes x0 only, which is declared; the memory it may touch
    // is the caller's promise.
    unsafe {
        core::arch::asm!(
            "svc 0",
            in("x8") number,
            inlateout("x0") a as isize => result,
            in("x1") b, in("x2") c, in("x3") d,
            options(nostack),
        );
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blocked_signal_is_read_from_its_descriptor() {
        let set = SignalSet::EMPTY.with(SIGPIPE);
        let before = block(set).unwrap();
        let descriptor = signalfd(set).unwrap();
        assert_eq!(read(&descriptor), Ok(None));
        // A write to a pipe without a reader signals the writing thread alone.
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        drop(reader);
        assert_eq!(rustix::io::write(&writer, b"a"), Err(Errno::PIPE));
        assert_eq!(read(&descriptor), Ok(Some(SIGPIPE)));
        assert_eq!(read(&descriptor), Ok(None));
        set_mask(before).unwrap();
        assert_eq!(block(SignalSet::EMPTY), Ok(before));
    }

    #[test]
    fn sets_hold_the_kernels_bits() {
        let set = SignalSet::EMPTY.with(1).with(64).with(0).with(65);
        assert_eq!(set, SignalSet(1 | 1 << 63));
    }
}
