//! The request head (RFC 9112 sections 2 to 6), parsed strictly.
//!
//! Lines are judged one after another and the first fault decides, so that a
//! head gives the same result however the network has cut it up. Nothing is
//! copied: a [`Head`] borrows the bytes it was read from. What the fields mean
//! beyond framing and connection (ranges, conditions) is left to those who look
//! them up with [`Head::field`].

use crate::ascii::{
    self, ADDRESS, DIGIT, HOST_NAME, TARGET, TOKEN, VALUE, all, is_same, parse_decimal, take_until,
};
use crate::method::Method;
use crate::status::Status;

/// What a server is willing to read.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The longest request line; more is 414. RFC 9112 section 3 recommends at
    /// least 8,000.
    pub line_bytes: usize,
    /// The longest head in all; more is 431.
    pub head_bytes: usize,
    /// The most field lines; more is 431.
    pub fields: usize,
    /// The longest body, decoded; more is 413.
    pub body_bytes: usize,
}

impl Limits {
    /// 8,000 bytes of request line, 16 KB of head, 64 fields, 15 KB of body: one
    /// request fits in 32 KB.
    pub const DEFAULT: Self = Self {
        line_bytes: 8_000,
        head_bytes: 16_384,
        fields: 64,
        body_bytes: 15_360,
    };
}

/// How long the body is (RFC 9112 section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// So many bytes; 0 where neither field is given.
    Length(u64),
    /// Chunked transfer coding.
    Chunked,
}

/// A whole and valid request head.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// The method.
    pub method: Method,
    /// The path as sent, percent-encoded, without query; `*` for `OPTIONS *`.
    pub path: &'a [u8],
    /// What follows the first `?`, if there is one.
    pub query: Option<&'a [u8]>,
    /// True for HTTP/1.1, false for HTTP/1.0.
    pub is_http11: bool,
    /// How the body is delimited.
    pub framing: Framing,
    /// Whether the client is willing to send more requests.
    pub keep_alive: bool,
    /// Whether the client waits for `100 Continue`.
    pub expects_continue: bool,
    /// The length of the head on the wire, final empty line included.
    pub length: usize,
    fields: &'a [u8],
}

/// Why reading ended before the end of what is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// What is there is faultless, but not whole.
    Partial,
    /// It is to be refused with this status; the connection must be closed after
    /// it, since nobody knows where the next request would begin.
    Refuse(Status),
}

impl From<Status> for Stop {
    fn from(status: Status) -> Self {
        Self::Refuse(status)
    }
}

impl<'a> Head<'a> {
    /// The value of the first field of this name, without surrounding space.
    pub fn field(&self, name: &str) -> Option<&'a [u8]> {
        self.fields()
            .find(|(known, _)| is_same(known, name.as_bytes()))
            .map(|(_, value)| value)
    }

    /// All fields in the order they came.
    pub fn fields(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        // The lines were judged when the head was parsed.
        let mut rest = self.fields;
        core::iter::from_fn(move || {
            let mut line = take_until(&mut rest, b'\r')?;
            rest = ascii::from(rest, 1);
            Some((take_name(&mut line)?, line))
        })
    }
}

/// Reads a head from the start of `bytes`.
///
/// # Errors
/// Where the head is not whole, or is to be refused.
pub fn parse<'a>(bytes: &'a [u8], limits: &Limits) -> Result<Head<'a>, Stop> {
    // RFC 9112 section 2.2: ignore at least one empty line before the request
    // line. One is enough; more is somebody trying something.
    let rest = match bytes {
        [] | [b'\r'] | [b'\r', b'\n'] => return Err(Stop::Partial),
        [b'\r', b'\n', rest @ ..] => rest,
        _ => bytes,
    };
    // Tells a TLS handshake or other noise at once, without awaiting a line end.
    if !all(rest.get(..1).unwrap_or_default(), TOKEN) {
        return Err(Stop::Refuse(Status::BadRequest));
    }
    let mut lines = WireLines { rest, line: b"" };
    lines.advance(limits.line_bytes, Status::UriTooLong)?;
    let mut head = Head {
        method: Method::Get,
        path: b"",
        query: None,
        is_http11: false,
        framing: Framing::Length(0),
        keep_alive: false,
        expects_continue: false,
        length: 0,
        fields: lines.rest,
    };
    read_request_line(&mut head, lines.line)?;

    let mut facts = Facts::default();
    for _ in 0..=limits.fields {
        head.length = bytes.len() - lines.rest.len();
        let room = limits.head_bytes.saturating_sub(head.length);
        lines.advance(room, Status::RequestHeaderFieldsTooLarge)?;
        if lines.line.is_empty() {
            let length = head.fields.len() - lines.rest.len();
            head.fields = head.fields.get(..length).unwrap_or_default();
            head.length += 2;
            facts.decide(&mut head)?;
            return Ok(head);
        }
        let name = take_name(&mut lines.line).ok_or(Status::BadRequest)?;
        facts.note(name, lines.line, head.is_http11)?;
    }
    Err(Stop::Refuse(Status::RequestHeaderFieldsTooLarge))
}

