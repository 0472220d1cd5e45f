//! The request head (RFC 9112 sections 2 to 6), parsed strictly.
//!
//! Lines are judged one after another and the first fault decides, so that a
//! head gives the same result however the network has cut it up. Nothing is
//! copied: a [`Head`] borrows the bytes it was read from. The fields that a
//! server of files looks at are kept as they are met ([`Known`]); what they mean
//! beyond framing and connection is judged by [`condition`](crate::condition)
//! and [`encoding`](crate::encoding).

use crate::ascii::{
    ADDRESS, DIGIT, HOST_NAME, TARGET, TOKEN, VALUE, all, from, is, is_same, parse_decimal, span,
    split, split_at_byte, take_item, trim,
};
use crate::cursor::Cursor;
pub use crate::cursor::Stop;
use crate::method::Method;
use crate::status::Status;
use crate::words::{Words, words};

/// What a server is willing to read.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The longest request line with its end; more is 414. RFC 9112 section 3
    /// recommends at least 8,000.
    pub line_bytes: usize,
    /// The longest head in all; more is 431.
    pub head_bytes: usize,
    /// The most field lines; more is 431.
    pub fields: usize,
    /// The longest body, decoded; more is 413.
    pub body_bytes: usize,
}

impl Limits {
    /// 8 KB of request line, 16 KB of head, 64 fields, 15 KB of body: one
    /// request fits in 32 KB.
    pub const DEFAULT: Self = Self {
        line_bytes: 8_192,
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

/// The fields that are kept as they are met, in the order of `KNOWN`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// RFC 9110 section 7.2.
    Host,
    /// RFC 9110 section 8.6.
    ContentLength,
    /// RFC 9112 section 6.1.
    TransferEncoding,
    /// RFC 9110 section 10.1.1.
    Expect,
    /// RFC 9110 section 7.6.1.
    Connection,
    /// RFC 9110 section 13.1.1.
    IfMatch,
    /// RFC 9110 section 13.1.4.
    IfUnmodifiedSince,
    /// RFC 9110 section 13.1.2.
    IfNoneMatch,
    /// RFC 9110 section 13.1.3.
    IfModifiedSince,
    /// RFC 9110 section 13.1.5.
    IfRange,
    /// RFC 9110 section 14.2.
    Range,
    /// RFC 9110 section 12.5.3.
    AcceptEncoding,
}

const KNOWN: Words = words![
    "host",
    "content-length",
    "transfer-encoding",
    "expect",
    "connection",
    "if-match",
    "if-unmodified-since",
    "if-none-match",
    "if-modified-since",
    "if-range",
    "range",
    "accept-encoding",
];
const KNOWN_FIELDS: usize = Known::AcceptEncoding as usize + 1;

/// A whole and valid request head.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// The method.
    pub method: Method,
    /// True for HTTP/1.1, false for HTTP/1.0.
    pub is_http11: bool,
    /// Whether the client is willing to send more requests.
    pub keep_alive: bool,
    /// Whether the client waits for `100 Continue`.
    pub expects_continue: bool,
    /// How the body is delimited.
    pub framing: Framing,
    /// The path as sent, percent-encoded, without query; `*` for `OPTIONS *`.
    pub path: &'a [u8],
    /// What follows the first `?`, if there is one.
    pub query: Option<&'a [u8]>,
    /// The length of the head on the wire, final empty line included.
    pub length: usize,
    /// Behind the request line, with the empty line.
    fields: &'a [u8],
    known: [Option<&'a [u8]>; KNOWN_FIELDS],
}

impl<'a> Head<'a> {
    /// The value of a field, without surrounding space; of the first where there
    /// are several of a kind of which there may be several.
    pub fn known(&self, field: Known) -> Option<&'a [u8]> {
        self.known.get(field as usize).copied().flatten()
    }

