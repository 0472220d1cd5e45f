//! Heads of requests and answers as a proxy reads them (RFC 9112): of any
//! method, strictly, since what two servers could read in two ways is how
//! requests are smuggled past the first.

use ounce_http::head::Framing;
use ounce_http::{parse_decimal, utf8};

/// The longest head that is read.
pub(super) const LONGEST: usize = 32 << 10;
/// The most fields.
const MOST_FIELDS: usize = 128;

/// A head that is not as it should be, by the status that says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bad(pub(super) u16);

const MALFORMED: Bad = Bad(400);

/// Lines and fields, nothing judged but their form.
#[derive(Debug)]
struct Lines<'a> {
    first: &'a [u8],
    fields: Vec<(&'a [u8], &'a [u8])>,
    length: usize,
}

/// A request's head.
#[derive(Debug)]
pub(super) struct Request<'a> {
    pub(super) method: &'a [u8],
    /// Origin-form, or `*`.
    pub(super) target: &'a [u8],
    /// The host without its port, in lower case; empty if there is none.
    pub(super) host: Vec<u8>,
    pub(super) is_http11: bool,
    /// Whether the client is willing to send another one.
    pub(super) keep_alive: bool,
    pub(super) framing: Framing,
    /// What it asks to upgrade to.
    pub(super) upgrade: Option<&'a [u8]>,
    pub(super) fields: Vec<(&'a [u8], &'a [u8])>,
    /// Bytes of the head.
    pub(super) length: usize,
}

/// How an answer's body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ends {
    /// As its framing says.
    Framed(Framing),
    /// With the connection.
    AtClose,
}

/// An answer's head.
#[derive(Debug)]
pub(super) struct Answer<'a> {
    pub(super) status: u16,
    /// The status line without its version.
    pub(super) line: &'a [u8],
    pub(super) ends: Ends,
    pub(super) fields: Vec<(&'a [u8], &'a [u8])>,
    pub(super) length: usize,
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Visible, blanks, or past ASCII (RFC 9110 section 5.5).
fn is_value(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

pub(super) fn is_same(one: &[u8], other: &str) -> bool {
    one.eq_ignore_ascii_case(other.as_bytes())
}

/// The parts of a list (RFC 9110 section 5.6.1).
pub(super) fn items(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|item| !item.is_empty())
}

/// Nothing, if it is not whole yet.
fn lines(bytes: &[u8]) -> Result<Option<Lines<'_>>, Bad> {
    let mut rest = bytes;
    // RFC 9112 section 2.2: one empty line before is let pass.
    if let [b'\r', b'\n', after @ ..] = rest {
        rest = after;
    }
    let Some(first) = line(&mut rest)? else {
        return Ok(None);
    };
    let mut fields = Vec::new();
    loop {
        let Some(line) = line(&mut rest)? else {
            return Ok(None);
        };
        if line.is_empty() {
            let length = bytes.len() - rest.len();
            return Ok(Some(Lines {
                first,
                fields,
                length,
            }));
        }
        let colon = line.iter().position(|byte| *byte == b':');
        let (name, value) = line.split_at(colon.ok_or(MALFORMED)?);
        // A blank before the colon and a folded line are not tokens either.
        if name.is_empty() || !name.iter().all(|byte| is_token(*byte)) {
            return Err(MALFORMED);
        }
        if fields.len() == MOST_FIELDS {
            return Err(Bad(431));
        }
        fields.push((name, value[1..].trim_ascii()));
    }
}

/// Up to CR LF; a line feed alone ends none.
fn line<'a>(rest: &mut &'a [u8]) -> Result<Option<&'a [u8]>, Bad> {
    let end = rest.iter().position(|byte| !is_value(*byte));
    let Some(end) = end else { return Ok(None) };
    match &rest[end..] {
        [b'\r', b'\n', after @ ..] => {
            let line = &rest[..end];
            *rest = after;
            Ok(Some(line))
        }
        [b'\r'] => Ok(None),
        _ => Err(MALFORMED),
    }
}

