//! The request head (RFC 9112 sections 2 to 6), parsed strictly.
//!
//! Lines are judged one after another and the first fault decides, so that a
//! head gives the same result however the network has cut it up. Nothing is
//! copied: a [`Head`] borrows the bytes it was read from. The fields that a
//! server of files looks at are kept as they are met ([`Known`]); what they mean
//! beyond framing and connection is judged by [`condition`](crate::condition)
//! and [`encoding`](crate::encoding).

use crate::ascii::{
    ADDRESS, CASE, TARGET, TOKEN, VALUE, from, is_same, parse_decimal, take_class, take_item,
    take_until, trim,
};
use crate::cursor::Cursor;
pub use crate::cursor::Stop;
use crate::host::take_host;
use crate::method::Method;
use crate::status::Status;
use crate::words::{Words, words};

/// What a server is willing to read.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The longest head in all; more is 414 where that is within the request
    /// line, else 431. RFC 9112 section 3 recommends at least 8,000 for the line.
    pub head_bytes: usize,
    /// The longest body, decoded; more is 413.
    pub body_bytes: usize,
}

impl Limits {
    /// 16 KB of head, 15 KB of body: one request fits in 32 KB.
    pub const DEFAULT: Self = Self {
        head_bytes: 16_384,
        body_bytes: 15_360,
    };
}

/// The most field lines; more is 431.
const MAX_FIELDS: usize = 100;

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
    "if-match",
    "if-unmodified-since",
    "if-none-match",
    "if-modified-since",
    "if-range",
    "range",
    "accept-encoding",
    "connection",
];
/// This one is read as it is met (RFC 9110 section 7.6.1).
const CONNECTION: usize = Known::AcceptEncoding as usize + 1;

/// As a constant, it is zeros by itself, not by the way of a copy.
const NONE_KNOWN: [[u16; 2]; CONNECTION + 1] = [[0; 2]; CONNECTION + 1];

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
    /// What is behind the request line.
    fields: &'a [u8],
    /// Where in there the values of the known fields start and end; a start of
    /// 0, where at best a name can stand, is for those which are not there.
    known: [[u16; 2]; CONNECTION + 1],
}

impl<'a> Head<'a> {
    /// The value of a field, without surrounding space; of the first where there
    /// are several of a kind of which there may be several.
    pub fn known(&self, field: Known) -> Option<&'a [u8]> {
        self.has(field).then(|| self.value(field))
    }

    /// Whether a field is there.
    pub fn has(&self, field: Known) -> bool {
        self.known
            .get(field as usize)
            .is_some_and(|[start, _]| *start > 0)
    }

    /// The value of a field; empty where it is not there, too.
    #[inline(never)]
    pub fn value(&self, field: Known) -> &'a [u8] {
        let [start, end] = self.known.get(field as usize).copied().unwrap_or_default();
        let value = self.fields.get(usize::from(start)..usize::from(end));
        value.unwrap_or_default()
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
        let mut cursor = Cursor::new(self.fields);
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
    pub fn line(&self, mut bytes: &'a [u8]) -> &'a [u8] {
        if bytes.first() == Some(&b'\r') {
            bytes = from(bytes, 2);
        }
        take_until(&mut bytes, b'\r')
    }
}

impl<'a> Head<'a> {
    /// Nothing is read yet.
    #[allow(clippy::new_without_default, reason = "nobody wants it generic")]
    pub const fn new() -> Self {
        Self {
            method: Method::Get,
            is_http11: false,
            keep_alive: false,
            expects_continue: false,
            framing: Framing::Length(0),
            path: b"",
            query: None,
            length: 0,
            fields: b"",
            known: NONE_KNOWN,
        }
    }

    /// Reads an empty head from the start of `bytes`; what is in it after an error
    /// means nothing.
    ///
    /// # Errors
    /// Where the head is not whole, or is to be refused.
    #[inline(never)]
    pub fn read(&mut self, bytes: &'a [u8], limits: &Limits) -> Result<(), Stop> {
        // No place in it is past 16 bits.
        let limit = limits.head_bytes.min(65_535);
        let within = bytes.get(..limit).unwrap_or(bytes);
        match read(self, within) {
            // No more than this will be read.
            Err(Stop::Partial) if within.len() == limit => {
                Err(Stop::Refuse(if self.path.is_empty() {
                    Status::UriTooLong
                } else {
                    Status::RequestHeaderFieldsTooLarge
                }))
            }
            read => read,
        }
    }
}

