//! Lists of words as one constant text, in which a byte with its length stands
//! before each word. A table of references would take 16 bytes a word more, and
//! looking for ends would take time.

use crate::ascii::is_alike;

/// A list of words, and what is left of it while it is gone through.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Words(pub(crate) &'static [u8]);

/// Packs words into a [`Words`] when compiled.
macro_rules! words {
    ($($word:expr),* $(,)?) => {{
        const WORDS: &[&str] = &[$($word),*];
        const LENGTH: usize = $crate::words::packed_length(WORDS);
        const BYTES: [u8; LENGTH] = $crate::words::pack(WORDS);
        $crate::words::Words(&BYTES)
    }};
}
pub(crate) use words;

impl Iterator for Words {
    type Item = &'static [u8];

    #[inline(never)]
    fn next(&mut self) -> Option<&'static [u8]> {
        let (length, rest) = self.0.split_first()?;
        let (word, rest) = rest.split_at_checked(usize::from(*length))?;
        self.0 = rest;
        Some(word)
    }
}

impl Words {
    /// The number of the word that is this one but for these bits.
    pub(crate) fn find(mut self, word: &[u8], but: u8) -> Option<usize> {
        // Most differ in length already.
        self.position(|known| known.len() == word.len() && is_alike(known, word, but))
    }

    /// The word of this number; none is empty.
    pub(crate) fn get(mut self, number: usize) -> &'static [u8] {
        for _ in 0..number {
            self.next();
        }
        self.next().unwrap_or_default()
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
        assert!(word.len() < 256);
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
    use crate::ascii::CASE;

    const THREE: Words = words!["one", "", "three"];

    #[test]
    fn words_come_out_as_they_went_in() {
        assert!(THREE.eq([&b"one"[..], b"", b"three"]));
        assert_eq!(THREE.get(2), b"three");
        assert_eq!(THREE.get(3), b"");
    }

    #[test]
    fn a_word_is_found_whatever_its_case_and_only_whole() {
        assert_eq!(THREE.find(b"Three", CASE), Some(2));
        assert_eq!(THREE.find(b"thre", CASE), None);
        assert_eq!(THREE.find(b"threee", CASE), None);
    }
}
