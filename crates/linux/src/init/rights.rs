//! Who a process is and what it may: users, capabilities, scheduling.

use core::ffi::CStr;

use linux_raw_sys::general as raw;
use rustix::fs::{Gid, Uid};
use rustix::io::Errno;
use rustix::thread::{CapabilitySet, CapabilitySets};

use super::{Capabilities, Scheduler};
use crate::syscall::call;

pub(super) fn set_groups(groups: &[u32]) -> Result<(), Errno> {
    // SAFETY: as many numbers of 32 bits as the first argument says.
    unsafe {
        call(
            raw::__NR_setgroups,
            [groups.len(), groups.as_ptr() as usize, 0, 0, 0, 0],
        )
    }
    .map(drop)
}

/// A namespace need not have a user 0, nor allow groups to be set.
pub(super) fn become_root() -> Result<(), Errno> {
    match set_groups(&[]) {
        Ok(()) | Err(Errno::PERM) => {}
        Err(errno) => return Err(errno),
    }
    let (uid, gid) = (Uid::ROOT, Gid::ROOT);
    for outcome in [
        rustix::thread::set_thread_res_gid(gid, gid, gid),
        rustix::thread::set_thread_res_uid(uid, uid, uid),
    ] {
        match outcome {
            Ok(()) | Err(Errno::INVAL) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

pub(super) fn join_keyring(name: &CStr) -> Result<(), Errno> {
    const JOIN_SESSION_KEYRING: usize = 1;
    // SAFETY: a number and a C string.
    let joined = unsafe {
        call(
            raw::__NR_keyctl,
            [JOIN_SESSION_KEYRING, name.as_ptr() as usize, 0, 0, 0, 0],
        )
    };
    match joined {
        // No keyrings in this kernel, or not for us: there is none to leak then.
        Ok(_) | Err(Errno::NOSYS | Errno::PERM | Errno::ACCESS | Errno::DQUOT) => Ok(()),
        Err(errno) => Err(errno),
    }
}

pub(super) fn schedule(scheduler: &Scheduler) -> Result<(), Errno> {
    /// struct sched_attr (linux/sched/types.h), first version.
    #[repr(C)]
    struct Attributes {
        size: u32,
        policy: u32,
        flags: u64,
        nice: i32,
        priority: u32,
        runtime: u64,
        deadline: u64,
        period: u64,
    }
    let attributes = Attributes {
        size: size_of::<Attributes>() as u32,
        policy: scheduler.policy,
        flags: scheduler.flags,
        nice: scheduler.nice,
        priority: scheduler.priority,
        runtime: scheduler.runtime,
        deadline: scheduler.deadline,
        period: scheduler.period,
    };
    // SAFETY: the structure is as long as its first member says.
    unsafe {
        call(
            raw::__NR_sched_setattr,
            [0, &raw const attributes as usize, 0, 0, 0, 0],
        )
    }
    .map(drop)
}

pub(super) fn io_priority(value: u32) -> Result<(), Errno> {
    const PROCESS: usize = 1;
    // SAFETY: three numbers.
    unsafe { call(raw::__NR_ioprio_set, [PROCESS, 0, value as usize, 0, 0, 0]) }.map(drop)
}

pub(super) fn personality(domain: u32) -> Result<(), Errno> {
    // SAFETY: a number; what it changes begins with the exec.
    unsafe { call(raw::__NR_personality, [domain as usize, 0, 0, 0, 0, 0]) }.map(drop)
}

pub(super) fn affinity(processors: &[u64]) -> Result<(), Errno> {
    // SAFETY: as many bytes as the second argument says.
    unsafe {
        call(
            raw::__NR_sched_setaffinity,
            [
                0,
                size_of_val(processors),
                processors.as_ptr() as usize,
                0,
                0,
                0,
            ],
        )
    }
    .map(drop)
}

pub(super) fn memory_policy(mode: u32, nodes: &[u64]) -> Result<(), Errno> {
    let (pointer, bits) = match nodes {
        [] => (0, 0),
        // The kernel counts one more than it reads.
        nodes => (nodes.as_ptr() as usize, nodes.len() * 64 + 1),
    };
    // SAFETY: as many bits as the third argument says, less one.
    unsafe {
        call(
            raw::__NR_set_mempolicy,
            [mode as usize, pointer, bits, 0, 0, 0],
        )
    }
    .map(drop)
}

pub(super) fn bound(set: u64) -> Result<(), Errno> {
    use linux_raw_sys::prctl::PR_CAPBSET_DROP;
    for capability in 0..64usize {
        if set & 1 << capability != 0 {
            continue;
        }
        // SAFETY: PR_CAPBSET_DROP takes a number and touches no memory.
        match unsafe {
            call(
                raw::__NR_prctl,
                [PR_CAPBSET_DROP as usize, capability, 0, 0, 0, 0],
            )
        } {
            Ok(_) => {}
            // One past the last capability this kernel knows.
            Err(Errno::INVAL) if capability > 0 => return Ok(()),
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

pub(super) fn capabilities(set: &Capabilities) -> Result<(), Errno> {
    use linux_raw_sys::prctl::{PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE};
    let bits = CapabilitySet::from_bits_retain;
    // What we have not ourselves cannot be given, which is no error
    // (config.md, "Linux Process", capabilities).
    let own = rustix::thread::capabilities(None)?;
    let (permitted, inheritable) = (own.permitted.bits(), own.inheritable.bits());
    let set = &Capabilities {
        bounding: set.bounding,
        effective: set.effective & set.permitted & permitted,
        permitted: set.permitted & permitted,
        inheritable: set.inheritable & (permitted | inheritable),
        ambient: set.ambient,
    };
    rustix::thread::set_capabilities(
        None,
        CapabilitySets {
            effective: bits(set.effective),
            permitted: bits(set.permitted),
            inheritable: bits(set.inheritable),
        },
    )?;
    match rustix::thread::clear_ambient_capability_set() {
        Ok(()) | Err(Errno::INVAL) => {}
        Err(errno) => return Err(errno),
    }
    for capability in (0..64usize).filter(|capability| set.ambient & 1 << capability != 0) {
        // SAFETY: three numbers.
        let raised = unsafe {
            call(
                raw::__NR_prctl,
                [
                    PR_CAP_AMBIENT as usize,
                    PR_CAP_AMBIENT_RAISE as usize,
                    capability,
                    0,
                    0,
                    0,
                ],
            )
        };
        match raised {
            // Not in the other sets: runc goes on as well.
            Ok(_) | Err(Errno::PERM) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}
