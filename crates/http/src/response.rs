//! The answer: a body written into a fixed buffer, and the head before it.
//!
//! The body is written first, behind room for the head, as are fields of the
//! handler's own; [`Response::finish`] writes the rest of the head, whose
//! Content-Length is then known, and joins them.

use crate::ascii::{self, PATH, VALUE, decimal, hex_digit};
use crate::content_type;
use crate::date::DATE_BYTES;
use crate::json::{Json, Sink};
use crate::method::Methods;
use crate::status::Status;
use crate::stream::{Ending, Outgoing};

/// Room kept for the head; longer ones (only a long redirect can be) become 414.
pub const HEAD_BYTES: usize = 1_024;
/// Of it, for what the library writes: the status line and up to seven fields.
const OWN_BYTES: usize = 320;

/// An answer being written.
#[derive(Debug)]
pub struct Response<'b> {
    status: Status,
    content_type: &'static str,
    allow: Methods,
    is_redirect: bool,
    file_bytes: Option<u64>,
    /// Where the body's pieces begin, if it is written in pieces.
    stream: Option<u64>,
    is_http11: bool,
    /// Where the handler's fields end.
    fields_end: usize,
    body: Writer<'b>,
}

/// What the connection adds to an answer.
#[derive(Clone, Copy, Debug)]
pub struct Finish<'d> {
    /// Whether the request was HEAD: same head, no body.
    pub is_head: bool,
    /// Whether the client reads chunked coding: false for HTTP/1.0.
    pub is_http11: bool,
    /// What to say about the connection; `None` says nothing, which means
    /// keep-alive in HTTP/1.1.
    pub connection: Option<&'static str>,
    /// The Date field (RFC 9110 section 6.6.1).
    pub date: &'d [u8; DATE_BYTES],
}

impl<'b> Response<'b> {
    /// An empty 200 in this buffer, which should be longer than [`HEAD_BYTES`]:
    /// in one that is shorter nothing fits, and [`Self::finish`] returns 0.
    pub fn new(buffer: &'b mut [u8]) -> Self {
        Self {
            status: Status::Ok,
            content_type: "",
            allow: Methods::NONE,
            is_redirect: false,
            file_bytes: None,
            stream: None,
            is_http11: false,
            fields_end: OWN_BYTES,
            body: Writer {
                length: HEAD_BYTES.min(buffer.len()),
                is_overrun: false,
                buffer,
            },
        }
    }

    /// Sets the status.
    pub fn status(&mut self, status: Status) -> &mut Self {
        self.status = status;
        self
    }

    /// Sets the media type, without which no Content-Type is sent.
    pub fn content_type(&mut self, media_type: &'static str) -> &mut Self {
        self.content_type = media_type;
        self
    }

    /// Adds a field to the head, for which there are 700 bytes in all. More, and
    /// a value with a control character in it, turn the answer into a 500.
    #[inline(never)]
    pub fn field(&mut self, name: &str, value: &[u8]) -> &mut Self {
        let room = self.body.buffer.get_mut(..HEAD_BYTES - 2);
        let mut fields = Writer {
            buffer: room.unwrap_or_default(),
            length: self.fields_end,
            is_overrun: false,
        };
        fields.field(name, value);
        self.fields_end = fields.length;
        self.body.is_overrun |= fields.is_overrun || !ascii::all(value, VALUE);
        self
    }

    /// Becomes a redirect (301, 302, 303, 307, 308) to a URI.
    pub fn redirect(&mut self, status: Status, location: &str) -> &mut Self {
        self.status(status).field("Location", location.as_bytes())
    }

    /// Lets the route's pieces write the body, from this place on. It is sent as
    /// the client takes it; nothing written before goes with it.
    pub fn stream(&mut self, from: u64) -> &mut Self {
        self.clear_body();
        self.stream = Some(from);
        self
    }

    /// As [`Self::stream`], where the body's length is known.
    pub fn stream_of(&mut self, from: u64, length_bytes: u64) -> &mut Self {
        self.stream(from).file_bytes = Some(length_bytes);
        self
    }