/// Reads a head from the start of `bytes`.
///
/// # Errors
/// Where the head is not whole, or is to be refused.
pub fn parse<'a>(bytes: &'a [u8], limits: &Limits) -> Result<Head<'a>, Stop> {
    let mut head = Head::new();
    head.read(bytes, limits)?;
    Ok(head)
}

fn read<'a>(head: &mut Head<'a>, bytes: &'a [u8]) -> Result<(), Stop> {
    let mut cursor = Cursor::new(bytes);
    let authority = read_line(head, &mut cursor)?;
    let mut closes = false;
    head.fields = cursor.rest;
    for _ in 0..MAX_FIELDS {
        let (name, value) = take_field(&mut cursor);
        cursor.judge()?;
        if name.is_empty() {
            head.length = bytes.len() - cursor.rest.len();
            head.keep_alive &= !closes;
            return Ok(judge_fields(head, authority)?);
        }
        note_field(head, name, value, &mut closes)?;
    }
    Err(Status::RequestHeaderFieldsTooLarge.into())
}

/// RFC 9112 section 3: method, target and version, one space between each. What
/// comes back is the host that the target names, if it names one.
fn read_line<'a>(head: &mut Head<'a>, cursor: &mut Cursor<'a>) -> Result<&'a [u8], Stop> {
    // RFC 9112 section 2.2: ignore at least one empty line before the request
    // line. One is enough; more is somebody trying something.
    if cursor.rest.first() == Some(&b'\r') {
        cursor.expect(b"\r\n");
    }
    let name = cursor.take_before(TOKEN, b" ");
    let target = cursor.take_before(TARGET, b" HTTP/");
    // RFC 9112 section 2.3: HTTP-version = "HTTP/" DIGIT "." DIGIT
    // Digits and a dot are among what addresses are of.
    let version = cursor.take_before(ADDRESS, b"\r\n");
    cursor.judge()?;
    match version {
        [b'1', b'.', minor @ (b'0' | b'1')] => head.is_http11 = *minor == b'1',
        [b'0'..=b'9', b'.', b'0'..=b'9'] => {
            return Err(Status::HttpVersionNotSupported.into());
        }
        _ => return Err(Status::BadRequest.into()),
    }
    head.keep_alive = head.is_http11;
    head.method = Method::from_bytes(name).ok_or(Status::NotImplemented)?;
    Ok(read_target(head, target)?)
}

/// RFC 9110 section 5: `name ":" OWS value OWS`, and the end of the line; the
/// empty line has neither. A space before the colon (RFC 9112 section 5.1) and
/// a folded line (section 5.2) are faults.
pub(crate) fn take_field<'a>(cursor: &mut Cursor<'a>) -> (&'a [u8], &'a [u8]) {
    let mut field: (&[u8], &[u8]) = (&[], &[]);
    if cursor.rest.first() != Some(&b'\r') {
        field.0 = cursor.take_before(TOKEN, b":");
        // Anything up to the line's end, and possibly nothing.
        field.1 = trim(take_class(&mut cursor.rest, VALUE));
    }
    cursor.expect(b"\r\n");
    field
}

/// Keeps the value of a field, if it is one of those that are kept.
fn note_field(
    head: &mut Head<'_>,
    name: &[u8],
    value: &[u8],
    closes: &mut bool,
) -> Result<(), Status> {
    let number = KNOWN.find(name, CASE).unwrap_or(usize::MAX);
    let Some(known) = head.known.get_mut(number) else {
        return Ok(());
    };
    if known[0] == 0 {
        let start = value
            .as_ptr()
            .addr()
            .wrapping_sub(head.fields.as_ptr().addr());
        *known = [start as u16, (start + value.len()) as u16];
    } else if number <= Known::Expect as usize {
        // RFC 9112 section 6.3 lets a list of equal lengths pass; a second
        // reader might not. A second Host (section 3.2), Transfer-Encoding or
        // Expect is read differently by different servers, too.
        return Err(Status::BadRequest);
    }
    if number == CONNECTION {
        // RFC 9112 section 9.3. There may be several of these.
        *closes |= has_item(value, b"close");
        head.keep_alive |= has_item(value, b"keep-alive");
    }
    Ok(())
}

/// Whether a comma-separated list has an item, whatever its case.
#[inline(never)]
fn has_item(mut list: &[u8], item: &[u8]) -> bool {
    while let Some(other) = take_item(&mut list) {
        if is_same(other, item) {
            return true;
        }
    }
    false
}

