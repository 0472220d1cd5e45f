//! Who is connected to a port, by the kernel's own list (man 7 `sock_diag`): a
//! socket that a program was handed it accepts from by itself, so nobody else
//! sees its connections.
//!
//! One question tells of all ports at once, and costs the kernel a walk over
//! its connections, not over the listening sockets.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with,
};

/// `SOCK_DIAG_BY_FAMILY` (linux/sock_diag.h).
const BY_FAMILY: u16 = 20;
/// `NLM_F_REQUEST | NLM_F_DUMP` (linux/netlink.h).
const DUMP: u16 = 0x301;
/// `NLMSG_ERROR` and `NLMSG_DONE`.
const ERROR: u16 = 2;
const DONE: u16 = 3;
/// `nlmsghdr`, then `inet_diag_req_v2` (linux/inet_diag.h).
const REQUEST_BYTES: usize = 16 + 56;
/// `inet_diag_msg`.
const ANSWER_BYTES: usize = 72;
const TCP: u8 = 6;

/// TCP states (net/tcp_states.h).
const ESTABLISHED: u8 = 1;
const SYN_RECEIVED: u8 = 3;
/// All but SYN_SENT, TIME_WAIT, CLOSE and LISTEN: what a server has of a client.
const OPEN: u32 = 1 << ESTABLISHED
    | 1 << SYN_RECEIVED
    | 1 << 4 // FIN_WAIT1
    | 1 << 5 // FIN_WAIT2
    | 1 << 8 // CLOSE_WAIT
    | 1 << 9 // LAST_ACK
    | 1 << 11 // CLOSING
    | 1 << 12; // NEW_SYN_RECV

/// How a local address is connected.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Use {
    /// Connections that a program has, by the inode of its socket.
    pub(super) accepted: Vec<u32>,
    /// Connections that no program has accepted yet.
    pub(super) waiting: u32,
}

/// All connections, by their local address.
#[derive(Debug, Default)]
pub(super) struct Connections {
    by_address: HashMap<SocketAddr, Use>,
    /// The same by port, for sockets that listen at all addresses.
    by_port: HashMap<(bool, u16), Use>,
}

/// Whom to ask.
#[derive(Debug)]
pub(super) struct Kernel {
    socket: OwnedFd,
    buffer: Vec<u8>,
}

impl Kernel {
    /// Opens a way to ask.
    ///
    /// # Errors
    /// The kernel was built without it (EPROTONOSUPPORT), or no descriptor is left.
    pub(super) fn open() -> Result<Self, Errno> {
        let socket = socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            Some(netlink::SOCK_DIAG),
        )?;
        Ok(Self {
            socket,
            buffer: Vec::new(),
        })
    }

    /// All connections to this port, or to any; of these families.
    ///
    /// # Errors
    /// Those of the kernel: ENOENT where it knows nothing of TCP's sockets.
    pub(super) fn connections(
        &mut self,
        port: Option<u16>,
        families: [bool; 2],
    ) -> Result<Connections, Errno> {
        // Of the largest piece that the kernel gives (NLMSG_GOODSIZE is smaller).
        self.buffer.resize(32 << 10, 0);
        let mut all = Connections::default();
        for (family, wanted) in [AddressFamily::INET, AddressFamily::INET6]
            .into_iter()
            .zip(families)
        {
            if wanted {
                send(&self.socket, &request(family, port), SendFlags::empty())?;
                while !self.read(&mut all)? {}
            }
        }
        // What is not needed between two questions is not kept.
        self.buffer = Vec::new();
        Ok(all)
    }

    /// Takes in one piece; whether it was the last.
    fn read(&mut self, all: &mut Connections) -> Result<bool, Errno> {
        let (_, count) = loop {
            match recv(&self.socket, &mut self.buffer[..], RecvFlags::empty()) {
                Err(Errno::INTR) => {}
                other => break other?,
            }
        };
        let mut rest = self.buffer.get(..count).unwrap_or_default();
        while let Some(length) = word(rest, 0) {
            let length = length as usize;
            let Some(message) = rest.get(..length).filter(|_| length >= 16) else {
                return Err(Errno::PROTO);
            };
            match u16::from_ne_bytes([message[4], message[5]]) {
                DONE => return Ok(true),
                ERROR => {
                    let code = word(message, 16).unwrap_or_default().cast_signed();
                    return Err(Errno::from_raw_os_error(code.wrapping_neg().clamp(1, 4095)));
                }
                BY_FAMILY => all.note(&message[16..]),
                _ => {}
            }
            // Messages are aligned to four bytes (NLMSG_ALIGN).
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
        Ok(false)
    }
}

