//! The self-check: one request over loopback.

use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, Ipv4Addr, RecvFlags, SendFlags, SocketAddrV4, SocketFlags, SocketType, connect,
    recv, send, socket_with,
};

pub(crate) fn check(port: u16) -> Result<(), Errno> {
    let flags = SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    let timeout = Some(core::time::Duration::from_secs(2));
    set_socket_timeout(&socket, Timeout::Send, timeout)?;
    set_socket_timeout(&socket, Timeout::Recv, timeout)?;
    connect(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, port))?;
    send(
        &socket,
        b"GET /healthz HTTP/1.0\r\n\r\n",
        SendFlags::NOSIGNAL,
    )?;
    let mut answer = [0; 12];
    recv(&socket, &mut answer[..], RecvFlags::WAITALL)?;
    if &answer == b"HTTP/1.1 200" {
        Ok(())
    } else {
        Err(Errno::PROTO)
    }
}
