//! HTTP requests into a container's own network, by sockets that were made
//! there: no process has to enter it, and no port of the host is taken.
//!
//! A value that is advanced when its socket is ready or a moment has passed; it
//! waits for nothing itself.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ounce_oci::Digest;
use rustix::io::Errno;
use rustix::net::{SendFlags, connect, send};

use super::observed::{Answer, Trouble};

/// Most bytes of one answer.
const LONGEST: usize = 64 << 20;

/// Requests under way, one after the other.
pub(super) struct Asking<'a> {
    paths: &'a [String],
    port: u16,
    sockets: std::vec::IntoIter<OwnedFd>,
    socket: Option<OwnedFd>,
    state: State,
    received: Vec<u8>,
    pub(super) answers: Vec<Answer>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Connecting,
    Sending(usize),
    Receiving,
}

/// What to wait for next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Until the socket can be read.
    Readable,
    /// Until the socket can be written.
    Writable,
    /// A moment: nobody listens yet.
    Moment,
    /// All answers are there.
    Done,
}

/// How many sockets so many requests may need: a server that is not ready may
/// take a connection and drop it.
pub(super) fn sockets_for(requests: usize) -> usize {
    (requests + 8).min(ounce_linux::trace::MOST_SOCKETS)
}

impl<'a> Asking<'a> {
    /// Asks for nothing but a connection where there are no `paths`.
    pub(super) fn new(paths: &'a [String], port: u16, sockets: Vec<OwnedFd>) -> Self {
        Self {
            paths,
            port,
            sockets: sockets.into_iter(),
            socket: None,
            state: State::Connecting,
            received: Vec::new(),
            answers: Vec::new(),
        }
    }

    /// The socket in use.
    pub(super) fn socket(&self) -> Option<BorrowedFd<'_>> {
        self.socket.as_ref().map(AsFd::as_fd)
    }

    /// In words, for who waited in vain.
    pub(super) fn doing(&self) -> String {
        let path = self.paths.get(self.answers.len()).map_or("", |path| path);
        match self.state {
            State::Connecting => format!("nobody listened at port {}", self.port),
            _ => format!("GET {path} had no whole answer"),
        }
    }

    /// Goes on as far as it can without waiting.
    pub(super) fn advance(&mut self) -> Result<Next, Trouble> {
        loop {
            if !self.paths.is_empty() && self.answers.len() == self.paths.len() {
                return Ok(Next::Done);
            }
            if self.socket.is_none() {
                self.socket = Some(self.sockets.next().ok_or_else(|| {
                    Trouble::Answer("the server dropped connection after connection".into())
                })?);
                self.state = State::Connecting;
            }
            let Some(socket) = &self.socket else {
                return Ok(Next::Moment);
            };
            match self.state {
                State::Connecting => {
                    let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, self.port);
                    match connect(socket, &address) {
                        Ok(()) | Err(Errno::ISCONN) if self.paths.is_empty() => {
                            return Ok(Next::Done);
                        }
                        Ok(()) | Err(Errno::ISCONN) => self.state = State::Sending(0),
                        Err(Errno::INPROGRESS | Errno::ALREADY) => return Ok(Next::Writable),
                        Err(_) => return Ok(Next::Moment),
                    }
                }
                State::Sending(sent) => {
                    let request = self.request();
                    match send(socket, &request.as_bytes()[sent..], SendFlags::NOSIGNAL) {
                        Ok(count) if sent + count == request.len() => {
                            self.state = State::Receiving;
                        }
                        Ok(count) => self.state = State::Sending(sent + count),
                        Err(Errno::AGAIN) => return Ok(Next::Writable),
                        Err(_) => return Ok(self.again()),
                    }
                }
                State::Receiving => {
                    let mut buffer = [0; 16 << 10];
                    match rustix::io::read(socket, &mut buffer) {
                        Ok(0) | Err(Errno::CONNRESET) if self.received.is_empty() => {
                            return Ok(self.again());
                        }
                        Ok(0) => self.take_answer()?,
                        Ok(count) if self.received.len() + count > LONGEST => {
                            return Err(Trouble::Answer(format!(
                                "the answer is longer than {LONGEST} bytes"
                            )));
                        }
                        Ok(count) => {
                            self.received.extend_from_slice(&buffer[..count]);
                            if is_whole(&self.received) {
                                self.take_answer()?;
                            }
                        }
                        Err(Errno::AGAIN) => return Ok(Next::Readable),
                        Err(Errno::INTR) => {}
                        Err(errno) => {
                            let source = io::Error::from(errno);
                            return Err(Trouble::Answer(format!("the answer broke off: {source}")));
                        }
                    }
                }
            }
        }
    }

    /// A server that is not ready dropped it.
    fn again(&mut self) -> Next {
        self.socket = None;
        Next::Moment
    }

    fn request(&self) -> String {
        let path = self.paths.get(self.answers.len()).map_or("/", |path| path);
        format!(
            "GET {path} HTTP/1.1\r\nHost: localhost:{}\r\nUser-Agent: ounce\r\nAccept: */*\r\n\
             Connection: close\r\n\r\n",
            self.port
        )
    }

    fn take_answer(&mut self) -> Result<(), Trouble> {
        let bytes = std::mem::take(&mut self.received);
        self.socket = None;
        let path = self.paths[self.answers.len()].clone();
        let status = status(&bytes).ok_or_else(|| {
            let start: String = String::from_utf8_lossy(&bytes).chars().take(40).collect();
            Trouble::Answer(format!("the answer is not HTTP: it begins with {start:?}"))
        })?;
        let end = memchr::memmem::find(&bytes, b"\r\n\r\n").map(|at| at + 4);
        let body = &bytes[end.unwrap_or(bytes.len())..];
        self.answers.push(Answer {
            path,
            status,
            body: Digest::of(body),
            body_bytes: body.len() as u64,
        });
        Ok(())
    }
}

/// Whether an answer says itself that it is complete; others end with the connection.
fn is_whole(bytes: &[u8]) -> bool {
    let Some(end) = memchr::memmem::find(bytes, b"\r\n\r\n") else {
        return false;
    };
    let (head, body) = (&bytes[..end], &bytes[end + 4..]);
    // RFC 9112, section 6.3.
    if matches!(status(head), Some(204 | 304)) {
        return true;
    }
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let field = |name: &str| {
        let mut lines = head.lines().filter_map(|line| line.split_once(':'));
        let found = lines.find(|(other, _)| other.trim() == name);
        found.map(|(_, value)| value.trim().to_owned())
    };
    if field("transfer-encoding").is_some() {
        return body.ends_with(b"\r\n0\r\n\r\n") || body == b"0\r\n\r\n";
    }
    let length = field("content-length").and_then(|length| length.parse::<usize>().ok());
    length.is_some_and(|length| body.len() >= length)
}

fn status(head: &[u8]) -> Option<u16> {
    let rest = head.strip_prefix(b"HTTP/1.")?;
    let digits = rest.get(2..5).filter(|_| rest[1] == b' ')?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_when_it_says_so() {
        for (text, whole) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", true),
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhi", false),
            ("HTTP/1.1 200 OK\r\ncontent-length: no\r\n\r\nhi", false),
            ("HTTP/1.1 200 OK\r\n\r\nhi", false),
            (
                "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
                true,
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n",
                false,
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
                true,
            ),
            ("HTTP/1.1 200 OK\r\n", false),
        ] {
            assert_eq!(is_whole(text.as_bytes()), whole, "{text:?}");
        }
    }
}
