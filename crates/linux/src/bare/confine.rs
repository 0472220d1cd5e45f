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

/// Instructions of a filter: with the longest list.
const LENGTH: usize = SERVING.len() + 5;

/// From here on these calls are made, and all others fail with EPERM. The list is
/// a quarter as long as the filter, which is built on the stack.
pub fn allow_only(calls: &[u16]) {
    #[repr(C)]
    struct Program {
        length: u16,
        instructions: *const Instruction,
    }
    const SET_MODE_FILTER: usize = 1;
    // What is not set below allows, as its end is to.
    let mut filter = [instruction(RETURN, 0, 0, ALLOW); LENGTH];
    let [architecture, is_ours, call, rest @ ..] = &mut filter;
    *architecture = instruction(LOAD_WORD, 0, 0, 4);
    *call = instruction(LOAD_WORD, 0, 0, 0);
    let mut left = LENGTH as u8 - 4;
    // Another architecture's calls have other numbers.
    *is_ours = instruction(JUMP_EQUAL, 0, calls.len() as u8 + 1, ARCHITECTURE);
    let mut places = rest.iter_mut();
    for (call, place) in calls.iter().zip(&mut places) {
        left -= 1;
        *place = instruction(JUMP_EQUAL, left, 0, u32::from(*call));
    }
    if let Some(place) = places.next() {
        *place = instruction(RETURN, 0, 0, ERRNO | linux_raw_sys::errno::EPERM);
    }
    let program = Program {
        length: LENGTH as u16,
        instructions: filter.as_ptr(),
    };
    // SAFETY: a live struct sock_fprog, whose filter has so many instructions.
    unsafe {
        call3(
            raw::__NR_seccomp,
            SET_MODE_FILTER,
            0,
            &raw const program as usize,
        )
    };
}

/// What a server of files calls.
pub const SERVING: &[u16] = &[
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
pub const SERVING_PACKED: &[u16] = SERVING.split_at(18).0;
