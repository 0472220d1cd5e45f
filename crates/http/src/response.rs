//! The answer of a service: a body written into a fixed buffer, and the head
//! before it.
//!
//! The body is written behind room for the head, and the service's own fields
//! into that room; [`Response::finish`] writes the rest of the head, whose
//! Content-Length is then known, and joins all. A server of files needs none of
//! this: it writes its heads with a [`HeadWriter`].

use crate::ascii::{TOKEN, VALUE, all};
use crate::content_type;
use crate::etag::Tag;
use crate::json::{Json, Sink};
use crate::method::Methods;
use crate::status::Status;
use crate::stream::{Ending, Outgoing};
use crate::writer::HeadWriter;
pub use crate::writer::Manner;

/// Room kept for the head; where fields pass it, the answer becomes a 500.
pub const HEAD_BYTES: usize = 1_024;
/// Of that, room for what [`Response::finish`] writes before the fields: status
/// line, Date and Content-Type.
const START_BYTES: usize = 256;
/// And for what it writes behind them: length and connection.
const END_BYTES: usize = 80;

/// An answer being written.
#[derive(Debug)]
pub struct Response<'b> {
    status: Status,
    /// Of a status that only services send, its line; else empty.
    line: &'static str,
    content_type: &'static str,
    /// Told by Content-Length, where the body is sent from elsewhere.
    length_bytes: Option<u64>,
    /// Where the body's pieces begin, if it is written in pieces.
    stream: Option<u64>,
    is_http11: bool,
    buffer: &'b mut [u8],
    /// Where the fields end that begin at `START_BYTES`.
    fields: usize,
    /// Where the body ends that begins at `HEAD_BYTES`.
    body: usize,
}

impl<'b> Response<'b> {
    /// An empty 200 in this buffer, which should be longer than [`HEAD_BYTES`]:
    /// in one that is shorter nothing fits, and [`Self::finish`] returns 0.
    #[inline(never)]
    pub fn new(buffer: &'b mut [u8]) -> Self {
        Self {
            status: Status::Ok,
            line: "",
            content_type: "",
            length_bytes: None,
            stream: None,
            is_http11: true,
            buffer,
            fields: START_BYTES,
            body: HEAD_BYTES,
        }
    }

    /// Says whether the client reads chunked coding: one of HTTP/1.0 does not.
    pub fn set_http11(&mut self, is_http11: bool) {
        self.is_http11 = is_http11;
    }

    /// Sets the status. One that is a constant brings its own text, and no other,
    /// into the program.
    #[inline(always)]
    pub fn status(&mut self, status: Status) -> &mut Self {
        self.set_status(status, status.other_line())
    }

    pub(crate) fn set_status(&mut self, status: Status, line: &'static str) -> &mut Self {
        self.status = status;
        self.line = line;
        self
    }