/// What the fields say about this connection and message.
#[derive(Default)]
struct Facts {
    host: bool,
    content_length: Option<u64>,
    chunked: bool,
    close: bool,
    keep_alive: bool,
    expects_continue: bool,
}

/// The fields that are looked at, in the order of the constants below.
const NOTED: &str = "host\ncontent-length\ntransfer-encoding\nconnection\nexpect\n";
const HOST: usize = 0;
const CONTENT_LENGTH: usize = 1;
const TRANSFER_ENCODING: usize = 2;
const CONNECTION: usize = 3;
const EXPECT: usize = 4;

impl Facts {
    #[inline(never)]
    fn note(&mut self, name: &[u8], value: &[u8], is_http11: bool) -> Result<(), Status> {
        match ascii::line_of(NOTED, name) {
            Some(HOST) => {
                if self.host || !is_host(value) {
                    return Err(Status::BadRequest);
                }
                self.host = true;
            }
            Some(CONTENT_LENGTH) => {
                // RFC 9112 section 6.3 lets a list of equal values pass; a second
                // reader might not, so it is refused.
                if self.content_length.is_some() {
                    return Err(Status::BadRequest);
                }
                self.content_length = Some(parse_decimal(value).ok_or(Status::BadRequest)?);
            }
            Some(TRANSFER_ENCODING) => {
                // RFC 9112 section 6.1: not defined for HTTP/1.0, and doubled
                // fields are read differently by different servers.
                if !is_http11 || self.chunked {
                    return Err(Status::BadRequest);
                }
                if !is_same(value, b"chunked") {
                    return Err(refuse_coding(value));
                }
                self.chunked = true;
            }
            Some(CONNECTION) => {
                let mut rest = value;
                while let Some(option) = take_item(&mut rest) {
                    self.close |= is_same(option, b"close");
                    self.keep_alive |= is_same(option, b"keep-alive");
                }
            }
            Some(EXPECT) if is_http11 => {
                if !is_same(value, b"100-continue") {
                    return Err(Status::ExpectationFailed);
                }
                self.expects_continue = true;
            }
            _ => {}
        }
        Ok(())
    }

    /// What follows from all fields together.
    fn decide(&self, head: &mut Head<'_>) -> Result<(), Status> {
        // RFC 9112 section 3.2: exactly one Host in HTTP/1.1.
        if head.is_http11 && !self.host {
            return Err(Status::BadRequest);
        }
        head.framing = match (self.chunked, self.content_length) {
            // RFC 9112 section 6.1: both together are a smuggling attempt.
            (true, Some(_)) => return Err(Status::BadRequest),
            (true, None) => Framing::Chunked,
            (false, length) => Framing::Length(length.unwrap_or(0)),
        };
        // RFC 9112 section 9.3.
        head.keep_alive = !self.close && (head.is_http11 || self.keep_alive);
        head.expects_continue = self.expects_continue;
        Ok(())
    }
}

/// RFC 9112 section 6.3, rule 4: where chunked is not the last coding, or is
/// applied twice, the body has no end: 400. Section 6.1: other codings: 501.
fn refuse_coding(value: &[u8]) -> Status {
    let mut rest = value;
    let mut count = 0;
    let mut is_last = false;
    while let Some(coding) = take_item(&mut rest) {
        is_last = is_same(coding, b"chunked");
        count += u32::from(is_last);
    }
    // An empty item behind the last comma is a last coding, too.
    if is_last && count == 1 && !value.ends_with(b",") {
        Status::NotImplemented
    } else {
        Status::BadRequest
    }
}

