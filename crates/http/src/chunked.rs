//! Chunked transfer coding (RFC 9112 section 7.1), decoded in place. Extensions
//! and trailer fields are checked and dropped.

use crate::ascii::{self, HEX, VALUE, hex_value};
use crate::cursor::{Cursor, Stop};
use crate::head::take_field;
use crate::status::Status;

/// The longest chunk-size line with its extension.
const LINE_BYTES: usize = 256;
/// The longest trailer section.
const TRAILER_BYTES: usize = 2_048;

/// A whole body, moved to the front of the bytes it came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// The length of the content.
    pub length: usize,
    /// The length on the wire, trailer section included.
    pub wire_length: usize,
}

/// Decodes a body at the start of `bytes`.
///
/// # Errors
/// [`Stop::Partial`] while it is not whole, in which case nothing has been
/// moved. 400 where the coding is malformed, 413 where the content would pass
/// `max_bytes`, 431 where the trailer section is too long.
pub fn decode(bytes: &mut [u8], max_bytes: usize) -> Result<Decoded, Stop> {
    walk(bytes, max_bytes, false)?;
    walk(bytes, max_bytes, true)
}

/// Goes through a body at the start of `bytes` without decoding it: its length
/// on the wire, trailer section included.
///
/// # Errors
/// As for [`decode`]; 413 where all of it, as it is sent, would pass `max_bytes`.
#[inline(never)]
pub fn measure(bytes: &[u8], max_bytes: usize) -> Result<usize, Stop> {
    let within = bytes.get(..max_bytes).unwrap_or(bytes);
    match measure_within(within, max_bytes) {
        Err(Stop::Partial) if within.len() == max_bytes => Err(Status::ContentTooLarge.into()),
        measured => measured,
    }
}

fn measure_within(bytes: &[u8], max_bytes: usize) -> Result<usize, Stop> {
    let mut cursor = Cursor::new(bytes);
    loop {
        let digits = cursor.take(HEX);
        if cursor.rest.first() == Some(&b';') {
            cursor.take(VALUE);
        }
        cursor.expect(b"\r\n");
        let mut size = 0;
        for &digit in digits {
            size = size << 4 | usize::from(hex_value(digit).unwrap_or(0));
        }
        if digits.len() > 15 {
            cursor.fail(Status::BadRequest.into());
        }
        cursor.judge()?;
        if size == 0 {
            break;
        }
        if size > max_bytes {
            return Err(Status::ContentTooLarge.into());
        }
        cursor.rest = cursor.rest.get(size..).ok_or(Stop::Partial)?;
        cursor.expect(b"\r\n");
    }
    loop {
        let (name, _) = take_field(&mut cursor);
        cursor.judge()?;
        if name.is_empty() {
            return Ok(bytes.len() - cursor.rest.len());
        }
    }
}

/// Goes through the body, to judge it or to move the data to the front. The
/// lines ahead stay as they are: data moves only towards the front.
#[inline(never)]
fn walk(bytes: &mut [u8], max_bytes: usize, moves: bool) -> Result<Decoded, Stop> {
    let mut at = 0;
    let mut length = 0;
    loop {
        let (start, size) = chunk(bytes, at)?;
        if size == 0 {
            return Ok(Decoded {
                length,
                wire_length: bytes.len() - trailer(ascii::from(bytes, start))?,
            });
        }
        // `length` never passes `max_bytes`.
        if size > (max_bytes - length) as u64 {
            return Err(Status::ContentTooLarge.into());
        }
        let size = size as usize;
        at = start + size;
        let mut end = Cursor::new(ascii::from(bytes, at));
        end.expect(b"\r\n");
        end.judge()?;
        if moves {
            bytes.copy_within(start..at, length);
        }
        length += size;
        at += 2;
    }
}

/// The length of the line with a chunk's size, which stands here, and the size.
pub(crate) fn size(bytes: &[u8]) -> Result<(usize, u64), Stop> {
    chunk(bytes, 0)
}

/// The length of the trailer section that stands here.
pub(crate) fn trailer_length(bytes: &[u8]) -> Result<usize, Stop> {
    Ok(bytes.len() - trailer(bytes)?)
}

