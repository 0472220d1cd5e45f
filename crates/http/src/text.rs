//! Text of bounded length, kept in place: what a service remembers of requests.

use crate::ascii::utf8;

/// Text of up to `BYTES` bytes, at most 65,535.
#[derive(Clone, Copy, Debug)]
pub struct Text<const BYTES: usize> {
    length: u16,
    bytes: [u8; BYTES],
}

impl<const BYTES: usize> Text<BYTES> {
    /// No text; all zeros.
    pub const EMPTY: Self = Self {
        length: 0,
        bytes: [0; BYTES],
    };

    /// Holds a text; `None` where it is too long.
    pub fn new(text: &str) -> Option<Self> {
        let mut own = Self::EMPTY;
        own.bytes
            .get_mut(..text.len())?
            .copy_from_slice(text.as_bytes());
        own.length = u16::try_from(text.len()).ok()?;
        Some(own)
    }

    /// Holds as many whole characters of a text as fit.
    pub fn cut(text: &str) -> Self {
        let mut end = text.len().min(BYTES);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        Self::new(text.get(..end).unwrap_or_default()).unwrap_or(Self::EMPTY)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..self.length.into());
        utf8(bytes.unwrap_or_default()).unwrap_or_default()
    }

    /// Whether it is no text.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_is_held_and_what_does_not_is_told() {
        assert_eq!(Text::<3>::new("abc").unwrap().as_str(), "abc");
        assert!(Text::<3>::new("abcd").is_none());
        assert!(Text::<3>::EMPTY.is_empty());
    }

    #[test]
    fn characters_are_cut_off_whole() {
        assert_eq!(Text::<3>::cut("aéé").as_str(), "aé");
        assert_eq!(Text::<3>::cut("ab").as_str(), "ab");
        assert_eq!(Text::<1>::cut("é").as_str(), "");
    }
}
