//! Writes the head of an answer (RFC 9112 section 4) into a buffer, line by
//! line, from the front.

use crate::ascii::{self, PATH, TOKEN, VALUE, all, hex_digit};
use crate::condition::Decision;
use crate::content_type::{self, MediaType};
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
        if number > 9 {
            self.number(number / 10);
        }
        self.put(&[b'0' + (number % 10) as u8]);
    }

    /// Appends a text in which each `%` stands for the next of these numbers.
    #[inline(never)]
    pub fn numbers(&mut self, text: &[u8], numbers: &[u64]) {
        let mut numbers = numbers.iter();
        for byte in text {
            if *byte == b'%'
                && let Some(number) = numbers.next()
            {
                self.number(*number);
            } else {
                self.put(&[*byte]);
            }
        }
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
    pub fn start(&mut self, status: Status, date: &[u8; DATE_BYTES]) {
        self.put(b"HTTP/1.1 ");
        self.put(status.first_line());
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
        let (start, end) = (decision.start, decision.end);
        if decision.status == Status::PartialContent {
            let range = [start, end - 1, length_bytes];
            self.numbers(b"Content-Range: bytes %-%/%\r\n", &range);
        }
        self.content_length(end - start);
    }

    /// Appends Content-Length.
    pub fn content_length(&mut self, length_bytes: u64) {
        self.numbers(b"Content-Length: %\r\n", &[length_bytes]);
    }

    /// Appends Content-Type with a type found by [`content_type::of`].
    #[inline(never)]
    pub fn content_type(&mut self, media_type: MediaType) {
        self.put(b"Content-Type: ");
        self.put(media_type.top);
        self.put(media_type.subtype);
        if media_type.top == b"text/" {
            self.put(content_type::CHARSET);
        }
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
        self.start(status, manner.date);
        self.put(lines);
        let is_bodiless = status.is_bodiless();
        if !is_bodiless {
            let text = b"Content-Type: text/plain\r\nContent-Length: %\r\n";
            self.numbers(text, &[line.len() as u64 + 1]);
        }
        self.end(manner.connection);
        if !is_bodiless && !manner.is_head {
            self.put(line);
            self.put(b"\n");
        }
    }
}

/// Whether a line from outside is `name: value`, so that it can stand in a head.
#[inline(never)]
pub fn is_field(line: &[u8]) -> bool {
    let mut value = line;
    let name = ascii::take_until(&mut value, b':');
    !name.is_empty() && all(name, TOKEN) && !value.is_empty() && all(value, VALUE)
}