/// Where the chunk's data starts, and how long it is.
fn chunk(bytes: &[u8], at: usize) -> Result<(usize, u64), Stop> {
    let rest = ascii::from(bytes, at);
    let within = rest.get(..LINE_BYTES).unwrap_or(rest);
    let mut line = Cursor::new(within);
    let digits = line.take(HEX);
    // RFC 9112 section 7.1.1: extensions are ignored, but must begin as such:
    // "5 ;a", "5_" and "0x5" are read in several ways elsewhere.
    if line.rest.first() == Some(&b';') {
        line.take(VALUE);
    }
    line.expect(b"\r\n");
    line.judge_at_limit(within.len() == LINE_BYTES, Status::BadRequest)?;
    if digits.len() > 15 {
        return Err(Status::BadRequest.into());
    }
    let mut size = 0_u64;
    for &digit in digits {
        size = size << 4 | u64::from(hex_value(digit).unwrap_or(0));
    }
    Ok((at + within.len() - line.rest.len(), size))
}

/// How many bytes are behind the trailer section at the start of `bytes`.
fn trailer(bytes: &[u8]) -> Result<usize, Stop> {
    let within = bytes.get(..TRAILER_BYTES).unwrap_or(bytes);
    let mut cursor = Cursor::new(within);
    loop {
        let (name, _) = take_field(&mut cursor);
        let too_long = Status::RequestHeaderFieldsTooLarge;
        cursor.judge_at_limit(within.len() == TRAILER_BYTES, too_long)?;
        if name.is_empty() {
            return Ok(bytes.len() - within.len() + cursor.rest.len());
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    fn run(text: &str) -> Result<(Vec<u8>, usize), Stop> {
        let mut bytes = Vec::from(text);
        let body = decode(&mut bytes, 100).inspect_err(|_| assert_eq!(bytes, text.as_bytes()))?;
        Ok((bytes[..body.length].to_vec(), body.wire_length))
    }

    #[test]
    fn chunks_are_joined_and_the_rest_is_left() {
        let text = "5\r\nhello\r\n1;a=\"b\"\r\n \r\n05\r\nworld\r\n0\r\nX: y\r\n\r\nGET";
        let (content, wire) = run(text).unwrap();
        assert_eq!(content, b"hello world");
        assert_eq!(wire, text.len() - 3);
    }

    #[test]
    fn a_body_cut_at_any_byte_is_partial() {
        let text = "5\r\nhello\r\n0\r\nX: y\r\n\r\n";
        assert_eq!(measure(text.as_bytes(), 1_000), Ok(text.len()));
        for end in 0..text.len() {
            assert_eq!(measure(&text.as_bytes()[..end], 1_000), Err(Stop::Partial));
            assert_eq!(run(&text[..end]), Err(Stop::Partial), "cut at {end}");
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
            assert_eq!(run(text), Err(Status::BadRequest.into()), "{text:?}");
            let measured = measure(text.as_bytes(), 1_000);
            assert_eq!(measured, Err(Status::BadRequest.into()), "{text:?}");
        }
    }

    #[test]
    fn rfc9112_7_1_1_and_7_1_2_long_extensions_and_trailers_are_refused() {
        let long = "a".repeat(300);
        assert_eq!(
            run(&std::format!("5;{long}")),
            Err(Status::BadRequest.into())
        );
        let long = "a: b\r\n".repeat(400);
        assert_eq!(
            run(&std::format!("0\r\n{long}")),
            Err(Status::RequestHeaderFieldsTooLarge.into())
        );
        let fits = "a: b\r\n".repeat(300);
        let text = std::format!("0\r\n{fits}\r\nGET");
        assert_eq!(run(&text), Ok((Vec::new(), text.len() - 3)));
    }

    #[test]
    fn content_past_the_limit_is_refused_before_it_arrives() {
        assert_eq!(run("65\r\n"), Err(Status::ContentTooLarge.into()));
        assert_eq!(
            run("fffffffffffffff\r\n"),
            Err(Status::ContentTooLarge.into())
        );
    }
}