    /// Code and reason as on the status line.
    #[inline(never)]
    pub(crate) fn status_line(&self) -> &'static [u8] {
        match self.line.as_bytes() {
            [] => self.status.first_line(),
            line => line,
        }
    }

    /// Sets the media type, without which no Content-Type is sent. At most 100
    /// characters.
    pub fn content_type(&mut self, media_type: &'static str) -> &mut Self {
        self.content_type = media_type;
        self
    }

    /// Adds a field; there are 680 bytes for all. More, a name that is no token
    /// and a value that holds control characters (RFC 9110 section 5), which
    /// would let a client write the head, turn the answer into a 500.
    #[inline(never)]
    pub fn field(&mut self, name: &str, value: &[u8]) -> &mut Self {
        let is_well = !name.is_empty() && all(name.as_bytes(), TOKEN) && all(value, VALUE);
        let room = self.buffer.get_mut(..HEAD_BYTES - END_BYTES);
        let mut fields = HeadWriter::at(room.unwrap_or_default(), self.fields);
        fields.field(name, value);
        self.fields = fields.length().filter(|_| is_well).unwrap_or(usize::MAX);
        self
    }

    /// Adds the entity tag.
    pub fn tag(&mut self, tag: &Tag) -> &mut Self {
        self.field("ETag", tag.as_bytes())
    }

    /// Adds what the resource answers to (RFC 9110 section 10.2.1).
    pub fn allow(&mut self, methods: Methods) -> &mut Self {
        let mut list = [0; 64];
        let mut names = HeadWriter::new(&mut list);
        for name in methods.names() {
            names.put(name);
            names.put(b", ");
        }
        // Without the last comma.
        let length = names.written().saturating_sub(2);
        self.field("Allow", list.get(..length).unwrap_or_default())
    }

    /// Becomes a redirect with this status (301, 302, 303, 307 or 308) to a place
    /// as it stands in Location (RFC 9110 section 10.2.2): a path or a URL,
    /// escaped already. Fields that were set before stay.
    #[inline(always)]
    pub fn redirect(&mut self, status: Status, location: &str) -> &mut Self {
        self.clear_body().status(status);
        self.field("Location", location.as_bytes())
    }

    /// Appends to the body. What passes the buffer turns the answer into a 500.
    #[inline(never)]
    pub fn write(&mut self, bytes: &[u8]) -> &mut Self {
        let mut body = HeadWriter::at(self.buffer, self.body);
        body.put(bytes);
        self.body = body.length().unwrap_or(usize::MAX);
        self
    }

    /// Appends plain text to the body.
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.content_type(content_type::TEXT).write(text.as_bytes())
    }

    /// Appends a number's digits to the body.
    #[inline(never)]
    pub fn number(&mut self, value: u64) -> &mut Self {
        let mut body = HeadWriter::at(self.buffer, self.body);
        body.number(value);
        self.body = body.length().unwrap_or(usize::MAX);
        self
    }

    /// Appends plain text to the body, in which each `%` stands for the next of these
    /// numbers.
    pub fn numbers(&mut self, text: &str, numbers: &[u64]) -> &mut Self {
        let mut body = HeadWriter::at(self.buffer, self.body);
        body.numbers(text.as_bytes(), numbers);
        self.body = body.length().unwrap_or(usize::MAX);
        self.content_type(content_type::TEXT)
    }

    /// Starts a JSON body.
    pub fn json(&mut self) -> Json<&mut Self> {
        self.content_type(content_type::JSON);
        Json::new(self)
    }

    /// Lets the route's pieces write the body, from this place on. It is sent as
    /// the client takes it; nothing written before goes with it.
    pub fn stream(&mut self, from: u64) -> &mut Self {
        self.clear_body().stream = Some(from);
        self
    }

    /// As [`Self::stream`], where the body's length is known.
    pub fn stream_of(&mut self, from: u64, length_bytes: u64) -> &mut Self {
        self.stream(from).length_bytes = Some(length_bytes);
        self
    }

    /// Makes constant bytes the body. What is longer than the room is streamed
    /// from byte 0 on.
    pub fn constant(&mut self, bytes: &'static [u8]) -> &mut Self {
        if self.buffer.len() < HEAD_BYTES + bytes.len() {
            self.stream_of(0, bytes.len() as u64)
        } else {
            self.clear_body().write(bytes)
        }
    }

    /// Drops what was written; status and fields stay.
    pub fn clear_body(&mut self) -> &mut Self {
        self.length_bytes = None;
        self.stream = None;
        self.body = HEAD_BYTES;
        self
    }

    /// Whether only the end of the connection can tell where the body ends: one
    /// of unknown length for a client that does not read chunked coding.
    pub fn closes(&self) -> bool {
        self.stream.is_some() && self.length_bytes.is_none() && !self.is_http11
    }

    /// After [`Self::finish`]: the body that is to be written piece by piece.
    pub fn outgoing(&self) -> Option<Outgoing> {
        let ending = match self.length_bytes {
            Some(length) => Ending::Length(length),
            None if self.is_http11 => Ending::Chunked,
            None => Ending::Close,
        };
        Some(Outgoing::new(self.stream?, ending))
    }

    /// Writes the head before the body and returns how many bytes, from the
    /// start of the buffer, are to be sent.
    #[inline(never)]
    pub fn finish(&mut self, manner: &Manner<'_>) -> usize {
        if self.body == usize::MAX || self.fields == usize::MAX {
            self.fields = START_BYTES;
            self.refuse(Status::InternalServerError);
        }
        let has_body = !self.status.is_bodiless();
        let Some(head) = self.head(manner, has_body) else {
            return 0;
        };
        let is_sent = !manner.is_head && has_body;
        let body = HEAD_BYTES..if is_sent { self.body } else { HEAD_BYTES };
        let length = head + body.len();
        // The body moves up to the head, which is no longer than its room.
        self.buffer.copy_within(body, head);
        length
    }

    /// Writes the head into its room and returns its length, or none where it
    /// does not fit.
    fn head(&mut self, manner: &Manner<'_>, has_body: bool) -> Option<usize> {
        let line = self.status_line();
        let room = self.buffer.get_mut(..HEAD_BYTES)?;
        let mut start = HeadWriter::new(room.get_mut(..START_BYTES)?);
        start.put(b"HTTP/1.1 ");
        start.put(line);
        start.put(b"\r\n");
        if manner.date.first() != Some(&0) {
            start.field("Date", manner.date);
        }
        if !self.content_type.is_empty() && has_body {
            start.field("Content-Type", self.content_type.as_bytes());
            // Without it a browser may take a text for a script.
            start.put(b"X-Content-Type-Options: nosniff\r\n");
        }
        let length = start.length()?;
        let fields = START_BYTES..self.fields;
        let end = length + fields.len();
        room.copy_within(fields, length);
        let mut rest = HeadWriter::at(room, end);
        if self.stream.is_some() && self.length_bytes.is_none() {
            if self.is_http11 {
                rest.put(b"Transfer-Encoding: chunked\r\n");
            }
        } else if has_body {
            let length = (self.body - HEAD_BYTES) as u64;
            rest.content_length(self.length_bytes.unwrap_or(length));
        }
        rest.end(manner);
        rest.length()
    }
}