    /// Makes constant bytes the body. What is longer than the room is streamed
    /// from byte 0 on.
    pub fn constant(&mut self, bytes: &'static [u8]) -> &mut Self {
        if self.body.buffer.len() - self.body.length < bytes.len() {
            self.stream_of(0, bytes.len() as u64)
        } else {
            self.write(bytes)
        }
    }

    /// Appends to the body. What passes the buffer turns the answer into a 500.
    pub fn write(&mut self, bytes: &[u8]) -> &mut Self {
        self.body.put(bytes);
        self
    }

    /// Appends plain text to the body.
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.content_type(content_type::TEXT).write(text.as_bytes())
    }

    /// Appends a number's digits to the body.
    pub fn number(&mut self, value: u64) -> &mut Self {
        self.write(decimal(value, &mut [0; 20]))
    }

    /// Starts a JSON body.
    pub fn json(&mut self) -> Json<&mut Self> {
        self.content_type(content_type::JSON);
        Json::new(self)
    }

    /// Becomes a short plain error, dropping what was written.
    #[inline(never)]
    pub fn error(&mut self, status: Status) -> &mut Self {
        self.clear();
        self.status(status).text(status.line()).text("\n")
    }

    /// Becomes a 405 that lists what is allowed (RFC 9110 section 15.5.6).
    pub fn not_allowed(&mut self, allow: Methods) -> &mut Self {
        self.error(Status::MethodNotAllowed);
        self.allow = allow;
        self
    }

    /// Becomes a redirect to a decoded path on this host, followed by a slash
    /// and by the query as it was sent.
    pub fn redirect_to_directory(&mut self, path: &[u8], query: Option<&[u8]>) -> &mut Self {
        self.clear();
        self.status = Status::PermanentRedirect;
        self.is_redirect = true;
        for &byte in path {
            if ascii::is(byte, PATH) {
                self.write(&[byte]);
            } else {
                self.write(&[b'%', hex_digit(byte >> 4), hex_digit(byte & 15)]);
            }
        }
        self.write(b"/");
        if let Some(query) = query {
            self.write(b"?").write(query);
        }
        self
    }

    /// Announces a body of this length, which the caller sends after the head.
    pub fn file(&mut self, length_bytes: u64) -> &mut Self {
        self.clear_body().file_bytes = Some(length_bytes);
        self
    }

    /// Drops what was written; status and fields stay.
    pub fn clear_body(&mut self) -> &mut Self {
        self.body.length = HEAD_BYTES.min(self.body.buffer.len());
        self.file_bytes = None;
        self.stream = None;
        self
    }

    #[inline(never)]
    fn clear(&mut self) {
        self.allow = Methods::NONE;
        self.is_redirect = false;
        self.body.is_overrun = false;
        self.fields_end = OWN_BYTES;
        self.clear_body();
    }

    /// Lists what is allowed in the head (RFC 9110 section 10.2.1).
    pub fn allow(&mut self, allow: Methods) -> &mut Self {
        self.allow = allow;
        self
    }

    /// After [`Self::finish`]: the body that is to be written piece by piece.
    pub fn outgoing(&self) -> Option<Outgoing> {
        let ending = match self.file_bytes {
            Some(length) => Ending::Length(length),
            None if self.is_http11 => Ending::Chunked,
            None => Ending::Close,
        };
        Some(Outgoing::new(self.stream?, ending))
    }

    /// Writes the head before the body and returns how many bytes, from the
    /// start of the buffer, are to be sent. The response is of no use after it.
    #[inline(never)]
    pub fn finish(&mut self, finish: &Finish<'_>) -> usize {
        self.is_http11 = finish.is_http11;
        if self.body.is_overrun {
            self.error(if self.is_redirect {
                Status::UriTooLong
            } else {
                Status::InternalServerError
            });
        }
        let mut length = self.head(finish);
        if length == 0 {
            self.error(Status::UriTooLong);
            length = self.head(finish);
        }
        let body = HEAD_BYTES..self.body.length;
        if finish.is_head
            || self.is_redirect
            || self.stream.is_some()
            || self.status.is_bodiless()
            || body.is_empty()
        {
            return length;
        }
        // The body moves up to the head, which is no longer than its room.
        self.body.buffer.copy_within(body, length);
        length + self.body.length - HEAD_BYTES
    }

    /// Writes the head into its room and returns its length, or 0 where it does
    /// not fit.
    #[inline(never)]
    fn head(&mut self, finish: &Finish<'_>) -> usize {
        let body_bytes = self.body.length.saturating_sub(HEAD_BYTES);
        let (room, body) = self
            .body
            .buffer
            .split_at_mut_checked(HEAD_BYTES)
            .unwrap_or_default();
        let mut fields = Writer {
            buffer: room.get_mut(..HEAD_BYTES - 2).unwrap_or_default(),
            length: self.fields_end,
            is_overrun: false,
        };
        if self.is_redirect {
            fields.field("Location", body.get(..body_bytes).unwrap_or_default());
        }
        let (fields_end, is_overrun) = (fields.length, fields.is_overrun);
        let mut head = Writer {
            buffer: room.get_mut(..OWN_BYTES).unwrap_or_default(),
            length: 0,
            is_overrun,
        };
        head.put(b"HTTP/1.1 ");
        head.put(self.status.line().as_bytes());
        head.field("Date", finish.date);
        if let Some(connection) = finish.connection {
            head.field("Connection", connection.as_bytes());
        }
        if !self.is_redirect && !self.content_type.is_empty() {
            head.field("Content-Type", self.content_type.as_bytes());
            // Without it a browser may take a text for a script.
            head.field("X-Content-Type-Options", b"nosniff");
        }
        if !self.allow.is_empty() {
            let mut separator: &[u8] = b"\r\nAllow: ";
            for name in self.allow.names() {
                head.put(separator);
                head.put(name.as_bytes());
                separator = b", ";
            }
        }
        if !self.status.is_bodiless() {
            let length = match self.file_bytes {
                None if self.stream.is_some() => None,
                Some(length) => Some(length),
                None if self.is_redirect => Some(0),
                None => Some(body_bytes as u64),
            };
            if let Some(length) = length {
                head.field("Content-Length", decimal(length, &mut [0; 20]));
            } else if self.is_http11 {
                head.field("Transfer-Encoding", b"chunked");
            }
        }
        if head.is_overrun {
            return 0;
        }
        // The handler's fields move up, and an empty line ends the head.
        let start = head.length;
        room.copy_within(OWN_BYTES..fields_end, start);
        let mut head = Writer {
            buffer: room,
            length: start + fields_end - OWN_BYTES,
            is_overrun: false,
        };
        head.put(b"\r\n\r\n");
        head.length
    }
}

