//! As much CBOR as a manifest takes, read and written in the one form that RFC 8949 §4.2.1 allows.
//!
//! Own code since a signature must have one meaning: another spelling of the same value, which general
//! readers take, is refused here. 0.6 KB of flash where `minicbor` takes 9.

const UINT: u8 = 0;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;

/// Reads values off a slice; `None` where another stands there.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.rest.is_empty()
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }

    /// The argument of a head of this major type, in its shortest form only.
    fn head(&mut self, major: u8) -> Option<u64> {
        let [first] = *self.take(1)? else { return None };
        if first >> 5 != major {
            return None;
        }
        let small = first & 0x1F;
        let width = match small {
            0..24 => return Some(u64::from(small)),
            24..28 => 1usize << (small - 24),
            _ => return None,
        };
        let mut value = 0u64;
        for byte in self.take(width)? {
            value = value << 8 | u64::from(*byte);
        }
        (head_width(value) == width).then_some(value)
    }

    pub(crate) fn uint(&mut self) -> Option<u64> {
        self.head(UINT)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.uint()?.try_into().ok()
    }

    pub(crate) fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.head(BYTES)?.try_into().ok()?;
        self.take(length)
    }

    pub(crate) fn text(&mut self) -> Option<&'a str> {
        let length = self.head(TEXT)?.try_into().ok()?;
        core::str::from_utf8(self.take(length)?).ok()
    }

    pub(crate) fn array(&mut self) -> Option<u64> {
        self.head(ARRAY)
    }

    pub(crate) fn map(&mut self) -> Option<u64> {
        self.head(MAP)
    }
}

/// How many bytes follow the first of a head with this argument.
fn head_width(value: u64) -> usize {
    match value {
        0..24 => 0,
        24..0x100 => 1,
        0x100..0x1_0000 => 2,
        0x1_0000..0x1_0000_0000 => 4,
        _ => 8,
    }
}

/// Writes values to a slice; remembers where it was too short.
pub(crate) struct Writer<'a> {
    out: &'a mut [u8],
    at: usize,
    full: bool,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(out: &'a mut [u8]) -> Self {
        Self {
            out,
            at: 0,
            full: false,
        }
    }

    /// How many bytes were written; `None` where they did not fit.
    pub(crate) fn finish(self) -> Option<usize> {
        (!self.full).then_some(self.at)
    }

    fn put(&mut self, bytes: &[u8]) {
        match self.out.get_mut(self.at..self.at + bytes.len()) {
            Some(place) => {
                place.copy_from_slice(bytes);
                self.at += bytes.len();
            }
            None => self.full = true,
        }
    }

    fn head(&mut self, major: u8, value: u64) {
        let width = head_width(value);
        let small = match width {
            0 => value as u8,
            width => 24 + width.trailing_zeros() as u8,
        };
        self.put(&[major << 5 | small]);
        self.put(&value.to_be_bytes()[8 - width..]);
    }

    pub(crate) fn uint(&mut self, value: u64) {
        self.head(UINT, value);
    }

    pub(crate) fn bytes(&mut self, value: &[u8]) {
        self.head(BYTES, value.len() as u64);
        self.put(value);
    }

    pub(crate) fn text(&mut self, value: &str) {
        self.head(TEXT, value.len() as u64);
        self.put(value.as_bytes());
    }

    pub(crate) fn array(&mut self, length: u64) {
        self.head(ARRAY, length);
    }

    pub(crate) fn map(&mut self, length: u64) {
        self.head(MAP, length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_rfc_are_read_and_written() {
        // RFC 8949, appendix A.
        let cases: [(u64, &[u8]); 10] = [
            (0, &[0x00]),
            (23, &[0x17]),
            (24, &[0x18, 0x18]),
            (100, &[0x18, 0x64]),
            (255, &[0x18, 0xFF]),
            (256, &[0x19, 0x01, 0x00]),
            (1000, &[0x19, 0x03, 0xe8]),
            (1_000_000, &[0x1a, 0x00, 0x0f, 0x42, 0x40]),
            (
                1_000_000_000_000,
                &[0x1b, 0x00, 0x00, 0x00, 0xe8, 0xd4, 0xa5, 0x10, 0x00],
            ),
            (
                u64::MAX,
                &[0x1b, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF],
            ),
        ];
        for (value, bytes) in cases {
            let mut reader = Reader::new(bytes);
            assert_eq!(reader.uint(), Some(value));
            assert!(reader.is_done());
            let mut room = [0; 9];
            let mut writer = Writer::new(&mut room);
            writer.uint(value);
            let length = writer.finish().unwrap();
            assert_eq!(&room[..length], bytes);
        }
    }

    #[test]
    fn a_longer_spelling_of_a_number_is_refused() {
        let long: [&[u8]; 4] = [
            &[0x18, 23],
            &[0x19, 0, 255],
            &[0x1a, 0, 0, 255, 255],
            &[0x1b, 0, 0, 0, 0, 255, 255, 255, 255],
        ];
        for bytes in long {
            assert_eq!(Reader::new(bytes).uint(), None);
        }
    }

    #[test]
    fn a_length_past_the_end_is_refused() {
        assert_eq!(Reader::new(&[0x43, 1, 2]).bytes(), None);
        assert_eq!(
            Reader::new(&[0x5b, 255, 255, 255, 255, 255, 255, 255, 255]).bytes(),
            None
        );
        assert_eq!(Reader::new(&[0x61, 0xFF]).text(), None);
        assert_eq!(Reader::new(&[]).map(), None);
        // Of indefinite length.
        assert_eq!(Reader::new(&[0x5f, 0x41, 0, 0xff]).bytes(), None);
    }

    #[test]
    fn a_full_slice_is_told() {
        let mut room = [0; 3];
        let mut writer = Writer::new(&mut room);
        writer.text("abc");
        assert_eq!(writer.finish(), None);
    }
}
