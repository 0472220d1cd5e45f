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

    /// Holds this text from now on; false, and what was held stays, where it is
    /// too long.
    pub fn set(&mut self, text: &str) -> bool {
        hold(&mut self.bytes, &mut self.length, text)
    }

    /// Holds as many whole characters of this text as fit.
    pub fn cut(&mut self, text: &str) {
        cut(&mut self.bytes, &mut self.length, text);
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        held(&self.bytes, self.length)
    }

    /// Whether it is no text.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }
}

// One for texts of all lengths.

#[inline(never)]
fn hold(bytes: &mut [u8], length: &mut u16, text: &str) -> bool {
    let place = bytes.get_mut(..text.len());
    let fits = place.is_some();
    if let Some(place) = place {
        place.copy_from_slice(text.as_bytes());
        *length = text.len() as u16;
    }
    fits
}

#[inline(never)]
fn cut(bytes: &mut [u8], length: &mut u16, text: &str) {
    let mut end = text.len().min(bytes.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    hold(bytes, length, text.get(..end).unwrap_or_default());
}

#[inline(never)]
fn held(bytes: &[u8], length: u16) -> &str {
    let bytes = bytes.get(..length.into());
    utf8(bytes.unwrap_or_default()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_is_held_and_what_does_not_is_told() {
        let mut text = Text::<3>::EMPTY;
        assert!(text.is_empty() && text.set("abc"));
        assert!(!text.set("abcd"));
        assert_eq!(text.as_str(), "abc");
        assert!(text.set("d"));
        assert_eq!(text.as_str(), "d");
    }

    #[test]
    fn characters_are_cut_off_whole() {
        let cut = |text| {
            let mut held = Text::<3>::EMPTY;
            held.cut(text);
            held
        };
        assert_eq!(cut("aéé").as_str(), "aé");
        assert_eq!(cut("ab").as_str(), "ab");
        assert_eq!(cut("éé").as_str(), "é");
    }
}
