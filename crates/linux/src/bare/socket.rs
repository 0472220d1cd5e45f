//! Sockets.

use linux_raw_sys::{general as raw, net};

use super::{Fd, call2, call3, call4, call5, call6, number};

/// An address as the kernel has it: `struct sockaddr_in` or `sockaddr_in6`.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(4))]
pub struct Address {
    /// Family (native), port (big-endian), and what the family has; what one of
    /// IPv4 is longer by, the kernel does not look at.
    pub bytes: [u8; BYTES],
}

/// Of the longer of both.
const BYTES: usize = 28;

impl Address {
    /// No address.
    pub const NONE: Self = Self { bytes: [0; BYTES] };
}

/// An integer that a socket can be set to (socket(7), tcp(7), ipv6(7)); its
/// level and its name.
#[derive(Debug, Clone, Copy)]
#[repr(u32)]
pub enum Setting {
    /// May be bound while connections of a server before it linger.
    ReuseAddress = net::SOL_SOCKET << 8 | net::SO_REUSEADDR,
    /// May be bound beside others.
    ReusePort = net::SOL_SOCKET << 8 | net::SO_REUSEPORT,
    /// Takes IPv6 only.
    OnlyV6 = (net::IPPROTO_IPV6 as u32) << 8 | net::IPV6_V6ONLY,
    /// Sends small segments at once.
    NoDelay = (net::IPPROTO_TCP as u32) << 8 | net::TCP_NODELAY,
    /// A connection is not there before its first bytes are, or so many seconds
    /// have passed.
    DeferAccept = (net::IPPROTO_TCP as u32) << 8 | net::TCP_DEFER_ACCEPT,
    /// After so many milliseconds in which the peer takes nothing the kernel
    /// ends the connection.
    UserTimeout = (net::IPPROTO_TCP as u32) << 8 | net::TCP_USER_TIMEOUT,
}

/// A number that the kernel keeps with a socket for us: its timeouts, which a
/// socket that does not block has no other use for. 53 bits at least.
#[derive(Debug, Clone, Copy)]
#[repr(u32)]
pub enum Kept {
    /// SO_RCVTIMEO.
    First = 20,
    /// SO_SNDTIMEO.
    Second = 21,
}

/// Leaves what is received in the socket's buffer.
pub const PEEK: u32 = net::MSG_PEEK;
/// Takes what is received out of the socket's buffer; of a TCP socket nothing
/// is copied (tcp(7)).
pub const TAKE: u32 = net::MSG_TRUNC;

/// socket(2): a stream socket of this address's family.
pub fn socket(address: &Address, is_blocking: bool) -> Fd {
    let [low, high, ..] = address.bytes;
    let family = u16::from_ne_bytes([low, high]);
    let flags = if is_blocking { 0 } else { raw::O_NONBLOCK };
    let kind = net::SOCK_STREAM | raw::O_CLOEXEC | flags;
    // SAFETY: no pointer is given.
    unsafe { call3(raw::__NR_socket, family.into(), kind as usize, 0) as Fd }
}

/// setsockopt(2) of an integer.
#[inline(never)]
pub fn set(fd: Fd, setting: Setting, value: u32) -> i32 {
    let setting = setting as usize;
    // SAFETY: four bytes of a live integer are read.
    unsafe {
        call5(
            raw::__NR_setsockopt,
            number(fd),
            setting >> 8,
            setting & 0xff,
            &raw const value as usize,
            4,
        ) as i32
    }
}

/// Has the kernel keep a number with a socket.
#[inline(never)]
pub fn keep(fd: Fd, which: Kept, value: u64) {
    let time = [value, 0];
    // SAFETY: a timeval of two 64-bit numbers is read. On a socket that does not
    // block it has no effect; should it fail, `kept` tells what was before.
    unsafe {
        call5(
            raw::__NR_setsockopt,
            number(fd),
            net::SOL_SOCKET as usize,
            which as usize,
            &raw const time as usize,
            16,
        )
    };
}

/// The number that the kernel keeps; 0 where it keeps none, and where this is
/// no socket.
#[inline(never)]
pub fn kept(fd: Fd, which: Kept) -> u64 {
    let mut time = [0_u64; 2];
    let mut length = 16_u32;
    // SAFETY: a timeval of two 64-bit numbers, whose size is given, is written.
    unsafe {
        call5(
            raw::__NR_getsockopt,
            number(fd),
            net::SOL_SOCKET as usize,
            which as usize,
            &raw mut time as usize,
            &raw mut length as usize,
        )
    };
    time[0]
}

/// bind(2).
pub fn bind(fd: Fd, address: &Address) -> i32 {
    // SAFETY: the kernel reads no more than the bytes that there are.
    unsafe {
        call3(
            raw::__NR_bind,
            number(fd),
            address.bytes.as_ptr() as usize,
            BYTES,
        ) as i32
    }
}

/// connect(2).
pub fn connect(fd: Fd, address: &Address) -> i32 {
    // SAFETY: as for `bind`.
    unsafe {
        call3(
            raw::__NR_connect,
            number(fd),
            address.bytes.as_ptr() as usize,
            BYTES,
        ) as i32
    }
}

/// listen(2), with as many waiting as the kernel allows.
pub fn listen(fd: Fd) -> i32 {
    // SAFETY: no pointer is given.
    unsafe { call2(raw::__NR_listen, number(fd), 4096) as i32 }
}

