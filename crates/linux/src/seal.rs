//! A program that executes itself anew from a copy of its own mount that
//! nothing can be written through, so that no container it enters can change
//! the program on the host (CVE-2019-5736).

use core::ffi::CStr;

use linux_raw_sys::general as raw;
use rustix::fd::{AsFd, AsRawFd};
use rustix::fs::{CWD, StatVfsMountFlags, statvfs};
use rustix::io::Errno;

use crate::launch::Text;
use crate::mount::{self, Attributes};
use crate::syscall::call;

const OWN: &CStr = c"/proc/self/exe";

/// Executes this program anew where it can be written; comes back where it cannot.
///
/// The copy of the mount is in nobody's table: once it is executed no path
/// leads to it, and no one can make it writable again.
///
/// # Errors
/// As open_tree(2), mount_setattr(2) and execveat(2) say; EPERM without root.
pub fn execute_sealed(arguments: &[Text<'_>], environment: &[Text<'_>]) -> Result<(), Errno> {
    let ended = |list: &[Text<'_>]| list.last().is_some_and(|text| text.is_end());
    if !ended(arguments) || !ended(environment) {
        return Err(Errno::INVAL);
    }
    if statvfs(OWN)?.f_flag.contains(StatVfsMountFlags::RDONLY) {
        return Ok(());
    }
    let tree = mount::copy(CWD, OWN, false)?;
    let attributes = Attributes {
        read_only: true,
        ..Attributes::default()
    };
    mount::restrict(tree.as_fd(), attributes, false)?;
    // SAFETY: the path is an empty C string, both lists end with a null
    // pointer (just checked) and the others come from `&CStr`s that are alive.
    match unsafe {
        call(
            raw::__NR_execveat,
            [
                tree.as_raw_fd() as usize,
                c"".as_ptr() as usize,
                arguments.as_ptr() as usize,
                environment.as_ptr() as usize,
                raw::AT_EMPTY_PATH as usize,
                0,
            ],
        )
    } {
        Ok(_) => Err(Errno::NOEXEC),
        Err(errno) => Err(errno),
    }
}
