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
    /// section 6.6.1).
    #[inline(never)]
    pub fn start(&mut self, status: Status, manner: &Manner<'_>) {
        self.put(b"HTTP/1.1 ");
        self.put(status.first_line());
        self.put(b"\r\n");
        if manner.date.first() != Some(&0) {
            self.field("Date", manner.date);
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
    pub fn content(&mut self, decision: &Decision, length_bytes: u64) {
        let (start, end) = (decision.start, decision.end);
        if decision.status == Status::PartialContent {
            let range = [start, end - 1, length_bytes];
            self.numbers(b"Content-Range: bytes %-%/%\r\n", &range);
        }
        self.content_length(end - start);
    }

    /// Appends Content-Length.
    #[inline(never)]
    pub fn content_length(&mut self, length_bytes: u64) {
        self.numbers(b"Content-Length: %\r\n", &[length_bytes]);
    }

    /// Appends Content-Type with a type found by [`content_type::of`].
    pub fn content_type(&mut self, media_type: MediaType) {
        self.put(b"Content-Type: ");
        self.put(media_type.top);
        self.put(media_type.subtype);
        if media_type.top == b"text/" {
            self.put(content_type::CHARSET);
        }
        self.put(b"\r\n");
    }

    /// Appends Connection, where there is something to say (RFC 9112 section 9.3:
    /// a connection of 1.1 stays, one of 1.0 does not), and the empty line.
    #[inline(never)]
    pub fn end(&mut self, manner: &Manner<'_>) {
        self.put(match (manner.closes, manner.is_http11) {
            (true, _) => b"Connection: close\r\n\r\n",
            (false, true) => b"\r\n",
            (false, false) => b"Connection: keep-alive\r\n\r\n",
        });
    }

    /// How many bytes were written; more than the buffer has where they did not
    /// fit.
    pub fn written(&self) -> usize {
        self.length
    }

    /// What was written, or nothing where it did not fit.
    pub fn bytes(&mut self) -> &mut [u8] {
        self.buffer.get_mut(..self.length).unwrap_or_default()
    }

    /// The buffer behind what was written.
    pub fn rest(&mut self) -> &mut [u8] {
        self.buffer.get_mut(self.length..).unwrap_or_default()
    }

    /// Moves so many bytes behind what was written to a place in the buffer. Where
    /// they do not fit there, nothing fits any more.
    pub fn move_rest(&mut self, length: usize, place: usize) {
        let end = self.length.saturating_add(length);
        if place.saturating_add(length) <= self.buffer.len() && end <= self.buffer.len() {
            self.buffer.copy_within(self.length..end, place);
        } else {
            self.length = usize::MAX;
        }
    }

    /// The byte at a place in the buffer, written or not; 0 past its end.
    pub fn byte(&self, place: usize) -> u8 {
        self.buffer.get(place).copied().unwrap_or(0)
    }

    /// Goes to a place in the buffer: to forget what was written behind it, or
    /// to count in what [`Self::rest`] took.
    pub fn go_to(&mut self, length: usize) {
        self.length = length;
    }

    /// How many bytes were written; `None` where they did not fit.
    pub fn length(&self) -> Option<usize> {
        (self.length <= self.buffer.len()).then_some(self.length)
    }
}

/// What an answer depends on besides what is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Manner<'d> {
    /// The Date field; one that starts with NUL is not sent.
    pub date: &'d [u8; DATE_BYTES],
    /// Whether the request was HEAD: the same head, no body.
    pub is_head: bool,
    /// Whether the request was of HTTP/1.1.
    pub is_http11: bool,
    /// Whether the connection is closed after it.
    pub closes: bool,
}

impl HeadWriter<'_> {
    /// A whole short answer: head, these ready lines, and the status as text
    /// (but for 204, which has none).
    #[inline(never)]
    pub fn short(&mut self, status: Status, lines: &[u8], manner: &Manner<'_>) {
        self.start(status, manner);
        self.put(lines);
        if status == Status::NoContent {
            return self.end(manner);
        }
        let line = status.first_line();
        self.put(b"Content-Type: text/plain\r\n");
        self.content_length(line.len() as u64 + 1);
        self.end(manner);
        if !manner.is_head {
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
