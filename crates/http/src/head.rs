//! The request head (RFC 9112 sections 2 to 6), parsed strictly.
//!
//! Lines are judged one after another and the first fault decides, so that a
//! head gives the same result however the network has cut it up. Nothing is
//! copied: a [`Head`] borrows the bytes it was read from. What the fields mean
//! beyond framing and connection (ranges, conditions) is left to those who look
//! them up with [`Head::field`].

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

/// The result of reading the bytes received so far.
#[derive(Clone, Copy, Debug)]
pub enum Parsed<'a> {
    /// A whole head.
    Complete(Head<'a>),
    /// A faultless beginning of one.
    Partial,
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
        self.fields
            .split(|&byte| byte == b'\n')
            .filter_map(|line| split_field(line.strip_suffix(b"\r").unwrap_or(line)).ok())
    }
}

/// Reads a head from the start of `bytes`.
///
/// # Errors
/// The status to refuse with; the connection must be closed after it, since
/// nobody knows where the next request would begin.
pub fn parse<'a>(bytes: &'a [u8], limits: &Limits) -> Result<Parsed<'a>, Status> {
    // RFC 9112 section 2.2: ignore at least one empty line before the request
    // line. One is enough; more is somebody trying something.
    let start = if bytes.starts_with(b"\r\n") { 2 } else { 0 };
    let Some(&first) = bytes.get(start) else {
        return Ok(Parsed::Partial);
    };
    if bytes == b"\r" {
        return Ok(Parsed::Partial);
    }
    // Tells a TLS handshake or other noise at once, without awaiting a line end.
    if !is_token(first) {
        return Err(Status::BadRequest);
    }
    let rest = bytes.get(start..).unwrap_or_default();
    let Some(line) = take_line(rest, limits.line_bytes, Status::UriTooLong)? else {
        return Ok(Parsed::Partial);
    };
    let (method, target, is_http11) = request_line(line)?;
    let (path, query) = split_target(method, target)?;

    let fields_start = start + line.len() + 2;
    let mut at = fields_start;
    let mut facts = Facts::default();
    let mut count = 0;
    loop {
        let room = limits.head_bytes.saturating_sub(at);
        let rest = bytes.get(at..).unwrap_or_default();
        let Some(line) = take_line(rest, room, Status::RequestHeaderFieldsTooLarge)? else {
            return Ok(Parsed::Partial);
        };
        if line.is_empty() {
            break;
        }
        count += 1;
        if count > limits.fields {
            return Err(Status::RequestHeaderFieldsTooLarge);
        }
        let (name, value) = split_field(line)?;
        facts.note(name, value, is_http11)?;
        at += line.len() + 2;
    }
    // RFC 9112 section 3.2: exactly one Host in HTTP/1.1.
    if is_http11 && !facts.host {
        return Err(Status::BadRequest);
    }
    let framing = match (facts.chunked, facts.content_length) {
        // RFC 9112 section 6.1: both together are a smuggling attempt.
        (true, Some(_)) => return Err(Status::BadRequest),
        (true, None) => Framing::Chunked,
        (false, length) => Framing::Length(length.unwrap_or(0)),
    };
    Ok(Parsed::Complete(Head {
        method,
        path,
        query,
        is_http11,
        framing,
        // RFC 9112 section 9.3.
        keep_alive: !facts.close && (is_http11 || facts.keep_alive),
        // RFC 9110 section 10.1.1: ignored from an HTTP/1.0 client.
        expects_continue: facts.expects_continue && is_http11,
        length: at + 2,
        fields: bytes.get(fields_start..at).unwrap_or_default(),
    }))
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

impl Facts {
    fn note(&mut self, name: &[u8], value: &[u8], is_http11: bool) -> Result<(), Status> {
        if is_same(name, b"host") {
            if self.host || !is_host(value) {
                return Err(Status::BadRequest);
            }
            self.host = true;
        } else if is_same(name, b"content-length") {
            // RFC 9112 section 6.3 lets a list of equal values pass; a second
            // reader might not, so it is refused.
            if self.content_length.is_some() {
                return Err(Status::BadRequest);
            }
            self.content_length = Some(decimal(value).ok_or(Status::BadRequest)?);
        } else if is_same(name, b"transfer-encoding") {
            // RFC 9112 section 6.1: not defined for HTTP/1.0, and doubled
            // fields are read differently by different servers.
            if !is_http11 || self.chunked {
                return Err(Status::BadRequest);
            }
            if !is_same(value, b"chunked") {
                return Err(refuse_coding(value));
            }
            self.chunked = true;
        } else if is_same(name, b"connection") {
            for option in list(value) {
                self.close |= is_same(option, b"close");
                self.keep_alive |= is_same(option, b"keep-alive");
            }
        } else if is_same(name, b"expect") && is_http11 {
            if !is_same(value, b"100-continue") {
                return Err(Status::ExpectationFailed);
            }
            self.expects_continue = true;
        }
        Ok(())
    }
}

