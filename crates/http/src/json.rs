//! JSON (RFC 8259) without allocation: a writer into a fixed buffer, and a check
//! that bytes from outside are one JSON text, so that they can be passed on.

use crate::ascii::{self, DIGIT, HEX, decimal, hex_digit};

/// Writes JSON values into anything that takes bytes. Commas are put where they
/// belong; nesting is up to the caller.
#[derive(Debug)]
pub struct Json<S> {
    sink: S,
    needs_comma: bool,
}

/// What takes the bytes; it remembers for itself whether they fitted.
pub trait Sink {
    /// Appends bytes.
    fn put(&mut self, bytes: &[u8]);
}

impl<S: Sink> Json<S> {
    /// A writer at the start of a value.
    pub fn new(sink: S) -> Self {
        Self {
            sink,
            needs_comma: false,
        }
    }

    /// Opens an object.
    pub fn object(&mut self) -> &mut Self {
        self.open(b"{")
    }

    /// Closes an object.
    pub fn end_object(&mut self) -> &mut Self {
        self.close(b"}")
    }

    /// Opens an array.
    pub fn array(&mut self) -> &mut Self {
        self.open(b"[")
    }

    /// Closes an array.
    pub fn end_array(&mut self) -> &mut Self {
        self.close(b"]")
    }

    /// Writes a member's name.
    pub fn key(&mut self, name: &str) -> &mut Self {
        self.string(name);
        self.sink.put(b":");
        self.needs_comma = false;
        self
    }

    /// Writes a string, escaped as RFC 8259 section 7 requires.
    pub fn string(&mut self, text: &str) -> &mut Self {
        self.comma();
        self.sink.put(b"\"");
        let mut plain = text.as_bytes();
        while let Some(at) = plain
            .iter()
            .position(|&byte| byte < b' ' || byte == b'"' || byte == b'\\')
        {
            let (before, rest) = plain.split_at(at);
            self.sink.put(before);
            if let Some((&byte, rest)) = rest.split_first() {
                self.escape(byte);
                plain = rest;
            }
        }
        self.sink.put(plain);
        self.sink.put(b"\"");
        self
    }

    /// Writes a whole number.
    pub fn number(&mut self, value: u64) -> &mut Self {
        self.comma();
        self.sink.put(decimal(value, &mut [0; 20]));
        self
    }

    /// Writes `true` or `false`.
    pub fn bool(&mut self, value: bool) -> &mut Self {
        self.comma();
        self.sink.put(if value { b"true" } else { b"false" });
        self
    }

    /// Writes bytes that are JSON already: see [`is_valid`].
    pub fn raw(&mut self, json: &[u8]) -> &mut Self {
        self.comma();
        self.sink.put(json);
        self
    }

    fn escape(&mut self, byte: u8) {
        if byte >= b' ' {
            self.sink.put(&[b'\\', byte]);
        } else {
            let text = [
                b'\\',
                b'u',
                b'0',
                b'0',
                b'0' + (byte >> 4),
                hex_digit(byte & 15),
            ];
            self.sink.put(&text);
        }
    }

    fn comma(&mut self) {
        if self.needs_comma {
            self.sink.put(b",");
        }
        self.needs_comma = true;
    }

    fn open(&mut self, bracket: &[u8]) -> &mut Self {
        self.comma();
        self.needs_comma = false;
        self.sink.put(bracket);
        self
    }

    fn close(&mut self, bracket: &[u8]) -> &mut Self {
        self.needs_comma = true;
        self.sink.put(bracket);
        self
    }
}

/// The deepest nesting that [`is_valid`] accepts (RFC 8259 section 9 lets a
/// reader set one).
pub const MAX_DEPTH: u32 = 64;

/// Whether the bytes are one JSON text in UTF-8, nested no deeper than
/// [`MAX_DEPTH`]. Time is linear and memory constant: the brackets that are
/// open stand in one word.
pub fn is_valid(bytes: &[u8]) -> bool {
    ascii::utf8(bytes).is_some() && Check { bytes }.text().is_some()
}

struct Check<'a> {
    bytes: &'a [u8],
}

impl Check<'_> {
    fn text(&mut self) -> Option<()> {
        // Bit 0 of `open` says whether the innermost bracket is a brace.
        let (mut open, mut depth) = (0_u64, 0_u32);
        loop {
            // A value stands here, with a name before it inside braces.
            self.space();
            let mut is_closed = false;
            match self.peek()? {
                bracket @ (b'{' | b'[') => {
                    if depth == MAX_DEPTH {
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
                    self.space();
                    if depth == 0 {
                        return self.bytes.is_empty().then_some(());
                    }
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

    fn peek(&self) -> Option<u8> {
        self.bytes.first().copied()
    }

    fn skip(&mut self, count: usize) {
        self.bytes = ascii::from(self.bytes, count);
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.skip(1);
        }
    }

    fn name(&mut self) -> Option<()> {
        self.string()?;
        self.space();
        self.word(b":")
    }

    fn word(&mut self, word: &[u8]) -> Option<()> {
        self.bytes = self.bytes.strip_prefix(word)?;
        Some(())
    }

    fn string(&mut self) -> Option<()> {
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
                    } else if !matches!(
                        escape,
                        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't'
                    ) {
                        return None;
                    }
                }
                0..b' ' => return None,
                _ => {}
            }
        }
    }

    fn number(&mut self) -> Option<()> {
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

    fn digits(&mut self) -> Option<()> {
        let count = self
            .bytes
            .iter()
            .take_while(|&&byte| ascii::is(byte, DIGIT))
            .count();
        self.skip(count);
        (count > 0).then_some(())
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::string::String;
    use std::vec::Vec;

    impl Sink for &mut Vec<u8> {
        fn put(&mut self, bytes: &[u8]) {
            self.extend_from_slice(bytes);
        }
    }

    #[test]
    fn members_are_separated_and_strings_escaped() {
        let mut out = Vec::new();
        let mut json = Json::new(&mut out);
        json.object()
            .key("a\"\\")
            .string("\n\u{1f}é")
            .key("b")
            .array();
        json.number(0)
            .number(u64::MAX)
            .bool(true)
            .object()
            .end_object();
        json.end_array().key("c").raw(b"null").end_object();
        let expected = r#"{"a\"\\":"\u000A\u001Fé","b":[0,18446744073709551615,true,{}],"c":null}"#;
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

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
        fn every_written_string_is_valid(text: String) {
            let mut out = Vec::new();
            Json::new(&mut out).array().string(&text).number(1).end_array();
            prop_assert!(is_valid(&out));
        }

        #[test]
        fn no_bytes_make_the_check_panic(bytes: Vec<u8>) {
            is_valid(&bytes);
        }
    }
}
