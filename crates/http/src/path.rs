//! Request paths, decoded and normalised (RFC 3986 sections 2.1 and 5.2.4) so
//! that they can name a file or a route.

use crate::ascii::{hex_value, is_equal};
use crate::status::Status;

/// Decodes percent-encoding, drops `.` and empty segments, and resolves `..`.
/// The result starts with `/`, and ends with `/` where the path names a
/// directory. It is never longer than the path.
///
/// # Errors
/// 400 for a malformed escape, an encoded slash, a backslash, a control
/// character or NUL, a path that does not start with `/`, and one that climbs
/// above the root; 414 where `out` is shorter than the path. 404 for names that
/// start with a dot, such as `/.git/config`, which nobody meant to publish; but
/// not for `/.well-known` (RFC 8615).
pub fn decode<'b>(path: &[u8], out: &'b mut [u8]) -> Result<&'b mut [u8], Status> {
    if out.len() < path.len() {
        return Err(Status::UriTooLong);
    }
    let length = unescape(path, out).ok_or(Status::BadRequest)?;
    let length = resolve(out, length)?;
    out.get_mut(..length).ok_or(Status::UriTooLong)
}

/// Decodes percent-encoding; the length that is left.
fn unescape(path: &[u8], out: &mut [u8]) -> Option<usize> {
    let mut rest = path.iter();
    let mut length = 0;
    while let Some(&first) = rest.next() {
        let mut byte = first;
        if byte == b'%' {
            byte = hex_value(*rest.next()?)? << 4;
            byte |= hex_value(*rest.next()?)?;
            if byte == b'/' {
                return None;
            }
        }
        if byte < b' ' || byte == 0x7f || byte == b'\\' {
            return None;
        }
        *out.get_mut(length)? = byte;
        length += 1;
    }
    Some(length)
}

/// Resolves the segments before `end` in place; the length that is left.
fn resolve(path: &mut [u8], end: usize) -> Result<usize, Status> {
    if path.first() != Some(&b'/') {
        return Err(Status::BadRequest);
    }
    // What is resolved, ending with a slash, and behind it what is only moved.
    let mut done = 1;
    let mut length = 1;
    for at in 1..=end {
        // The end of the path ends a segment, too.
        let next = path.get(at).copied().filter(|_| at < end);
        let byte = next.unwrap_or(b'/');
        let mut is_kept = true;
        if byte == b'/' {
            is_kept = false;
            match path.get(done..length).unwrap_or_default() {
                b"" | b"." => length = done,
                b".." => {
                    // Back to behind the slash before the one that is done.
                    length = done - 1;
                    while path.get(length.wrapping_sub(1)) != Some(&b'/') {
                        length = length.checked_sub(1).ok_or(Status::BadRequest)?;
                    }
                }
                [b'.', name @ ..] if done > 1 || !is_equal(name, b"well-known") => {
                    return Err(Status::NotFound);
                }
                _ => is_kept = next.is_some(),
            }
            done = length + usize::from(is_kept);
        }
        if is_kept && let Some(place) = path.get_mut(length) {
            *place = byte;
            length += 1;
        }
    }
    Ok(length)
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
            ("/a/%2e%2E/b", "/b"),
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
        for path in [
            "/..",
            "/../a",
            "/a/../..",
            "/a/../../b",
            "/%2e%2e/a",
            "/.%2e/",
            "//../",
        ] {
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
