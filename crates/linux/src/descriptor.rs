//! A place for a descriptor that is all zeros while empty, so that a table of
//! many costs nothing in the program file and no memory until it is used.
//! (`Option<OwnedFd>` is empty at -1.)

use core::ffi::CStr;
use core::mem::take;
use linux_raw_sys::general as raw;
use rustix::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use rustix::io::Errno;

use crate::syscall::call;

/// Owns a descriptor or nothing; closes it when dropped.
#[derive(Debug, Default)]
pub struct DescriptorSlot(
    /// The descriptor plus one.
    u32,
);

impl DescriptorSlot {
    /// The empty slot.
    pub const EMPTY: Self = Self(0);

    /// Puts a descriptor in; one that was there is closed.
    pub fn put(&mut self, descriptor: OwnedFd) {
        drop(self.take());
        // A descriptor is never negative, so that one more is never 0 again.
        self.0 = descriptor.into_raw_fd() as u32 + 1;
    }

    /// Takes the descriptor out.
    pub fn take(&mut self) -> Option<OwnedFd> {
        let descriptor = take(&mut self.0).checked_sub(1)?;
        // SAFETY: `put` gave up its ownership of this descriptor to the slot,
        // and zeroing the slot above ends the slot's.
        Some(unsafe { OwnedFd::from_raw_fd(descriptor as i32) })
    }

    /// The descriptor, while it is in the slot.
    pub fn get(&self) -> Option<BorrowedFd<'_>> {
        let descriptor = self.0.checked_sub(1)?;
        // SAFETY: the slot owns the descriptor, so that it stays open at least
        // as long as the slot is borrowed.
        Some(unsafe { BorrowedFd::borrow_raw(descriptor as i32) })
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.0 == 0
    }
}

impl Drop for DescriptorSlot {
    fn drop(&mut self) {
        drop(self.take());
    }
}

/// Takes ownership of a descriptor that was handed to this process at its start,
/// such as those from 3 on with `LISTEN_FDS` (sd_listen_fds(3)).
///
/// `None` where no such descriptor is open or it is one of the standard three.
/// The caller takes each number only once; a second owner would close a
/// descriptor under the first.
pub fn inherited(number: u32) -> Option<OwnedFd> {
    let number = i32::try_from(number).ok().filter(|&number| number > 2)?;
    // SAFETY: the descriptor is only looked at by fcntl, which reports one that
    // is not open as EBADF.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    rustix::io::fcntl_getfd(borrowed).ok()?;
    // SAFETY: it is open (just checked), and by sd_listen_fds(3) the parent
    // handed it over for this process to own.
    let owned = unsafe { OwnedFd::from_raw_fd(borrowed.as_raw_fd()) };
    Some(owned)
}

/// Takes a copy of another process's descriptor (pidfd_getfd(2)); closed on exec.
///
/// # Errors
/// EPERM where we may not trace the process, EBADF, ESRCH.
pub fn of_process(process: BorrowedFd<'_>, number: i32) -> Result<OwnedFd, Errno> {
    // SAFETY: three numbers; the kernel makes a new descriptor for us.
    let file = unsafe {
        call(
            raw::__NR_pidfd_getfd,
            [process.as_raw_fd() as usize, number as usize, 0, 0, 0, 0],
        )
    }?;
    // SAFETY: just made by the kernel for us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(file as i32) })
}

/// The C string at the start of these bytes; `None` where no NUL ends it.
/// As `CStr::from_bytes_until_nul`, whose search through long texts takes half
/// a kilobyte; this is for paths.
pub fn c_str(bytes: &[u8]) -> Option<&CStr> {
    let end = bytes.iter().position(|&byte| byte == 0)?;
    let text = bytes.get(..=end)?;
    // SAFETY: the slice ends with its first NUL, found just above.
    Some(unsafe { CStr::from_bytes_with_nul_unchecked(text) })
}

/// Copies a descriptor to the lowest free number from `least` on, to be closed on exec.
pub(crate) fn duplicate(fd: BorrowedFd<'_>, least: usize) -> Result<i32, Errno> {
    // SAFETY: F_DUPFD_CLOEXEC makes a new descriptor and changes no other.
    let number = unsafe {
        call(
            raw::__NR_fcntl,
            [
                fd.as_raw_fd() as usize,
                raw::F_DUPFD_CLOEXEC as usize,
                least,
                0,
                0,
                0,
            ],
        )
    }?;
    Ok(number as i32)
}

/// Makes `number` the same as `from`, to be inherited.
///
/// # Safety
/// Nothing that is used afterwards may rely on what `number` was.
pub(crate) unsafe fn place(from: i32, number: i32) -> Result<(), Errno> {
    // SAFETY: as our caller promises.
    unsafe { call(raw::__NR_dup3, [from as usize, number as usize, 0, 0, 0, 0]) }.map(drop)
}

/// Has every descriptor from `first` on closed at exec (man 2 close_range).
///
/// # Errors
/// As the kernel says; ENOSYS before Linux 5.9.
pub fn close_on_exec_from(first: usize) -> Result<(), Errno> {
    const CLOEXEC: usize = 4;
    // SAFETY: sets a flag on descriptors; closes none before exec.
    unsafe {
        call(
            raw::__NR_close_range,
            [first, u32::MAX as usize, CLOEXEC, 0, 0, 0],
        )
    }
    .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_c_string_ends_at_the_first_nul() {
        assert_eq!(c_str(b"ab\0c\0"), Some(c"ab"));
        assert_eq!(c_str(b"\0"), Some(c""));
        assert_eq!(c_str(b"ab"), None);
    }

    #[test]
    fn a_slot_gives_back_what_was_put_and_closes_what_is_left() {
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        let mut slot = DescriptorSlot::EMPTY;
        assert!(slot.is_empty() && slot.get().is_none() && slot.take().is_none());
        slot.put(writer);
        rustix::io::write(slot.get().unwrap(), b"a").unwrap();
        drop(slot);
        let mut bytes = [0; 2];
        assert_eq!(rustix::io::read(&reader, &mut bytes), Ok(1));
        assert_eq!(rustix::io::read(&reader, &mut bytes), Ok(0));
    }

    #[test]
    fn what_is_not_open_is_not_inherited() {
        assert!(inherited(2).is_none());
        assert!(inherited(1_000_000).is_none());
        assert!(inherited(u32::MAX).is_none());
    }
}
