//! Signals taken as file descriptor events instead of handlers: a set is
//! blocked, read through a signalfd, and unblocked when the value goes.
//!
//! What a signal then means is left to the caller.

use core::arch::asm;
use core::marker::PhantomData;

use rustix::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use rustix::io::Errno;
use rustix::process::Signal;

#[cfg(target_arch = "x86_64")]
mod number {
    pub(super) const RT_SIGPROCMASK: usize = 14;
    pub(super) const SIGNALFD4: usize = 289;
}
#[cfg(target_arch = "aarch64")]
mod number {
    pub(super) const RT_SIGPROCMASK: usize = 135;
    pub(super) const SIGNALFD4: usize = 74;
}

/// The kernel's sigset_t on 64-bit machines: bit `n - 1` is signal `n`.
const SET_BYTES: usize = 8;
const SIG_SETMASK: usize = 2;
const SIG_BLOCK: usize = 0;
const SFD_CLOEXEC: usize = 0o2_000_000;
const SFD_NONBLOCK: usize = 0o4000;
/// `sizeof(struct signalfd_siginfo)` (linux/signalfd.h).
const RECORD_BYTES: usize = 128;

/// `si_code` of a signal that the kernel itself raised, such as by Ctrl-C on a
/// terminal (asm-generic/siginfo.h).
const SI_KERNEL: i32 = 0x80;

/// A set of signals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SignalSet(u64);

impl SignalSet {
    /// No signal.
    pub const EMPTY: Self = Self(0);

    /// The set of the listed signals.
    pub fn of(signals: &[Signal]) -> Self {
        Self(
            signals
                .iter()
                .fold(0, |set, signal| set | bit(signal.as_raw())),
        )
    }

    /// The set as /proc/PID/status prints it, in hexadecimal (man 5 proc_pid_status).
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// Whether the signal is in the set.
    pub fn contains(self, signal: Signal) -> bool {
        self.0 & bit(signal.as_raw()) != 0
    }
}

fn bit(signal: i32) -> u64 {
    if (1..=64).contains(&signal) {
        1 << (signal - 1)
    } else {
        0
    }
}

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
        let before = change(SIG_BLOCK, set)?;
        // SAFETY: the pointer is to the 8 bytes of the set, as the size says.
        let opened = unsafe {
            call(
                number::SIGNALFD4,
                usize::MAX,
                &raw const set.0 as usize,
                SET_BYTES,
                SFD_CLOEXEC | SFD_NONBLOCK,
            )
        };
        match opened {
            Ok(file) => Ok(Self {
                // SAFETY: signalfd4 with -1 returns a new descriptor that nobody else owns.
                file: unsafe { OwnedFd::from_raw_fd(file as i32) },
                before,
                thread_bound: PhantomData,
            }),
            Err(errno) => {
                change(SIG_SETMASK, before)?;
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
        let _ = change(SIG_SETMASK, self.before);
    }
}

/// Sets the calling thread's mask and gives the one before. A process that
/// another one started with signals blocked begins with `EMPTY`.
///
/// # Errors
/// None that is known for a set of this size.
pub fn set_mask(set: SignalSet) -> Result<SignalSet, Errno> {
    change(SIG_SETMASK, set)
}

fn change(how: usize, set: SignalSet) -> Result<SignalSet, Errno> {
    let mut before = 0u64;
    // SAFETY: both pointers are to 8 bytes, as the size says, that outlive the call.
    unsafe {
        call(
            number::RT_SIGPROCMASK,
            how,
            &raw const set.0 as usize,
            &raw mut before as usize,
            SET_BYTES,
        )
    }?;
    Ok(SignalSet(before))
}

/// Makes a system call of four arguments.
///
/// # Safety
/// The arguments must be what the call with that number requires.
unsafe fn call(number: usize, a: usize, b: usize, c: usize, d: usize) -> Result<usize, Errno> {
    let value: isize;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the x86-64 ABI passes the number in rax and arguments in rdi, rsi,
    // rdx, r10 and clobbers rcx and r11; the rest is our caller's promise.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number as isize => value,
            in("rdi") a,
            in("rsi") b,
            in("rdx") c,
            in("r10") d,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: the arm64 ABI passes the number in x8 and arguments in x0 to x3 and
    // clobbers x0 only; the rest is our caller's promise.
    unsafe {
        asm!(
            "svc 0",
            in("x8") number,
            inlateout("x0") a as isize => value,
            in("x1") b,
            in("x2") c,
            in("x3") d,
            options(nostack),
        );
    }
    if (-4095..0).contains(&value) {
        Err(Errno::from_raw_os_error(-value as i32))
    } else {
        Ok(value as usize)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;

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
            let now = change(SIG_BLOCK, SignalSet::EMPTY).unwrap();
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
