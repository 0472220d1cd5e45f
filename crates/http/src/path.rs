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
pub fn decode<'b>(path: &[u8], out: &'b mut [u8]) -> Result<&'b mut [u8], Status> {
    let out = out.get_mut(..path.len()).ok_or(Status::UriTooLong)?;
    let segments = path.strip_prefix(b"/").ok_or(Status::BadRequest)?;
    let mut length = 0;
    for segment in segments.split(|&byte| byte == b'/') {
        // Each segment is written behind a slash; a dot segment is taken back.
        let start = length;
        length = put(out, length, b'/')?;
        let mut at = 0;
        while let Some(&byte) = segment.get(at) {
            let byte = if byte == b'%' {
                let digits = segment.get(at + 1..at + 3).ok_or(Status::BadRequest)?;
                at += 2;
                escaped(digits)?
            } else {
                byte
            };
            at += 1;
            if byte < b' ' || byte == 0x7f || byte == b'/' || byte == b'\\' {
                return Err(Status::BadRequest);
            }
            length = put(out, length, byte)?;
        }
        match out.get(start + 1..length) {
            Some(b"" | b".") => length = start,
            Some(b"..") => {
                let parent = out.get(..start).unwrap_or_default();
                let slash = parent.iter().rposition(|&byte| byte == b'/');
                length = slash.ok_or(Status::BadRequest)?;
            }
            _ => continue,
        }
        // `/a/`, `/a/.` and `/a/b/..` all name the directory.
        if segment.as_ptr_range().end == path.as_ptr_range().end {
            length = put(out, length, b'/')?;
        }
    }
    out.get_mut(..length).ok_or(Status::BadRequest)
}

fn put(out: &mut [u8], at: usize, byte: u8) -> Result<usize, Status> {
    *out.get_mut(at).ok_or(Status::UriTooLong)? = byte;
    Ok(at + 1)
}

fn escaped(digits: &[u8]) -> Result<u8, Status> {
    digits.iter().try_fold(0, |value: u8, &digit| {
        Ok(value << 4 | hex_value(digit).ok_or(Status::BadRequest)?)
    })
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
