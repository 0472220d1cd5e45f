//! Shutting a program in after its start: no new privileges, nothing of the
//! file system but one folder (Landlock), and no system calls but a few
//! (seccomp). A kernel that lacks one of them is no error.

use linux_raw_sys::general as raw;

use super::{Fd, call3, call4, number, process::control};
use crate::seccomp::{
    ALLOW, ARCHITECTURE, ERRNO, Instruction, JUMP_EQUAL, LOAD_WORD, RETURN, instruction,
};

/// PR_SET_NO_NEW_PRIVS (prctl(2)), which the other two need.
pub fn no_new_privileges() {
    control(38, 1);
}

/// From here on files are opened beneath this folder only, and only to be read
/// or listed; with a negative number, none at all.
pub fn see_beneath(folder: Fd) {
    // linux/landlock.h, version 1 of its ABI: all that is done to files.
    const ALL: u64 = 0x1fff;
    const READ: u64 = 1 << 2 | 1 << 3;
    const PATH_BENEATH: usize = 1;
    #[repr(C, packed)]
    struct PathBeneath {
        allowed: u64,
        folder: Fd,
    }
    let handled = ALL;
    // SAFETY: the first argument is a live set of accesses, of 8 bytes.
    let rules = unsafe {
        call3(
            raw::__NR_landlock_create_ruleset,
            &raw const handled as usize,
            8,
            0,
        ) as Fd
    };
    if rules < 0 {
        return;
    }
    if folder >= 0 {
        let rule = PathBeneath {
            allowed: READ,
            folder,
        };
        // SAFETY: the third argument is a live landlock_path_beneath_attr.
        unsafe {
            call4(
                raw::__NR_landlock_add_rule,
                number(rules),
                PATH_BENEATH,
                &raw const rule as usize,
                0,
            )
        };
    }
    // SAFETY: no pointer is given.
    unsafe { super::call2(raw::__NR_landlock_restrict_self, number(rules), 0) };
    super::close(rules);
}

/// From here on a program's system calls go through this filter: [`SERVING`] or
/// [`SERVING_PACKED`].
pub fn allow_only(filter: &[Instruction]) {
    let _ = crate::seccomp::install(filter);
}

/// A filter that lets these calls be made, and all others fail with EPERM: five
/// instructions more than there are calls.
#[allow(clippy::indexing_slicing, reason = "runs when compiled")]
const fn filter<const LENGTH: usize>(calls: &[u16]) -> [Instruction; LENGTH] {
    let count = calls.len();
    assert!(LENGTH == count + 5);
    let mut filter = [instruction(LOAD_WORD, 0, 0, 0); LENGTH];
    // Another architecture's calls have other numbers.
    filter[0] = instruction(LOAD_WORD, 0, 0, 4);
    filter[1] = instruction(JUMP_EQUAL, 0, count as u8 + 1, ARCHITECTURE);
    let mut at = 0;
    while at < count {
        filter[at + 3] = instruction(JUMP_EQUAL, (count - at) as u8, 0, calls[at] as u32);
        at += 1;
    }
    filter[count + 3] = instruction(RETURN, 0, 0, ERRNO | linux_raw_sys::errno::EPERM);
    filter[count + 4] = instruction(RETURN, 0, 0, ALLOW);
    filter
}

const SERVING_ALL: &[u16] = &[
    raw::__NR_recvfrom as u16,
    raw::__NR_sendto as u16,
    raw::__NR_epoll_pwait as u16,
    raw::__NR_clock_gettime as u16,
    raw::__NR_epoll_ctl as u16,
    raw::__NR_accept4 as u16,
    raw::__NR_close as u16,
    raw::__NR_setsockopt as u16,
    raw::__NR_getsockopt as u16,
    raw::__NR_sendfile as u16,
    raw::__NR_shutdown as u16,
    raw::__NR_getpeername as u16,
    raw::__NR_ppoll as u16,
    raw::__NR_write as u16,
    raw::__NR_read as u16,
    raw::__NR_wait4 as u16,
    raw::__NR_munmap as u16,
    raw::__NR_exit_group as u16,
    raw::__NR_openat2 as u16,
    raw::__NR_openat as u16,
    raw::__NR_fstat as u16,
    raw::__NR_pread64 as u16,
    raw::__NR_lseek as u16,
    raw::__NR_getdents64 as u16,
];
/// Of these, what a server that opens no files calls.
const PACKED_COUNT: usize = 18;
/// Lets a server of files make the calls that it makes.
pub const SERVING: &[Instruction] = &filter::<{ SERVING_ALL.len() + 5 }>(SERVING_ALL);
/// Lets a server make its calls that opens no files.
pub const SERVING_PACKED: &[Instruction] =
    &filter::<{ PACKED_COUNT + 5 }>(SERVING_ALL.split_at(PACKED_COUNT).0);
