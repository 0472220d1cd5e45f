//! A container of a service on a socket that nobody knows of, to see whether it is
//! well before it gets the service's own.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use super::config::Service;
use super::instance::{Fault, Prepared, Workshop};
use crate::Exit;
use crate::publish::{self, Publish};

/// Starts what was prepared for a service at a free port of 127.0.0.1, has `ask` look
/// at it there, and ends it. `ask` is given what tells how the container has ended,
/// if it has. The program of `proxy` and `stdio` are as in [`Setup`](super::Setup).
///
/// # Errors
/// It cannot be started.
pub fn rehearse<T>(
    service: &Service,
    prepared: Prepared,
    proxy: &Path,
    stdio: [BorrowedFd<'_>; 3],
    ask: impl FnOnce(SocketAddr, &mut dyn FnMut() -> Option<Exit>) -> T,
) -> Result<T, Fault> {
    let bound = publish::bind(&Publish {
        host: Some(Ipv4Addr::LOCALHOST.into()),
        host_port: 0,
        ..service.listen
    })?;
    let address = bound.address;
    let listener = Arc::new(OwnedFd::from(bound));
    let workshop = Workshop {
        proxy,
        stdio,
        pool: None,
    };
    let mut instance = workshop.start(service, prepared, &listener)?;
    let told = ask(address, &mut || {
        instance.container.try_wait().ok().flatten()
    });
    instance.container.stop(service.options.stop_timeout)?;
    Ok(told)
}
