//! Packed sites, format 1: a whole web site as one file that is mapped and
//! answered from. This is the reader; `ounce-build` holds the writer.
//!
//! Everything that an answer needs is ready: the path's entry, the part of the
//! head that does not change, the body. Numbers are little-endian and unsigned,
//! offsets count from the file's start, nothing need be aligned, and the file is
//! shorter than 4 GiB.
//!
//! ```text
//! header, 20 bytes
//!    0  magic: "ounce-site", 0, and the format's number, 1
//!   12  u32 count of entries
//!   16  u32 length of the whole file
//! index, from 20: 12 bytes for each path, sorted by the path's bytes
//!    0  u32 offset of the path; decoded, it starts with "/"
//!    4  u16 length of the path
//!    6  u8  which variants it has: 1 br + 2 zst + 4 gz + 8 identity
//!    7  u8  kind: 0 file, 1 redirect, 2 page for what is not found
//!    8  u32 offset of its variants, one after the other in that order
//! variant, 16 bytes
//!    0  u32 offset of the fields
//!    4  u16 length of the fields
//!    6  u16 length of their first part, which a 304 has, too
//!    8  u32 offset of the body
//!   12  u32 length of the body
//! ```
//!
//! The variant without coding is always there. The **fields** are lines of the
//! head, each with its CRLF: in a file's, first `ETag: "…"` with a tag of
//! [`ETAG_BYTES`], then what a 304 repeats (Vary, Cache-Control, what the user
//! added), then the rest (Content-Type, Content-Encoding, Accept-Ranges,
//! security). The server adds the status line, Date, Content-Length or
//! Content-Range, Connection and the empty line.
//!
//! A **redirect** has one variant without body. Its fields end with
//! `Location: /docs/` *without* CRLF, so that the server can put the request's
//! query behind it.
//!
//! Two names that no request can have stand for what is answered to unknown
//! paths: `*` for those without a dot in the last segment, which is the page of
//! a single-page application (a file, so 200) or that for 404; and the empty
//! name for the others, the page for 404. Either may be missing; a page for 404
//! has no entity tag.
//!
//! Several entries may share variants (`/docs/` and `/docs/index.html`), and
//! several variants their body.

use crate::encoding;

/// What a packed file starts with; the last byte is the format's number.
pub const MAGIC: [u8; 12] = *b"ounce-site\0\x01";
/// Bytes of the header; the index follows it.
pub const HEADER_BYTES: usize = 20;
/// Bytes of an entry of the index.
pub const ENTRY_BYTES: usize = 12;
/// Bytes of a variant.
pub const VARIANT_BYTES: usize = 16;
/// Bytes of an entity tag with its quotes: 96 bits of a digest in base64url.
pub const ETAG_BYTES: usize = 18;
/// The most bytes of fields that a writer makes, so that a server can have room
/// for a whole head. A reader may meet more in a damaged file.
pub const FIELDS_BYTES: usize = 2_000;
/// The name for unknown paths with a dot in the last segment.
pub const NOT_FOUND: &[u8] = b"";
/// The name for unknown paths without.
pub const FALLBACK: &[u8] = b"*";

/// The codings in the order of the format, which is that of preference where a
/// client gives equal weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Encoding {
    /// Brotli, RFC 7932.
    Br,
    /// Zstandard, RFC 8878.
    Zstd,
    /// gzip, RFC 1952.
    Gzip,
    /// As it is.
    Identity,
}

/// What an entry is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 200, or 206 or 304.
    File,
    /// 308, with the request's query behind the fields, if it has one.
    Redirect,
    /// 404.
    NotFound,
}

/// A packed site in memory.
#[derive(Clone, Copy, Debug)]
pub struct Site<'a> {
    bytes: &'a [u8],
    index: &'a [[u8; ENTRY_BYTES]],
}

/// What stands at a path.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    bytes: &'a [u8],
    record: &'a [u8; ENTRY_BYTES],
}

/// One representation of what stands at a path.
#[derive(Clone, Copy, Debug)]
pub struct Variant<'a> {
    /// The ready lines of the head.
    pub fields: &'a [u8],
    /// Bytes of the first of them, which a 304 has, too.
    pub repeated: u16,
    /// The body.
    pub body: &'a [u8],
    /// Where the body starts in the file, for sendfile(2).
    pub body_offset: u32,
}

