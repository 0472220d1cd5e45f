//! Landlock, as far as namespaces leave it something to do (man 7 landlock).

use linux_raw_sys::general as raw;
use rustix::fd::{AsRawFd, FromRawFd, OwnedFd};
use rustix::io::Errno;

use crate::syscall::call;

/// `struct landlock_ruleset_attr` (linux/landlock.h) since Linux 6.12.
#[repr(C)]
struct Ruleset {
    files: u64,
    network: u64,
    scoped: u64,
}

const ABSTRACT_UNIX_SOCKET: u64 = 1;
const SIGNAL: u64 = 2;

/// Cuts the calling thread off from abstract sockets that others listen on, and
/// from signalling them, for good; `no_new_privs` has to be set. Whether this
/// kernel can do it.
///
/// Abstract sockets belong to the network namespace: a container on the host's
/// network could else talk to those of its daemons (CVE-2020-15257).
///
/// # Errors
/// EPERM without `no_new_privs`.
pub fn scope() -> Result<bool, Errno> {
    let ruleset = Ruleset {
        files: 0,
        network: 0,
        scoped: ABSTRACT_UNIX_SOCKET | SIGNAL,
    };
    let (address, size) = (&raw const ruleset as usize, size_of::<Ruleset>());
    // SAFETY: the structure is as long as the size that is told, and only read.
    let made = unsafe {
        call(
            raw::__NR_landlock_create_ruleset,
            [address, size, 0, 0, 0, 0],
        )
    };
    let file = match made {
        // SAFETY: just made by the kernel for us alone, closed on exec.
        Ok(number) => unsafe { OwnedFd::from_raw_fd(number as i32) },
        // No Landlock, not turned on, or one that knows no scopes yet.
        Err(Errno::NOSYS | Errno::OPNOTSUPP | Errno::TOOBIG | Errno::INVAL) => return Ok(false),
        Err(errno) => return Err(errno),
    };
    // SAFETY: takes two numbers; changes what this thread may do, no memory.
    unsafe {
        call(
            raw::__NR_landlock_restrict_self,
            [file.as_raw_fd() as usize, 0, 0, 0, 0, 0],
        )
    }
    .map(|_| true)
}