/// Reads bytes from the wire line by line.
pub(crate) struct WireLines<'a> {
    /// The bytes behind the line.
    pub(crate) rest: &'a [u8],
    /// The line, without its end.
    pub(crate) line: &'a [u8],
}

impl WireLines<'_> {
    /// Goes on to the next line. RFC 9112 section 2.2: a line end is CRLF, and a
    /// bare CR or LF is refused, not mended.
    #[inline(never)]
    pub(crate) fn advance(&mut self, max_bytes: usize, too_long: Status) -> Result<(), Stop> {
        // One past the limit: a line may be just as long.
        let end = self
            .rest
            .iter()
            .take(max_bytes + 1)
            .position(|&byte| byte == b'\r' || byte == b'\n');
        let Some(end) = end else {
            // As many more as a CRLF takes could still come.
            return Err(if self.rest.len() < max_bytes + 2 {
                Stop::Partial
            } else {
                Stop::Refuse(too_long)
            });
        };
        let (line, end) = self.rest.split_at_checked(end).unwrap_or_default();
        match end {
            [b'\r', b'\n', rest @ ..] => {
                (self.line, self.rest) = (line, rest);
                Ok(())
            }
            [b'\r'] => Err(Stop::Partial),
            _ => Err(Stop::Refuse(Status::BadRequest)),
        }
    }
}

/// RFC 9112 section 3: three parts, one space between each.
fn read_request_line<'a>(head: &mut Head<'a>, line: &'a [u8]) -> Result<(), Status> {
    let mut version = line;
    let name = take_until(&mut version, b' ').unwrap_or_default();
    let target = take_until(&mut version, b' ').unwrap_or_default();
    if name.is_empty() || !all(name, TOKEN) || target.is_empty() || !all(target, TARGET) {
        return Err(Status::BadRequest);
    }
    // RFC 9112 section 2.3: HTTP-version = "HTTP/" DIGIT "." DIGIT
    let (protocol, number) = version.split_at_checked(5).unwrap_or_default();
    head.is_http11 = match number {
        _ if protocol != b"HTTP/" => return Err(Status::BadRequest),
        b"1.1" => true,
        b"1.0" => false,
        &[major, b'.', minor] if all(&[major, minor], DIGIT) => {
            return Err(Status::HttpVersionNotSupported);
        }
        _ => return Err(Status::BadRequest),
    };
    head.method = Method::from_bytes(name).ok_or(Status::NotImplemented)?;
    read_target(head, target)
}

/// RFC 9112 section 3.2: origin-form, absolute-form, or `*` for OPTIONS.
fn read_target<'a>(head: &mut Head<'a>, target: &'a [u8]) -> Result<(), Status> {
    let mut rest = target;
    if target == b"*" {
        if head.method != Method::Options {
            return Err(Status::BadRequest);
        }
    } else if target.first() != Some(&b'/') {
        let scheme = take_until(&mut rest, b':').unwrap_or_default();
        if !is_same(scheme, b"http") && !is_same(scheme, b"https") {
            return Err(Status::BadRequest);
        }
        rest = rest.strip_prefix(b"//").ok_or(Status::BadRequest)?;
        let is_end = |&byte: &u8| byte == b'/' || byte == b'?';
        let end = rest.iter().position(is_end).unwrap_or(rest.len());
        let host = rest.get(..end).unwrap_or_default();
        // RFC 9110 section 4.2.1: an empty host is invalid; 4.2.4: so is user
        // information, which `is_host` does not let through.
        if host.is_empty() || !is_host(host) {
            return Err(Status::BadRequest);
        }
        rest = ascii::from(rest, end);
    }
    head.path = rest;
    if let Some(path) = take_until(&mut rest, b'?') {
        head.path = path;
        head.query = Some(rest);
    }
    // `http://host` and `http://host?q` mean the root (RFC 9110 section 4.2.3).
    if head.path.is_empty() {
        head.path = b"/";
    }
    Ok(())
}