fn request(family: AddressFamily, port: Option<u16>) -> [u8; REQUEST_BYTES] {
    let mut bytes = [0; REQUEST_BYTES];
    bytes[..4].copy_from_slice(&(REQUEST_BYTES as u32).to_ne_bytes());
    bytes[4..6].copy_from_slice(&BY_FAMILY.to_ne_bytes());
    bytes[6..8].copy_from_slice(&DUMP.to_ne_bytes());
    bytes[16] = family.as_raw() as u8;
    bytes[17] = TCP;
    bytes[20..24].copy_from_slice(&OPEN.to_ne_bytes());
    bytes[24..26].copy_from_slice(&port.unwrap_or_default().to_be_bytes());
    bytes
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes
        .get(at..at + 4)
        .and_then(|bytes| bytes.try_into().ok())
        .map(u32::from_ne_bytes)
}

impl Connections {
    /// `inet_diag_msg`: family, state, timer, retransmissions, then the socket's
    /// identity: local and remote port, local and remote address.
    fn note(&mut self, message: &[u8]) {
        let Some(message) = message.get(..ANSWER_BYTES) else {
            return;
        };
        let state = message[1];
        let port = u16::from_be_bytes([message[4], message[5]]);
        let address: [u8; 16] = std::array::from_fn(|index| message[8 + index]);
        let is_v6 = i32::from(message[0]) == i32::from(AddressFamily::INET6.as_raw());
        let address = match is_v6 {
            true => IpAddr::V6(Ipv6Addr::from(address)),
            false => IpAddr::V4(Ipv4Addr::new(
                address[0], address[1], address[2], address[3],
            )),
        };
        let inode = word(message, 68).unwrap_or_default();
        let places = [
            self.by_address
                .entry(SocketAddr::new(address, port))
                .or_default(),
            self.by_port.entry((is_v6, port)).or_default(),
        ];
        for place in places {
            match inode {
                // One that the program has closed while its last bytes are on
                // their way is the kernel's alone.
                0 if matches!(state, ESTABLISHED | SYN_RECEIVED | 12) => place.waiting += 1,
                0 => {}
                inode => place.accepted.push(inode),
            }
        }
    }

    /// Those of a socket that listens there.
    pub(super) fn of(&self, address: SocketAddr) -> Option<&Use> {
        match address.ip().is_unspecified() {
            true => self.by_port.get(&(address.is_ipv6(), address.port())),
            false => self.by_address.get(&address),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;

    fn of(address: SocketAddr) -> Use {
        let mut kernel = Kernel::open().unwrap();
        let all = kernel.connections(None, [true, true]).unwrap();
        let one = kernel
            .connections(Some(address.port()), [true, true])
            .unwrap();
        assert_eq!(all.of(address), one.of(address));
        all.of(address).cloned().unwrap_or_default()
    }

    #[test]
    fn a_connection_is_seen_before_it_is_accepted_and_until_it_is_closed() {
        for place in ["127.0.0.1:0", "[::1]:0", "0.0.0.0:0"] {
            let listener = TcpListener::bind(place).unwrap();
            let address = listener.local_addr().unwrap();
            assert_eq!(of(address), Use::default(), "{place}");
            let client = TcpStream::connect(address).unwrap();
            let waiting = of(address);
            assert_eq!((waiting.accepted.len(), waiting.waiting), (0, 1), "{place}");
            let (server, _) = listener.accept().unwrap();
            let inode = rustix::fs::fstat(server.as_fd()).unwrap().st_ino;
            let accepted = of(address);
            assert_eq!(accepted.accepted, [inode as u32], "{place}");
            assert_eq!(accepted.waiting, 0, "{place}");
            drop((server, client));
            assert_eq!(of(address), Use::default(), "{place}");
        }
    }

    #[test]
    fn messages_that_are_cut_off_change_nothing() {
        let mut all = Connections::default();
        for length in 0..ANSWER_BYTES {
            all.note(&vec![0xff; length]);
        }
        assert!(all.by_address.is_empty() && all.by_port.is_empty());
    }
}
