//! Capabilities: giving all of them up, for good (man 7 capabilities).

use rustix::io::Errno;
use rustix::thread::{
    CapabilitiesSecureBits, CapabilitySet, CapabilitySets, clear_ambient_capability_set,
    set_capabilities, set_capabilities_secure_bits,
};

use crate::syscall::call;
use linux_raw_sys::general::__NR_prctl;
use linux_raw_sys::prctl::PR_CAPBSET_DROP;

/// Empties the bounding set and locks the secure bits so that becoming user 0
/// or executing a file as user 0 grants nothing. Needs CAP_SETPCAP, so it has
/// to stand before a change of user.
///
/// # Errors
/// EPERM without CAP_SETPCAP.
pub fn forbid_all() -> Result<(), Errno> {
    set_capabilities_secure_bits(
        CapabilitiesSecureBits::NO_ROOT
            | CapabilitiesSecureBits::NO_ROOT_LOCKED
            | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE
            | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE_LOCKED,
    )?;
    for capability in 0..64 {
        // SAFETY: PR_CAPBSET_DROP takes a number and touches no memory.
        match unsafe {
            call(
                __NR_prctl,
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

/// Empties the effective, permitted, inheritable and ambient sets.
///
/// # Errors
/// As the kernel says.
pub fn drop_all() -> Result<(), Errno> {
    clear_ambient_capability_set()?;
    set_capabilities(
        None,
        CapabilitySets {
            effective: CapabilitySet::empty(),
            permitted: CapabilitySet::empty(),
            inheritable: CapabilitySet::empty(),
        },
    )
}
