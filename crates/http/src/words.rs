//! Lists of words as one constant text, in which a byte with its length stands
//! before each word. A table of references would take 16 bytes a word more, and
//! looking for ends would take time.

use crate::ascii::is_same;

/// A list of words, and what is left of it while it is gone through.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Words(pub(crate) &'static str);

/// Packs words into a [`Words`] when compiled.
macro_rules! words {
    ($($word:expr),* $(,)?) => {{
        const WORDS: &[&str] = &[$($word),*];
        const LENGTH: usize = $crate::words::packed_length(WORDS);
        const BYTES: [u8; LENGTH] = $crate::words::pack(WORDS);
        $crate::words::Words(match core::str::from_utf8(&BYTES) {
            Ok(text) => text,
            Err(_) => panic!("words are UTF-8"),
        })
    }};
}
pub(crate) use words;

impl Iterator for Words {
    type Item = &'static str;

    #[inline(never)]
    fn next(&mut self) -> Option<&'static str> {
        let length = usize::from(*self.0.as_bytes().first()?);
        let (word, rest) = self.0.get(1..)?.split_at_checked(length)?;
        self.0 = rest;
        Some(word)
    }
}

impl Words {
    /// The number of the word that is this one but for case.
    #[inline(never)]
    pub(crate) fn find(mut self, word: &[u8]) -> Option<usize> {
        self.position(|known| is_same(known.as_bytes(), word))
    }

    /// The word of this number; none is empty text.
    #[inline(never)]
    pub(crate) fn get(mut self, number: usize) -> &'static str {
        self.nth(number).unwrap_or_default()
    }
}

/// How many bytes the words take.
pub(crate) const fn packed_length(mut words: &[&str]) -> usize {
    let mut length = 0;
    while let [word, rest @ ..] = words {
        length += 1 + word.len();
        words = rest;
    }
    length
}

/// The words, each behind a byte with its length.
#[allow(clippy::indexing_slicing, reason = "runs when compiled")]
pub(crate) const fn pack<const LENGTH: usize>(mut words: &[&str]) -> [u8; LENGTH] {
    let mut packed = [0; LENGTH];
    let mut at = 0;
    while let [word, rest @ ..] = words {
        // Past it the length would be no character of its own.
        assert!(word.len() < 128);
        packed[at] = word.len() as u8;
        at += 1;
        let mut bytes = word.as_bytes();
        while let [byte, rest @ ..] = bytes {
            packed[at] = *byte;
            at += 1;
            bytes = rest;
        }
        words = rest;
    }
    packed
}

#[cfg(test)]
mod tests {
    use super::*;

    const THREE: Words = words!["one", "", "three"];

    #[test]
    fn words_come_out_as_they_went_in() {
        assert!(THREE.eq(["one", "", "three"]));
        assert_eq!(THREE.get(2), "three");
        assert_eq!(THREE.get(3), "");
    }

    #[test]
    fn a_word_is_found_whatever_its_case_and_only_whole() {
        assert_eq!(THREE.find(b"Three"), Some(2));
        assert_eq!(THREE.find(b"thre"), None);
        assert_eq!(THREE.find(b"threee"), None);
    }
}
