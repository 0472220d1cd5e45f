//! Writes the head of an answer (RFC 9112 section 4) into a buffer, line by
//! line, from the front.

use crate::ascii::{self, PATH, TOKEN, VALUE, all, hex_digit};
use crate::condition::Decision;
use crate::content_type::{self, MediaType};
use crate::cursor::Cursor;
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

    /// Appends one byte.
    #[inline(never)]
    pub fn push(&mut self, byte: u8) {
        self.put(&[byte]);
    }

    /// Appends a number in decimal digits.
    #[inline(never)]
    pub fn number(&mut self, number: u64) {
        if number > 9 {
            self.number(number / 10);
        }
        self.push(b'0' + (number % 10) as u8);
    }

    /// Appends a text in which each `%` stands for the next of these numbers.
    pub fn numbers(&mut self, text: &[u8], numbers: &[u64]) {
        let mut numbers = numbers.iter();
        for byte in text {
            if *byte == b'%'
                && let Some(number) = numbers.next()
            {
                self.number(*number);
            } else {
                self.push(*byte);
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

    /// Appends a byte as two hexadecimal digits.
    #[inline(never)]
    pub fn hex(&mut self, byte: u8) {
        self.push(hex_digit(byte >> 4));
        self.push(hex_digit(byte & 15));
    }

    /// Appends a path, escaped (RFC 3986 section 2.1).
    pub fn path(&mut self, path: &[u8]) {
        for byte in path {
            if ascii::is(*byte, PATH) {
                self.push(*byte);
            } else {
                self.push(b'%');
                self.hex(*byte);
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
    pub fn content_type(&mut self, media_type: &MediaType) {
        self.put(b"Content-Type: ");
        self.put(media_type.top);
        self.put(media_type.subtype);
        // No other begins so.
        if media_type.top.starts_with(b"t") {
            self.put(content_type::CHARSET);
        }
        self.put(b"\r\n");
    }

    /// Appends Connection, where there is something to say (RFC 9112 section 9.3:
    /// a connection of 1.1 stays, one of 1.0 does not), and the empty line.
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
    #[inline(never)]
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
pub fn is_field(line: &[u8]) -> bool {
    let mut value = Cursor::new(line);
    value.take_before(TOKEN, b":");
    // Behind a fault nothing is left.
    !value.rest.is_empty() && all(value.rest, VALUE)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::String;

    const DATE: [u8; DATE_BYTES] = *b"Sun, 06 Nov 1994 08:49:37 GMT";
    const STAYS: Manner<'_> = Manner {
        date: &DATE,
        is_head: false,
        is_http11: true,
        closes: false,
    };

    fn written(write: impl Fn(&mut HeadWriter<'_>)) -> String {
        let mut buffer = [0; 512];
        let mut writer = HeadWriter::new(&mut buffer);
        write(&mut writer);
        let length = writer.length().unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    #[test]
    fn a_short_answer_is_the_status_in_words() {
        assert_eq!(
            written(|writer| writer.short(Status::NotFound, b"X: y\r\n", &STAYS)),
            "HTTP/1.1 404 Not Found\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nX: y\r\n\
             Content-Type: text/plain\r\nContent-Length: 14\r\n\r\n404 Not Found\n"
        );
    }

    #[test]
    fn rfc9110_9_3_2_a_head_has_the_fields_of_a_get_and_no_content() {
        let head = Manner {
            is_head: true,
            ..STAYS
        };
        let short = |manner| written(|writer| writer.short(Status::NotFound, b"", manner));
        assert_eq!(short(&head) + "404 Not Found\n", short(&STAYS));
    }

    #[test]
    fn rfc9110_8_6_and_15_3_5_a_204_has_neither_content_nor_its_length() {
        let text = written(|writer| writer.short(Status::NoContent, b"Allow: GET\r\n", &STAYS));
        assert!(text.ends_with("GMT\r\nAllow: GET\r\n\r\n"), "{text}");
    }

    #[test]
    fn rfc9112_9_3_1_the_connection_is_told_where_the_version_does_not() {
        let ends = |closes, is_http11| {
            written(|writer| {
                writer.end(&Manner {
                    closes,
                    is_http11,
                    ..STAYS
                });
            })
        };
        assert_eq!(ends(false, true), "\r\n");
        assert_eq!(ends(true, true), "Connection: close\r\n\r\n");
        assert_eq!(ends(false, false), "Connection: keep-alive\r\n\r\n");
        assert_eq!(ends(true, false), "Connection: close\r\n\r\n");
    }

    #[test]
    fn rfc9110_6_6_1_without_a_clock_there_is_no_date() {
        let no_clock = Manner {
            date: &[0; DATE_BYTES],
            ..STAYS
        };
        let text = written(|writer| writer.start(Status::Ok, &no_clock));
        assert_eq!(text, "HTTP/1.1 200 OK\r\n");
    }

    #[test]
    fn rfc9110_14_4_a_part_is_told_with_its_place_in_the_whole() {
        let content = |status, start, end| {
            let decision = Decision { status, start, end };
            written(|writer| writer.content(&decision, 1_000))
        };
        assert_eq!(
            content(Status::PartialContent, 0, 10),
            "Content-Range: bytes 0-9/1000\r\nContent-Length: 10\r\n"
        );
        assert_eq!(content(Status::Ok, 0, 1_000), "Content-Length: 1000\r\n");
    }

    #[test]
    fn numbers_are_written_in_full() {
        for number in [0, 9, 10, 99, 100, 65_535, u64::MAX] {
            assert_eq!(
                written(|writer| writer.number(number)),
                std::format!("{number}")
            );
        }
        // A percent sign without a number stands for itself.
        assert_eq!(written(|writer| writer.numbers(b"%/%%", &[1, 2])), "1/2%");
    }

    #[test]
    fn rfc3986_2_1_a_path_is_escaped() {
        let text = written(|writer| writer.path("/a b/\u{e9}?%\"<\r\n".as_bytes()));
        assert_eq!(text, "/a%20b/%C3%A9%3F%25%22%3C%0D%0A");
    }

    #[test]
    fn what_does_not_fit_is_noticed_and_nothing_follows_it() {
        let mut buffer = [0; 5];
        let mut writer = HeadWriter::new(&mut buffer);
        writer.put(b"abc");
        writer.put(b"def");
        writer.put(b"g");
        assert_eq!(writer.length(), None);
        assert_eq!(&buffer, b"abc\0\0");
    }

    #[test]
    fn rfc9110_5_1_and_5_5_a_field_from_outside_is_one_line() {
        for line in [&b"X-A: b"[..], b"X:y", b"X: caf\xc3\xa9"] {
            assert!(is_field(line), "{line:?}");
        }
        for line in [
            &b""[..],
            b"X",
            b"X:",
            b": y",
            b"X Y: z",
            b"X: a\r\nB: c",
            b"X: a\n",
            b"X: \0",
        ] {
            assert!(!is_field(line), "{line:?}");
        }
    }
}