    /// The value of the first field of this name, without surrounding space.
    pub fn field(&self, name: &str) -> Option<&'a [u8]> {
        self.fields()
            .find(|(known, _)| is_same(known, name.as_bytes()))
            .map(|(_, value)| value)
    }

    /// All fields in the order they came, values without surrounding space.
    pub fn fields(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        // The lines were judged when the head was parsed.
        let mut cursor = Cursor::new(self.fields, usize::MAX);
        core::iter::from_fn(move || {
            let field = take_field(&mut cursor);
            (!field.0.is_empty()).then_some(field)
        })
    }

    /// For a server that does not look at bodies: how many bytes of body come
    /// before the next request and are to be thrown away. `None` where that is
    /// more than `max_bytes`, has no length, or hangs on whether the client still
    /// sends what it waits to send (RFC 9110 section 10.1.1): then the connection
    /// is closed after the answer, so that no body is read as a request.
    pub fn body_to_skip(&self, max_bytes: u64) -> Option<u64> {
        match self.framing {
            Framing::Length(0) => Some(0),
            Framing::Length(length) if length <= max_bytes && !self.expects_continue => {
                Some(length)
            }
            _ => None,
        }
    }

    /// The request line as it was sent.
    pub fn line(&self, bytes: &'a [u8]) -> &'a [u8] {
        let line = bytes.strip_prefix(b"\r\n").unwrap_or(bytes);
        split_at_byte(line, b'\r').0
    }
}

/// Reads a head from the start of `bytes`.
///
/// # Errors
/// Where the head is not whole, or is to be refused.
#[inline(never)]
pub fn parse<'a>(bytes: &'a [u8], limits: &Limits) -> Result<Head<'a>, Stop> {
    let mut line = Cursor::new(bytes, limits.line_bytes);
    // RFC 9112 section 2.2: ignore at least one empty line before the request
    // line. One is enough; more is somebody trying something.
    if line.rest.first() == Some(&b'\r') {
        line.expect(b"\r\n");
    }
    // RFC 9112 section 3: three parts, one space between each.
    let name = line.take(TOKEN);
    line.expect(b" ");
    let target = line.take(TARGET);
    line.expect(b" HTTP/");
    let version = line.take(TARGET);
    line.expect(b"\r\n");
    line.judge(Status::UriTooLong)?;
    // RFC 9112 section 2.3: HTTP-version = "HTTP/" DIGIT "." DIGIT
    let is_http11 = match version {
        b"1.1" => true,
        b"1.0" => false,
        &[major, b'.', minor] if is(major, DIGIT) && is(minor, DIGIT) => {
            return Err(Status::HttpVersionNotSupported.into());
        }
        _ => return Err(Status::BadRequest.into()),
    };
    let start = bytes.len() - line.unread();
    let mut head = Head {
        method: Method::from_bytes(name).ok_or(Status::NotImplemented)?,
        is_http11,
        keep_alive: is_http11,
        expects_continue: false,
        framing: Framing::Length(0),
        path: target,
        query: None,
        length: 0,
        fields: from(bytes, start),
        known: [None; KNOWN_FIELDS],
    };
    let authority = read_target(&mut head)?;
    let mut cursor = Cursor::new(head.fields, limits.head_bytes.saturating_sub(start));
    let mut closes = false;
    for _ in 0..=limits.fields {
        let (name, value) = take_field(&mut cursor);
        cursor.judge(Status::RequestHeaderFieldsTooLarge)?;
        if name.is_empty() {
            head.length = bytes.len() - cursor.unread();
            head.keep_alive &= !closes;
            judge_fields(&mut head, authority)?;
            return Ok(head);
        }
        if let Some(number) = KNOWN.find(name)
            && let Some(known) = head.known.get_mut(number)
        {
            // RFC 9112 section 6.3 lets a list of equal lengths pass; a second
            // reader might not. A second Host (section 3.2), Transfer-Encoding
            // or Expect is read differently by different servers, too.
            if known.is_some() && number <= Known::Expect as usize {
                return Err(Status::BadRequest.into());
            }
            known.get_or_insert(value);
            // RFC 9112 section 9.3; there may be several fields of these.
            let mut options = value;
            while number == Known::Connection as usize
                && let Some(option) = take_item(&mut options)
            {
                closes |= is_same(option, b"close");
                head.keep_alive |= is_same(option, b"keep-alive");
            }
        }
    }
    Err(Status::RequestHeaderFieldsTooLarge.into())
}

/// RFC 9110 section 5: `name ":" OWS value OWS`, and the end of the line; the
/// empty line has neither. A space before the colon (RFC 9112 section 5.1) and
/// a folded line (section 5.2) are faults.
#[inline(never)]
pub(crate) fn take_field<'a>(cursor: &mut Cursor<'a>) -> (&'a [u8], &'a [u8]) {
    let mut field: (&[u8], &[u8]) = (&[], &[]);
    if cursor.rest.first() != Some(&b'\r') {
        field.0 = cursor.take(TOKEN);
        cursor.expect(b":");
        // Anything up to the line's end, and possibly nothing.
        let (value, rest) = span(cursor.rest, VALUE);
        field.1 = trim(value);
        cursor.rest = rest;
    }
    cursor.expect(b"\r\n");
    field
}