/// RFC 9112 section 6.3, rule 4: where chunked is not the last coding, or is
/// applied twice, the body has no end: 400. Section 6.1: other codings: 501.
fn refuse_coding(value: &[u8]) -> Status {
    let is_chunked = |coding: &[u8]| is_same(coding, b"chunked");
    let ends_chunked = list(value).last().is_some_and(is_chunked);
    if ends_chunked && list(value).filter(|coding| is_chunked(coding)).count() == 1 {
        Status::NotImplemented
    } else {
        Status::BadRequest
    }
}

/// The line up to its CRLF; `None` while it has none. RFC 9112 section 2.2: a
/// line end is CRLF, and a bare CR or LF is refused, not mended.
pub(crate) fn take_line(
    bytes: &[u8],
    max_bytes: usize,
    too_long: Status,
) -> Result<Option<&[u8]>, Status> {
    // A CR within the limit may still await its LF just past it.
    let window = bytes.get(..max_bytes + 2).unwrap_or(bytes);
    let end = window
        .iter()
        .position(|&byte| byte == b'\r' || byte == b'\n');
    match end {
        None if window.len() < max_bytes + 2 => Ok(None),
        None => Err(too_long),
        Some(end) if end > max_bytes => Err(too_long),
        Some(end) => match (window.get(end), window.get(end + 1)) {
            (Some(b'\r'), Some(b'\n')) => Ok(window.get(..end)),
            (Some(b'\r'), None) => Ok(None),
            _ => Err(Status::BadRequest),
        },
    }
}

/// RFC 9112 section 3: three parts, one space between each.
fn request_line(line: &[u8]) -> Result<(Method, &[u8], bool), Status> {
    let (name, rest) = split_once(line, b' ').ok_or(Status::BadRequest)?;
    let (target, version) = split_once(rest, b' ').ok_or(Status::BadRequest)?;
    if name.is_empty() || !name.iter().all(|&byte| is_token(byte)) {
        return Err(Status::BadRequest);
    }
    if target.is_empty() || !target.iter().all(|&byte| is_target(byte)) {
        return Err(Status::BadRequest);
    }
    let is_http11 = match version {
        b"HTTP/1.1" => true,
        b"HTTP/1.0" => false,
        // RFC 9112 section 2.3: HTTP-version = "HTTP/" DIGIT "." DIGIT
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            return Err(Status::HttpVersionNotSupported);
        }
        _ => return Err(Status::BadRequest),
    };
    let method = Method::from_bytes(name).ok_or(Status::NotImplemented)?;
    Ok((method, target, is_http11))
}

/// RFC 9112 section 3.2: origin-form, absolute-form, or `*` for OPTIONS.
fn split_target(method: Method, target: &[u8]) -> Result<(&[u8], Option<&[u8]>), Status> {
    if target == b"*" {
        return match method {
            Method::Options => Ok((target, None)),
            _ => Err(Status::BadRequest),
        };
    }
    let origin = if target.first() == Some(&b'/') {
        target
    } else {
        let scheme_end = match target {
            _ if starts_with_ignore_case(target, b"http://") => 7,
            _ if starts_with_ignore_case(target, b"https://") => 8,
            _ => return Err(Status::BadRequest),
        };
        let rest = target.get(scheme_end..).unwrap_or_default();
        let authority = rest
            .iter()
            .position(|&byte| byte == b'/' || byte == b'?')
            .unwrap_or(rest.len());
        let (host, path) = rest.split_at(authority);
        // RFC 9110 section 4.2.1: an empty host is invalid; 4.2.4: so is user
        // information, which `is_host` does not let through.
        if host.is_empty() || !is_host(host) {
            return Err(Status::BadRequest);
        }
        path
    };
    let (path, query) = match split_once(origin, b'?') {
        Some((path, query)) => (path, Some(query)),
        None => (origin, None),
    };
    // `http://host` and `http://host?q` mean the root (RFC 9110 section 4.2.3).
    Ok((if path.is_empty() { b"/" } else { path }, query))
}

