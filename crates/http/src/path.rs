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
/// above the root; 414 where `out` is shorter than the path.
#[inline(never)]
pub fn decode<'b>(path: &[u8], out: &'b mut [u8]) -> Result<&'b mut [u8], Status> {
    if path.first() != Some(&b'/') {
        return Err(Status::BadRequest);
    }
    let mut length = 0;
    let mut rest = path;
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        let mut byte = first;
        if byte == b'/' {
            length = resolve(out, length)?;
        } else {
            if byte == b'%' {
                byte = escaped(&mut rest).ok_or(Status::BadRequest)?;
            }
            if byte < b' ' || byte == 0x7f || byte == b'/' || byte == b'\\' {
                return Err(Status::BadRequest);
            }
        }
        length = put(out, length, byte)?;
    }
    let resolved = resolve(out, length)?;
    if resolved < length {
        // `/a/`, `/a/.` and `/a/b/..` all name the directory.
        length = put(out, resolved, b'/')?;
    }
    out.get_mut(..length).ok_or(Status::UriTooLong)
}

/// Resolves the last segment of what is written so far, if it is empty or a dot
/// segment: the length that is left, without the slash before it.
#[inline(never)]
fn resolve(out: &[u8], length: usize) -> Result<usize, Status> {
    let written = out.get(..length).unwrap_or_default();
    let Some((parent, segment)) = split_last_segment(written) else {
        return Ok(length);
    };
    match segment {
        b"" | b"." => Ok(parent.len()),
        b".." => split_last_segment(parent)
            .map(|(parent, _)| parent.len())
            .ok_or(Status::BadRequest),
        _ => Ok(length),
    }
}

fn split_last_segment(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let slash = path.iter().rposition(|&byte| byte == b'/')?;
    Some((path.get(..slash)?, path.get(slash + 1..)?))
}

fn put(out: &mut [u8], at: usize, byte: u8) -> Result<usize, Status> {
    *out.get_mut(at).ok_or(Status::UriTooLong)? = byte;
    Ok(at + 1)
}

/// Takes the two digits of an escape off.
fn escaped(rest: &mut &[u8]) -> Option<u8> {
    let (&[high, low], after) = rest.split_first_chunk()?;
    *rest = after;
    Some(hex_value(high)? << 4 | hex_value(low)?)
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
            ("/...", "/..."),
            ("/..a/.b", "/..a/.b"),
        ] {
            assert_eq!(decoded(path).as_deref(), Ok(expected), "{path}");
        }
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
