//! Paths and queries as they can stand in a request, whatever an event has in their
//! place: some front doors decode them and some do not.

use ounce_http::is_target_byte;
use ounce_http::json::Sink;

/// What is escaped of a text besides what no target can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Nothing but `?`; what is escaped already stays.
    Path,
    /// Nothing; what is escaped already stays.
    Query,
    /// All but what RFC 3986 section 2.3 calls unreserved: it was decoded.
    Plain,
}

/// Writes a text so that it can stand in a request's target.
pub(crate) fn put(text: &str, part: Part, sink: &mut dyn Sink) {
    let bytes = text.as_bytes();
    let mut start = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        let is_fine = match (part, byte) {
            (Part::Plain, _) => {
                byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
            }
            (_, b'%') => is_escape(bytes.get(at + 1..)),
            (Part::Path, b'?') => false,
            _ => is_target_byte(byte),
        };
        if !is_fine {
            sink.put(bytes.get(start..at).unwrap_or_default());
            let digit = |value: u8| value + if value < 10 { b'0' } else { b'A' - 10 };
            sink.put(&[b'%', digit(byte >> 4), digit(byte & 15)]);
            start = at + 1;
        }
    }
    sink.put(bytes.get(start..).unwrap_or_default());
}

/// Whether two hexadecimal digits stand here.
fn is_escape(rest: Option<&[u8]>) -> bool {
    matches!(rest, Some([a, b, ..]) if a.is_ascii_hexdigit() && b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::String;

    struct Text(String);

    impl Sink for Text {
        fn put(&mut self, bytes: &[u8]) {
            self.0.push_str(core::str::from_utf8(bytes).unwrap());
        }
    }

    fn written(text: &str, part: Part) -> String {
        let mut out = Text(String::new());
        put(text, part, &mut out);
        out.0
    }

    #[test]
    fn what_is_escaped_stays_and_the_rest_is_escaped() {
        for (text, path, query, plain) in [
            ("/a b", "/a%20b", "/a%20b", "%2Fa%20b"),
            ("/a%20b", "/a%20b", "/a%20b", "%2Fa%2520b"),
            ("100%", "100%25", "100%25", "100%25"),
            ("%2", "%252", "%252", "%252"),
            ("a?b=c&d", "a%3Fb=c&d", "a?b=c&d", "a%3Fb%3Dc%26d"),
            ("é", "%C3%A9", "%C3%A9", "%C3%A9"),
            (
                "a\r\nX: y#",
                "a%0D%0AX:%20y%23",
                "a%0D%0AX:%20y%23",
                "a%0D%0AX%3A%20y%23",
            ),
        ] {
            assert_eq!(written(text, Part::Path), path);
            assert_eq!(written(text, Part::Query), query);
            assert_eq!(written(text, Part::Plain), plain);
        }
    }
}