/// RFC 9110 section 5: `name ":" OWS value OWS`. A space before the colon
/// (RFC 9112 section 5.1) and a folded line (section 5.2) fail as names.
pub(crate) fn split_field(line: &[u8]) -> Result<(&[u8], &[u8]), Status> {
    let (name, value) = split_once(line, b':').ok_or(Status::BadRequest)?;
    let is_value = |&byte: &u8| byte == b'\t' || (byte >= b' ' && byte != 0x7f);
    if name.is_empty() || !name.iter().all(|&byte| is_token(byte)) || !value.iter().all(is_value) {
        return Err(Status::BadRequest);
    }
    Ok((name, trim(value)))
}

/// RFC 9110 section 7.2 and RFC 3986 section 3.2.2, by alphabet: a name, an
/// address, or one in brackets, and a port. Empty is allowed.
fn is_host(value: &[u8]) -> bool {
    let (host, port) = match value {
        [b'[', rest @ ..] => match split_once(rest, b']') {
            Some((host, port)) => {
                let is_address =
                    |&byte: &u8| byte.is_ascii_hexdigit() || byte == b':' || byte == b'.';
                if host.is_empty() || !host.iter().all(is_address) {
                    return false;
                }
                (&b""[..], port)
            }
            None => return false,
        },
        _ => {
            let colon = value.iter().position(|&byte| byte == b':');
            value.split_at(colon.unwrap_or(value.len()))
        }
    };
    let is_name = |&byte: &u8| byte.is_ascii_alphanumeric() || has(b"-._~%!$&'()*+,;=", byte);
    host.iter().all(is_name)
        && match port {
            [] => true,
            [b':', digits @ ..] => digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit),
            _ => false,
        }
}

/// One or more digits that fit in 63 bits; no sign, no space, no list.
pub(crate) fn decimal(value: &[u8]) -> Option<u64> {
    // Overlong zeros are read as octal or as an overflow elsewhere.
    if value.is_empty() || value.len() > 18 {
        return None;
    }
    value.iter().try_fold(0_u64, |number, &byte| {
        byte.is_ascii_digit()
            .then(|| number * 10 + u64::from(byte - b'0'))
    })
}

fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(trim)
}

fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

fn split_once(bytes: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|&byte| byte == separator)?;
    Some((bytes.get(..at)?, bytes.get(at + 1..)?))
}

fn starts_with_ignore_case(bytes: &[u8], prefix: &[u8]) -> bool {
    bytes
        .get(..prefix.len())
        .is_some_and(|start| is_same(start, prefix))
}

/// RFC 9110 section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || has(b"!#$%&'*+-.^_`|~", byte)
}

/// Visible ASCII but for what no browser sends raw and RFC 3986 leaves out: the
/// fragment mark, quotes and angle brackets. `|`, `^`, `{` and the like are out
/// by the letter, but are sent in queries (WHATWG URL, query percent-encode set).
fn is_target(byte: u8) -> bool {
    byte.is_ascii_graphic() && !has(b"#\"<>", byte)
}

/// Equal but for case. Of the standard library's own, half a kilobyte is for
/// long strings; these are short. The same goes for [`has`].
pub(crate) fn is_same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.eq_ignore_ascii_case(b))
}

#[allow(clippy::manual_contains)]
pub(crate) fn has(set: &[u8], byte: u8) -> bool {
    set.iter().any(|&member| member == byte)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::format;
    use std::vec::Vec;

    fn status(request: &str) -> Status {
        match parse(request.as_bytes(), &Limits::DEFAULT) {
            Err(status) => status,
            Ok(parsed) => panic!("accepted {request:?}: {parsed:?}"),
        }
    }

    fn head(request: &str) -> Head<'_> {
        match parse(request.as_bytes(), &Limits::DEFAULT) {
            Ok(Parsed::Complete(head)) => head,
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
            assert!(matches!(parsed, Ok(Parsed::Partial)), "cut at {end}");
        }
        let tight = Limits {
            head_bytes: text.len() - 2,
            ..Limits::DEFAULT
        };
        assert!(matches!(parse(text, &tight), Ok(Parsed::Complete(_))));
        let tighter = Limits {
            head_bytes: text.len() - 5,
            ..Limits::DEFAULT
        };
        assert!(parse(text, &tighter).is_err());
        let _: Vec<u8> = text.to_vec();
    }
}
