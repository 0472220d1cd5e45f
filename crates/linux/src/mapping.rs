//! Anonymous memory of a mapping of its own, for stacks that others run on.

use core::ptr::{self, NonNull};

use linux_raw_sys::general as raw;
use rustix::io::Errno;

use crate::syscall::call;

/// Memory that is unmapped when dropped; pages that are not touched cost nothing.
#[derive(Debug)]
pub(crate) struct Mapping {
    base: NonNull<u8>,
    size: usize,
}

impl Mapping {
    /// So many bytes of zeros at an address of the kernel's choice.
    pub(crate) fn new(size: usize) -> Result<Self, Errno> {
        // SAFETY: a new private mapping, which nothing refers to.
        let base = unsafe {
            call(
                raw::__NR_mmap,
                [
                    0,
                    size,
                    (raw::PROT_READ | raw::PROT_WRITE) as usize,
                    (raw::MAP_PRIVATE | raw::MAP_ANONYMOUS | raw::MAP_NORESERVE) as usize,
                    usize::MAX,
                    0,
                ],
            )
        }?;
        let base = NonNull::new(ptr::with_exposed_provenance_mut(base)).ok_or(Errno::NOMEM)?;
        Ok(Self { base, size })
    }

    /// Its lowest address.
    pub(crate) fn base(&self) -> *mut u8 {
        self.base.as_ptr()
    }

    /// Makes a part inaccessible, so that a stack above it that overflows ends
    /// in a fault.
    ///
    /// # Safety
    /// Nobody uses that part.
    pub(crate) unsafe fn guard(&self, from: usize, length: usize) -> Result<(), Errno> {
        let from = self.base().expose_provenance() + from;
        // SAFETY: a part of our own mapping, which our caller says is not in use.
        unsafe { call(raw::__NR_mprotect, [from, length, 0, 0, 0, 0]) }.map(drop)
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        let base = self.base().expose_provenance();
        // SAFETY: our own mapping; its owner lets it go only when who runs in it
        // is dead or has executed and so left this memory.
        let _ = unsafe { call(raw::__NR_munmap, [base, self.size, 0, 0, 0, 0]) };
    }
}
