//! Sending and receiving, once for all callers.

use rustix::fd::BorrowedFd;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};

/// Why a connection does not go on. As wide as a length, so that a result with
/// one or the other travels in registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Halt {
    /// Nothing to do before the kernel reports something.
    Waits,
    /// It is of no more use.
    Ends,
}

impl From<Errno> for Halt {
    #[inline(never)]
    fn from(error: Errno) -> Self {
        match error {
            Errno::AGAIN | Errno::INTR => Self::Waits,
            _ => Self::Ends,
        }
    }
}

/// Receives with these flags; with MSG_TRUNC nothing is copied (tcp(7)).
#[inline(never)]
pub(crate) fn receive(
    socket: BorrowedFd<'_>,
    bytes: &mut [u8],
    flags: RecvFlags,
) -> Result<usize, Halt> {
    Ok(rustix::net::recv(socket, bytes, flags)?.1)
}

/// Sends what the kernel takes; a closed connection raises no signal.
#[inline(never)]
pub(crate) fn send(socket: BorrowedFd<'_>, bytes: &[u8], flags: SendFlags) -> Result<usize, Halt> {
    Ok(rustix::net::send(
        socket,
        bytes,
        flags | SendFlags::NOSIGNAL,
    )?)
}