/// Makes a descriptor that was handed in one of ours: it does not block and is
/// closed on exec. An error where it is not open.
#[inline(never)]
pub fn adopt(fd: Fd) -> i32 {
    // SAFETY: no pointer is given.
    unsafe {
        call3(
            raw::__NR_fcntl,
            number(fd),
            raw::F_SETFL as usize,
            raw::O_NONBLOCK as usize,
        );
        call3(
            raw::__NR_fcntl,
            number(fd),
            raw::F_SETFD as usize,
            raw::FD_CLOEXEC as usize,
        ) as i32
    }
}

/// The socket's own address (getsockname(2)).
pub fn local(fd: Fd, address: &mut Address) -> i32 {
    // SAFETY: `named` is given what getsockname(2) takes.
    unsafe { named(raw::__NR_getsockname, fd, address) }
}

/// The peer's address (getpeername(2)).
pub fn peer(fd: Fd, address: &mut Address) -> i32 {
    // SAFETY: `named` is given what getpeername(2) takes.
    unsafe { named(raw::__NR_getpeername, fd, address) }
}

/// # Safety
/// A call that takes a descriptor, an address to write to and its length.
#[inline(always)]
unsafe fn named(call: u32, fd: Fd, address: &mut Address) -> i32 {
    let mut length = BYTES as u32;
    // SAFETY: the kernel writes at most so many bytes as `length` states, which
    // there are, and then as many as the address would have had into `length`.
    unsafe {
        call3(
            call,
            number(fd),
            address.bytes.as_mut_ptr() as usize,
            &raw mut length as usize,
        ) as i32
    }
}

/// accept4(2), not to block, closed on exec.
pub fn accept(fd: Fd) -> Fd {
    let flags = raw::O_NONBLOCK | raw::O_CLOEXEC;
    // SAFETY: no address is asked for.
    unsafe { call4(raw::__NR_accept4, number(fd), 0, 0, flags as usize) as Fd }
}

/// recv(2) with [`PEEK`], [`TAKE`] or 0.
#[inline(never)]
pub fn receive(fd: Fd, buffer: &mut [u8], flags: u32) -> isize {
    // SAFETY: the kernel writes no more than the slice takes; no address is
    // asked for, and then the sixth argument is not looked at.
    unsafe {
        call5(
            raw::__NR_recvfrom,
            number(fd),
            buffer.as_mut_ptr() as usize,
            buffer.len(),
            flags as usize,
            0,
        )
    }
}

/// send(2), without SIGPIPE; `has_more` says that more follows at once.
#[inline(never)]
pub fn send(fd: Fd, bytes: &[u8], has_more: bool) -> isize {
    let more = if has_more { net::MSG_MORE } else { 0 };
    // SAFETY: the kernel reads the slice only; there is no address.
    unsafe {
        call6(
            raw::__NR_sendto,
            number(fd),
            bytes.as_ptr() as usize,
            bytes.len(),
            (net::MSG_NOSIGNAL | more) as usize,
            0,
            0,
        )
    }
}

/// shutdown(2) of what is sent.
pub fn shutdown(fd: Fd) {
    // SAFETY: no pointer is given. It fails where the peer is gone already.
    unsafe { call2(raw::__NR_shutdown, number(fd), 1) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd as _;

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (client, listener.accept().unwrap().0)
    }

    #[test]
    fn the_kernel_keeps_two_numbers_of_53_bits_with_a_socket() {
        let (socket, _peer) = pair();
        let fd = socket.as_raw_fd();
        assert_eq!((kept(fd, Kept::First), kept(fd, Kept::Second)), (0, 0));
        for number in [1, 1 << 32, (1 << 40) + 12_345, (1 << 53) - 1] {
            keep(fd, Kept::First, number);
            keep(fd, Kept::Second, number / 2);
            assert_eq!(kept(fd, Kept::First), number);
            assert_eq!(kept(fd, Kept::Second), number / 2);
        }
        keep(fd, Kept::First, 0);
        assert_eq!(kept(fd, Kept::First), 0);
    }

    #[test]
    fn what_is_no_socket_keeps_nothing() {
        let file = std::fs::File::open("/proc/self/exe").unwrap();
        keep(file.as_raw_fd(), Kept::First, 7);
        assert_eq!(kept(file.as_raw_fd(), Kept::First), 0);
        assert_eq!(kept(-1, Kept::First), 0);
    }

    #[test]
    fn peeked_bytes_stay_until_they_are_taken() {
        let (client, server) = pair();
        let fd = server.as_raw_fd();
        let mut buffer = [0; 8];
        assert_eq!(send(client.as_raw_fd(), b"abcdef", false), 6);
        assert_eq!(receive(fd, &mut buffer, PEEK), 6);
        assert_eq!(&buffer[..6], b"abcdef");
        assert_eq!(receive(fd, &mut buffer[..4], TAKE), 4);
        assert_eq!(receive(fd, &mut buffer, 0), 2);
        assert_eq!(&buffer[..2], b"ef");
    }

    #[test]
    fn the_peer_is_told_as_the_standard_library_tells_it() {
        let (client, server) = pair();
        let mut address = Address::NONE;
        assert_eq!(peer(server.as_raw_fd(), &mut address), 0);
        let port = client.local_addr().unwrap().port().to_be_bytes();
        assert_eq!(address.bytes[2..8], [port[0], port[1], 127, 0, 0, 1]);
    }
}