/// What follows from all fields together.
fn judge_fields(head: &mut Head<'_>, authority: Option<&[u8]>) -> Result<(), Status> {
    // RFC 9112 section 3.2: a Host, and a valid one, in HTTP/1.1. Where the
    // target names another one (section 3.2.2), proxies before us may have
    // looked at either.
    let is_well = match (head.known(Known::Host), authority) {
        (Some(host), _) if !is_host(host) => false,
        (Some(host), Some(authority)) => is_same(host, authority),
        (host, _) => host.is_some() || !head.is_http11,
    };
    let length = head.known(Known::ContentLength);
    let coding = head.known(Known::TransferEncoding);
    // RFC 9112 section 6.1: both together are a smuggling attempt, and 1.0 has
    // no transfer codings.
    if !is_well || coding.is_some() && (length.is_some() || !head.is_http11) {
        return Err(Status::BadRequest);
    }
    if let Some(length) = length {
        head.framing = Framing::Length(parse_decimal(length).ok_or(Status::BadRequest)?);
    }
    if let Some(coding) = coding {
        head.framing = Framing::Chunked;
        if !is_same(coding, b"chunked") {
            return Err(refuse_coding(coding));
        }
    }
    if head.is_http11
        && let Some(expectation) = head.known(Known::Expect)
    {
        if !is_same(expectation, b"100-continue") {
            return Err(Status::ExpectationFailed);
        }
        head.expects_continue = true;
    }
    Ok(())
}

/// RFC 9112 section 6.3, rule 4: where chunked is not the last coding, or is
/// applied twice, the body has no end: 400. Section 6.1: other codings: 501.
fn refuse_coding(mut codings: &[u8]) -> Status {
    // An empty item behind the last comma is a last coding, too.
    let mut is_well = codings.last() != Some(&b',');
    let mut count = 0;
    let mut is_last = false;
    while let Some(coding) = take_item(&mut codings) {
        is_last = is_same(coding, b"chunked");
        count += u32::from(is_last);
    }
    is_well &= is_last && count == 1;
    if is_well {
        Status::NotImplemented
    } else {
        Status::BadRequest
    }
}

/// RFC 9112 section 3.2: origin-form, absolute-form, or `*` for OPTIONS. Splits
/// path and query; the result is the authority of an absolute-form.
fn read_target<'a>(head: &mut Head<'a>) -> Result<Option<&'a [u8]>, Status> {
    let mut authority = None;
    let mut path = head.path;
    if path.first() != Some(&b'/') && (path != b"*" || head.method != Method::Options) {
        let (scheme, rest) = split_at_byte(path, b':');
        let rest = rest.strip_prefix(b"://").ok_or(Status::BadRequest)?;
        let end = rest.iter().position(|&byte| byte == b'/' || byte == b'?');
        let (host, rest) = split(rest, end);
        // RFC 9110 section 4.2.1: an empty host is invalid; 4.2.4: so is user
        // information, which `is_host` does not let through.
        let is_web = is_same(scheme, b"http") || is_same(scheme, b"https");
        if !is_web || host.is_empty() || !is_host(host) {
            return Err(Status::BadRequest);
        }
        authority = Some(host);
        path = rest;
    }
    let (path, query) = split_at_byte(path, b'?');
    head.query = query.get(1..);
    // `http://host` and `http://host?q` mean the root (RFC 9110 section 4.2.3).
    head.path = if path.is_empty() { b"/" } else { path };
    Ok(authority)
}

