//! What must hold for any bytes: no panic, the same result however the bytes
//! are cut, nothing accepted that another parser would refuse, and what is
//! written reads back.

use httparse::Status::{Complete, Partial};
use ounce_http::condition::{Facts, decide};
use ounce_http::connection::{self, Next};
use ounce_http::head::{Limits, Stop, parse};
use ounce_http::status::Status;
use ounce_http::writer::{HeadWriter, Manner};
use ounce_http::{chunked, content_type, date, encoding, path};
use proptest::prelude::*;

/// Mostly well-formed requests with faults strewn in, since random bytes fail
/// on the first.
fn request() -> impl Strategy<Value = Vec<u8>> {
    let method = prop_oneof![12 => "(GET|POST|HEAD|OPTIONS)", 1 => "BREW", 1 => "[!-~]{0,6}"];
    let target = prop_oneof![
        8 => "/[!$-;=?-~]{0,12}",
        2 => "http://a[/?]?[a-z?]{0,4}",
        1 => "/[ -~]{0,12}",
        1 => "http://[a-c:.]{0,3}[/?]?",
        1 => "\\*",
        1 => "[!-~]{0,8}"
    ];
    let version = prop_oneof![6 => Just("HTTP/1.1".to_owned()), 6 => Just("HTTP/1.0".to_owned()), 1 => "HTTP/[0-9.]{0,4}"];
    let space = prop_oneof![40 => Just(" "), 1 => Just("  "), 1 => Just("\t"), 1 => Just("")];
    let field = prop_oneof![
        1 => "(Host|host): [a-c:0-9.]{0,5}",
        1 => "Host: \\[[0-9a-f:]{0,4}\\](:[0-9]{0,6})?",
        2 => "Content-Length: ?[0-9]{1,3}",
        1 => "Content-Length: ?[0-9+, ]{0,4}",
        1 => "Transfer-Encoding: chunked",
        1 => "Transfer-Encoding: (chunked|gzip|, ){0,3}",
        2 => "Connection: (close|keep-alive|,){0,3}",
        1 => "Expect: (100-continue|x)",
        4 => "(Range|If-None-Match|Accept-Encoding): [ -~]{0,12}",
        4 => "[A-Za-z0-9!#$%&'*+.^_`|~-]{1,5}:[ \\t]{0,2}[ -~\u{80}-\u{ff}]{0,8}[ \\t]{0,2}",
        1 => "[!-~]{1,5} ?: ?[ -~\\t]{0,8}",
        1 => " [a-z]{0,3}",
    ];
    let host = prop_oneof![6 => Just("Host: a\r\n"), 1 => Just("")];
    let end = prop_oneof![60 => Just("\r\n"), 1 => Just("\n"), 1 => Just("\r"), 1 => Just("\r\n ")];
    let line = (field, end.clone()).prop_map(|(field, end)| field + end);
    let body = prop_oneof![
        Just(String::new()),
        "[0-9a-f]{1,2}\r\n[a-z]{0,5}\r\n0\r\n\r\n",
        "[ -~\r\n]{0,20}"
    ];
    let start = prop_oneof![20 => Just(""), 1 => Just("\r\n"), 1 => Just("\n")];
    let line_of_request = (start, method, space.clone(), target, space, version, end);
    (
        line_of_request,
        (host, proptest::collection::vec(line, 0..5)),
        any::<prop::sample::Index>(),
        any::<u8>(),
        0..12_u8,
        body,
    )
        .prop_map(
            |(
                (start, method, first, target, second, version, end),
                (host, lines),
                at,
                byte,
                noise,
                body,
            )| {
                let mut bytes = format!(
                    "{start}{method}{first}{target}{second}{version}{end}{host}{}\r\n{body}",
                    lines.concat()
                )
                .into_bytes();
                // In a few, any byte anywhere.
                if noise == 0 {
                    let at = at.index(bytes.len());
                    bytes[at] = byte;
                }
                bytes
            },
        )
}

fn summary(bytes: &[u8]) -> String {
    let mut bytes = bytes.to_vec();
    match connection::next(&mut bytes, false, &Limits::DEFAULT) {
        Next::Idle | Next::More { .. } => "more".to_owned(),
        Next::Request(message) => format!(
            "{:?} {:?} {:?} {:?} {} {} {} {:?}",
            message.head.method,
            message.head.path,
            message.head.query,
            message.head.framing,
            message.head.keep_alive,
            message.head.length,
            message.length,
            message.head.fields().collect::<Vec<_>>()
        ),
        Next::Refuse(status) => format!("{status:?}"),
    }
}