impl Sink for &mut Response<'_> {
    fn put(&mut self, bytes: &[u8]) {
        self.write(bytes);
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::date::DATE_BYTES;
    use std::string::String;

    const DATE: [u8; DATE_BYTES] = *b"Sun, 06 Nov 1994 08:49:37 GMT";

    fn sent(is_head: bool, write: impl Fn(&mut Response<'_>)) -> String {
        let mut buffer = [0; HEAD_BYTES + 64];
        let mut response = Response::new(&mut buffer);
        write(&mut response);
        let manner = Manner {
            date: &DATE,
            is_head,
            is_http11: true,
            closes: false,
        };
        let length = response.finish(&manner);
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    #[test]
    fn head_and_body_are_joined() {
        let text = sent(false, |response| {
            response.text("hello\n").number(7);
        });
        assert_eq!(
            text,
            "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
             Content-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\n\
             Content-Length: 7\r\n\r\nhello\n7"
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
    fn rfc9110_10_2_1_methods_are_listed() {
        let text = sent(false, |response| {
            response.allow(Methods::GET_HEAD);
        });
        assert!(text.contains("\r\nAllow: GET, HEAD\r\n"), "{text}");
        let all = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"]
            .iter()
            .filter_map(|name| crate::method::Method::from_bytes(name.as_bytes()))
            .fold(Methods::NONE, Methods::with);
        let text = sent(false, |response| {
            response.allow(all);
        });
        assert!(text.contains(", OPTIONS, PATCH\r\n"), "{text}");
    }

    #[test]
    fn rfc9110_8_6_a_204_has_no_content_length() {
        let text = sent(false, |response| {
            response.status(Status::NoContent).text("dropped");
        });
        assert!(!text.contains("Content-"), "{text}");
        assert!(text.ends_with("\r\n\r\n"), "{text}");
    }

    #[test]
    fn a_body_past_the_buffer_becomes_a_500() {
        let text = sent(false, |response| {
            response.text(&"x".repeat(65)).text("x");
        });
        assert!(text.starts_with("HTTP/1.1 500 "), "{text}");
        assert!(
            text.ends_with("{\"title\":\"Internal Server Error\",\"status\":500}"),
            "{text}"
        );
    }

    #[test]
    fn rfc9110_10_2_2_a_redirect_names_its_place_and_has_no_body() {
        let text = sent(false, |response| {
            response
                .field("X-A", b"b")
                .text("dropped")
                .redirect(Status::Found, "/a%20b");
        });
        assert!(text.starts_with("HTTP/1.1 302 Found\r\n"), "{text}");
        let end = "\r\nX-A: b\r\nLocation: /a%20b\r\nContent-Length: 0\r\n\r\n";
        assert!(text.ends_with(end), "{text}");
    }

    #[test]
    fn rfc9110_5_5_a_field_cannot_break_out_of_its_line() {
        for value in [&b"a\r\nSet-Cookie: b"[..], b"a\nb", b"a\0"] {
            let text = sent(false, |response| {
                response.field("X-A", value).text("ok");
            });
            assert!(text.starts_with("HTTP/1.1 500 "), "{text}");
            assert!(!text.contains("X-A"), "{text}");
        }
        let text = sent(false, |response| {
            response.field("X-A", "café".as_bytes());
            response.field("X-B", b"").text("ok");
        });
        assert!(text.contains("\r\nX-A: café\r\nX-B: \r\n"), "{text}");
    }

    #[test]
    fn fields_past_their_room_become_a_500() {
        let text = sent(false, |response| {
            response.field("X-A", &[b'a'; HEAD_BYTES]).text("ok");
        });
        assert!(text.starts_with("HTTP/1.1 500 "), "{text}");
        let most = HEAD_BYTES - START_BYTES - END_BYTES - "X-A: \r\n".len();
        let text = sent(false, |response| {
            response.field("X-A", &[b'a'; 1_000][..most]).text("ok");
        });
        assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
        assert!(text.ends_with("\r\n\r\nok"), "{text}");
        let text = sent(false, |response| {
            response.field("X-A", &[b'a'; 1_000][..most + 1]).text("ok");
        });
        assert!(text.starts_with("HTTP/1.1 500 "), "{text}");
    }

    #[test]
    fn rfc9112_7_a_stream_tells_its_length_or_is_chunked() {
        let text = sent(false, |response| {
            response.text("dropped").stream(0);
        });
        assert!(text.ends_with("Transfer-Encoding: chunked\r\n\r\n"));
        let text = sent(false, |response| {
            response.stream_of(0, 7);
        });
        assert!(text.ends_with("Content-Length: 7\r\n\r\n"), "{text}");
        let text = sent(false, |response| {
            response.is_http11 = false;
            response.stream(0);
            assert!(response.closes());
        });
        assert!(!text.contains("Transfer-") && !text.contains("Length"));
        let mut buffer = [0; HEAD_BYTES + 64];
        let mut response = Response::new(&mut buffer);
        response.constant(&[b'x'; 65]);
        assert!(response.outgoing().is_some());
        response.stream(0).problem(Status::Conflict, "");
        assert!(response.outgoing().is_none());
    }
}