impl Sink for &mut Response<'_> {
    fn put(&mut self, bytes: &[u8]) {
        self.body.put(bytes);
    }
}

/// Appends to a fixed buffer and remembers whether all fitted.
#[derive(Debug)]
struct Writer<'b> {
    buffer: &'b mut [u8],
    length: usize,
    is_overrun: bool,
}

impl Writer<'_> {
    #[inline(never)]
    fn put(&mut self, bytes: &[u8]) {
        let end = self.length + bytes.len();
        match self.buffer.get_mut(self.length..end) {
            Some(place) => {
                place.copy_from_slice(bytes);
                self.length = end;
            }
            None => self.is_overrun = true,
        }
    }

    #[inline(never)]
    fn field(&mut self, name: &str, value: &[u8]) {
        self.put(b"\r\n");
        self.put(name.as_bytes());
        self.put(b": ");
        self.put(value);
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::String;

    const DATE: [u8; DATE_BYTES] = *b"Sun, 06 Nov 1994 08:49:37 GMT";

    fn sent(is_head: bool, write: impl Fn(&mut Response<'_>)) -> String {
        let mut buffer = [0; HEAD_BYTES + 64];
        let mut response = Response::new(&mut buffer);
        write(&mut response);
        let finish = Finish {
            is_head,
            is_http11: true,
            connection: None,
            date: &DATE,
        };
        let length = response.finish(&finish);
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    #[test]
    fn head_and_body_are_joined() {
        let text = sent(false, |response| {
            response.text("hello\n");
        });
        assert_eq!(
            text,
            "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
             Content-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\n\
             Content-Length: 6\r\n\r\nhello\n"
        );
    }

    #[test]
    fn rfc9110_9_3_2_head_has_the_same_fields_and_no_body() {
        let write = |response: &mut Response<'_>| {
            response.text("hello\n");
        };
        assert_eq!(sent(false, write), sent(true, write) + "hello\n");
    }

    #[test]
    fn rfc9110_15_5_6_a_405_lists_the_methods() {
        let text = sent(false, |response| {
            response.not_allowed(Methods::GET_HEAD);
        });
        assert!(text.contains("\r\nAllow: GET, HEAD\r\n"), "{text}");
    }

    #[test]
    fn rfc9110_8_6_a_204_has_no_content_length() {
        let text = sent(false, |response| {
            response.status(Status::NoContent);
        });
        assert!(!text.contains("Content-Length"), "{text}");
    }

    #[test]
    fn fields_of_the_handler_stand_in_the_head() {
        let text = sent(false, |response| {
            response.field("ETag", b"\"1\"").text("hello");
            response.redirect(Status::Found, "https://example.org/");
        });
        assert!(text.starts_with("HTTP/1.1 302 Found\r\nDate: "), "{text}");
        let end = "Content-Length: 5\r\nETag: \"1\"\r\nLocation: https://example.org/\r\n\r\nhello";
        assert!(text.ends_with(end), "{text}");
    }

    #[test]
    fn fields_that_would_end_the_head_or_pass_it_become_a_500() {
        for value in ["a\r\nSet-Cookie: b", "a\nb", "a\0", &"x".repeat(700)] {
            let text = sent(false, |response| {
                response.field("A", value.as_bytes()).text("b");
            });
            assert!(text.starts_with("HTTP/1.1 500 "), "{text}");
            assert!(!text.contains("A: ") && text.ends_with("Error\n"), "{text}");
        }
    }

    #[test]
    fn rfc9112_7_a_stream_tells_its_length_or_is_chunked() {
        let text = sent(false, |response| {
            response.text("dropped").stream(0);
        });
        assert!(
            text.ends_with("Transfer-Encoding: chunked\r\n\r\n"),
            "{text}"
        );
        let text = sent(false, |response| {
            response.stream_of(0, 7);
        });
        assert!(text.ends_with("Content-Length: 7\r\n\r\n"), "{text}");
        let mut buffer = [0; HEAD_BYTES + 64];
        let mut response = Response::new(&mut buffer);
        response.constant(&[b'x'; 65]);
        assert!(response.outgoing().is_some());
        response.stream(0).error(Status::Conflict);
        assert!(response.outgoing().is_none());
    }

    #[test]
    fn a_body_past_the_buffer_becomes_a_500() {
        let text = sent(false, |response| {
            response.text(&"x".repeat(65));
        });
        assert!(text.starts_with("HTTP/1.1 500 "), "{text}");
        assert!(
            text.ends_with("\r\n\r\n500 Internal Server Error\n"),
            "{text}"
        );
    }

    #[test]
    fn a_redirect_is_encoded_and_cannot_leave_the_host() {
        let text = sent(false, |response| {
            response.redirect_to_directory("/a b/é".as_bytes(), Some(b"q=1"));
        });
        let end = "\r\nContent-Length: 0\r\nLocation: /a%20b/%C3%A9/?q=1\r\n\r\n";
        assert!(text.ends_with(end), "{text}");
        let text = sent(false, |response| {
            response.redirect_to_directory(&[b'/'; 65], None);
        });
        assert!(text.starts_with("HTTP/1.1 414 "), "{text}");
    }
}