/// RFC 9110 section 5: `name ":" OWS value OWS`; takes the name off and leaves
/// the value, trimmed. A space before the colon (RFC 9112 section 5.1) and a
/// folded line (section 5.2) fail as names.
#[inline(never)]
pub(crate) fn take_name<'a>(line: &mut &'a [u8]) -> Option<&'a [u8]> {
    let name = take_until(line, b':')?;
    if name.is_empty() || !all(name, TOKEN) || !all(line, VALUE) {
        return None;
    }
    *line = trim(line);
    Some(name)
}

/// RFC 9110 section 7.2 and RFC 3986 section 3.2.2, by alphabet: a name, an
/// address, or one in brackets, and a port. Empty is allowed.
#[inline(never)]
fn is_host(value: &[u8]) -> bool {
    let mut port;
    let is_well = if let [b'[', rest @ ..] = value {
        port = rest;
        match take_until(&mut port, b']') {
            Some(host) if !host.is_empty() && all(host, ADDRESS) => {}
            _ => return false,
        }
        port.is_empty() || port.first() == Some(&b':')
    } else {
        let colon = value.iter().position(|&byte| byte == b':');
        let (host, rest) = value
            .split_at_checked(colon.unwrap_or(value.len()))
            .unwrap_or_default();
        port = rest;
        all(host, HOST_NAME)
    };
    // A colon and up to five digits, or nothing at all.
    is_well && port.len() <= 6 && all(ascii::from(port, 1), DIGIT)
}

/// Takes the next item of a comma-separated list off.
#[inline(never)]
fn take_item<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    if rest.is_empty() {
        return None;
    }
    let item = take_until(rest, b',').unwrap_or_else(|| core::mem::take(rest));
    Some(trim(item))
}

