//! What must hold for any bytes: no panic, the same result however the bytes
//! are cut, and nothing accepted that another parser would refuse.

use ounce_http::connection::{self, Next};
use ounce_http::head::{Limits, parse};
use ounce_http::path;
use proptest::prelude::*;

/// Mostly well-formed requests with faults strewn in, since random bytes fail
/// on the first.
fn request() -> impl Strategy<Value = Vec<u8>> {
    let method = prop_oneof!["GET", "POST", "HEAD", "BREW", "[!-~]{0,6}"];
    let target = prop_oneof!["/", "/[ -~]{0,12}", "http://[a-z:]{0,6}/?", "\\*"];
    let version = prop_oneof![4 => Just("HTTP/1.1".to_owned()), 1 => Just("HTTP/1.0".to_owned()), 1 => "HTTP/[0-9.]{0,4}"];
    let field = prop_oneof![
        3 => "Host: [a-z:0-9]{0,5}",
        2 => "Content-Length: ?[0-9+, ]{0,4}",
        2 => "Transfer-Encoding: (chunked|gzip|, ){0,3}",
        1 => "Connection: (close|keep-alive|,){0,3}",
        1 => "Expect: (100-continue|x)",
        2 => "[!-~]{1,5} ?: ?[ -~\\t]{0,8}",
        1 => " [a-z]{0,3}",
    ];
    let end = prop_oneof![20 => Just("\r\n"), 1 => Just("\n"), 1 => Just("\r"), 1 => Just("\r\n ")];
    let line = (field, end.clone()).prop_map(|(field, end)| field + end);
    let body = prop_oneof![
        Just(String::new()),
        "[0-9a-f]{1,2}\r\n[a-z]{0,5}\r\n0\r\n\r\n",
        "[ -~\r\n]{0,20}"
    ];
    (
        method,
        target,
        version,
        end,
        proptest::collection::vec(line, 0..5),
        body,
    )
        .prop_map(|(method, target, version, end, lines, body)| {
            format!(
                "{method} {target} {version}{end}{}\r\n{body}",
                lines.concat()
            )
            .into_bytes()
        })
}

fn summary(bytes: &[u8]) -> String {
    let mut bytes = bytes.to_vec();
    match connection::next(&mut bytes, false, &Limits::DEFAULT) {
        Next::Idle | Next::More { .. } => "more".to_owned(),
        Next::Request(message) => format!("{message:?}"),
        Next::Refuse(status) => format!("{status:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_the_parser_panic(bytes: Vec<u8>) {
        summary(&bytes);
        let mut out = [0; 64];
        let _ = path::decode(&bytes, &mut out);
    }

    #[test]
    fn a_cut_at_any_byte_is_partial_or_has_the_final_result(bytes in request()) {
        let whole = summary(&bytes);
        for end in 1..bytes.len() {
            let cut = summary(&bytes[..end]);
            // Where the whole has bytes to spare, a shorter cut may be whole too.
            prop_assert!(cut == "more" || cut == whole, "cut at {}: {} then {}", end, cut, whole);
        }
    }

    #[test]
    fn what_is_accepted_httparse_accepts_and_reads_alike(bytes in request()) {
        let Ok(head) = parse(&bytes, &Limits::DEFAULT) else {
            return Ok(());
        };
        let mut fields = [httparse::EMPTY_HEADER; 64];
        let mut other = httparse::Request::new(&mut fields);
        let length = other.parse(&bytes).expect("httparse refuses what was accepted");
        prop_assert_eq!(length, httparse::Status::Complete(head.length));
        prop_assert_eq!(other.method, Some(head.method.name()));
        prop_assert_eq!(other.version, Some(u8::from(head.is_http11)));
        let theirs: Vec<_> = other.headers.iter().map(|field| (field.name.as_bytes(), field.value)).collect();
        let ours: Vec<_> = head.fields().collect();
        prop_assert_eq!(theirs, ours);
    }

    #[test]
    fn a_decoded_path_never_climbs(path in "(/|\\.|%2e|%2f|a|\\\\|%5c|%00){0,12}") {
        let mut out = [0; 64];
        if let Ok(decoded) = path::decode(path.as_bytes(), &mut out) {
            let decoded = String::from_utf8(decoded.to_vec()).expect("ascii");
            prop_assert!(decoded.starts_with('/') && !decoded.contains("//"));
            prop_assert!(decoded.split('/').all(|segment| segment != ".." && segment != "."));
        }
    }
}
