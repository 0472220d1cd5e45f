//! The listening sockets: handed in (`LISTEN_FDS`), or bound here.

use crate::program::Program;
use ounce_linux::descriptor::{self, DescriptorSlot};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::{Errno, FdFlags};
use rustix::net::{
    AddressFamily, Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6, SocketFlags, SocketType, bind,
    listen, socket_with, sockopt,
};

/// The most sockets that can be handed in.
pub(crate) const MAX_LISTENERS: usize = 4;
/// The first descriptor handed in (sd_listen_fds(3)).
const FIRST: u32 = 3;
/// How many connections may wait; the kernel lowers it to net.core.somaxconn.
const BACKLOG: i32 = 4_096;

pub(crate) type Listeners = [DescriptorSlot; MAX_LISTENERS];

/// Sockets handed in, where the environment says so for this process; else one
/// on this port, on all addresses.
pub(crate) fn open(program: &Program, port: u16, places: &mut Listeners) -> Result<(), Errno> {
    inherited(program, places)?;
    if let [first, ..] = places
        && first.is_empty()
    {
        first.put(bound(port)?);
    }
    for listener in places.iter().filter_map(DescriptorSlot::get) {
        // Accepted sockets inherit it. Sockets that are not TCP refuse: fine.
        let _ = sockopt::set_tcp_nodelay(listener, true);
    }
    Ok(())
}

fn inherited(program: &Program, places: &mut Listeners) -> Result<(), Errno> {
    // The environment may be meant for a parent (sd_listen_fds(3)); in a PID
    // namespace of its own this process is number 1.
    let own = rustix::process::getpid()
        .as_raw_nonzero()
        .get()
        .unsigned_abs();
    if program.number("LISTEN_PID") != Some(own) {
        return Ok(());
    }
    let count = program.number("LISTEN_FDS").unwrap_or(0);
    for (number, place) in (FIRST..FIRST.saturating_add(count)).zip(places) {
        let listener = descriptor::inherited(number).ok_or(Errno::BADF)?;
        // It listens already, unless it is something else: then this fails.
        listen(&listener, BACKLOG)?;
        rustix::io::ioctl_fionbio(&listener, true)?;
        rustix::io::fcntl_setfd(&listener, FdFlags::CLOEXEC)?;
        place.put(listener);
    }
    Ok(())
}

/// `[::]` takes IPv4 as well; a kernel without IPv6 gets `0.0.0.0`.
fn bound(port: u16) -> Result<OwnedFd, Errno> {
    let socket = match bound_to_all(port) {
        Err(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL) => {
            let socket = reusable(AddressFamily::INET)?;
            bind(&socket, &SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port))?;
            socket
        }
        other => other?,
    };
    listen(socket.as_fd(), BACKLOG)?;
    Ok(socket)
}

fn bound_to_all(port: u16) -> Result<OwnedFd, Errno> {
    let socket = reusable(AddressFamily::INET6)?;
    sockopt::set_ipv6_v6only(&socket, false)?;
    let all = SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, port, 0, 0);
    bind(&socket, &all)?;
    Ok(socket)
}

/// A socket that may be bound while connections of a server before it linger.
#[inline(never)]
fn reusable(family: AddressFamily) -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family, SocketType::STREAM, flags, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    Ok(socket)
}
