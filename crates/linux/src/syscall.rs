//! The raw system call instruction, for calls that `rustix` does not have.

use core::arch::asm;

use rustix::io::Errno;

/// Makes a system call with up to six arguments.
///
/// # Safety
/// The arguments must be what the call with that number requires: each pointer
/// valid for what the kernel reads or writes through it, and no effect that
/// breaks memory the caller's program still uses.
pub(crate) unsafe fn call(number: u32, arguments: [usize; 6]) -> Result<usize, Errno> {
    let value: isize;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the x86-64 ABI passes the number in rax and arguments in rdi, rsi,
    // rdx, r10, r8, r9 and clobbers rcx and r11; the rest is our caller's promise.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number as isize => value,
            in("rdi") arguments[0],
            in("rsi") arguments[1],
            in("rdx") arguments[2],
            in("r10") arguments[3],
            in("r8") arguments[4],
            in("r9") arguments[5],
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: the arm64 ABI passes the number in x8 and arguments in x0 to x5 and
    // clobbers x0 only; the rest is our caller's promise.
    unsafe {
        asm!(
            "svc 0",
            in("x8") number as usize,
            inlateout("x0") arguments[0] as isize => value,
            in("x1") arguments[1],
            in("x2") arguments[2],
            in("x3") arguments[3],
            in("x4") arguments[4],
            in("x5") arguments[5],
            options(nostack),
        );
    }
    result(value)
}

/// Makes a system call with up to four arguments: two registers less to set,
/// which a program of a few kilobytes notices.
///
/// # Safety
/// As for [`call`].
#[inline(always)]
pub(crate) unsafe fn call4(number: u32, arguments: [usize; 4]) -> Result<usize, Errno> {
    let value: isize;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: as in `call`.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number as isize => value,
            in("rdi") arguments[0],
            in("rsi") arguments[1],
            in("rdx") arguments[2],
            in("r10") arguments[3],
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: as in `call`.
    unsafe {
        asm!(
            "svc 0",
            in("x8") number as usize,
            inlateout("x0") arguments[0] as isize => value,
            in("x1") arguments[1],
            in("x2") arguments[2],
            in("x3") arguments[3],
            options(nostack),
        );
    }
    result(value)
}

/// Splits a kernel's return value: -4095 to -1 are errors (man 2 syscall), and
/// no call that is made here returns any other negative number.
#[inline(always)]
pub(crate) fn result(value: isize) -> Result<usize, Errno> {
    usize::try_from(value).map_err(|_| Errno::from_raw_os_error(value.unsigned_abs() as i32))
}
