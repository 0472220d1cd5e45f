//! Signals as file descriptors: blocked in the process, read from a signalfd
//! (signalfd(2)), so that no handler ever runs and PID 1 misses none. What a
//! signal then means is left to the caller.
//!
//! rustix leaves masks and signalfd out of its safe interface, since a libc may
//! claim signals for itself; the system calls are made here.

use core::marker::PhantomData;
use core::mem::size_of;

use linux_raw_sys::general as raw;
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use rustix::io::Errno;
pub use rustix::process::Signal;

use crate::syscall::call4;

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

    /// Every signal.
    pub const ALL: Self = Self(u64::MAX);

    /// The set of the listed signals.
    pub fn of(signals: &[Signal]) -> Self {
        signals.iter().fold(Self::EMPTY, |set, signal| {
            set.with(signal.as_raw().cast_unsigned())
        })
    }

    /// The set as /proc/PID/status prints it, in hexadecimal (man 5 proc_pid_status).
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// Whether the signal is in the set.
    pub fn contains(self, signal: Signal) -> bool {
        let one = Self::of(&[signal]);
        self.0 & one.0 != 0
    }

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
    unsafe {
        call4(
            raw::__NR_rt_sigprocmask,
            [
                how,
                &raw const set.0 as usize,
                &raw mut before as usize,
                size_of::<u64>(),
            ],
        )
    }
    .map(|_| SignalSet(before))
}

/// Whether this process ignores a signal (rt_sigaction(2)).
pub fn is_ignored(signal: Signal) -> bool {
    const SIG_IGN: usize = 1;
    // struct sigaction of the kernel: handler, flags, restorer (x86-64), mask.
    let mut action = [0_usize; 4];
    let number = signal.as_raw().cast_unsigned() as usize;
    // SAFETY: without a new action nothing changes; the old one is written to a
    // live array as large as the kernel's structure at most.
    let asked = unsafe {
        call4(
            raw::__NR_rt_sigaction,
            [number, 0, &raw mut action as usize, size_of::<u64>()],
        )
    };
    asked.is_ok() && action[0] == SIG_IGN
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
    let descriptor = unsafe {
        call4(
            raw::__NR_signalfd4,
            [
                usize::MAX,
                &raw const set.0 as usize,
                size_of::<u64>(),
                FLAGS,
            ],
        )
    }?;
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
    let mut info = [0_u8; RECORD_BYTES];
    match rustix::io::read(descriptor, &mut info) {
        Ok(_) => Ok(info.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes))),
        Err(Errno::AGAIN) => Ok(None),
        Err(error) => Err(error),
    }
}

/// `sizeof(struct signalfd_siginfo)` (linux/signalfd.h).
const RECORD_BYTES: usize = 128;

/// `si_code` of a signal that the kernel itself raised, such as by Ctrl-C on a
/// terminal (asm-generic/siginfo.h).
const SI_KERNEL: i32 = 0x80;

/// A signal that was taken from the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// Which one.
    pub signal: Signal,
    /// The kernel raised it, as it does for Ctrl-C, a hang-up or a change of
    /// size of the terminal, and so gave it to the whole process group.
    pub by_kernel: bool,
}

/// Signals of the calling thread that are blocked as long as this value lives
/// and can be read from it meanwhile.
///
/// The mask belongs to the thread: the value is neither `Send` nor `Sync`, and
/// no other thread should run that would take the signals instead.
#[derive(Debug)]
pub struct BlockedSignals {
    file: OwnedFd,
    before: SignalSet,
    thread_bound: PhantomData<*const ()>,
}

impl BlockedSignals {
    /// Blocks `set` in addition to what is blocked already.
    ///
    /// # Errors
    /// EMFILE or ENFILE where no file descriptor is left; the mask is then as it was.
    pub fn new(set: SignalSet) -> Result<Self, Errno> {
        let before = block(set)?;
        match signalfd(set) {
            Ok(file) => Ok(Self {
                file,
                before,
                thread_bound: PhantomData,
            }),
            Err(errno) => {
                set_mask(before)?;
                Err(errno)
            }
        }
    }

