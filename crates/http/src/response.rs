//! The answer of a service: a body written into a fixed buffer, and the head
//! before it.
//!
//! The body is written behind room for the head, and the service's own fields
//! into that room; [`Response::finish`] writes the rest of the head, whose
//! Content-Length is then known, and joins all. A server of files needs none of
//! this: it writes its heads with a [`HeadWriter`].

use crate::ascii::{TOKEN, VALUE, all};
use crate::content_type;
use crate::json::{Json, Sink};
use crate::method::Methods;
use crate::status::Status;
pub use crate::writer::Finish;
use crate::writer::HeadWriter;

/// Room kept for the head; where fields pass it, the answer becomes a 500.
pub const HEAD_BYTES: usize = 1_024;
/// Of that, room for what [`Response::finish`] adds to the fields: status line,
/// Date, Content-Type, Content-Length and Connection.
const START_BYTES: usize = 256;

/// An answer being written.
#[derive(Debug)]
pub struct Response<'b> {
    status: Status,
    content_type: &'static str,
    /// Told by Content-Length, and sent by the caller.
    file_bytes: Option<u64>,
    buffer: &'b mut [u8],
    /// Where the fields end that begin at `START_BYTES`.
    fields: usize,
    /// Where the body ends that begins at `HEAD_BYTES`.
    body: usize,
}

impl<'b> Response<'b> {
    /// An empty 200 in this buffer, which should be longer than [`HEAD_BYTES`]:
    /// in one that is shorter nothing fits, and [`Self::finish`] returns 0.
    pub fn new(buffer: &'b mut [u8]) -> Self {
        Self {
            status: Status::Ok,
            content_type: "",
            file_bytes: None,
            buffer,
            fields: START_BYTES,
            body: HEAD_BYTES,
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

    /// Adds a field. A name that is no token or a value that holds control
    /// characters (RFC 9110 section 5) would let a client write the head, and
    /// turns the answer into a 500.
    #[inline(never)]
    pub fn field(&mut self, name: &str, value: &[u8]) -> &mut Self {
        let is_well = !name.is_empty() && all(name.as_bytes(), TOKEN) && all(value, VALUE);
        let room = self.buffer.get_mut(..HEAD_BYTES).unwrap_or_default();
        let mut fields = HeadWriter::at(room, self.fields);
        fields.field(name, value);
        self.fields = fields.length().filter(|_| is_well).unwrap_or(usize::MAX);
        self
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
    #[inline(never)]
    pub fn not_allowed(&mut self, allow: Methods) -> &mut Self {
        self.error(Status::MethodNotAllowed);
        let mut list = [0; 64];
        let mut writer = HeadWriter::new(&mut list);
        for name in allow.names() {
            if writer.length() != Some(0) {
                writer.put(b", ");
            }
            writer.put(name.as_bytes());
        }
        let length = writer.length().unwrap_or(0);
        self.field("Allow", list.get(..length).unwrap_or_default())
    }

    /// Becomes a redirect with this status to a place as it stands in Location
    /// (RFC 9110 section 10.2.2): a path or a URL, escaped already.
    #[inline(never)]
    pub fn redirect(&mut self, status: Status, location: &[u8]) -> &mut Self {
        self.clear();
        self.status(status).field("Location", location)
    }

    /// Announces a body of this length, which the caller sends after the head.
    pub fn file(&mut self, length_bytes: u64) -> &mut Self {
        self.body = HEAD_BYTES;
        self.file_bytes = Some(length_bytes);
        self
    }

    fn clear(&mut self) {
        self.content_type = "";
        self.file_bytes = None;
        self.fields = START_BYTES;
        self.body = HEAD_BYTES;
    }

    /// Writes the head before the body and returns how many bytes, from the
    /// start of the buffer, are to be sent. The response is of no use after it.
    #[inline(never)]
    pub fn finish(&mut self, finish: &Finish<'_>) -> usize {
        if self.fields == usize::MAX || self.body == usize::MAX {
            self.error(Status::InternalServerError);
        }
        let Some(head) = self.head(finish) else {
            return 0;
        };
        let has_body = !finish.is_head && !self.status.is_bodiless();
        let body = HEAD_BYTES..if has_body { self.body } else { HEAD_BYTES };
        if self.buffer.len() < body.end {
            return 0;
        }
        let length = head + body.len();
        // The body moves up to the head, which is no longer than its room.
        self.buffer.copy_within(body, head);
        length
    }

    /// Writes the head into its room and returns its length, or none where it
    /// does not fit.
    #[inline(never)]
    fn head(&mut self, finish: &Finish<'_>) -> Option<usize> {
        let room = self.buffer.get_mut(..HEAD_BYTES)?;
        let mut start = HeadWriter::new(room);
        start.start(self.status.line(), finish.date);
        if !self.content_type.is_empty() {
            start.field("Content-Type", self.content_type.as_bytes());
            // Without it a browser may take a text for a script.
            start.field("X-Content-Type-Options", b"nosniff");
        }
        let length = start.length()?;
        let fields = START_BYTES..self.fields.max(START_BYTES);
        let end = length + fields.len();
        room.copy_within(fields, length);
        let mut rest = HeadWriter::at(room, end);
        if !self.status.is_bodiless() {
            let length = (self.body - HEAD_BYTES) as u64;
            rest.content_length(self.file_bytes.unwrap_or(length));
        }
        rest.end(finish.connection);
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
    fn rfc9110_10_2_2_a_redirect_names_its_place_and_has_no_body() {
        let text = sent(false, |response| {
            response.text("dropped").redirect(Status::Found, b"/a%20b");
        });
        assert!(text.starts_with("HTTP/1.1 302 Found\r\n"), "{text}");
        assert!(text.contains("\r\nLocation: /a%20b\r\n"), "{text}");
        assert!(text.ends_with("Content-Length: 0\r\n\r\n"), "{text}");
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
            response
                .field("X-A", "caf\u{e9}".as_bytes())
                .field("X-B", b"")
                .text("ok");
        });
        assert!(text.contains("\r\nX-A: caf\u{e9}\r\nX-B: \r\n"), "{text}");
    }

    #[test]
    fn fields_past_their_room_become_a_500() {
        let text = sent(false, |response| {
            response.field("X-A", &[b'a'; HEAD_BYTES]).text("ok");
        });
        assert!(text.starts_with("HTTP/1.1 500 "), "{text}");
        let most = HEAD_BYTES - START_BYTES - "X-A: \r\n".len();
        let text = sent(false, |response| {
            response
                .field("X-A", &[b'a'; HEAD_BYTES][..most])
                .text("ok");
        });
        assert!(text.ends_with("\r\n\r\nok"), "{text}");
    }

    #[test]
    fn nothing_fits_in_a_buffer_without_room_for_a_head() {
        for length in [0, 100, HEAD_BYTES - 1] {
            let mut buffer = [0; HEAD_BYTES];
            let mut response = Response::new(&mut buffer[..length]);
            response.text("a").field("X", b"y");
            let finish = Finish {
                is_head: false,
                connection: None,
                date: &DATE,
            };
            assert_eq!(response.finish(&finish), 0);
        }
    }
}
