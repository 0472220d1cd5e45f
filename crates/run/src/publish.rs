//! Published ports: what `-p` says, the socket that is bound for it, and
//! whether a program can be handed that socket.
//!
//! The form is docker's, `[HOST:]PORT[:PORT]`, with two deliberate changes:
//!
//! - Without HOST the address is **127.0.0.1**, not 0.0.0.0: what is tried out
//!   on a laptop is not open to the network. `0.0.0.0:8080:80` opens it to all
//!   of IPv4, `[::]:8080:80` to all of IPv6.
//! - `8080` alone, as `127.0.0.1:8080`, is 8080 outside and inside; docker takes it as any free port
//!   outside. That is `:8080` (or `0:8080`) here.
//!
//! How the socket reaches the program is left to `plan` (as `LISTEN_FDS`) and
//! to `proxy`.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::str::FromStr;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with, sockopt};

/// Label of an image that says `true` or `false` to being handed its sockets
/// by the `LISTEN_FDS` protocol (man 3 sd_listen_fds).
pub const SOCKET_ACTIVATION_LABEL: &str = "io.ounce.socket-activation";

/// Connections that wait for `accept`. The kernel lowers it to net.core.somaxconn,
/// which is 4096 since Linux 5.4.
const BACKLOG: i32 = 4096;

/// One port of a container, to be reached from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Publish {
    /// The address to listen at; none means [`Publish::DEFAULT_HOST`].
    pub host: Option<IpAddr>,
    /// The port to listen at; 0 takes any free one.
    pub host_port: u16,
    /// The port the program listens at, or would.
    pub container_port: u16,
}

/// Why a text is not a published port.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParsePublishError {
    /// Not of the form.
    #[error("`{text}` is not a published port: expected [HOST:]PORT[:PORT], such as 8080:80")]
    Form {
        /// What was given.
        text: String,
    },
    /// A port is no number from 1 to 65535.
    #[error("`{port}` in `{text}` is not a port: expected a number from 1 to 65535")]
    Port {
        /// What was given.
        text: String,
        /// The part that is wrong.
        port: String,
    },
    /// The host is no address.
    #[error(
        "`{host}` in `{text}` is not an IP address: expected one such as 127.0.0.1, 0.0.0.0 or [::1]"
    )]
    Host {
        /// What was given.
        text: String,
        /// The part that is wrong.
        host: String,
    },
    /// A range of ports.
    #[error("`{text}` is a range of ports, which is not supported: publish each port by itself")]
    Range {
        /// What was given.
        text: String,
    },
    /// Not TCP.
    #[error("`{text}` asks for {protocol}: only TCP ports can be published")]
    Protocol {
        /// What was given.
        text: String,
        /// The part after the slash.
        protocol: String,
    },
}

impl Publish {
    /// Where a port is published when no host is given.
    pub const DEFAULT_HOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    /// The address to bind.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::new(self.host.unwrap_or(Self::DEFAULT_HOST), self.host_port)
    }
}

impl FromStr for Publish {
    type Err = ParsePublishError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let owned = || text.to_owned();
        let (address, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        if !protocol.eq_ignore_ascii_case("tcp") {
            return Err(ParsePublishError::Protocol {
                text: owned(),
                protocol: protocol.to_owned(),
            });
        }
        let (host, ports) =
            split_host(address).ok_or_else(|| ParsePublishError::Form { text: owned() })?;
        if ports.contains('-') {
            return Err(ParsePublishError::Range { text: owned() });
        }
        let host = match host {
            None | Some("") => None,
            Some(host) => Some(host.parse().map_err(|_| ParsePublishError::Host {
                text: owned(),
                host: host.to_owned(),
            })?),
        };
        let number = |part: &str| match part.parse::<u16>() {
            // `parse` takes a leading plus, which no port has.
            Ok(number) if part.bytes().all(|byte| byte.is_ascii_digit()) => Ok(number),
            _ => Err(ParsePublishError::Port {
                text: owned(),
                port: part.to_owned(),
            }),
        };
        let (outer, inner) = match ports.split_once(':') {
            Some((outer, inner)) => (outer, inner),
            None => (ports, ports),
        };
        let container_port = number(inner)?;
        if container_port == 0 {
            return Err(ParsePublishError::Port {
                text: owned(),
                port: inner.to_owned(),
            });
        }
        let host_port = if outer.is_empty() { 0 } else { number(outer)? };
        Ok(Self {
            host,
            host_port,
            container_port,
        })
    }
}