impl<'a> Site<'a> {
    /// The site in these bytes, which must be a whole file. `None` where they
    /// are something else, another format or not whole.
    pub fn new(bytes: &'a [u8]) -> Option<Self> {
        let (header, rest) = bytes.split_first_chunk::<HEADER_BYTES>()?;
        let (magic, numbers) = header.split_first_chunk()?;
        let (count, length) = numbers.split_first_chunk()?;
        let length = u32::from_le_bytes(*length.first_chunk()?);
        if *magic != MAGIC || length as usize != bytes.len() {
            return None;
        }
        let index = rest.as_chunks().0;
        let index = index.get(..u32::from_le_bytes(*count) as usize)?;
        Some(Self { bytes, index })
    }

    /// What to answer for a decoded path: what stands there, else what is for
    /// unknown paths, if there is such.
    pub fn find(&self, path: &[u8]) -> Option<Entry<'a>> {
        let record = self.search(path).or_else(|| {
            let mut back = path.iter().rev();
            let has_dot = back.find(|&&byte| byte == b'/' || byte == b'.') == Some(&b'.');
            self.search(if has_dot { NOT_FOUND } else { FALLBACK })
        })?;
        Some(Entry {
            bytes: self.bytes,
            record,
        })
    }

    /// What stands at exactly this path.
    pub fn lookup(&self, path: &[u8]) -> Option<Entry<'a>> {
        Some(Entry {
            bytes: self.bytes,
            record: self.search(path)?,
        })
    }

    /// How many entries there are.
    pub fn count(&self) -> usize {
        self.index.len()
    }

    /// Halves what is left of the index until the path is met.
    #[inline(never)]
    fn search(&self, path: &[u8]) -> Option<&'a [u8; ENTRY_BYTES]> {
        let mut index = self.index;
        loop {
            let (before, rest) = index.split_at_checked(index.len() / 2)?;
            let (record, after) = rest.split_first()?;
            let [a, b, c, d, e, f, ..] = *record;
            let order = part(self.bytes, [a, b, c, d], [e, f, 0, 0]).cmp(path);
            if order.is_eq() {
                return Some(record);
            }
            index = if order.is_lt() { after } else { before };
        }
    }
}

impl<'a> Entry<'a> {
    /// What it is answered with.
    pub fn kind(&self) -> Kind {
        match self.record[7] {
            0 => Kind::File,
            1 => Kind::Redirect,
            _ => Kind::NotFound,
        }
    }

    /// Whether it has this variant.
    pub fn has(&self, encoding: Encoding) -> bool {
        self.record[6] >> encoding as u8 & 1 != 0
    }

    /// The variant of the highest weight; of several, the first in the order
    /// of [`Encoding`]. The weights are the client's, in the same order; 0 is
    /// "not acceptable". Where it accepts none, the one without coding (RFC 9110
    /// section 12.5.3). What is not within a damaged file is empty.
    pub fn choose(&self, weights: &[u16; 4]) -> Variant<'a> {
        self.heaviest(|number| weights.get(number).copied().unwrap_or(0))
    }

    /// The same by the client's Accept-Encoding, empty where there is none (see
    /// [`encoding::weights`]): smaller, and quicker where there are few variants.
    pub fn negotiate(&self, accept_encoding: &[u8]) -> Variant<'a> {
        self.heaviest(|number| {
            // Where identity is not named it has no weight: it is the last, and
            // taken where none before it has any.
            let mut weight = 0;
            let name = encoding::PACKED_NAMES.get(number);
            encoding::weight(accept_encoding, name, &mut weight);
            weight
        })
    }

    /// The first variant of the highest weight; the last where there is none.
    /// Weights are asked for by numbers, those of [`Encoding`].
    fn heaviest(&self, weight: impl Fn(usize) -> u16) -> Variant<'a> {
        let [.., mut has, _, a, b, c, d] = *self.record;
        let mut at = u32::from_le_bytes([a, b, c, d]);
        let mut chosen = at;
        let mut best = 0;
        for number in 0..4 {
            if has & 1 != 0 {
                let weight = weight(number);
                if weight > best || best == 0 {
                    (chosen, best) = (at, weight);
                }
                at = at.wrapping_add(VARIANT_BYTES as u32);
            }
            has >>= 1;
        }
        let length = [VARIANT_BYTES as u8, 0, 0, 0];
        let record = part(self.bytes, chosen.to_le_bytes(), length).first_chunk();
        let [a, b, c, d, e, f, g, h, body @ ..] = *record.unwrap_or(&[0; VARIANT_BYTES]);
        let [i, j, k, l, m, n, o, p] = body;
        Variant {
            fields: part(self.bytes, [a, b, c, d], [e, f, 0, 0]),
            repeated: u16::from_le_bytes([g, h]),
            body: part(self.bytes, [i, j, k, l], [m, n, o, p]),
            body_offset: u32::from_le_bytes([i, j, k, l]),
        }
    }
}

