//! Request paths, decoded and normalised (RFC 3986 sections 2.1 and 5.2.4) so
//! that they can name a file or a route.

use crate::ascii::hex_value;
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
#[inline(never)]
pub fn decode<'b>(path: &[u8], out: &'b mut [u8]) -> Result<&'b mut [u8], Status> {
    let out = out.get_mut(..path.len()).ok_or(Status::UriTooLong)?;
    let mut rest = path.strip_prefix(b"/").ok_or(Status::BadRequest)?;
    // What is written, and how much of it is done; that ends with a slash.
    let mut length = put(out, 0, b'/');
    let mut done = length;
    loop {
        let is_end = rest.is_empty();
        let byte = take_byte(&mut rest).unwrap_or(b'/');
        if byte == b'/' {
            match out.get(done..length).unwrap_or_default() {
                b"" | b"." => length = done,
                b".." => {
                    let parent = out.get(..done - 1).unwrap_or_default();
                    let slash = parent.iter().rposition(|&byte| byte == b'/');
                    length = slash.ok_or(Status::BadRequest)? + 1;
                }
                [b'.', name @ ..] if done > 1 || name != b"well-known" => {
                    return Err(Status::NotFound);
                }
                _ if is_end => {}
                _ => length = put(out, length, b'/'),
            }
            done = length;
            if is_end {
                return out.get_mut(..length).ok_or(Status::UriTooLong);
            }
        } else {
            let byte = if byte == b'%' {
                escaped(&mut rest).unwrap_or(0)
            } else {
                byte
            };
            if byte < b' ' || byte == 0x7f || byte == b'/' || byte == b'\\' {
                return Err(Status::BadRequest);
            }
            length = put(out, length, byte);
        }
    }
}

/// Writes a byte and says where the next one goes. There is room, since the
/// result is never longer than the path.
fn put(out: &mut [u8], at: usize, byte: u8) -> usize {
    if let Some(place) = out.get_mut(at) {
        *place = byte;
    }
    at + 1
}

#[inline(never)]
fn take_byte(rest: &mut &[u8]) -> Option<u8> {
    let (&byte, after) = rest.split_first()?;
    *rest = after;
    Some(byte)
}

/// Takes the two digits of an escape off.
fn escaped(rest: &mut &[u8]) -> Option<u8> {
    Some(hex_value(take_byte(rest)?)? << 4 | hex_value(take_byte(rest)?)?)
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