/// Splits `HOST:PORTS` into the host without brackets and the ports, of which
/// there are one or two.
fn split_host(address: &str) -> Option<(Option<&str>, &str)> {
    if let Some(rest) = address.strip_prefix('[') {
        let (host, ports) = rest.split_once("]:")?;
        // An address in brackets is IPv6 (RFC 3986, section 3.2.2).
        return (host.contains(':') && colons(ports) <= 1).then_some((Some(host), ports));
    }
    match colons(address) {
        // No port has a dot in it, so `127.0.0.1:8080` can only be meant as a host.
        1 if address.split_once(':')?.0.contains('.') => address
            .split_once(':')
            .map(|(host, port)| (Some(host), port)),
        0 | 1 => Some((None, address)),
        2 => address
            .split_once(':')
            .map(|(host, ports)| (Some(host), ports)),
        _ => None,
    }
}

fn colons(text: &str) -> usize {
    text.bytes().filter(|byte| *byte == b':').count()
}

impl fmt::Display for Publish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host {
            Some(IpAddr::V6(host)) => write!(f, "[{host}]:")?,
            Some(IpAddr::V4(host)) => write!(f, "{host}:")?,
            None => {}
        }
        write!(f, "{}:{}", self.host_port, self.container_port)
    }
}

/// A socket that listens for a published port.
#[derive(Debug)]
pub struct Bound {
    /// The socket, closed on exec, blocking.
    pub listener: TcpListener,
    /// Where it listens, with the port that was chosen.
    pub address: SocketAddr,
    /// The port inside.
    pub container_port: u16,
}

impl From<Bound> for OwnedFd {
    fn from(bound: Bound) -> Self {
        bound.listener.into()
    }
}

/// A process that listens where we wanted to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its name, as `ps` shows it.
    pub name: String,
    /// Its number.
    pub pid: u32,
}

/// Why a port could not be published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// Something listens there.
    #[error("{address} is in use{}", by(holder.as_ref()))]
    InUse {
        /// Where.
        address: SocketAddr,
        /// By whom, where /proc tells.
        holder: Option<Holder>,
        /// EADDRINUSE.
        #[source]
        source: io::Error,
    },
    /// The port is reserved for root.
    #[error("port {} is reserved for root (ports below {first_free} are)", address.port())]
    Privileged {
        /// Where.
        address: SocketAddr,
        /// The lowest port that anyone may take (net.ipv4.ip_unprivileged_port_start).
        first_free: u16,
        /// EACCES.
        #[source]
        source: io::Error,
    },
    /// The host has no such address.
    #[error("{} is not an address of this host", address.ip())]
    NoSuchAddress {
        /// Where.
        address: SocketAddr,
        /// EADDRNOTAVAIL.
        #[source]
        source: io::Error,
    },
    /// Anything else.
    #[error("cannot listen at {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

impl PublishError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::InUse { address, .. } => Some(format!(
                "choose another port, or let one be chosen: -p {}::PORT",
                bracketed(address.ip())
            )),
            Self::Privileged { first_free, .. } => Some(format!(
                "choose a port from {first_free} on, or lower the limit: sysctl net.ipv4.ip_unprivileged_port_start=80"
            )),
            Self::NoSuchAddress { .. } => {
                Some("`ip address` lists the addresses of this host; 0.0.0.0 is all of them".into())
            }
            Self::Listen { .. } => None,
        }
    }
}

fn bracketed(host: IpAddr) -> String {
    match host {
        IpAddr::V4(host) => host.to_string(),
        IpAddr::V6(host) => format!("[{host}]"),
    }
}

fn by(holder: Option<&Holder>) -> String {
    holder.map_or_else(String::new, |Holder { name, pid }| {
        format!(" by {name} (process {pid})")
    })
}

/// Listens at the published port.
///
/// A socket at `[::]` hears IPv6 only, as docker's does, so that `0.0.0.0` can
/// be published beside it.
///
/// # Errors
/// See [`PublishError`]; nothing stays open then.
pub fn bind(publish: &Publish) -> Result<Bound, PublishError> {
    let address = publish.address();
    let listener = listen(address).map_err(|errno| refused(address, errno))?;
    let address = listener
        .local_addr()
        .map_err(|source| PublishError::Listen { address, source })?;
    Ok(Bound {
        listener,
        address,
        container_port: publish.container_port,
    })
}

fn listen(address: SocketAddr) -> Result<TcpListener, Errno> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    // Without it a port stays taken for a minute after its last connection.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    rustix::net::bind(&socket, &address)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(TcpListener::from(socket))
}

/// Has a socket listen that may have been shut down by whom it was handed to,
/// or had its queue made short; both are common to all who have the socket.
pub(crate) fn listen_again(listener: &OwnedFd) -> Result<(), Errno> {
    rustix::net::listen(listener, BACKLOG)
}

fn refused(address: SocketAddr, errno: Errno) -> PublishError {
    let source = io::Error::from(errno);
    match errno {
        Errno::ADDRINUSE => PublishError::InUse {
            address,
            holder: holder(address.port()),
            source,
        },
        Errno::ACCESS => PublishError::Privileged {
            address,
            first_free: fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start")
                .ok()
                .and_then(|text| text.trim().parse().ok())
                .unwrap_or(1024),
            source,
        },
        Errno::ADDRNOTAVAIL => PublishError::NoSuchAddress { address, source },
        _ => PublishError::Listen { address, source },
    }
}

