//! The head of an answer (RFC 9112 sections 4 and 6), as a client reads it: as
//! strictly as [`head`](crate::head) reads a request's, and as borrowed. What is
//! asked, and by which connection, is the caller's.

use crate::ascii::{DIGIT, VALUE, is_same, parse_decimal, take_class};
use crate::cursor::Cursor;
pub use crate::cursor::Stop;
use crate::head::take_field;
use crate::status::Status;

/// The most field lines.
const MAX_FIELDS: usize = 100;

/// How the body is delimited (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delimited {
    /// So many bytes; 0 where a status, or the method, has no body.
    Length(u64),
    /// By chunked transfer coding.
    Chunked,
    /// By the end of the connection.
    Close,
}

/// A whole and valid head of an answer.
#[derive(Clone, Copy, Debug)]
pub struct Reply<'a> {
    /// Three digits.
    pub status: u16,
    /// Whether the server is willing to answer more requests.
    pub keep_alive: bool,
    /// How the body is delimited.
    pub body: Delimited,
    /// The length of the head on the wire, final empty line included.
    pub length: usize,
    /// What is behind the status line.
    fields: &'a [u8],
}

impl<'a> Reply<'a> {
    /// The value of the first field of this name, without surrounding space.
    pub fn field(&self, name: &str) -> Option<&'a [u8]> {
        self.fields()
            .find(|(known, _)| is_same(known, name.as_bytes()))
            .map(|(_, value)| value)
    }

    /// All fields in the order they came, values without surrounding space.
    pub fn fields(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        // The lines were judged when the head was parsed.
        let mut cursor = Cursor::new(self.fields);
        core::iter::from_fn(move || {
            let field = take_field(&mut cursor);
            (!field.0.is_empty()).then_some(field)
        })
    }
}

/// Reads the head of an answer from the start of `bytes`; `to_head` says that HEAD
/// was asked, so that no body follows whatever is announced.
///
/// # Errors
/// [`Stop::Partial`] where the head is not whole. Any refusal means that it is
/// faulty, or longer than `max_bytes`, and the connection of no more use.
pub fn parse(bytes: &[u8], max_bytes: usize, to_head: bool) -> Result<Reply<'_>, Stop> {
    let within = bytes.get(..max_bytes).unwrap_or(bytes);
    let too_long = Status::RequestHeaderFieldsTooLarge;
    match read(within, to_head) {
        Err(Stop::Partial) if within.len() == max_bytes => Err(too_long.into()),
        read => read,
    }
}

fn read(bytes: &[u8], to_head: bool) -> Result<Reply<'_>, Stop> {
    let mut cursor = Cursor::new(bytes);
    // RFC 9112 section 4: HTTP-version SP status-code SP [reason-phrase]
    cursor.expect(b"HTTP/1.");
    let minor = cursor.take_before(DIGIT, b" ");
    let code = cursor.take(DIGIT);
    // Some leave out the space before a reason that they leave out.
    if cursor.rest.first() == Some(&b' ') {
        take_class(&mut cursor.rest, VALUE);
    }
    cursor.expect(b"\r\n");
    cursor.judge()?;
    let &[hundreds @ b'1'..=b'9', tens, ones] = code else {
        return Err(Status::BadRequest.into());
    };
    let digit = |byte: u8| u16::from(byte & 15);
    let status = digit(hundreds) * 100 + digit(tens) * 10 + digit(ones);
    let is_http11 = match minor {
        b"1" => true,
        b"0" => false,
        _ => return Err(Status::HttpVersionNotSupported.into()),
    };
    let mut reply = Reply {
        status,
        keep_alive: is_http11,
        body: Delimited::Close,
        length: 0,
        fields: cursor.rest,
    };
    for _ in 0..MAX_FIELDS {
        let (name, value) = take_field(&mut cursor);
        cursor.judge()?;
        if name.is_empty() {
            reply.length = bytes.len() - cursor.rest.len();
            // RFC 9110 section 6.4.1
            if to_head || matches!(status, 100..=199 | 204 | 304) {
                reply.body = Delimited::Length(0);
            }
            // What the server ends the body by it cannot answer more on.
            reply.keep_alive &= reply.body != Delimited::Close;
            return Ok(reply);
        }
        note(&mut reply, name, value, is_http11)?;
    }
    Err(Status::RequestHeaderFieldsTooLarge.into())
}

