//! Namespaces: which ones a process is to have for itself, and the little that
//! makes a new network namespace usable.

use core::ops::BitOr;

use linux_raw_sys::general as raw;
use linux_raw_sys::ioctl::{SIOCGIFFLAGS, SIOCSIFFLAGS};
use linux_raw_sys::net::{ifreq, net_device_flags::IFF_UP};
use rustix::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

use crate::syscall::call;

/// A set of namespaces, as the `CLONE_NEW*` flags of clone(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Namespaces(u32);

impl Namespaces {
    /// None.
    pub const NONE: Self = Self(0);
    /// Users and groups.
    pub const USER: Self = Self(raw::CLONE_NEWUSER);
    /// Mounts.
    pub const MOUNT: Self = Self(raw::CLONE_NEWNS);
    /// Processes.
    pub const PID: Self = Self(raw::CLONE_NEWPID);
    /// Network interfaces, addresses, ports.
    pub const NETWORK: Self = Self(raw::CLONE_NEWNET);
    /// System V IPC and POSIX message queues.
    pub const IPC: Self = Self(raw::CLONE_NEWIPC);
    /// Host name.
    pub const HOSTNAME: Self = Self(raw::CLONE_NEWUTS);
    /// What a process sees as the root of its control groups.
    pub const CGROUP: Self = Self(raw::CLONE_NEWCGROUP);

    /// This set and another one, as `|` in a constant.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The monotonic and boot-time clocks; not for clone(2), only for unshare(2).
    pub const TIME: Self = Self(raw::CLONE_NEWTIME);

    /// The set without those of `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The flags as clone(2) and unshare(2) take them.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Whether all of `other` are in this set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOr for Namespaces {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Moves the calling thread into new namespaces (man 2 unshare).
///
/// # Errors
/// As the kernel says; EPERM without the capability in the user namespace.
pub fn unshare(namespaces: Namespaces) -> Result<(), Errno> {
    // SAFETY: only namespace flags can be in the set, never CLONE_FILES, so
    // file descriptors that other code holds keep their meaning.
    unsafe { call(raw::__NR_unshare, [namespaces.0 as usize, 0, 0, 0, 0, 0]) }.map(drop)
}

/// Moves the calling thread into the namespaces that `file` stands for (man 2 setns).
///
/// # Errors
/// As the kernel says; EPERM without the capability in both user namespaces.
pub fn enter(file: BorrowedFd<'_>, namespaces: Namespaces) -> Result<(), Errno> {
    // SAFETY: setns takes two numbers; namespaces change no memory.
    unsafe {
        call(
            raw::__NR_setns,
            [file.as_raw_fd() as usize, namespaces.0 as usize, 0, 0, 0, 0],
        )
    }
    .map(drop)
}

/// The calling thread's network namespace as a file (man 7 netdevice has no
/// word on `SIOCGSKNS`; Linux 4.10). Unlike /proc/thread-self/ns/net it needs
/// no procfs of the right process namespace.
///
/// # Errors
/// EPERM without CAP_NET_ADMIN over the namespace.
pub fn network_file() -> Result<OwnedFd, Errno> {
    const SIOCGSKNS: usize = 0x894C;
    let socket = socket_with(
        AddressFamily::INET,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    // SAFETY: SIOCGSKNS takes no argument and returns a new descriptor, closed on exec.
    let file = unsafe {
        call(
            raw::__NR_ioctl,
            [socket.as_raw_fd() as usize, SIOCGSKNS, 0, 0, 0, 0],
        )
    }?;
    // SAFETY: just made by the kernel for us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(file as i32) })
}

/// Brings up `lo` in the calling thread's network namespace (man 7 netdevice).
///
/// # Errors
/// EPERM without CAP_NET_ADMIN over the namespace.
pub fn loopback_up() -> Result<(), Errno> {
    let socket = socket_with(
        AddressFamily::INET,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    // SAFETY: ifreq is a C structure of integers and byte arrays; all zero is a value of it.
    let mut request: ifreq = unsafe { core::mem::zeroed() };
    // SAFETY: ifrn_name is the only member of its union, so it is the one that was initialised.
    let name = unsafe { &mut request.ifr_ifrn.ifrn_name };
    for (to, from) in name.iter_mut().zip(b"lo") {
        *to = *from as _;
    }
    let pointer = &raw mut request as usize;
    let file = socket.as_raw_fd() as usize;
    // SAFETY: SIOCGIFFLAGS reads the name and writes the flags of the ifreq, which outlives the call.
    unsafe {
        call(
            raw::__NR_ioctl,
            [file, SIOCGIFFLAGS as usize, pointer, 0, 0, 0],
        )
    }?;
    // SAFETY: the call above wrote ifru_flags.
    let flags = unsafe { &mut request.ifr_ifru.ifru_flags };
    *flags |= IFF_UP as i16;
    let pointer = &raw mut request as usize;
    // SAFETY: SIOCSIFFLAGS reads name and flags of the ifreq, which outlives the call.
    unsafe {
        call(
            raw::__NR_ioctl,
            [file, SIOCSIFFLAGS as usize, pointer, 0, 0, 0],
        )
    }
    .map(drop)
}