    /// The mask from before, which a child has to be given back before it executes a program.
    pub fn before(&self) -> SignalSet {
        self.before
    }

    /// Takes the next signal, if one waits.
    ///
    /// # Errors
    /// As read(2) says, other than EAGAIN.
    pub fn take(&self) -> Result<Option<Taken>, Errno> {
        loop {
            let mut record = [0u8; RECORD_BYTES];
            match rustix::io::read(&self.file, &mut record) {
                Ok(RECORD_BYTES) => {
                    // ssi_signo is the first word, ssi_code the third.
                    let word = |at: usize| {
                        i32::from_ne_bytes([
                            record[at],
                            record[at + 1],
                            record[at + 2],
                            record[at + 3],
                        ])
                    };
                    let Some(signal) = Signal::from_named_raw(word(0)) else {
                        continue;
                    };
                    return Ok(Some(Taken {
                        signal,
                        by_kernel: word(8) == SI_KERNEL,
                    }));
                }
                Ok(_) | Err(Errno::AGAIN) => return Ok(None),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
    }
}

impl AsFd for BlockedSignals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl AsRawFd for BlockedSignals {
    fn as_raw_fd(&self) -> i32 {
        self.file.as_raw_fd()
    }
}

impl Drop for BlockedSignals {
    fn drop(&mut self) {
        // Signals that still wait would act now and end the process while it
        // is busy cleaning up; they were meant for the one that has ended.
        while let Ok(Some(_)) = self.take() {}
        let _ = set_mask(self.before);
    }
}

/// Sends a signal that has no name, such as a real-time one, to a process
/// (pidfd_send_signal(2)).
///
/// # Errors
/// ESRCH when it is gone, EINVAL for no signal, EPERM.
pub fn send_by_number(process: BorrowedFd<'_>, signal: i32) -> Result<(), Errno> {
    // SAFETY: a descriptor and three numbers; without details the third is 0.
    unsafe {
        call4(
            raw::__NR_pidfd_send_signal,
            [process.as_raw_fd() as usize, signal as usize, 0, 0],
        )
    }
    .map(drop)
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

    fn raise(signal: Signal) {
        let done = std::process::Command::new("kill")
            .arg(std::format!("-{}", signal.as_raw()))
            .arg(std::format!("{}", std::process::id()))
            .status();
        assert!(done.is_ok_and(|status| status.success()));
    }

    #[test]
    fn a_blocked_signal_is_read_and_the_mask_comes_back() {
        // SIGURG is ignored by default, so that a thread of the test harness
        // that gets it first does no harm: tell the thread's own mask only.
        let before = set_mask(SignalSet::EMPTY).unwrap();
        {
            let blocked = BlockedSignals::new(SignalSet::of(&[Signal::WINCH])).unwrap();
            assert!(!blocked.before().contains(Signal::WINCH));
            assert_eq!(blocked.take().unwrap(), None);
            let now = block(SignalSet::EMPTY).unwrap();
            assert!(now.contains(Signal::WINCH));
            assert!(!now.contains(Signal::TERM));
        }
        let after = set_mask(before).unwrap();
        assert!(!after.contains(Signal::WINCH));
    }

    #[test]
    fn a_signal_from_a_process_is_not_by_the_kernel() {
        let id = rustix::thread::gettid();
        let blocked = BlockedSignals::new(SignalSet::of(&[Signal::CONT])).unwrap();
        // SIGCONT goes to any thread that has it unblocked; the harness's
        // other threads may take it, so it is raised until this one has it.
        for _ in 0..200 {
            raise(Signal::CONT);
            if let Some(taken) = blocked.take().unwrap() {
                assert_eq!(
                    taken,
                    Taken {
                        signal: Signal::CONT,
                        by_kernel: false
                    }
                );
                return;
            }
        }
        std::eprintln!("skipped: another thread than {id:?} took the signal each time");
    }
}
