//! One running container of a service, with the proxy that it may need.

use std::any::Any;
use std::error::Error;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::config::Service;
use super::event::Why;
use super::freeze::{Frozen, freeze};
use crate::pool::Pool;
use crate::proxy::{self, Lifetime, Proxy};
use crate::spec::{Socket, Spec};
use crate::{Beginning, Container};

/// Descriptors of services are kept from here on. A child copies what lies below
/// those that it is told by: the lowest numbers are to be free for these.
pub(super) const FIRST_FILE: i32 = 256;

/// Why something of a service failed.
pub type Fault = Box<dyn Error + Send + Sync>;

/// What a service is to run, found out anew for each start.
#[derive(Debug)]
pub struct Prepared {
    /// Its start, but for the socket.
    pub spec: Spec,
    /// Whether its program takes its socket by `LISTEN_FDS`.
    pub takes_socket: bool,
    /// What it is of: another text is another image.
    pub identity: Arc<str>,
    /// Kept as long as it runs.
    pub held: Option<Arc<dyn Any + Send + Sync>>,
}

/// What every start needs beside the service.
pub(super) struct Workshop<'a> {
    /// The program that is a proxy when called with [`proxy::SUBCOMMAND`].
    pub(super) proxy: &'a Path,
    /// Input, output and error of those who may print.
    pub(super) stdio: [BorrowedFd<'a>; 3],
    /// Starts that are begun, if any are kept.
    pub(super) pool: Option<Pool>,
}

/// A running container.
pub(super) struct Instance {
    pub(super) container: Container,
    proxy: Option<Proxy>,
    /// See [`Prepared::identity`].
    pub(super) identity: Arc<str>,
    /// When it was started.
    pub(super) since: Instant,
    /// It was asked to end: why, and when it is killed for not having done so.
    pub(super) asked: Option<(Why, Instant)>,
    /// It is to be asked as soon as it has no connection, or then.
    pub(super) retires: Option<Instant>,
    /// It has been seen with a connection.
    pub(super) has_accepted: bool,
    // Last: the container's files outlive the container.
    _held: Option<Arc<dyn Any + Send + Sync>>,
}

impl Workshop<'_> {
    /// Starts a container that takes its connections from `listener`.
    pub(super) fn start(
        &self,
        service: &Service,
        prepared: Prepared,
        listener: &Arc<OwnedFd>,
    ) -> Result<Instance, Fault> {
        let Prepared {
            mut spec,
            takes_socket,
            identity,
            held,
        } = prepared;
        let pass = service.options.hand_over.unwrap_or(takes_socket);
        if pass {
            // It is reached through this socket alone: nobody is to be kept from
            // a port of a network that leads nowhere.
            spec.low_ports = false;
            spec.sockets.push(Socket {
                name: format!("port-{}", service.listen.container_port),
                file: Arc::clone(listener),
            });
        }
        // It starts up while the container does.
        let waiting = match pass {
            true => None,
            false => Some(Proxy::start(proxy::command(self.proxy))?),
        };
        let stdio = match service.options.prints {
            true => self.stdio,
            false => [self.stdio[0]; 3],
        };
        let pooled = self.pool.as_ref().filter(|_| spec.limits.is_default());
        let mut container = match pooled {
            Some(pool) => pool.start(&spec, stdio)?,
            None => Beginning::of(&spec).start(&spec, stdio)?,
        };
        let proxy = match waiting {
            None => None,
            Some(mut proxy) => {
                let routes = [(listener.as_fd(), service.listen.container_port)];
                match proxy.serve(&routes, container.pidfd(), Lifetime::Starter) {
                    Ok(()) => Some(proxy),
                    // A program that ended at once leaves no network to enter:
                    // its own end is what is to be told.
                    Err(_) if has_ended(&mut container) => None,
                    Err(error) => return Err(error.into()),
                }
            }
        };
        container.move_descriptor(FIRST_FILE);
        Ok(Instance {
            container,
            proxy,
            identity,
            since: Instant::now(),
            asked: None,
            retires: None,
            has_accepted: false,
            _held: held,
        })
    }
}

/// Whether it has ended, or is just about to.
fn has_ended(container: &mut Container) -> bool {
    let limit = Timespec {
        tv_sec: 0,
        tv_nsec: 50_000_000,
    };
    let mut files = [PollFd::from_borrowed_fd(container.pidfd(), PollFlags::IN)];
    let _ = poll(&mut files, Some(&limit));
    matches!(container.try_wait(), Ok(Some(_)))
}

impl Instance {
    /// Whether it is the one that is meant to run.
    pub(super) fn stays(&self) -> bool {
        self.asked.is_none() && self.retires.is_none()
    }

    /// Whether it can be trusted to finish what it has begun when it is asked to end.
    pub(super) fn drains(&self) -> bool {
        self.proxy.is_none() && self.container.handles(Signal::TERM)
    }

    /// Stops for a moment whoever accepts its connections.
    pub(super) fn freeze(&self) -> Option<Frozen> {
        match &self.proxy {
            None => freeze(self.container.id(), self.container.pidfd(), false),
            Some(proxy) => {
                let pid = Pid::from_raw(proxy.pid().cast_signed())?;
                let pidfd = pidfd_open(pid, PidfdFlags::empty()).ok()?;
                freeze(pid, pidfd.as_fd(), true)
            }
        }
    }

    /// Asks it to end. What does not listen to SIGTERM is killed, while it
    /// still stands if it does: it accepts nothing more.
    pub(super) fn ask_to_end(&mut self, frozen: Option<Frozen>, why: Why, grace: Duration) {
        if why != Why::Ending {
            // It is unused, or out of time: a connection that comes now waits
            // for the next container.
            self.proxy = None;
        }
        // It may end at this very moment, which is what is wanted.
        let _ = self.container.kill(Signal::TERM);
        drop(frozen);
        self.asked = Some((why, Instant::now() + grace));
    }

    /// Kills it.
    pub(super) fn kill(&self) {
        let _ = pidfd_send_signal(self.container.pidfd(), Signal::KILL);
    }
}