/// Where this library is stricter than `httparse`, which is a parser and not a
/// server, and why.
#[test]
fn what_httparse_takes_and_this_library_refuses() {
    let bad = Status::BadRequest;
    for (head, status) in [
        // RFC 9112 section 2.2: a line ends with CRLF. LF alone may be taken, so
        // that two readers disagree.
        ("GET / HTTP/1.1\nHost: a\r\n\r\n", bad),
        ("GET / HTTP/1.1\r\nHost: a\n\r\n", bad),
        ("GET / HTTP/1.1\r\nHost: a\r\n\n", bad),
        // The same: one empty line before the request is enough.
        ("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", bad),
        ("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", bad),
        // Section 3.2: a target is a path, a URL or an asterisk; RFC 3986: of
        // visible ASCII, and without these.
        ("GET a HTTP/1.1\r\nHost: a\r\n\r\n", bad),
        ("GET * HTTP/1.1\r\nHost: a\r\n\r\n", bad),
        ("GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", bad),
        ("GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", bad),
        ("GET /\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n", bad),
        ("GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", bad),
        ("GET /\" HTTP/1.1\r\nHost: a\r\n\r\n", bad),
        // Section 3.2: one Host, well-formed, and not against the target.
        ("GET / HTTP/1.1\r\n\r\n", bad),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", bad),
        ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", bad),
        ("GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", bad),
        // Sections 6.1 and 6.3: one length that all read alike.
        ("GET / HTTP/1.0\r\nContent-Length: +1\r\n\r\n", bad),
        ("GET / HTTP/1.0\r\nContent-Length: 1, 1\r\n\r\n", bad),
        (
            "GET / HTTP/1.0\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
            bad,
        ),
        ("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", bad),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            bad,
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            Status::NotImplemented,
        ),
        // RFC 9110 sections 9.1 and 10.1.1: what nobody here answers.
        ("BREW / HTTP/1.1\r\nHost: a\r\n\r\n", Status::NotImplemented),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nExpect: tea\r\n\r\n",
            Status::ExpectationFailed,
        ),
    ] {
        let mut fields = [httparse::EMPTY_HEADER; 8];
        let mut other = httparse::Request::new(&mut fields);
        assert_eq!(
            other.parse(head.as_bytes()),
            Ok(Complete(head.len())),
            "{head:?}"
        );
        let refused = parse(head.as_bytes(), &Limits::DEFAULT).err();
        assert_eq!(refused, Some(Stop::Refuse(status)), "{head:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_anything_panic(bytes: Vec<u8>, number: u64, modified_seconds: u64) {
        summary(&bytes);
        let mut out = [0; 64];
        let _ = path::decode(&bytes, &mut out);
        let _ = date::parse(&bytes);
        let _ = encoding::weights(Some(&bytes));
        let _ = content_type::of(&bytes);
        let _ = chunked::decode(&mut bytes.clone(), 64);
        for name in ["Range", "If-Range", "If-None-Match", "If-Match"] {
            let mut text = format!("GET / HTTP/1.0\r\n{name}: ").into_bytes();
            text.extend(bytes.iter().filter(|&&byte| byte != b'\r' && byte != b'\n'));
            text.extend(b"\r\nRange: bytes=0-\r\n\r\n");
            if let Ok(head) = parse(&text, &Limits::DEFAULT) {
                let facts = Facts { etag: b"\"a\"", modified_seconds, length_bytes: number };
                let decision = decide(&head, &facts);
                prop_assert!(decision.start <= decision.end && decision.end <= number);
            }
        }
    }

    #[test]
    fn a_cut_at_any_byte_is_partial_or_has_the_final_result(bytes in request()) {
        let whole = summary(&bytes);
        for end in 1..bytes.len() {
            let cut = summary(&bytes[..end]);
            prop_assert!(cut == "more" || cut == whole, "cut at {}: {} then {}", end, cut, whole);
        }
    }

    #[test]
    fn what_is_accepted_httparse_accepts_and_reads_alike(bytes in request()) {
        let Ok(head) = parse(&bytes, &Limits::DEFAULT) else {
            return Ok(());
        };
        let mut fields = [httparse::EMPTY_HEADER; 100];
        let mut other = httparse::Request::new(&mut fields);
        let length = other.parse(&bytes).expect("httparse refuses what was accepted");
        prop_assert_eq!(length, Complete(head.length));
        prop_assert_eq!(other.method, Some(head.method.name()));
        prop_assert_eq!(other.version, Some(u8::from(head.is_http11)));
        // The target ends with what was taken for path and query.
        let target = other.path.unwrap_or_default().as_bytes();
        let rest = match head.query {
            Some(query) => [b"?", query].concat(),
            None => Vec::new(),
        };
        let with_path = [head.path, &rest].concat();
        let is_root = head.path == b"/" && target.ends_with(&rest);
        prop_assert!(target.ends_with(&with_path) || is_root, "{:?} {:?}", target, with_path);
        if target.starts_with(b"/") {
            prop_assert_eq!(target, with_path);
        }
        let theirs: Vec<_> = other
            .headers
            .iter()
            .map(|field| (field.name.as_bytes(), field.value))
            .collect();
        let ours: Vec<_> = head.fields().collect();
        prop_assert_eq!(theirs, ours);
    }

    #[test]
    fn what_httparse_awaits_more_of_is_never_taken_as_whole(bytes in request()) {
        let mut fields = [httparse::EMPTY_HEADER; 100];
        let mut other = httparse::Request::new(&mut fields);
        match (other.parse(&bytes), parse(&bytes, &Limits::DEFAULT)) {
            (Ok(Partial), Ok(head)) => prop_assert!(false, "{:?}", head),
            // And the other way round: what it takes as whole is not awaited.
            (Ok(Complete(_)), Err(Stop::Partial)) => prop_assert!(false, "awaits more"),
            _ => {}
        }
    }

    #[test]
    fn a_date_reads_back_as_it_was_written(seconds in 0..253_402_300_800_u64) {
        let mut text = [0; date::DATE_BYTES];
        date::imf_fixdate(seconds, &mut text);
        prop_assert_eq!(date::parse(&text), Some(seconds));
    }

    #[test]
    fn a_date_with_a_byte_changed_is_another_date_or_none(
        seconds in 0..253_402_300_800_u64,
        at in 0..date::DATE_BYTES,
        byte: u8,
    ) {
        let mut text = [0; date::DATE_BYTES];
        date::imf_fixdate(seconds, &mut text);
        let is_same = text[at] == byte;
        text[at] = byte;
        prop_assert_eq!(date::parse(&text) == Some(seconds), is_same);
    }

    #[test]
    fn an_escaped_path_decodes_to_itself(
        segments in proptest::collection::vec("[^./\\\\\\x00-\\x1f\\x7f][^/\\\\\\x00-\\x1f\\x7f]{0,6}", 0..4),
        slash: bool,
    ) {
        let mut whole = String::from("/") + &segments.join("/");
        if slash && !segments.is_empty() {
            whole.push('/');
        }
        let mut escaped = [0; 512];
        let mut writer = HeadWriter::new(&mut escaped);
        writer.path(whole.as_bytes());
        let length = writer.length().expect("it fits");
        let mut out = [0; 512];
        let decoded = path::decode(&escaped[..length], &mut out).expect("a good path");
        prop_assert_eq!(decoded, whole.as_bytes());
    }

    #[test]
    fn a_decoded_path_never_climbs(path in "(/|\\.|%2e|%2f|a|\\\\|%5c|%00|%25|well-known){0,12}") {
        let mut out = [0; 256];
        if let Ok(decoded) = path::decode(path.as_bytes(), &mut out) {
            let decoded = String::from_utf8(decoded.to_vec()).expect("ascii");
            prop_assert!(decoded.starts_with('/') && !decoded.contains("//"));
            prop_assert!(decoded.split('/').all(|segment| segment != ".." && segment != "."));
            prop_assert!(!decoded.replacen("/.well-known", "", 1).contains("/."));
        }
    }

    #[test]
    fn no_status_and_no_field_makes_a_head_that_httparse_refuses(
        value in "[ -~]{0,20}",
        length: u64,
        room in 0..400_usize,
    ) {
        for status in [Status::Ok, Status::PartialContent, Status::HttpVersionNotSupported] {
            let mut buffer = vec![0; room];
            let mut writer = HeadWriter::new(&mut buffer);
            let manner = Manner {
                date: b"Sun, 06 Nov 1994 08:49:37 GMT",
                is_head: false,
                is_http11: true,
                closes: true,
            };
            writer.start(status, &manner);
            writer.field("X-A", value.as_bytes());
            writer.content_length(length);
            writer.end(&manner);
            let Some(written) = writer.length() else { continue };
            let mut fields = [httparse::EMPTY_HEADER; 8];
            let mut response = httparse::Response::new(&mut fields);
            prop_assert_eq!(response.parse(&buffer[..written]), Ok(Complete(written)));
            prop_assert_eq!(response.code, Some(status.code()));
            let names: Vec<_> = response.headers.iter().map(|field| field.name).collect();
            prop_assert_eq!(names, ["Date", "X-A", "Content-Length", "Connection"]);
            prop_assert_eq!(response.headers[1].value, value.trim().as_bytes());
            let number = length.to_string();
            prop_assert_eq!(response.headers[2].value, number.as_bytes());
        }
    }
}
