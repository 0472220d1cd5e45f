//! Request paths, decoded and normalised (RFC 3986 sections 2.1 and 5.2.4) so
//! that they can name a file or a route.

use crate::ascii::{hex_value, is_equal, take_until};
use crate::status::Status;

/// Decodes percent-encoding, drops `.` and empty segments, and resolves `..`.
/// The result starts with `/`, and ends with `/` where the path names a
/// directory. It is never longer than the path.
///
/// # Errors
/// 400 for a malformed escape, an encoded slash, a backslash, a control
/// character or NUL, a path that does not start with `/`, and one that climbs
/// above the root; 414 where `out` is shorter than the path. 404 for names that
/// start with a dot, such as `/.git/config`, which nobody meant to publish, and
/// for dot segments that are escaped, which nobody sends who means well; but not
/// for `/.well-known` (RFC 8615).
#[inline(always)]
pub fn decode<'b>(path: &[u8], out: &'b mut [u8]) -> Result<&'b mut [u8], Status> {
    let mut rest = path.strip_prefix(b"/").ok_or(Status::BadRequest)?;
    if out.len() < path.len() {
        return Err(Status::UriTooLong);
    }
    // What is written always ends with a slash when a segment begins.
    let mut length = put(out, 0, b'/');
    loop {
        let left = rest.len();
        let segment = take_until(&mut rest, b'/');
        let is_last = segment.len() == left;
        match segment {
            b"" | b"." => {}
            b".." => {
                // Back to behind the slash before the last.
                length -= 1;
                while out.get(length.wrapping_sub(1)) != Some(&b'/') {
                    length = length.checked_sub(1).ok_or(Status::BadRequest)?;
                }
            }
            _ => {
                let start = length;
                length = unescape(segment, out, start).ok_or(Status::BadRequest)?;
                let written = out.get(..length).unwrap_or_default();
                if written.get(start) == Some(&b'.') && !is_equal(written, b"/.well-known") {
                    return Err(Status::NotFound);
                }
                if !is_last {
                    length = put(out, length, b'/');
                }
            }
        }
        if is_last {
            return out.get_mut(..length).ok_or(Status::UriTooLong);
        }
    }
}

/// Decodes percent-encoding behind what is written; where it ends then.
fn unescape(segment: &[u8], out: &mut [u8], mut length: usize) -> Option<usize> {
    let mut rest = segment.iter();
    while let Some(&first) = rest.next() {
        let mut byte = first;
        if byte == b'%' {
            byte = hex_value(*rest.next()?)? << 4;
            byte |= hex_value(*rest.next()?)?;
        }
        if byte < b' ' || byte == 0x7f || byte == b'/' || byte == b'\\' {
            return None;
        }
        length = put(out, length, byte);
    }
    Some(length)
}

/// Writes a byte and says where the next one goes. There is room, since the
/// result is never longer than the path.
fn put(out: &mut [u8], at: usize, byte: u8) -> usize {
    if let Some(place) = out.get_mut(at) {
        *place = byte;
    }
    at + 1
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::String;

    fn decoded(path: &str) -> Result<String, Status> {
        let mut out = [0; 256];
        decode(path.as_bytes(), &mut out).map(|path| String::from_utf8_lossy(path).into_owned())
    }

    #[test]
    fn dot_and_empty_segments_are_resolved() {
        for (path, expected) in [
            ("/", "/"),
            ("/a", "/a"),
            ("/a/", "/a/"),
            ("//a//b", "/a/b"),
            ("/a/./b", "/a/b"),
            ("/a/.", "/a/"),
            ("/a/b/..", "/a/"),
            ("/a/../b", "/b"),
            ("/a/..", "/"),
            ("/.", "/"),
            ("/%61%20b", "/a b"),
            ("/a.../b..", "/a.../b.."),
        ] {
            assert_eq!(decoded(path).as_deref(), Ok(expected), "{path}");
        }
    }

    #[test]
    fn rfc8615_3_of_hidden_names_only_well_known_is_shown() {
        for path in [
            "/.git/config",
            "/a/.b",
            "/a/.b/c",
            "/%2eb",
            "/a/%2e/b",
            "/a/%2e%2E/b",
            "/.%2e/",
            "/...",
            "/..a/",
            "/.well-knownx",
            "/.well-known/.a",
            "/a/.well-known/b",
        ] {
            assert_eq!(decoded(path), Err(Status::NotFound), "{path}");
        }
        for path in [
            "/a.b",
            "/a/b.",
            "/.well-known/",
            "/.well-known/a",
            "/.well-known",
        ] {
            assert_eq!(decoded(path).as_deref(), Ok(path));
        }
    }

    #[test]
    fn a_path_longer_than_its_buffer_gets_414() {
        assert_eq!(decode(b"/abc", &mut [0; 3]), Err(Status::UriTooLong));
        assert_eq!(decode(b"/abc", &mut [0; 4]).as_deref(), Ok(&b"/abc"[..]));
        assert_eq!(decode(b"/abc", &mut []), Err(Status::UriTooLong));
    }

    #[test]
    fn rfc3986_5_2_4_climbing_above_the_root_is_refused() {
        for path in ["/..", "/../a", "/a/../..", "/a/../../b", "//../"] {
            assert_eq!(decoded(path), Err(Status::BadRequest), "{path}");
        }
    }

    #[test]
    fn rfc3986_2_1_dangerous_and_malformed_escapes_are_refused() {
        for path in [
            "/%00", "/a%2fb", "/a%2Fb", "/a\\b", "/a%5cb", "/%", "/%4", "/%zz", "/%+1", "/%0a",
            "/%7f", "a", "", "*",
        ] {
            assert_eq!(decoded(path), Err(Status::BadRequest), "{path}");
        }
    }
}
