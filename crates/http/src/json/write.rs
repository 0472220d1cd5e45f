//! The writer.

use crate::ascii::{decimal, hex_digit};

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

    /// A writer in the midst of a text that other writers have begun: behind a
    /// value there, or where the next one needs no comma.
    pub fn resume(sink: S, is_behind_value: bool) -> Self {
        Self {
            sink,
            needs_comma: is_behind_value,
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
        for &byte in text.as_bytes() {
            if byte < b' ' {
                let (high, low) = (b'0' + (byte >> 4), hex_digit(byte & 15));
                self.sink.put(&[b'\\', b'u', b'0', b'0', high, low]);
                continue;
            }
            if matches!(byte, b'"' | b'\\') {
                self.sink.put(b"\\");
            }
            self.sink.put(&[byte]);
        }
        self.sink.put(b"\"");
        self
    }

    /// Writes a whole number.
    pub fn number(&mut self, value: u64) -> &mut Self {
        self.comma();
        self.sink.put(decimal(value, &mut [0; 20]));
        self
    }

    /// Writes `null`.
    pub fn null(&mut self) -> &mut Self {
        self.raw(b"null")
    }

    /// Writes `true` or `false`.
    pub fn bool(&mut self, value: bool) -> &mut Self {
        self.comma();
        self.sink.put(if value { b"true" } else { b"false" });
        self
    }

    /// Writes bytes that are JSON already: see [`super::is_valid`].
    pub fn raw(&mut self, json: &[u8]) -> &mut Self {
        self.comma();
        self.sink.put(json);
        self
    }

    #[inline(never)]
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

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::json::is_valid;
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
        json.end_array().key("c").null().end_object();
        let expected = r#"{"a\"\\":"\u000A\u001Fé","b":[0,18446744073709551615,true,{}],"c":null}"#;
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    proptest! {
        #[test]
        fn every_written_string_is_valid(text: String) {
            let mut out = Vec::new();
            Json::new(&mut out).array().string(&text).number(1).end_array();
            prop_assert!(is_valid(&out));
        }
    }
}
