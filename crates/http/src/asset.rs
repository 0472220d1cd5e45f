//! Files that are part of the program (`include_bytes!`), with an entity tag
//! that is computed when the program is compiled.

use crate::request::Request;
use crate::response::Response;
use crate::status::Status;

/// A file in the program.
#[derive(Debug)]
pub struct Asset {
    content_type: &'static str,
    bytes: &'static [u8],
    tag: [u8; TAG_BYTES],
}

/// 16 hexadecimal digits in quotes.
const TAG_BYTES: usize = 18;

impl Asset {
    /// A file of this media type: `Asset::new("text/css", include_bytes!("a.css"))`.
    pub const fn new(content_type: &'static str, bytes: &'static [u8]) -> Self {
        Self {
            content_type,
            bytes,
            tag: tag(bytes),
        }
    }

    /// The content.
    pub fn bytes(&self) -> &'static [u8] {
        self.bytes
    }

    /// Answers a GET: the file, or 304 where the client has it (RFC 9110 section
    /// 13.1.2). One that is longer than the answer's buffer is streamed.
    pub fn answer(&'static self, request: &Request<'_>, response: &mut Response<'_>) {
        response.field("ETag", &self.tag);
        if request.has(&self.tag) {
            response.status(Status::NotModified);
        } else {
            response
                .content_type(self.content_type)
                .constant(self.bytes);
        }
    }
}

/// A hash of the content, FNV-1a (draft-eastlake-fnv) over words of 64 bits: not
/// for enemies, but two versions of a file do not meet in it by chance.
#[allow(clippy::indexing_slicing, reason = "runs when compiled")]
const fn tag(mut bytes: &[u8]) -> [u8; TAG_BYTES] {
    const PRIME: u64 = 0x0100_0000_01b3;
    let mut hash = 0xcbf2_9ce4_8422_2325 ^ bytes.len() as u64;
    while let Some((word, rest)) = bytes.split_first_chunk() {
        hash = (hash ^ u64::from_le_bytes(*word)).wrapping_mul(PRIME);
        // High bits of a word would else stay high.
        hash ^= hash >> 29;
        bytes = rest;
    }
    while let [byte, rest @ ..] = bytes {
        hash = (hash ^ *byte as u64).wrapping_mul(PRIME);
        bytes = rest;
    }
    let mut tag = [b'"'; TAG_BYTES];
    let mut at = 1;
    while at < TAG_BYTES - 1 {
        tag[at] = b"0123456789abcdef"[hash as usize & 15];
        hash >>= 4;
        at += 1;
    }
    tag
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_of_a_file_changes_its_tag() {
        let mut bytes = [0; 21];
        let empty = tag(&bytes);
        for at in 0..bytes.len() {
            for bit in 0..8 {
                bytes[at] = 1 << bit;
                assert_ne!(tag(&bytes), empty, "{at} {bit}");
            }
            bytes[at] = 0;
            assert_ne!(tag(&bytes[..at]), empty);
        }
    }

    #[test]
    fn a_tag_is_sixteen_digits_in_quotes() {
        let tag = tag(b"hello");
        assert_eq!((tag[0], tag[17]), (b'"', b'"'));
        assert!(tag[1..17].iter().all(u8::is_ascii_hexdigit));
    }
}
