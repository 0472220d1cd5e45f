//! The BPF program that decides which devices a control group of version 2
//! may use (Documentation/admin-guide/cgroup-v2.rst, "Device controller"):
//! loading and attaching it. What it says is the caller's.

use linux_raw_sys::general::__NR_bpf;
use rustix::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use rustix::io::Errno;

use crate::syscall::call;

// linux/bpf.h
const PROG_LOAD: usize = 5;
const PROG_ATTACH: usize = 8;
const PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const ATTACH_CGROUP_DEVICE: u32 = 6;
const ALLOW_MULTI: u32 = 2;

/// The first members of `union bpf_attr` for BPF_PROG_LOAD.
#[repr(C)]
struct Load {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
}

/// The first members of `union bpf_attr` for BPF_PROG_ATTACH.
#[repr(C)]
struct Attach {
    target: u32,
    program: u32,
    kind: u32,
    flags: u32,
}

/// Has a program of `struct bpf_insn`s decide on the devices of a group; it
/// stays as long as the group.
///
/// # Errors
/// EPERM without the capability, EINVAL for a program the kernel refuses.
pub fn attach_device_program(program: &[u64], group: BorrowedFd<'_>) -> Result<(), Errno> {
    let load = Load {
        kind: PROG_TYPE_CGROUP_DEVICE,
        count: u32::try_from(program.len()).map_err(|_| Errno::TOOBIG)?,
        instructions: program.as_ptr() as u64,
        license: c"Apache-2.0".as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log: 0,
        kernel_version: 0,
        flags: 0,
    };
    // SAFETY: the structure is as long as is told; the instructions and the C
    // string it points to outlive the call.
    let file = unsafe {
        call(
            __NR_bpf,
            [
                PROG_LOAD,
                &raw const load as usize,
                size_of::<Load>(),
                0,
                0,
                0,
            ],
        )
    }?;
    // SAFETY: just made by the kernel for us alone.
    let file = unsafe { OwnedFd::from_raw_fd(file as i32) };
    let attach = Attach {
        target: group.as_raw_fd() as u32,
        program: file.as_raw_fd() as u32,
        kind: ATTACH_CGROUP_DEVICE,
        flags: ALLOW_MULTI,
    };
    // SAFETY: four numbers, as long as is told.
    unsafe {
        call(
            __NR_bpf,
            [
                PROG_ATTACH,
                &raw const attach as usize,
                size_of::<Attach>(),
                0,
                0,
                0,
            ],
        )
    }
    .map(drop)
}
