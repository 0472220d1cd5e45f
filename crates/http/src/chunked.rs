//! Chunked transfer coding (RFC 9112 section 7.1), decoded in place. Extensions
//! and trailer fields are checked and dropped.

use crate::head::{split_field, take_line};
use crate::status::Status;

/// The longest chunk-size line with its extension, and the longest trailer line.
const LINE_BYTES: usize = 256;
const TRAILER_FIELDS: usize = 16;

/// A whole body, moved to the front of the bytes it came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// The length of the content.
    pub length: usize,
    /// The length on the wire, trailer section included.
    pub wire_length: usize,
}

/// Decodes a body at the start of `bytes`; `None` while it is not whole, in
/// which case nothing has been moved.
///
/// # Errors
/// 400 where the coding is malformed, 413 where the content would pass
/// `max_bytes`, 431 where the trailer section is too long.
pub fn decode(bytes: &mut [u8], max_bytes: usize) -> Result<Option<Decoded>, Status> {
    let mut at = 0;
    let mut length = 0;
    while let Some((start, size)) = chunk(bytes, at)? {
        if size == 0 {
            let Some(wire_length) = trailer(bytes, start)? else {
                return Ok(None);
            };
            gather(bytes)?;
            return Ok(Some(Decoded {
                length,
                wire_length,
            }));
        }
        length += size;
        if length > max_bytes {
            return Err(Status::ContentTooLarge);
        }
        at = start + size;
        match bytes.get(at..).unwrap_or_default() {
            [] | [b'\r'] => return Ok(None),
            [b'\r', b'\n', ..] => at += 2,
            _ => return Err(Status::BadRequest),
        }
    }
    Ok(None)
}

/// Where the chunk's data starts, and how long it is.
fn chunk(bytes: &[u8], at: usize) -> Result<Option<(usize, usize)>, Status> {
    let rest = bytes.get(at..).unwrap_or_default();
    let Some(line) = take_line(rest, LINE_BYTES, Status::BadRequest)? else {
        return Ok(None);
    };
    let digits = line
        .iter()
        .position(|byte| !byte.is_ascii_hexdigit())
        .unwrap_or(line.len());
    let (digits, extension) = line.split_at(digits);
    // RFC 9112 section 7.1.1: extensions are ignored, but must begin as such:
    // "5 ;a", "5_" and "0x5" are read in several ways elsewhere.
    let is_text = |&byte: &u8| byte == b'\t' || (byte >= b' ' && byte != 0x7f);
    let starts_well = matches!(extension.first(), None | Some(b';'));
    if !starts_well || !extension.iter().all(is_text) {
        return Err(Status::BadRequest);
    }
    if digits.is_empty() || digits.len() > 15 {
        return Err(Status::BadRequest);
    }
    let size = digits.iter().fold(0_u64, |size, &digit| {
        size << 4 | u64::from((digit as char).to_digit(16).unwrap_or(0))
    });
    let size = usize::try_from(size)
        .ok()
        .filter(|&size| size <= usize::MAX / 4)
        .ok_or(Status::ContentTooLarge)?;
    Ok(Some((at + line.len() + 2, size)))
}

/// Where the trailer section that starts at `at` ends.
fn trailer(bytes: &[u8], mut at: usize) -> Result<Option<usize>, Status> {
    for _ in 0..=TRAILER_FIELDS {
        let rest = bytes.get(at..).unwrap_or_default();
        let too_long = Status::RequestHeaderFieldsTooLarge;
        let Some(line) = take_line(rest, LINE_BYTES, too_long)? else {
            return Ok(None);
        };
        at += line.len() + 2;
        if line.is_empty() {
            return Ok(Some(at));
        }
        split_field(line)?;
    }
    Err(Status::RequestHeaderFieldsTooLarge)
}

/// Moves the data of a body already found whole to the front.
fn gather(bytes: &mut [u8]) -> Result<(), Status> {
    let mut from = 0;
    let mut to = 0;
    // Data moves only towards the front, so that the lines ahead stay as they are.
    while let Some((start, size)) = chunk(bytes, from)? {
        if size == 0 {
            break;
        }
        bytes.copy_within(start..start + size, to);
        to += size;
        from = start + size + 2;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    fn run(text: &str) -> Result<Option<(Vec<u8>, usize)>, Status> {
        let mut bytes = Vec::from(text);
        let decoded = decode(&mut bytes, 100)?;
        Ok(decoded.map(|body| (bytes[..body.length].to_vec(), body.wire_length)))
    }

    #[test]
    fn chunks_are_joined_and_the_rest_is_left() {
        let text = "5\r\nhello\r\n1;a=\"b\"\r\n \r\n05\r\nworld\r\n0\r\nX: y\r\n\r\nGET";
        let (content, wire) = run(text).unwrap().unwrap();
        assert_eq!(content, b"hello world");
        assert_eq!(wire, text.len() - 3);
    }

    #[test]
    fn a_body_cut_at_any_byte_is_partial() {
        let text = "5\r\nhello\r\n0\r\nX: y\r\n\r\n";
        for end in 0..text.len() {
            assert_eq!(run(&text[..end]), Ok(None), "cut at {end}");
        }
    }

    #[test]
    fn rfc9112_7_1_malformed_chunks_are_refused() {
        for text in [
            "5\nhello\r\n0\r\n\r\n",
            "5\r\nhelloX",
            "5\r\nhello\n0\r\n\r\n",
            "\r\n",
            "g\r\n",
            "-1\r\n",
            "+1\r\n",
            "0x5\r\n",
            "5 \r\n",
            "5 ;a\r\n",
            " 5\r\n",
            "5_0\r\n",
            "1111111111111111\r\n",
            "5;\u{1}\r\n",
            "0\r\nX : y\r\n\r\n",
            "0\r\n y\r\n\r\n",
            "0\r\nX: y\n\r\n",
        ] {
            assert_eq!(run(text), Err(Status::BadRequest), "{text:?}");
        }
    }

    #[test]
    fn content_past_the_limit_is_refused_before_it_arrives() {
        assert_eq!(run("65\r\n"), Err(Status::ContentTooLarge));
        assert_eq!(run("fffffffffffffff\r\n"), Err(Status::ContentTooLarge));
    }
}