/// Reads a request's head; nothing, if it is not whole yet.
pub(super) fn request(bytes: &[u8]) -> Result<Option<Request<'_>>, Bad> {
    let lines = match lines(bytes.get(..LONGEST).unwrap_or(bytes))? {
        Some(lines) => lines,
        None if bytes.len() >= LONGEST => return Err(Bad(431)),
        None => return Ok(None),
    };
    let mut words = lines.first.split(|byte| *byte == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(MALFORMED);
    };
    let is_http11 = match version {
        b"HTTP/1.1" => true,
        b"HTTP/1.0" => false,
        [b'H', b'T', b'T', b'P', b'/', ..] => return Err(Bad(505)),
        _ => return Err(MALFORMED),
    };
    if method.is_empty() || !method.iter().all(|byte| is_token(*byte)) {
        return Err(MALFORMED);
    }
    if method == b"CONNECT" {
        return Err(Bad(501));
    }
    let named = one(&lines.fields, "host")?;
    if is_http11 && named.is_none() {
        return Err(MALFORMED);
    }
    let named = named.unwrap_or_default();
    let (target, authority) = origin_form(method, target)?;
    if authority.is_some_and(|authority| !authority.eq_ignore_ascii_case(named)) {
        return Err(MALFORMED);
    }
    let connection = options(&lines.fields);
    let has = |name: &str| connection.iter().any(|option| is_same(option, name));
    let framing = framing(&lines.fields, is_http11)?.unwrap_or(Framing::Length(0));
    let upgrade = one(&lines.fields, "upgrade")?.filter(|_| is_http11 && has("upgrade"));
    Ok(Some(Request {
        method,
        target,
        host: host_of(named)?,
        is_http11,
        keep_alive: !has("close") && (is_http11 || has("keep-alive")),
        framing,
        upgrade,
        fields: lines.fields,
        length: lines.length,
    }))
}

/// What the Connection fields list (RFC 9110 section 7.6.1).
pub(super) fn options<'a>(fields: &[(&'a [u8], &'a [u8])]) -> Vec<&'a [u8]> {
    let connection = fields
        .iter()
        .filter(|(name, _)| is_same(name, "connection"));
    connection.flat_map(|(_, value)| items(value)).collect()
}

/// A field of which there may be one.
fn one<'a>(fields: &[(&'a [u8], &'a [u8])], name: &str) -> Result<Option<&'a [u8]>, Bad> {
    let mut values = fields.iter().filter(|(other, _)| is_same(other, name));
    let value = values.next().map(|(_, value)| *value);
    match values.next() {
        None => Ok(value),
        Some(_) => Err(MALFORMED),
    }
}

/// None where neither field is there.
fn framing(fields: &[(&[u8], &[u8])], is_http11: bool) -> Result<Option<Framing>, Bad> {
    let length = one(fields, "content-length")?;
    let coding = one(fields, "transfer-encoding")?;
    match (length, coding) {
        (None, None) => Ok(None),
        (Some(length), None) => {
            let length = parse_decimal(length).ok_or(MALFORMED)?;
            Ok(Some(Framing::Length(length)))
        }
        // RFC 9112 section 6.1: other codings are not understood.
        (None, Some(coding)) if is_http11 => match is_same(coding, "chunked") {
            true => Ok(Some(Framing::Chunked)),
            false => Err(Bad(501)),
        },
        // Both, or chunks in HTTP/1.0, are a smuggler's.
        _ => Err(MALFORMED),
    }
}

/// The target as a server gets it, and the host that it names.
fn origin_form<'a>(method: &[u8], target: &'a [u8]) -> Result<(&'a [u8], Option<&'a [u8]>), Bad> {
    let plain = |byte: &u8| byte.is_ascii_graphic() && !b"#\"<>".contains(byte);
    if !target.iter().all(plain) {
        return Err(MALFORMED);
    }
    match target {
        [b'/', ..] => Ok((target, None)),
        b"*" if method == b"OPTIONS" => Ok((target, None)),
        _ => {
            let scheme = target
                .windows(3)
                .position(|three| three == b"://")
                .ok_or(MALFORMED)?;
            let (scheme, rest) = (&target[..scheme], &target[scheme + 3..]);
            if !is_same(scheme, "http") && !is_same(scheme, "https") {
                return Err(MALFORMED);
            }
            let end = rest.iter().position(|byte| b"/?".contains(byte));
            let (authority, path) = rest.split_at(end.unwrap_or(rest.len()));
            match path {
                [b'/', ..] => Ok((path, Some(authority))),
                [] if !authority.is_empty() => Ok((b"/", Some(authority))),
                // A query without a path would have to be written anew.
                _ => Err(MALFORMED),
            }
        }
    }
}

