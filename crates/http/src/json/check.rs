//! The grammar alone: where a value that starts here ends, if it is one.

use crate::ascii::{self, HEX};

/// The deepest nesting that is accepted (RFC 8259 section 9 lets a reader set
/// one).
pub const MAX_DEPTH: u32 = 64;

/// Whether the bytes are one JSON text in UTF-8, nested no deeper than
/// [`MAX_DEPTH`]. Time is linear and memory constant: the brackets that are
/// open stand in one word.
pub fn is_valid(bytes: &[u8]) -> bool {
    let mut check = Check { bytes };
    let is_value = ascii::utf8(bytes).is_some() && check.value(MAX_DEPTH).is_some();
    check.space();
    is_value && check.bytes.is_empty()
}

/// Bytes ahead. Each function takes what it is named after from their front, or
/// fails; UTF-8 is for the caller to check, since outside of strings nothing but
/// ASCII passes.
pub(super) struct Check<'a> {
    pub(super) bytes: &'a [u8],
}

impl Check<'_> {
    /// A value and the space before it, with so many brackets at most.
    pub(super) fn value(&mut self, max_depth: u32) -> Option<()> {
        // Bit 0 of `open` says whether the innermost bracket is a brace.
        let (mut open, mut depth) = (0_u64, 0_u32);
        loop {
            // A value stands here, with a name before it inside braces.
            self.space();
            let mut is_closed = false;
            match self.peek()? {
                bracket @ (b'{' | b'[') => {
                    if depth == max_depth {
                        return None;
                    }
                    self.skip(1);
                    self.space();
                    depth += 1;
                    open = open << 1 | u64::from(bracket == b'{');
                    // `]` is `[` + 2 and `}` is `{` + 2.
                    if self.peek()? != bracket + 2 {
                        if bracket == b'{' {
                            self.name()?;
                        }
                        continue;
                    }
                    is_closed = true;
                }
                b'"' => self.string()?,
                b't' => self.word(b"true")?,
                b'f' => self.word(b"false")?,
                b'n' => self.word(b"null")?,
                _ => self.number()?,
            }
            // A value has ended, or is about to at a closing bracket.
            loop {
                if !is_closed {
                    if depth == 0 {
                        return Some(());
                    }
                    self.space();
                    if self.peek()? == b',' {
                        self.skip(1);
                        break;
                    }
                }
                is_closed = false;
                let bracket = if open & 1 == 1 { b'}' } else { b']' };
                if self.peek()? != bracket {
                    return None;
                }
                self.skip(1);
                depth -= 1;
                open >>= 1;
            }
            if open & 1 == 1 {
                self.space();
                self.name()?;
            }
        }
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.bytes.first().copied()
    }

    #[inline(never)]
    fn skip(&mut self, count: usize) {
        self.bytes = ascii::from(self.bytes, count);
    }

    #[inline(never)]
    pub(super) fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.skip(1);
        }
    }

    #[inline(always)]
    fn name(&mut self) -> Option<()> {
        self.string()?;
        self.space();
        self.word(b":")
    }

    #[inline(never)]
    pub(super) fn word(&mut self, word: &[u8]) -> Option<()> {
        self.bytes = self.bytes.strip_prefix(word)?;
        Some(())
    }

    /// A string with its quotes; escapes are checked one by one, halves of a
    /// surrogate pair alone are left to those who decode them.
    #[inline(never)]
    pub(super) fn string(&mut self) -> Option<()> {
        self.word(b"\"")?;
        loop {
            let byte = self.peek()?;
            self.skip(1);
            match byte {
                b'"' => return Some(()),
                b'\\' => {
                    let escape = self.peek()?;
                    self.skip(1);
                    if escape == b'u' {
                        let digits = self.bytes.get(..4)?;
                        if !ascii::all(digits, HEX) {
                            return None;
                        }
                        self.skip(4);
                    } else if !b"\"\\/bfnrt".contains(&escape) {
                        return None;
                    }
                }
                0..b' ' => return None,
                _ => {}
            }
        }
    }

    #[inline(never)]
    pub(super) fn number(&mut self) -> Option<()> {
        if self.peek()? == b'-' {
            self.skip(1);
        }
        if self.peek()? == b'0' {
            self.skip(1);
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.skip(1);
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.skip(1);
            if let Some(b'+' | b'-') = self.peek() {
                self.skip(1);
            }
            self.digits()?;
        }
        Some(())
    }

    #[inline(never)]
    fn digits(&mut self) -> Option<()> {
        let before = self.bytes.len();
        while let Some(b'0'..=b'9') = self.peek() {
            self.skip(1);
        }
        (self.bytes.len() < before).then_some(())
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    #[test]
    fn valid_texts_are_accepted() {
        for text in [
            "0",
            "-0.5e+10",
            "1E5",
            "\"\"",
            "\"\\u00e9\\n\"",
            "[]",
            "{}",
            " [ ] ",
            "[[],{}]",
            "{\"a\":1,\"b\":[1,2,{\"c\":null}],\"d\":{}}",
            "[1 , 2]",
            "true",
            "{\"a\" : false }",
        ] {
            assert!(is_valid(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn invalid_texts_are_refused() {
        for text in [
            "",
            " ",
            "01",
            "+1",
            ".5",
            "1.",
            "1e",
            "-",
            "'a'",
            "\"",
            "\"\\x\"",
            "\"\\u00g0\"",
            "\"\n\"",
            "[",
            "[1",
            "[1,",
            "[1,]",
            "[,]",
            "{",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{a:1}",
            "{1:1}",
            "[}",
            "{]",
            "[1}",
            "1 2",
            "]",
            "tru",
            "nullx",
            "{\"a\":1 \"b\":2}",
            "[1 2]",
            "{,}",
            "[]]",
        ] {
            assert!(!is_valid(text.as_bytes()), "{text}");
        }
        assert!(!is_valid(b"\"\xff\""));
    }

    #[test]
    fn nesting_has_a_limit() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(is_valid(nested(64).as_bytes()));
        assert!(!is_valid(nested(65).as_bytes()));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_check_panic(bytes: Vec<u8>) {
            is_valid(&bytes);
        }
    }
}
