//! Entity tags of what a service keeps (RFC 9110 section 8.8.3).

use crate::writer::HeadWriter;

/// A strong entity tag that is a number, such as a version: `"17"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag {
    bytes: [u8; 22],
    length: usize,
}

impl Tag {
    /// The tag of this number.
    #[inline(never)]
    pub fn of(number: u64) -> Self {
        let mut bytes = [b'"'; 22];
        let mut writer = HeadWriter::at(&mut bytes, 1);
        writer.number(number);
        let length = writer.written() + 1;
        Self { bytes, length }
    }

    /// As it is sent, with its quotes.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_in_quotes() {
        assert_eq!(Tag::of(0).as_bytes(), b"\"0\"");
        assert_eq!(Tag::of(17).as_bytes(), b"\"17\"");
        assert_eq!(Tag::of(u64::MAX).as_bytes(), b"\"18446744073709551615\"");
    }
}