/// What follows from all fields together.
fn judge_fields(head: &mut Head<'_>, authority: &[u8]) -> Result<(), Status> {
    // RFC 9112 section 3.2: a Host, and a valid one, in HTTP/1.1. Where the
    // target names another one (section 3.2.2), proxies before us may have
    // looked at either.
    let host = head.value(Known::Host);
    let mut rest = host;
    if !take_host(&mut rest)
        || !rest.is_empty()
        || head.is_http11 && !head.has(Known::Host)
        || !authority.is_empty() && !is_same(host, authority)
    {
        return Err(Status::BadRequest);
    }
    if head.has(Known::ContentLength) {
        let length = parse_decimal(head.value(Known::ContentLength));
        head.framing = Framing::Length(length.ok_or(Status::BadRequest)?);
    }
    if head.has(Known::TransferEncoding) {
        let coding = head.value(Known::TransferEncoding);
        // RFC 9112 section 6.1: with a length it is a smuggling attempt, and 1.0
        // has no transfer codings. Section 6.3, rule 4: where chunked is not the
        // last, the body has no end.
        let mut last = coding;
        let mut codings = coding;
        while let Some(item) = take_item(&mut codings) {
            last = item;
        }
        if !head.is_http11 || head.has(Known::ContentLength) || !is_same(last, b"chunked") {
            return Err(Status::BadRequest);
        }
        // Section 6.1: other codings, and one that is applied twice, are not
        // understood.
        if last.len() < coding.len() {
            return Err(Status::NotImplemented);
        }
        head.framing = Framing::Chunked;
    }
    if head.is_http11 && head.has(Known::Expect) {
        if !is_same(head.value(Known::Expect), b"100-continue") {
            return Err(Status::ExpectationFailed);
        }
        head.expects_continue = true;
    }
    Ok(())
}

/// RFC 9112 section 3.2: origin-form, absolute-form, or `*` for OPTIONS; splits
/// path and query.
fn read_target<'a>(head: &mut Head<'a>, mut target: &'a [u8]) -> Result<&'a [u8], Status> {
    let mut host: &[u8] = b"";
    let is_asterisk = head.method == Method::Options && is_same(target, b"*");
    if target.first() != Some(&b'/') && !is_asterisk {
        let scheme = take_until(&mut target, b'/');
        let is_web = is_same(scheme, b"http:") || is_same(scheme, b"https:");
        let nothing = take_until(&mut target, b'/');
        let authority = target;
        let is_host = take_host(&mut target);
        host = authority
            .get(..authority.len() - target.len())
            .unwrap_or_default();
        // RFC 9110 section 4.2.1: an empty host is invalid; 4.2.4: so is user
        // information.
        if !is_web
            || !nothing.is_empty()
            || !is_host
            || host.is_empty()
            || !matches!(target, [] | [b'/' | b'?', ..])
        {
            return Err(Status::BadRequest);
        }
    }
    let length = target.len();
    head.path = take_until(&mut target, b'?');
    if head.path.len() < length {
        head.query = Some(target);
    }
    // `http://host` and `http://host?q` mean the root (RFC 9110 section 4.2.3).
    if head.path.is_empty() {
        head.path = b"/";
    }
    Ok(host)
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
        let without = "GET http://a/ HTTP/1.0\r\n\r\n";
        assert_eq!(status(without), Status::BadRequest);
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
        assert_eq!(KNOWN.count(), CONNECTION + 1);
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
        let malformed = "GET / HTTP/1.1\r\nHost: a b\r\n\r\n";
        assert_eq!(status(malformed), Status::BadRequest);
        head("GET / HTTP/1.1\r\nHost: \r\n\r\n");
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
            ("chunked, chunked", Status::NotImplemented),
            ("chunked,", Status::NotImplemented),
            (",", Status::BadRequest),
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
        let long = "a".repeat(16_384);
        assert_eq!(status(&format!("GET /{long}")), Status::UriTooLong);
        let text = format!("GET /{long} HTTP/1.1\r\n");
        assert_eq!(status(&text), Status::UriTooLong);
        // RFC 9112 section 3 recommends this much.
        let fits = "a".repeat(8_000);
        head(&format!("GET /{fits} HTTP/1.0\r\n\r\n"));
    }

    #[test]
    fn rfc6585_5_too_many_or_too_long_fields_get_431() {
        let with = |count: usize| format!("GET / HTTP/1.0\r\n{}\r\n", "a: b\r\n".repeat(count));
        assert_eq!(status(&with(100)), Status::RequestHeaderFieldsTooLarge);
        head(&with(99));
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
