//! The terminal's way out: over the socket that the caller listens on, or over
//! a pair of our own.

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use super::fault::RuntimeError;

/// Whether terminal and socket go together.
///
/// # Errors
/// There is one without the other.
pub fn check(terminal: bool, socket: Option<&Path>) -> Result<(), RuntimeError> {
    match (terminal, socket) {
        (false, Some(_)) => Err(RuntimeError::Argument(
            "--console-socket is given, but process.terminal is not set".to_owned(),
        )),
        _ => Ok(()),
    }
}

/// The socket that a terminal is sent over, and our end of it where the caller
/// has none.
///
/// # Errors
/// Nobody listens.
pub fn socket(path: Option<&Path>) -> Result<(OwnedFd, Option<OwnedFd>), RuntimeError> {
    match path {
        Some(path) => {
            let socket = UnixStream::connect(path)
                .map_err(RuntimeError::file("connecting to the console socket", path))?;
            Ok((socket.into(), None))
        }
        None => {
            let (theirs, ours) = UnixStream::pair().map_err(|source| RuntimeError::File {
                action: "making",
                path: "a pair of sockets".into(),
                source,
            })?;
            Ok((theirs.into(), Some(ours.into())))
        }
    }
}

/// Takes the terminal that was sent.
///
/// # Errors
/// None was.
pub fn receive(socket: &OwnedFd) -> Result<OwnedFd, RuntimeError> {
    let mut name = [0; 256];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(
        socket.as_fd(),
        &mut [IoSliceMut::new(&mut name)],
        &mut control,
        RecvFlags::CMSG_CLOEXEC,
    );
    received.map_err(RuntimeError::kernel("receiving the terminal"))?;
    let file = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut files) => files.next(),
        _ => None,
    });
    file.ok_or_else(|| RuntimeError::Argument("no terminal was received".to_owned()))
}