#[inline(never)]
fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::format;
    use std::vec::Vec;

    fn status(request: &str) -> Status {
        match parse(request.as_bytes(), &Limits::DEFAULT) {
            Err(Stop::Refuse(status)) => status,
            parsed => panic!("accepted {request:?}: {parsed:?}"),
        }
    }

    fn head(request: &str) -> Head<'_> {
        match parse(request.as_bytes(), &Limits::DEFAULT) {
            Ok(head) => head,
            other => panic!("refused {request:?}: {other:?}"),
        }
    }

    fn with_field(field: &str) -> std::string::String {
        format!("POST / HTTP/1.1\r\nHost: a\r\n{field}\r\n\r\n")
    }

    #[test]
    fn a_plain_request_is_read_in_full() {
        let text = "GET /a/b?c=d HTTP/1.1\r\nHost: localhost:8080\r\nX-A:  1 \r\n\r\nrest";
        let head = head(text);
        assert_eq!(head.method, Method::Get);
        assert_eq!(head.path, b"/a/b");
        assert_eq!(head.query, Some(&b"c=d"[..]));
        assert_eq!(head.length, text.len() - 4);
        assert_eq!(head.field("x-a"), Some(&b"1"[..]));
        assert_eq!(head.fields().count(), 2);
        assert!(head.keep_alive);
    }

    #[test]
    fn rfc9112_2_2_one_leading_empty_line_is_ignored_and_two_are_refused() {
        assert_eq!(head("\r\nGET / HTTP/1.0\r\n\r\n").length, 20);
        assert_eq!(status("\r\n\r\nGET / HTTP/1.0\r\n\r\n"), Status::BadRequest);
    }

    #[test]
    fn rfc9112_2_2_bare_line_feed_and_bare_carriage_return_are_refused() {
        for text in [
            "GET / HTTP/1.1\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n\n",
            "GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n",
            "GET / HTTP/1.1\rHost: a\r\n\r\n",
            "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        ] {
            assert_eq!(status(text), Status::BadRequest, "{text:?}");
        }
    }

    #[test]
    fn rfc9112_3_request_line_has_three_parts_and_single_spaces() {
        for text in [
            "GET  / HTTP/1.1\r\n",
            "GET /  HTTP/1.1\r\n",
            "GET / HTTP/1.1 \r\n",
            " GET / HTTP/1.1\r\n",
            "GET\t/ HTTP/1.1\r\n",
            "GET /\r\n",
            "GET\r\n",
            "G(T / HTTP/1.1\r\n",
            "GET /a b HTTP/1.1\r\n",
        ] {
            assert_eq!(status(text), Status::BadRequest, "{text:?}");
        }
    }

    #[test]
    fn rfc9112_2_3_other_versions_get_505_and_malformed_ones_400() {
        for version in ["HTTP/2.0", "HTTP/0.9", "HTTP/1.2", "HTTP/9.9"] {
            let text = format!("GET / {version}\r\nHost: a\r\n\r\n");
            assert_eq!(status(&text), Status::HttpVersionNotSupported, "{version}");
        }
        for version in [
            "http/1.1",
            "HTTP/1",
            "HTTP/1.10",
            "HTTP/11.1",
            "HTTPS/1.1",
            "HTTP/1.a",
        ] {
            let text = format!("GET / {version}\r\nHost: a\r\n\r\n");
            assert_eq!(status(&text), Status::BadRequest, "{version}");
        }
    }

    #[test]
    fn rfc9110_9_1_unknown_methods_get_501() {
        for method in ["BREW", "get", "TRACE", "CONNECT"] {
            let text = format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n");
            assert_eq!(status(&text), Status::NotImplemented, "{method}");
        }
    }

    #[test]
    fn rfc9112_3_2_target_forms_are_told_apart() {
        assert_eq!(
            head("GET http://a.b:80/c?d HTTP/1.1\r\nHost: a\r\n\r\n").path,
            b"/c"
        );
        assert_eq!(
            head("GET HTTP://a.b HTTP/1.1\r\nHost: a\r\n\r\n").path,
            b"/"
        );
        assert_eq!(head("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").path, b"*");
        for target in [
            "*",
            "a",
            "a:80",
            "http://",
            "http:///a",
            "http://u@h/",
            "ftp://a/",
            "/a#b",
            "/\u{e9}",
            "/a\u{7f}",
            "/\"",
            "?a",
        ] {
            let text = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
            assert_eq!(status(&text), Status::BadRequest, "{target}");
        }
    }

    #[test]
    fn rfc9112_3_2_host_is_present_once_and_well_formed() {
        assert_eq!(status("GET / HTTP/1.1\r\n\r\n"), Status::BadRequest);
        assert_eq!(
            status("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"),
            Status::BadRequest
        );
        for host in [
            "a b", "a/b", "a@b", "a,b:1:2", "[::1", "[]", "[::1]x", "a:b", "a:123456",
        ] {
            let text = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
            assert_eq!(status(&text), Status::BadRequest, "{host}");
        }
        for host in ["", "a", "a.b:80", "[::1]:8080", "127.0.0.1", "a:"] {
            head(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        }
        head("GET / HTTP/1.0\r\n\r\n");
    }

    #[test]
    fn rfc9112_5_1_space_before_the_colon_is_refused() {
        assert_eq!(status(&with_field("X : a")), Status::BadRequest);
        assert_eq!(
            status(&with_field("Content-Length : 5")),
            Status::BadRequest
        );
        assert_eq!(
            status(&with_field("Transfer-Encoding\t: chunked")),
            Status::BadRequest
        );
    }

    #[test]
    fn rfc9112_5_2_folded_lines_are_refused() {
        assert_eq!(status(&with_field("X: a\r\n b")), Status::BadRequest);
        assert_eq!(status(&with_field("X: a\r\n\tb")), Status::BadRequest);
        assert_eq!(
            status("GET / HTTP/1.1\r\n Host: a\r\n\r\n"),
            Status::BadRequest
        );
    }

    #[test]
    fn rfc9110_5_5_control_characters_in_fields_are_refused() {
        for field in [
            "X: a\0b",
            "X: a\u{7f}",
            "X: \u{1}",
            "X\0: a",
            "nocolon",
            ": a",
            "X(: a",
        ] {
            assert_eq!(status(&with_field(field)), Status::BadRequest, "{field:?}");
        }
        head(&with_field("X: caf\u{e9}\t!"));
    }

    #[test]
    fn rfc9112_6_3_content_length_is_one_plain_number() {
        for value in [
            "",
            "+5",
            "-5",
            "5 5",
            "5, 5",
            "0x5",
            "5a",
            "99999999999999999999",
            "1.0",
        ] {
            let text = with_field(&format!("Content-Length: {value}"));
            assert_eq!(status(&text), Status::BadRequest, "{value:?}");
        }
        let doubled = with_field("Content-Length: 5\r\nContent-Length: 5");
        assert_eq!(status(&doubled), Status::BadRequest);
        assert_eq!(
            head(&with_field("content-length:  7 ")).framing,
            Framing::Length(7)
        );
    }

    #[test]
    fn rfc9112_6_1_length_and_transfer_coding_together_are_refused() {
        for fields in [
            "Content-Length: 5\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: chunked\r\nContent-Length: 5",
        ] {
            assert_eq!(status(&with_field(fields)), Status::BadRequest);
        }
    }

    #[test]
    fn rfc9112_6_1_only_chunked_is_understood() {
        assert_eq!(
            head(&with_field("Transfer-Encoding: Chunked")).framing,
            Framing::Chunked
        );
        for (value, expected) in [
            ("gzip, chunked", Status::NotImplemented),
            ("foo, chunked", Status::NotImplemented),
            ("chunked;q=1, chunked", Status::NotImplemented),
            ("gzip", Status::BadRequest),
            ("identity", Status::BadRequest),
            ("xchunked", Status::BadRequest),
            ("chunked, gzip", Status::BadRequest),
            ("chunked, chunked", Status::BadRequest),
            ("chunked,", Status::BadRequest),
            ("\u{b}chunked", Status::BadRequest),
            ("", Status::BadRequest),
        ] {
            let text = with_field(&format!("Transfer-Encoding: {value}"));
            assert_eq!(status(&text), expected, "{value:?}");
        }
        let doubled = with_field("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked");
        assert_eq!(status(&doubled), Status::BadRequest);
        let old = "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(status(old), Status::BadRequest);
    }

    #[test]
    fn rfc9110_10_1_1_other_expectations_get_417() {
        assert_eq!(
            status(&with_field("Expect: 200-ok")),
            Status::ExpectationFailed
        );
        assert!(head(&with_field("Expect: 100-Continue")).expects_continue);
        assert!(!head("GET / HTTP/1.0\r\nExpect: x\r\n\r\n").expects_continue);
    }

    #[test]
    fn rfc9112_9_3_persistence_follows_version_and_connection() {
        assert!(!head(&with_field("Connection: foo, Close")).keep_alive);
        assert!(!head(&with_field("Connection: keep-alive, close")).keep_alive);
        assert!(!head("GET / HTTP/1.0\r\n\r\n").keep_alive);
        assert!(head("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n").keep_alive);
    }

    #[test]
    fn rfc9110_15_5_15_a_long_request_line_gets_414() {
        let long = "a".repeat(8_000);
        assert_eq!(status(&format!("GET /{long}")), Status::UriTooLong);
        assert_eq!(
            status(&format!("GET /{long} HTTP/1.1\r\n")),
            Status::UriTooLong
        );
        let fits = "a".repeat(8_000 - "GET / HTTP/1.0".len());
        head(&format!("GET /{fits} HTTP/1.0\r\n\r\n"));
    }

    #[test]
    fn rfc6585_5_too_many_or_too_long_fields_get_431() {
        let many: std::string::String = (0..65).map(|_| "a: b\r\n").collect();
        let text = format!("GET / HTTP/1.0\r\n{many}\r\n");
        assert_eq!(status(&text), Status::RequestHeaderFieldsTooLarge);
        let long = "a".repeat(16_384);
        let text = format!("GET / HTTP/1.0\r\nX: {long}");
        assert_eq!(status(&text), Status::RequestHeaderFieldsTooLarge);
    }

    #[test]
    fn a_head_cut_at_any_byte_is_partial_and_never_longer_than_its_limit() {
        let text = "GET /a HTTP/1.1\r\nHost: b\r\nAccept: */*\r\n\r\n".as_bytes();
        for end in 0..text.len() {
            let parsed = parse(&text[..end], &Limits::DEFAULT);
            assert!(matches!(parsed, Err(Stop::Partial)), "cut at {end}");
        }
        let tight = Limits {
            head_bytes: text.len() - 2,
            ..Limits::DEFAULT
        };
        assert!(parse(text, &tight).is_ok());
        let tighter = Limits {
            head_bytes: text.len() - 5,
            ..Limits::DEFAULT
        };
        assert!(parse(text, &tighter).is_err());
        let _: Vec<u8> = text.to_vec();
    }
}
