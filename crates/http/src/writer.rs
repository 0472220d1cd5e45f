//! Writes the head of an answer (RFC 9112 section 4) into a buffer, line by
//! line, from the front.

use crate::ascii::{self, PATH, TOKEN, VALUE, all, decimal, hex_digit};
use crate::condition::Decision;
use crate::date::DATE_BYTES;
use crate::status::Status;

/// Appends to a fixed buffer, and remembers whether all fitted.
#[derive(Debug)]
pub struct HeadWriter<'b> {
    buffer: &'b mut [u8],
    /// Past the buffer's length once something did not fit.
    length: usize,
}

impl<'b> HeadWriter<'b> {
    /// Writes from the start of this buffer.
    pub fn new(buffer: &'b mut [u8]) -> Self {
        Self { buffer, length: 0 }
    }

    /// Writes from this place of the buffer on.
    pub(crate) fn at(buffer: &'b mut [u8], length: usize) -> Self {
        Self { buffer, length }
    }

    /// Appends bytes as they are.
    #[inline(never)]
    pub fn put(&mut self, bytes: &[u8]) {
        let rest = self.buffer.get_mut(self.length..);
        match rest.and_then(|rest| rest.get_mut(..bytes.len())) {
            Some(place) => {
                place.copy_from_slice(bytes);
                self.length += bytes.len();
            }
            // Nothing fits behind what did not.
            None => self.length = usize::MAX,
        }
    }

    /// Appends a number in decimal digits.
    #[inline(never)]
    pub fn number(&mut self, number: u64) {
        self.put(decimal(number, &mut [0; 20]));
    }

    /// Appends `name: value` and the end of the line. Neither may hold CR or LF:
    /// see [`is_field`] for those that come from outside.
    #[inline(never)]
    pub fn field(&mut self, name: &str, value: &[u8]) {
        self.put(name.as_bytes());
        self.put(b": ");
        self.put(value);
        self.put(b"\r\n");
    }

    /// Appends the status line and, where the clock is set, Date (RFC 9110
    /// section 6.6.1): a date that starts with NUL is not sent.
    #[inline(never)]
    pub fn start(&mut self, line: &str, date: &[u8; DATE_BYTES]) {
        self.put(b"HTTP/1.1 ");
        self.put(line.as_bytes());
        self.put(b"\r\n");
        if date.first() != Some(&0) {
            self.field("Date", date);
        }
    }

    /// Appends a path, escaped (RFC 3986 section 2.1).
    #[inline(never)]
    pub fn path(&mut self, path: &[u8]) {
        for byte in path {
            if ascii::is(*byte, PATH) {
                self.put(&[*byte]);
            } else {
                self.put(&[b'%', hex_digit(byte >> 4), hex_digit(byte & 15)]);
            }
        }
    }

    /// Appends Content-Length, and where it is due Content-Range (RFC 9110
    /// sections 8.6 and 14.4), for a decision on something of this length.
    #[inline(never)]
    pub fn content(&mut self, decision: &Decision, length_bytes: u64) {
        if decision.status == Status::PartialContent {
            self.put(b"Content-Range: bytes ");
            self.number(decision.start);
            self.put(b"-");
            self.number(decision.end - 1);
            self.put(b"/");
            self.number(length_bytes);
            self.put(b"\r\n");
        }
        self.content_length(decision.end - decision.start);
    }

    /// Appends Content-Length.
    #[inline(never)]
    pub fn content_length(&mut self, length_bytes: u64) {
        self.put(b"Content-Length: ");
        self.number(length_bytes);
        self.put(b"\r\n");
    }

    /// Appends Connection, where there is something to say, and the empty line.
    #[inline(never)]
    pub fn end(&mut self, connection: Option<&str>) {
        if let Some(connection) = connection {
            self.field("Connection", connection.as_bytes());
        }
        self.put(b"\r\n");
    }

    /// How many bytes were written; `None` where they did not fit.
    pub fn length(&self) -> Option<usize> {
        (self.length <= self.buffer.len()).then_some(self.length)
    }
}

/// What an answer depends on besides what is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Manner<'d> {
    /// Whether the request was HEAD: same head, no body.
    pub is_head: bool,
    /// What to say about the connection: see [`connection`].
    pub connection: Option<&'static str>,
    /// The Date field; see [`HeadWriter::start`].
    pub date: &'d [u8; DATE_BYTES],
}

/// What to say about the connection: nothing means that it stays in HTTP/1.1,
/// and that it closes in 1.0 (RFC 9112 section 9.3).
pub fn connection(closes: bool, is_http11: bool) -> Option<&'static str> {
    match (closes, is_http11) {
        (true, _) => Some("close"),
        (false, true) => None,
        (false, false) => Some("keep-alive"),
    }
}

impl HeadWriter<'_> {
    /// A whole short answer: head, these ready lines, and the status as text.
    #[inline(never)]
    pub fn short(&mut self, status: Status, lines: &[u8], manner: &Manner<'_>) {
        let line = status.first_line();
        self.start(line, manner.date);
        self.put(lines);
        if !status.is_bodiless() {
            self.put(b"Content-Type: text/plain; charset=utf-8\r\n");
            self.content_length(line.len() as u64 + 1);
        }
        self.end(manner.connection);
        if !status.is_bodiless() && !manner.is_head {
            self.put(line.as_bytes());
            self.put(b"\n");
        }
    }
}

/// Whether a line from outside is `name: value`, so that it can stand in a head.
#[inline(never)]
pub fn is_field(line: &[u8]) -> bool {
    let (name, value) = ascii::split_at_byte(line, b':');
    !name.is_empty() && all(name, TOKEN) && !value.is_empty() && all(value, VALUE)
}