/// What a field says of the body and the connection. A second length or coding, or
/// both, may be read in two ways, and is refused as in requests.
fn note(reply: &mut Reply<'_>, name: &[u8], value: &[u8], is_http11: bool) -> Result<(), Status> {
    let is_first = reply.body == Delimited::Close;
    if is_same(name, b"content-length") {
        let length = parse_decimal(value).filter(|_| is_first);
        reply.body = Delimited::Length(length.ok_or(Status::BadRequest)?);
    } else if is_same(name, b"transfer-encoding") {
        if !is_first || !is_http11 || !is_same(value, b"chunked") {
            return Err(Status::BadRequest);
        }
        reply.body = Delimited::Chunked;
    } else if is_same(name, b"connection") {
        reply.keep_alive &= !is_same(value, b"close");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::format;

    fn parsed(text: &str) -> Result<Reply<'_>, Stop> {
        parse(text.as_bytes(), 1_000, false)
    }

    #[test]
    fn a_plain_answer_is_read_in_full() {
        let text = "HTTP/1.1 200 OK\r\nX-A:  1 \r\nContent-Length: 5\r\n\r\nhello";
        let reply = parsed(text).unwrap();
        assert_eq!((reply.status, reply.keep_alive), (200, true));
        assert_eq!(reply.body, Delimited::Length(5));
        assert_eq!(reply.length, text.len() - 5);
        assert_eq!(reply.field("x-a"), Some(&b"1"[..]));
        assert_eq!(reply.fields().count(), 2);
    }

    #[test]
    fn rfc9112_6_3_the_body_ends_as_the_head_says() {
        let body = |text: &str| parsed(text).unwrap().body;
        assert_eq!(body("HTTP/1.1 200\r\n\r\n"), Delimited::Close);
        assert_eq!(body("HTTP/1.1 200 \r\n\r\n"), Delimited::Close);
        for status in [100, 199, 204, 304] {
            let text = format!("HTTP/1.1 {status} x\r\nContent-Length: 7\r\n\r\n");
            assert_eq!(body(&text), Delimited::Length(0), "{status}");
        }
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n";
        assert_eq!(body(chunked), Delimited::Chunked);
        let to_head = parse(chunked.as_bytes(), 1_000, true).unwrap();
        assert_eq!(to_head.body, Delimited::Length(0));
    }

    #[test]
    fn the_connection_stays_unless_it_is_said_or_ends_the_body() {
        for (text, stays) in [
            ("HTTP/1.1 204 x\r\n\r\n", true),
            ("HTTP/1.1 204 x\r\nConnection: Close\r\n\r\n", false),
            ("HTTP/1.1 200 x\r\n\r\n", false),
            ("HTTP/1.0 204 x\r\n\r\n", false),
        ] {
            assert_eq!(parsed(text).unwrap().keep_alive, stays, "{text}");
        }
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        for text in [
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\n",
            "HTTP/1.1 20 OK\r\n\r\n",
            "HTTP/1.1 2000 OK\r\n\r\n",
            "HTTP/1.1 020 OK\r\n\r\n",
            "HTTP/2.0 200 OK\r\n\r\n",
            "HTTP/1.2 200 OK\r\n\r\n",
            "HTTP/1.1  200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\nA: b\n\n",
            "HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
            "HTTP/1.1 200 OK\r\n b\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\n",
        ] {
            let refused = matches!(parsed(text), Err(Stop::Refuse(_)));
            assert!(refused, "{text}");
        }
    }

    #[test]
    fn a_head_cut_at_any_byte_is_partial_and_never_longer_than_its_limit() {
        let text = "HTTP/1.1 202 Accepted\r\nA: b\r\nContent-Length: 0\r\n\r\n";
        for end in 0..text.len() {
            let cut = text.get(..end).unwrap();
            assert_eq!(parsed(cut).err(), Some(Stop::Partial), "{end}");
        }
        assert!(parse(text.as_bytes(), text.len(), false).is_ok());
        let tight = parse(text.as_bytes(), text.len() - 1, false);
        let too_long = Stop::Refuse(Status::RequestHeaderFieldsTooLarge);
        assert_eq!(tight.err(), Some(too_long));
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(100));
        assert_eq!(parsed(&many).err(), Some(too_long));
    }
}
