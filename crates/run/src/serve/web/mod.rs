//! An HTTP proxy for services that share an address by host or path, and the
//! answers of `/metrics`: a thread of its own, so that a start holds up no
//! request that is on its way.
//!
//! Heads are read (`head`) and rewritten (`forward`); bodies pass as they are,
//! piece by piece, with their framing checked. A service is reached as any
//! client would reach it: its connection waits in the kernel's queue while its
//! container starts. Each request has a connection of its own to its service:
//! one that is kept would count as use, and two that share one could be mixed up.

mod exchange;
mod forward;
mod head;
mod server;

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rustix::event::{EventfdFlags, eventfd};

use super::metrics::{Board, Counters};
use super::route::Place;
use server::Server;

/// One service of those that share an address.
#[derive(Debug)]
pub(super) struct Route {
    /// Which requests are its own.
    pub(super) place: Place,
    /// Where it is reached.
    pub(super) address: SocketAddr,
    /// Most requests at once.
    pub(super) most: Option<u32>,
    /// Requests that it has now.
    pub(super) busy: AtomicU32,
    /// What is counted of it.
    pub(super) counters: Arc<Counters>,
}

impl Route {
    /// Whether there is a place among its requests.
    fn is_free(&self) -> bool {
        let busy = self.busy.load(Ordering::Relaxed);
        self.most.is_none_or(|most| busy < most)
    }

    /// Takes a place, if there is one.
    fn enter(&self) -> bool {
        // Only the one thread enters.
        let free = self.is_free();
        if free {
            self.busy.fetch_add(1, Ordering::Relaxed);
        }
        free
    }

    fn leave(&self) {
        self.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Which services share which addresses.
pub(super) type Routes = HashMap<SocketAddr, Vec<Arc<Route>>>;

/// What the thread is told.
enum Command {
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
struct Control {
    commands: Mutex<Vec<Command>>,
    bell: OwnedFd,
}

impl Control {
    fn take(&self) -> Vec<Command> {
        let mut count = [0; 8];
        let _ = rustix::io::read(&self.bell, &mut count);
        let mut commands = self.commands.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut commands)
    }
}

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
