//! A program that executes itself anew from a copy of its own mount that
//! nothing can be written through, so that no container it enters can change
//! the program on the host (CVE-2019-5736).

use core::ffi::CStr;

use rustix::fd::AsFd;
use rustix::fs::{CWD, StatVfsMountFlags, statvfs};
use rustix::io::Errno;

use crate::launch::{Text, execute_file};
use crate::mount::{self, Attributes};

const OWN: &CStr = c"/proc/self/exe";

/// Executes this program anew where it can be written; comes back where it cannot.
///
/// The copy of the mount is in nobody's table: once it is executed no path
/// leads to it, and no one can make it writable again.
///
/// # Errors
/// As open_tree(2), mount_setattr(2) and execveat(2) say; EPERM without root.
pub fn execute_sealed(arguments: &[Text<'_>], environment: &[Text<'_>]) -> Result<(), Errno> {
    if statvfs(OWN)?.f_flag.contains(StatVfsMountFlags::RDONLY) {
        return Ok(());
    }
    let tree = mount::copy(CWD, OWN, false)?;
    let attributes = Attributes {
        read_only: true,
        ..Attributes::default()
    };
    mount::restrict(tree.as_fd(), attributes, false)?;
    Err(execute_file(tree.as_fd(), arguments, environment))
}
