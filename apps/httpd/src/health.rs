//! The self-check: one request over loopback.

use crate::stream::{Halt, receive, send};
use rustix::fd::AsFd;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, Ipv4Addr, RecvFlags, SendFlags, SocketAddrV4, SocketFlags, SocketType, connect,
    socket_with,
};

pub(crate) fn check(port: u16) -> Result<(), Halt> {
    let flags = SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    let timeout = Some(core::time::Duration::from_secs(2));
    set_socket_timeout(&socket, Timeout::Send, timeout)?;
    set_socket_timeout(&socket, Timeout::Recv, timeout)?;
    connect(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, port))?;
    let request = b"GET /healthz HTTP/1.0\r\n\r\n";
    send(socket.as_fd(), request, SendFlags::empty())?;
    let mut answer = [0; 12];
    receive(socket.as_fd(), &mut answer, RecvFlags::WAITALL)?;
    if &answer == b"HTTP/1.1 200" {
        Ok(())
    } else {
        Err(Halt::Ends)
    }
}
