//! How the thread that reads requests is told what to do.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, PoisonError};

use super::routes::Routes;

/// What the thread is told.
pub(super) enum Command {
    /// Take connections from this socket, too.
    Front(SocketAddr, OwnedFd),
    /// From this one no longer.
    Close(SocketAddr),
    /// These are the routes from now on.
    Routes(Routes),
    /// Answer who asks for metrics here.
    Metrics(OwnedFd),
    /// Take no more requests, finish those that are there, and end.
    End,
}

/// How the thread is told.
pub(super) struct Control {
    pub(super) commands: Mutex<Vec<Command>>,
    pub(super) bell: OwnedFd,
}

impl Control {
    pub(super) fn take(&self) -> Vec<Command> {
        let mut count = [0; 8];
        let _ = rustix::io::read(&self.bell, &mut count);
        let mut commands = self.commands.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut commands)
    }
}
