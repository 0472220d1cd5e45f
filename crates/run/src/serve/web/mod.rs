//! An HTTP proxy for services that share an address by host or path, and the
//! answers of `/metrics`: a thread of its own, so that a start holds up no
//! request that is on its way.
//!
//! Heads are read (`head`) and rewritten (`forward`); bodies pass as they are,
//! piece by piece, with their framing checked. A service is reached as any
//! client would reach it: its connection waits in the kernel's queue while its
//! container starts. Each request has a connection of its own to its service:
//! one that is kept would count as use, and two that share one could be mixed up.

mod control;
mod exchange;
mod forward;
mod head;
mod routes;
mod server;

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rustix::event::{EventfdFlags, eventfd};

use super::metrics::Board;
use control::{Command, Control};
pub(super) use routes::{Route, Routes};
use server::Server;

/// The thread.
pub(super) struct Web {
    control: Arc<Control>,
    thread: Option<JoinHandle<()>>,
}

impl Web {
    /// Starts it, with nothing to do.
    ///
    /// # Errors
    /// No thread or descriptor is left.
    pub(super) fn start(board: Board) -> io::Result<Self> {
        let control = Arc::new(Control {
            commands: Mutex::default(),
            bell: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
        });
        let server = Server::new(Arc::clone(&control), board)?;
        let thread = std::thread::Builder::new()
            .name("ounce-web".to_owned())
            .spawn(move || server.run())?;
        Ok(Self {
            control,
            thread: Some(thread),
        })
    }

    fn tell(&self, command: Command) {
        let commands = self.control.commands.lock();
        commands
            .unwrap_or_else(PoisonError::into_inner)
            .push(command);
        let _ = rustix::io::write(&self.control.bell, &1_u64.to_ne_bytes());
    }

    pub(super) fn front(&self, address: SocketAddr, listener: OwnedFd) {
        self.tell(Command::Front(address, listener));
    }

    pub(super) fn close(&self, address: SocketAddr) {
        self.tell(Command::Close(address));
    }

    pub(super) fn routes(&self, routes: Routes) {
        self.tell(Command::Routes(routes));
    }

    pub(super) fn metrics(&self, listener: OwnedFd) {
        self.tell(Command::Metrics(listener));
    }

    /// Takes no more requests from here on.
    pub(super) fn end(&self) {
        self.tell(Command::End);
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        self.end();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests;