/// Finds a process that listens at the port, as far as we may see.
fn holder(port: u16) -> Option<Holder> {
    let mut inodes = Vec::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let Ok(table) = fs::read_to_string(table) else {
            continue;
        };
        inodes.extend(
            table
                .lines()
                .skip(1)
                .filter_map(|line| listening(line, port)),
        );
    }
    let wanted: Vec<String> = inodes
        .into_iter()
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    if wanted.is_empty() {
        return None;
    }
    fs::read_dir("/proc")
        .ok()?
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .find(|pid| {
            fs::read_dir(format!("/proc/{pid}/fd")).is_ok_and(|files| {
                files.flatten().any(|file| {
                    fs::read_link(file.path())
                        .is_ok_and(|link| wanted.iter().any(|one| link.as_os_str() == one.as_str()))
                })
            })
        })
        .map(|pid| Holder {
            name: fs::read_to_string(format!("/proc/{pid}/comm"))
                .map(|name| name.trim_end().to_owned())
                .unwrap_or_default(),
            pid,
        })
}

/// The inode of a line of /proc/net/tcp that is a listening socket at the port
/// (Documentation/networking/proc_net_tcp.rst).
fn listening(line: &str, port: u16) -> Option<u64> {
    const LISTEN: &str = "0A";
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let (_, local_port) = fields.get(1)?.rsplit_once(':')?;
    let here = u16::from_str_radix(local_port, 16).ok()? == port;
    (here && *fields.get(3)? == LISTEN).then_some(())?;
    fields.get(9)?.parse().ok()
}

/// Whether a program can be handed its listening sockets: what the image's
/// label says, and without a label (or with one that is neither `true` nor
/// `false`) whether the program's file names the variable `LISTEN_FDS`.
///
/// The guess fails for a packed program, which needs the label, and for one
/// that has the name but not the use of it. Only the first 512 MB are read.
///
/// # Errors
/// The file cannot be read, or is not a regular one.
pub fn takes_listen_fds(label: Option<&str>, program: &Path) -> io::Result<bool> {
    match label.map(str::trim) {
        Some("true") => return Ok(true),
        Some("false") => return Ok(false),
        _ => {}
    }
    // Not to hang at a FIFO that stands where a program should.
    let file = File::from(rustix::fs::open(
        program,
        rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::CLOEXEC,
        rustix::fs::Mode::empty(),
    )?);
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a regular file",
        ));
    }
    names_listen_fds(file)
}

const VARIABLE: &[u8] = b"LISTEN_FDS";