/// A host without its port, in lower case.
fn host_of(named: &[u8]) -> Result<Vec<u8>, Bad> {
    let (host, port) = match named {
        [b'[', ..] => {
            let end = named.iter().position(|byte| *byte == b']');
            named.split_at(end.ok_or(MALFORMED)? + 1)
        }
        _ => {
            let end = named.iter().position(|byte| *byte == b':');
            named.split_at(end.unwrap_or(named.len()))
        }
    };
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=[]:".contains(byte);
    let digits = port.strip_prefix(b":").unwrap_or(port);
    if !host.iter().all(plain) || !digits.iter().all(u8::is_ascii_digit) {
        return Err(MALFORMED);
    }
    Ok(host.to_ascii_lowercase())
}

/// Reads an answer's head; nothing, if it is not whole yet. `method` is that of
/// the request.
pub(super) fn answer<'a>(bytes: &'a [u8], method: &[u8]) -> Result<Option<Answer<'a>>, Bad> {
    const NOT_HTTP: Bad = Bad(502);
    let lines = match lines(bytes.get(..LONGEST).unwrap_or(bytes)) {
        Ok(Some(lines)) => lines,
        Ok(None) if bytes.len() < LONGEST => return Ok(None),
        Ok(None) | Err(_) => return Err(NOT_HTTP),
    };
    let (version, line) = lines.first.split_at_checked(9).ok_or(NOT_HTTP)?;
    let is_http11 = match version {
        b"HTTP/1.1 " => true,
        b"HTTP/1.0 " => false,
        _ => return Err(NOT_HTTP),
    };
    let digits = line.get(..3).and_then(utf8).ok_or(NOT_HTTP)?;
    let status: u16 = digits.parse().map_err(|_| NOT_HTTP)?;
    if !(100..=599).contains(&status) || !matches!(line.get(3), None | Some(b' ')) {
        return Err(NOT_HTTP);
    }
    let framing = framing(&lines.fields, is_http11).map_err(|_| NOT_HTTP)?;
    let ends = match (status, framing) {
        (100..200 | 204 | 304, _) => Ends::Framed(Framing::Length(0)),
        _ if method == b"HEAD" => Ends::Framed(Framing::Length(0)),
        (_, Some(framing)) => Ends::Framed(framing),
        (_, None) => Ends::AtClose,
    };
    Ok(Some(Answer {
        status,
        line,
        ends,
        fields: lines.fields,
        length: lines.length,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bad(text: &str) -> u16 {
        match request(text.as_bytes()) {
            Err(Bad(status)) => status,
            other => panic!("{text:?}: {other:?}"),
        }
    }

    #[test]
    fn a_request_is_read_whole_or_waited_for() {
        let text = "PROPFIND /a?b HTTP/1.1\r\nHost: Example.org:80\r\nContent-Length: 3\r\n\r\nabc";
        let head = request(text.as_bytes()).unwrap().unwrap();
        assert_eq!((head.method, head.target), (&b"PROPFIND"[..], &b"/a?b"[..]));
        assert_eq!(head.host, b"example.org");
        assert_eq!(head.framing, Framing::Length(3));
        assert!(head.keep_alive && head.upgrade.is_none());
        assert_eq!(&text[head.length..], "abc");
        for end in 0..head.length {
            assert!(request(&text.as_bytes()[..end]).unwrap().is_none(), "{end}");
        }
        let old = request(b"GET / HTTP/1.0\r\n\r\n").unwrap().unwrap();
        assert!(!old.keep_alive && !old.is_http11 && old.host.is_empty());
        let absolute = "GET http://a/x HTTP/1.1\r\nHost: A\r\n\r\n";
        let absolute = request(absolute.as_bytes()).unwrap().unwrap();
        assert_eq!(absolute.target, b"/x");
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for fields in [
            "Content-Length: 3\r\nContent-Length: 3",
            "Content-Length: +3",
            "Content-Length: 3, 3",
            "Content-Length: 3\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            "Host: b",
            "Content-Length : 3",
            " Content-Length: 3",
            "X: a\r\n b",
            "X: a\nY: b",
            "X: a\rY: b",
            "X\0: a",
            "X",
            ": a",
        ] {
            let text = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n");
            assert_eq!(bad(&text), 400, "{fields:?}");
        }
        for line in [
            "GET  / HTTP/1.1",
            "GET / HTTP/1.1 ",
            "GET /a b HTTP/1.1",
            "GET a HTTP/1.1",
            "GET * HTTP/1.1",
            "GET ftp://a/ HTTP/1.1",
            "GET http://b/ HTTP/1.1",
            "G(T / HTTP/1.1",
            "GET / http/1.1",
            "GET /",
        ] {
            let text = format!("{line}\r\nHost: a\r\n\r\n");
            assert_eq!(bad(&text), 400, "{line:?}");
        }
        let te = |value: &str, version: &str| {
            bad(&format!(
                "POST / HTTP/{version}\r\nHost: a\r\nTransfer-Encoding: {value}\r\n\r\n"
            ))
        };
        assert_eq!(te("gzip, chunked", "1.1"), 501);
        assert_eq!(te("xchunked", "1.1"), 501);
        assert_eq!(te("chunked", "1.0"), 400);
        assert_eq!(bad("GET / HTTP/2.0\r\n\r\n"), 505);
        assert_eq!(bad("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n"), 501);
        assert_eq!(bad("GET / HTTP/1.1\r\n\r\n"), 400);
        let long = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", "a".repeat(LONGEST));
        assert_eq!(bad(&long), 431);
        let many = format!("GET / HTTP/1.1\r\n{}", "X: a\r\n".repeat(MOST_FIELDS + 1));
        assert_eq!(bad(&many), 431);
    }

    #[test]
    fn an_answer_ends_as_its_status_and_fields_say() {
        let ends = |text: &str, method: &str| {
            let head = answer(text.as_bytes(), method.as_bytes());
            head.unwrap().unwrap().ends
        };
        let length = |length| Ends::Framed(Framing::Length(length));
        let ok = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
        assert_eq!(ends(ok, "GET"), length(5));
        assert_eq!(ends(ok, "HEAD"), length(0));
        assert_eq!(ends("HTTP/1.1 204\r\n\r\n", "GET"), length(0));
        assert_eq!(ends("HTTP/1.0 200 OK\r\n\r\n", "GET"), Ends::AtClose);
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n";
        assert_eq!(ends(chunked, "GET"), Ends::Framed(Framing::Chunked));
        for text in [
            "SSH-2.0-OpenSSH\r\n\r\n",
            "HTTP/1.1 20 OK\r\n\r\n",
            "HTTP/1.1 999 OK\r\n\r\n",
            "HTTP/1.1 200OK\r\n\r\n",
            "HTTP/1.1 200 OK\nX: y\n\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        ] {
            assert_eq!(
                answer(text.as_bytes(), b"GET").unwrap_err(),
                Bad(502),
                "{text:?}"
            );
        }
    }

    #[test]
    fn heads_of_any_bytes_do_not_panic() {
        const ALPHABET: &[u8] = b"GET /HTP1.0\r\n:ah[]* \0\xff";
        let mut seed = 7_u64;
        for _ in 0..20_000 {
            let bytes: Vec<u8> = (0..40)
                .map(|_| {
                    seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    ALPHABET[(seed >> 33) as usize % ALPHABET.len()]
                })
                .collect();
            let _ = request(&bytes);
            let _ = answer(&bytes, b"GET");
            let mut whole = b"GET / HTTP/1.1\r\nHost:".to_vec();
            whole.extend(bytes);
            whole.extend(b"\r\n\r\n");
            let _ = request(&whole);
        }
    }
}