/// RFC 9110 section 7.2 and RFC 3986 section 3.2.2, by alphabet: a name, an
/// address, or one in brackets, and a port. Empty is allowed.
#[inline(never)]
fn is_host(value: &[u8]) -> bool {
    let port = if let [b'[', rest @ ..] = value {
        match span(rest, ADDRESS) {
            ([_, ..], [b']', port @ ..]) => port,
            _ => return false,
        }
    } else {
        span(value, HOST_NAME).1
    };
    match port {
        [] => true,
        [b':', digits @ ..] => digits.len() <= 5 && all(digits, DIGIT),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::format;

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
            head("GET http://a.b:80/c?d HTTP/1.1\r\nHost: A.b:80\r\n\r\n").path,
            b"/c"
        );
        assert_eq!(
            head("GET HTTP://a.b HTTP/1.1\r\nHost: a.b\r\n\r\n").path,
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
    fn rfc9112_3_2_2_an_absolute_form_against_the_host_is_refused() {
        for host in ["b", "a:81", "a:80", ""] {
            let text = format!("GET http://a/ HTTP/1.1\r\nHost: {host}\r\n\r\n");
            assert_eq!(status(&text), Status::BadRequest, "{host}");
        }
        // In 1.0 there may be none to be against.
        head("GET http://a/ HTTP/1.0\r\n\r\n");
    }

    #[test]
    fn rfc9110_5_2_of_other_fields_the_first_counts_and_repeated_framing_is_refused() {
        let text = with_field("Range: a\r\nRange: b\r\nConnection: x\r\nConnection: close");
        let twice = head(&text);
        assert_eq!(twice.known(Known::Range), Some(&b"a"[..]));
        assert!(!twice.keep_alive);
        assert_eq!(twice.known(Known::IfRange), None);
        let text = with_field("Expect: 100-continue\r\nExpect: 100-continue");
        assert_eq!(status(&text), Status::BadRequest);
    }

    #[test]
    fn every_known_field_is_found_by_its_name() {
        let fields = [
            ("Host", Known::Host),
            ("content-length", Known::ContentLength),
            ("Connection", Known::Connection),
            ("if-match", Known::IfMatch),
            ("If-Unmodified-Since", Known::IfUnmodifiedSince),
            ("IF-NONE-MATCH", Known::IfNoneMatch),
            ("If-Modified-Since", Known::IfModifiedSince),
            ("If-Range", Known::IfRange),
            ("Range", Known::Range),
            ("Accept-Encoding", Known::AcceptEncoding),
        ];
        for (number, (name, field)) in fields.into_iter().enumerate() {
            let text = format!("GET / HTTP/1.0\r\n{name}: {number}\r\n\r\n");
            let expected = format!("{number}");
            assert_eq!(
                head(&text).known(field),
                Some(expected.as_bytes()),
                "{name}"
            );
            assert_eq!(head(&text).field(name), Some(expected.as_bytes()), "{name}");
        }
        assert_eq!(KNOWN.count(), KNOWN_FIELDS);
    }

    #[test]
    fn rfc9112_6_3_a_body_nobody_reads_is_skipped_or_ends_the_connection() {
        let skip = |field: &str| head(&with_field(field)).body_to_skip(100);
        assert_eq!(skip("X: y"), Some(0));
        assert_eq!(skip("Content-Length: 100"), Some(100));
        assert_eq!(skip("Content-Length: 101"), None);
        assert_eq!(skip("Transfer-Encoding: chunked"), None);
        assert_eq!(skip("Content-Length: 5\r\nExpect: 100-continue"), None);
        assert_eq!(skip("Content-Length: 0\r\nExpect: 100-continue"), Some(0));
    }

    #[test]
    fn the_request_line_is_told_as_it_was_sent() {
        let text = "\r\nGET /a%20b?c HTTP/1.0\r\n\r\n";
        assert_eq!(head(text).line(text.as_bytes()), b"GET /a%20b?c HTTP/1.0");
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
        let long = "a".repeat(8_192);
        assert_eq!(status(&format!("GET /{long}")), Status::UriTooLong);
        let text = format!("GET /{long} HTTP/1.1\r\n");
        assert_eq!(status(&text), Status::UriTooLong);
        let fits = "a".repeat(8_192 - "GET / HTTP/1.0\r\n".len());
        head(&format!("GET /{fits} HTTP/1.0\r\n\r\n"));
        let text = format!("GET /a{fits} HTTP/1.0\r\n\r\n");
        assert_eq!(status(&text), Status::UriTooLong);
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
            head_bytes: text.len(),
            ..Limits::DEFAULT
        };
        assert!(parse(text, &tight).is_ok());
        let tighter = Limits {
            head_bytes: text.len() - 1,
            ..Limits::DEFAULT
        };
        let too_long = Stop::Refuse(Status::RequestHeaderFieldsTooLarge);
        assert_eq!(parse(text, &tighter).err(), Some(too_long));
        // Before that, it is still only not whole.
        let cut = &text[..text.len() - 2];
        assert_eq!(parse(cut, &tighter).err(), Some(Stop::Partial));
    }
}