/// Looks for the name, with an overlap between chunks so that none is cut in two.
fn names_listen_fds(mut program: impl Read) -> io::Result<bool> {
    const LONGEST: usize = 512 << 20;
    const CHUNK: usize = 128 << 10;
    const OVERLAP: usize = VARIABLE.len() - 1;
    let finder = memchr::memmem::Finder::new(VARIABLE);
    let mut buffer = vec![0; CHUNK];
    let (mut kept, mut total) = (0, 0);
    while total < LONGEST {
        let count = match program.read(&mut buffer[kept..]) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        total += count;
        let filled = kept + count;
        if finder.find(&buffer[..filled]).is_some() {
            return Ok(true);
        }
        kept = filled.min(OVERLAP);
        buffer.copy_within(filled - kept..filled, 0);
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::net::{Ipv6Addr, TcpStream};

    fn publish(host: Option<IpAddr>, host_port: u16, container_port: u16) -> Publish {
        Publish {
            host,
            host_port,
            container_port,
        }
    }

    #[test]
    fn each_form_is_read() {
        let v4 = Some(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let v6 = Some(IpAddr::V6(Ipv6Addr::LOCALHOST));
        for (text, expected) in [
            ("8080", publish(None, 8080, 8080)),
            ("8080:80", publish(None, 8080, 80)),
            ("8080:80/tcp", publish(None, 8080, 80)),
            ("8080:80/TCP", publish(None, 8080, 80)),
            ("127.0.0.1:8080:80", publish(v4, 8080, 80)),
            ("[::1]:8080:80", publish(v6, 8080, 80)),
            ("[::1]:8080", publish(v6, 8080, 8080)),
            ("127.0.0.1:8080", publish(v4, 8080, 8080)),
            ("127.0.0.1::80", publish(v4, 0, 80)),
            ("[::1]::80", publish(v6, 0, 80)),
            (":80", publish(None, 0, 80)),
            ("::80", publish(None, 0, 80)),
            ("0:80", publish(None, 0, 80)),
            ("65535:1", publish(None, 65535, 1)),
        ] {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn each_wrong_form_is_refused_with_its_reason() {
        for (text, reason) in [
            ("", "is not a port"),
            ("80:", "is not a port"),
            ("0", "is not a port"),
            ("80:0", "is not a port"),
            ("65536", "is not a port"),
            ("+80", "is not a port"),
            ("a:80", "is not a port"),
            (" 80", "is not a port"),
            ("8080:80/udp", "asks for udp: only TCP"),
            ("8080:80/", "only TCP"),
            ("8000-8010:8000-8010", "range"),
            ("8000-8010", "range"),
            ("localhost:80:80", "not an IP address"),
            ("127.0.0.1:", "is not a port"),
            ("127.0.0.1:0", "is not a port"),
            ("256.0.0.1:80", "not an IP address"),
            ("example.org:80", "not an IP address"),
            ("1.2.3:80:80", "not an IP address"),
            ("[1.2.3.4]:80:80", "expected [HOST:]PORT"),
            ("[::1]80", "expected [HOST:]PORT"),
            ("[::1", "expected [HOST:]PORT"),
            ("[::1]:80:80:80", "expected [HOST:]PORT"),
            ("::1:80:80", "expected [HOST:]PORT"),
            ("1:2:3:4", "expected [HOST:]PORT"),
        ] {
            let error = text.parse::<Publish>().expect_err(text).to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn what_is_shown_reads_back() {
        for text in ["8080:80", "127.0.0.1:8080:80", "[::1]:8080:80", "[::]:0:80"] {
            let parsed: Publish = text.parse().unwrap();
            assert_eq!(parsed.to_string(), text);
        }
    }

    #[test]
    fn without_a_host_only_this_machine_is_served() {
        let bound = bind(&":80".parse().unwrap()).unwrap();
        assert!(bound.address.ip().is_loopback());
        assert_ne!(bound.address.port(), 0);
        assert_eq!(bound.container_port, 80);
        TcpStream::connect(bound.address).unwrap();
    }

    #[test]
    fn a_port_in_use_names_its_holder() {
        let first = bind(&":80".parse().unwrap()).unwrap();
        let again = publish(None, first.address.port(), 80);
        let error = bind(&again).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains(&format!("(process {})", std::process::id())),
            "{text}"
        );
        assert!(error.hint().unwrap().contains("127.0.0.1::PORT"));
    }

    #[test]
    fn an_address_of_another_host_is_named() {
        // 192.0.2.0/24 is for documentation (RFC 5737).
        let error = bind(&"192.0.2.1:0:80".parse().unwrap()).unwrap_err();
        assert!(
            matches!(error, PublishError::NoSuchAddress { .. }),
            "{error}"
        );
    }

    #[test]
    fn a_listening_line_gives_its_inode() {
        let line = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0";
        assert_eq!(listening(line, 8080), Some(4711));
        assert_eq!(listening(line, 8081), None);
        assert_eq!(listening(&line.replace(" 0A ", " 01 "), 8080), None);
        assert_eq!(listening("", 8080), None);
        assert_eq!(listening("0: nonsense 0 0A", 8080), None);
    }

    #[test]
    fn the_name_is_found_wherever_chunks_end() {
        struct Drops<'a>(&'a [u8], usize);
        impl Read for Drops<'_> {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                let count = self.1.min(self.0.len()).min(buffer.len());
                buffer[..count].copy_from_slice(&self.0[..count]);
                self.0 = &self.0[count..];
                Ok(count)
            }
        }
        for place in [0, 1, 131_062, 131_063, 131_067, 131_071, 131_072, 300_000] {
            let mut bytes = vec![b'L'; 300_100];
            bytes[place..place + VARIABLE.len()].copy_from_slice(VARIABLE);
            assert!(names_listen_fds(&bytes[..]).unwrap(), "{place}");
            bytes[place + 9] = b'X';
            assert!(!names_listen_fds(&bytes[..]).unwrap(), "{place}");
        }
        assert!(names_listen_fds(Drops(b"..LISTEN_FDS..", 1)).unwrap());
        assert!(!names_listen_fds(&b"LISTEN_FD"[..]).unwrap());
    }

    #[test]
    fn the_label_has_the_last_word() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"\x7fELF LISTEN_FDS\0").unwrap();
        let path = file.path();
        assert!(takes_listen_fds(None, path).unwrap());
        assert!(!takes_listen_fds(Some("false"), path).unwrap());
        assert!(takes_listen_fds(Some("maybe"), path).unwrap());
        assert!(takes_listen_fds(Some("true"), Path::new("/nonexistent")).unwrap());
        assert!(takes_listen_fds(None, Path::new("/nonexistent")).is_err());
        assert!(takes_listen_fds(None, Path::new("/dev/null")).is_err());
    }
}
