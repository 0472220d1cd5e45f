//! The answer: a body written into a fixed buffer, and the head before it.
//!
//! The body is written first, behind room for the head; [`Response::finish`]
//! writes the head, whose Content-Length is then known, and joins the two.

use crate::ascii::{self, PATH, decimal, hex_digit};
use crate::content_type;
use crate::date::DATE_BYTES;
use crate::json::{Json, Sink};
use crate::method::Methods;
use crate::status::Status;

/// Room kept for the head; longer ones (only a long redirect can be) become 414.
pub const HEAD_BYTES: usize = 1_024;

/// An answer being written.
#[derive(Debug)]
pub struct Response<'b> {
    status: Status,
    content_type: &'static str,
    allow: Methods,
    is_redirect: bool,
    file_bytes: Option<u64>,
    body: Writer<'b>,
}

/// What the connection adds to an answer.
#[derive(Clone, Copy, Debug)]
pub struct Finish<'d> {
    /// Whether the request was HEAD: same head, no body.
    pub is_head: bool,
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

    /// Appends to the body. What passes the buffer turns the answer into a 500.
    pub fn write(&mut self, bytes: &[u8]) -> &mut Self {
        self.body.put(bytes);
        self
    }

    /// Appends plain text to the body.
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.content_type(content_type::TEXT).write(text.as_bytes())
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
        self.body.length = HEAD_BYTES.min(self.body.buffer.len());
        self.file_bytes = Some(length_bytes);
        self
    }

    #[inline(never)]
    fn clear(&mut self) {
        self.allow = Methods::NONE;
        self.is_redirect = false;
        self.body.is_overrun = false;
        self.file(0).file_bytes = None;
    }

    /// Writes the head before the body and returns how many bytes, from the
    /// start of the buffer, are to be sent. The response is of no use after it.
    #[inline(never)]
    pub fn finish(&mut self, finish: &Finish<'_>) -> usize {
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
        if finish.is_head || self.is_redirect || self.status.is_bodiless() || body.is_empty() {
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
        let mut head = Writer {
            buffer: room,
            length: 0,
            is_overrun: false,
        };
        head.put(b"HTTP/1.1 ");
        head.put(self.status.line().as_bytes());
        head.field("Date", finish.date);
        if let Some(connection) = finish.connection {
            head.field("Connection", connection.as_bytes());
        }
        if self.is_redirect {
            head.field("Location", body.get(..body_bytes).unwrap_or_default());
        } else if !self.content_type.is_empty() {
            head.field("Content-Type", self.content_type.as_bytes());
            // Without it a browser may take a text for a script.
            head.field("X-Content-Type-Options", b"nosniff");
        }
        if self.status == Status::MethodNotAllowed {
            let mut separator: &[u8] = b"\r\nAllow: ";
            for name in self.allow.names() {
                head.put(separator);
                head.put(name.as_bytes());
                separator = b", ";
            }
        }
        if !self.status.is_bodiless() {
            let length = match self.file_bytes {
                Some(length) => length,
                None if self.is_redirect => 0,
                None => body_bytes as u64,
            };
            head.field("Content-Length", decimal(length, &mut [0; 20]));
        }
        head.put(b"\r\n\r\n");
        if head.is_overrun { 0 } else { head.length }
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
        assert!(
            text.contains("\r\nLocation: /a%20b/%C3%A9/?q=1\r\n"),
            "{text}"
        );
        assert!(text.ends_with("Content-Length: 0\r\n\r\n"), "{text}");
        let text = sent(false, |response| {
            response.redirect_to_directory(&[b'/'; 65], None);
        });
        assert!(text.starts_with("HTTP/1.1 414 "), "{text}");
    }
}