impl<'a> Variant<'a> {
    /// A file's entity tag with its quotes.
    pub fn etag(&self) -> &'a [u8] {
        const START: usize = "ETag: ".len();
        let tag = self.fields.get(START..START + ETAG_BYTES);
        tag.unwrap_or_default()
    }
}

/// A part of the file by its place and length; empty where it is not all within.
#[inline(never)]
fn part(bytes: &[u8], at: [u8; 4], length: [u8; 4]) -> &[u8] {
    let rest = bytes.get(u32::from_le_bytes(at) as usize..);
    let part = rest
        .unwrap_or_default()
        .get(..u32::from_le_bytes(length) as usize);
    part.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    const NONE: [u16; 4] = [0, 0, 0, 1];

    /// A site by hand: each path with its kind, and its variants' coding,
    /// fields and body. The paths must be sorted.
    type Rows<'r> = &'r [(&'r [u8], u8, &'r [(u8, &'r str, &'r str)])];

    fn packed(rows: Rows<'_>) -> Vec<u8> {
        let variants: usize = rows.iter().map(|(_, _, variants)| variants.len()).sum();
        let tables = HEADER_BYTES + rows.len() * ENTRY_BYTES;
        let (mut index, mut records, mut rest) = (Vec::new(), Vec::new(), Vec::new());
        let base = tables + variants * VARIANT_BYTES;
        let place = |rest: &mut Vec<u8>, bytes: &[u8]| {
            rest.extend_from_slice(bytes);
            ((base + rest.len() - bytes.len()) as u32).to_le_bytes()
        };
        for (path, kind, variants) in rows {
            index.extend(place(&mut rest, path));
            index.extend((path.len() as u16).to_le_bytes());
            index.push(
                variants
                    .iter()
                    .fold(0, |has, (coding, ..)| has | 1 << coding),
            );
            index.push(*kind);
            index.extend(((tables + records.len()) as u32).to_le_bytes());
            for (_, fields, body) in *variants {
                records.extend(place(&mut rest, fields.as_bytes()));
                records.extend((fields.len() as u16).to_le_bytes());
                records.extend((fields.len() as u16 / 2).to_le_bytes());
                records.extend(place(&mut rest, body.as_bytes()));
                records.extend((body.len() as u32).to_le_bytes());
            }
        }
        let mut bytes = MAGIC.to_vec();
        bytes.extend((rows.len() as u32).to_le_bytes());
        bytes.extend(((base + rest.len()) as u32).to_le_bytes());
        [bytes, index, records, rest].concat()
    }

    const TAG: &str = "ETag: \"0123456789abcdef\"\r\nVary: Accept-Encoding\r\n";

    fn sample() -> Vec<u8> {
        packed(&[
            (b"", 2, &[(3, "Cache-Control: no-cache\r\n", "lost")]),
            (b"*", 0, &[(3, TAG, "app")]),
            (
                b"/",
                0,
                &[(0, TAG, "b"), (1, TAG, "z"), (2, TAG, "g"), (3, TAG, "i")],
            ),
            (b"/a", 1, &[(3, "Location: /a/", "")]),
            (b"/a.txt", 0, &[(2, TAG, "g"), (3, TAG, "i")]),
            (b"/\xff", 0, &[(3, TAG, "odd")]),
        ])
    }

    #[test]
    fn every_path_is_found_and_has_what_was_written() {
        let bytes = sample();
        let site = Site::new(&bytes).unwrap();
        assert_eq!(site.count(), 6);
        let root = site.find(b"/").unwrap();
        assert_eq!(root.kind(), Kind::File);
        let variant = root.choose(&NONE);
        assert_eq!(variant.body, b"i");
        assert_eq!(&bytes[variant.body_offset as usize..][..1], b"i");
        assert_eq!(variant.fields, TAG.as_bytes());
        assert_eq!(usize::from(variant.repeated), TAG.len() / 2);
        assert_eq!(variant.etag(), b"\"0123456789abcdef\"");
        let redirect = site.find(b"/a").unwrap();
        assert_eq!(redirect.kind(), Kind::Redirect);
        assert_eq!(redirect.choose(&NONE).fields, b"Location: /a/");
        assert_eq!(site.find(b"/\xff").unwrap().choose(&NONE).body, b"odd");
    }

    #[test]
    fn unknown_paths_get_the_page_for_them() {
        let bytes = sample();
        let site = Site::new(&bytes).unwrap();
        for path in [&b"/b"[..], b"/a/", b"/v1.2/b", b"/a.txt/", b"/zzz"] {
            assert_eq!(site.find(path).unwrap().choose(&NONE).body, b"app");
        }
        for path in [&b"/b.js"[..], b"/x/b.c", b"/."] {
            let entry = site.find(path).unwrap();
            assert_eq!(entry.kind(), Kind::NotFound);
            assert_eq!(entry.choose(&NONE).body, b"lost");
        }
        assert!(site.lookup(b"/b").is_none());
        let bytes = packed(&[(b"/", 0, &[(3, TAG, "")])]);
        assert!(Site::new(&bytes).unwrap().find(b"/b").is_none());
        let bytes = packed(&[]);
        assert!(Site::new(&bytes).unwrap().find(b"/").is_none());
    }

    #[test]
    fn rfc9110_12_5_3_the_weightiest_variant_is_chosen_and_the_first_of_equals() {
        let bytes = sample();
        let site = Site::new(&bytes).unwrap();
        for (weights, all, some) in [
            ([1000, 1000, 1000, 1], "b", "g"),
            ([0, 1000, 1000, 1], "z", "g"),
            ([500, 0, 1000, 1], "g", "g"),
            ([500, 0, 0, 1], "b", "i"),
            ([500, 500, 500, 1000], "i", "i"),
            ([1, 0, 0, 0], "b", "i"),
            ([0; 4], "i", "i"),
        ] {
            let chosen = |path| site.find(path).unwrap().choose(&weights).body;
            assert_eq!(chosen(b"/"), all.as_bytes(), "{weights:?}");
            assert_eq!(chosen(b"/a.txt"), some.as_bytes(), "{weights:?}");
        }
        assert!(site.find(b"/a.txt").unwrap().has(Encoding::Gzip));
        assert!(!site.find(b"/a.txt").unwrap().has(Encoding::Br));
    }

    #[test]
    fn what_is_negotiated_is_what_the_weights_choose() {
        let bytes = sample();
        let site = Site::new(&bytes).unwrap();
        for accept in [
            "",
            "br",
            "gzip, deflate, br, zstd",
            "zstd;q=0.5, gzip",
            "br;q=0, gzip;q=0.001",
            "gzip;q=0",
            "*",
            "*;q=0",
            "*;q=0.5, identity;q=0.7",
            "identity;q=0, gzip;q=0.1",
            "identity;q=0",
            "identity, gzip;q=0.5",
            "deflate",
        ] {
            let [identity, br, zstd, gzip] = encoding::weights(Some(accept.as_bytes()));
            for path in [&b"/"[..], b"/a.txt", b"/\xff", b"/a"] {
                let entry = site.find(path).unwrap();
                let body = entry.negotiate(accept.as_bytes()).body;
                let expected = entry.choose(&[br, zstd, gzip, identity]).body;
                assert_eq!(body, expected, "{accept:?}");
            }
        }
    }

    #[test]
    fn what_is_not_a_whole_site_is_refused() {
        let bytes = sample();
        for end in 0..bytes.len() {
            assert!(Site::new(&bytes[..end]).is_none(), "cut at {end}");
        }
        let mut other = bytes.clone();
        other[11] = 2;
        assert!(Site::new(&other).is_none());
        let mut many = bytes.clone();
        many[12..16].fill(0xff);
        assert!(Site::new(&many).is_none());
        assert!(Site::new(&[bytes, [0].to_vec()].concat()).is_none());
    }

    #[test]
    fn no_damaged_byte_makes_the_reader_panic_or_leave_the_file() {
        let whole = sample();
        for at in 12..whole.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut bytes = whole.clone();
                bytes[at] = value;
                // A lying count or length is refused or harmless.
                let Some(site) = Site::new(&bytes) else {
                    continue;
                };
                for path in [&b"/"[..], b"/a", b"/a.txt", b"", b"*", b"/zzz"] {
                    let Some(entry) = site.find(path) else {
                        continue;
                    };
                    let variant = entry.choose(&[1000, 0, 0, 1]);
                    let _ = (entry.kind(), variant.etag());
                    let end = variant.body_offset as usize + variant.body.len();
                    assert!(variant.body.is_empty() || end <= bytes.len());
                }
            }
        }
    }
}
