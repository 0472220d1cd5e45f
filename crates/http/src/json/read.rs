//! The pull parser: the caller asks for what it expects and is told what is
//! wrong and where. Nothing is looked at twice, and nothing is built.

use super::check::{Check, MAX_DEPTH};
use crate::ascii::{self, hex_value};

/// Reads one JSON text, piece by piece. Escapes are decoded where they stand,
/// so that every string is a piece of the bytes given, and no buffer is needed.
///
/// ```
/// # use ounce_http::json::{Error, Reader};
/// # fn read() -> Result<(), Error> {
/// let mut bytes = *br#"{"name": "caf\u00e9", "sizes": [1, 2], "more": {}}"#;
/// let mut json = Reader::new(&mut bytes);
/// let (mut name, mut total) = ("", 0);
/// json.object()?;
/// while let Some(key) = json.key()? {
///     match key {
///         "name" => name = json.string()?,
///         "sizes" => {
///             json.array()?;
///             while json.element()? {
///                 total += json.u64()?;
///             }
///         }
///         _ => json.skip()?,
///     }
/// }
/// json.end()?;
/// assert_eq!((name, total), ("café", 3));
/// # Ok(())
/// # }
/// # read().unwrap();
/// ```
///
/// A text counts as checked once [`Self::end`] has returned `Ok`.
#[derive(Debug)]
pub struct Reader<'a> {
    rest: &'a mut [u8],
    length: usize,
    depth: u32,
    /// A value stands before this place within the innermost bracket.
    has_value: bool,
}

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `null`
    Null,
    /// `true` or `false`
    Bool,
    /// Any number.
    Number,
    /// A string.
    String,
    /// `[`
    Array,
    /// `{`
    Object,
}

/// What is wrong with a text; each carries the number of bytes before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// This is not JSON in UTF-8, or has half a surrogate pair where a string
    /// was asked for, or stands deeper than [`MAX_DEPTH`].
    Malformed(usize),
    /// A value of another kind than asked for, or a number that does not fit.
    Unexpected(usize),
}

type Grammar = for<'b> fn(&mut Check<'b>) -> Option<()>;

impl<'a> Reader<'a> {
    /// A reader before the text's only value. Bytes that were read may have
    /// changed.
    pub fn new(bytes: &'a mut [u8]) -> Self {
        Self {
            length: bytes.len(),
            rest: bytes,
            depth: 0,
            has_value: false,
        }
    }

    /// What the next value is; it is not taken.
    ///
    /// # Errors
    /// [`Error::Malformed`] where no value starts here.
    #[inline(never)]
    pub fn peek(&mut self) -> Result<Kind, Error> {
        self.space();
        let kind = match self.rest.first() {
            _ if self.has_value => None,
            Some(b'n') => Some(Kind::Null),
            Some(b't' | b'f') => Some(Kind::Bool),
            Some(b'-' | b'0'..=b'9') => Some(Kind::Number),
            Some(b'"') => Some(Kind::String),
            Some(b'[') => Some(Kind::Array),
            Some(b'{') => Some(Kind::Object),
            _ => None,
        };
        kind.ok_or(Error::Malformed(self.position()))
    }

    /// Enters an object; then [`Self::key`] until it is `None`.
    ///
    /// # Errors
    /// As all that take a value: [`Error::Unexpected`] for one of another kind,
    /// [`Error::Malformed`] where there is none.
    pub fn object(&mut self) -> Result<(), Error> {
        self.open(Kind::Object)
    }

    /// Enters an array; then [`Self::element`] until it is false.
    ///
    /// # Errors
    /// As [`Self::object`].
    pub fn array(&mut self) -> Result<(), Error> {
        self.open(Kind::Array)
    }

    /// The name of the object's next member, whose value must be taken next;
    /// `None` behind the last, and the object is left.
    ///
    /// # Errors
    /// [`Error::Malformed`] where neither stands here.
    pub fn key(&mut self) -> Result<Option<&'a str>, Error> {
        if !self.goes_on(b'}')? {
            return Ok(None);
        }
        let name = self.string()?;
        self.space();
        self.take(|check| check.word(b":"))?;
        self.has_value = false;
        Ok(Some(name))
    }

    /// Whether one more element stands here, which must be taken next; if not,
    /// the array is left.
    ///
    /// # Errors
    /// [`Error::Malformed`] where neither an element nor the end stands here.
    pub fn element(&mut self) -> Result<bool, Error> {
        self.goes_on(b']')
    }

    /// Takes a string, decoded.
    ///
    /// # Errors
    /// As [`Self::object`].
    #[inline(never)]
    pub fn string(&mut self) -> Result<&'a str, Error> {
        self.start(Kind::String)?;
        let fault = Error::Malformed(self.position());
        let text = self.take(|check| check.string())?;
        // Without the quotes, which are there.
        let text = text.get_mut(1..text.len() - 1).unwrap_or_default();
        let length = unescape(text).ok_or(fault)?;
        text.get(..length).and_then(ascii::utf8).ok_or(fault)
    }

    /// Takes a number as it is written.
    ///
    /// # Errors
    /// As [`Self::object`].
    pub fn number(&mut self) -> Result<&'a str, Error> {
        self.start(Kind::Number)?;
        let text = self.take(|check| check.number())?;
        // It is ASCII.
        Ok(ascii::utf8(text).unwrap_or_default())
    }

    /// Takes a number written as digits alone.
    ///
    /// # Errors
    /// As [`Self::object`]; [`Error::Unexpected`] for a sign, a fraction, an
    /// exponent and what does not fit.
    pub fn u64(&mut self) -> Result<u64, Error> {
        let text = self.number()?;
        whole(text.as_bytes()).ok_or(Error::Unexpected(self.position()))
    }

    /// Takes a number written as digits, with a minus or without.
    ///
    /// # Errors
    /// As [`Self::u64`].
    pub fn i64(&mut self) -> Result<i64, Error> {
        let text = self.number()?.as_bytes();
        let value = match text.strip_prefix(b"-") {
            Some(digits) => whole(digits).and_then(|value| 0_i64.checked_sub_unsigned(value)),
            None => whole(text).and_then(|value| i64::try_from(value).ok()),
        };
        value.ok_or(Error::Unexpected(self.position()))
    }

    /// Takes `true` or `false`.
    ///
    /// # Errors
    /// As [`Self::object`].
    pub fn bool(&mut self) -> Result<bool, Error> {
        self.start(Kind::Bool)?;
        let is_true = self.rest.first() == Some(&b't');
        self.take(if is_true {
            |check| check.word(b"true")
        } else {
            |check| check.word(b"false")
        })?;
        Ok(is_true)
    }

    /// Takes `null` if it stands here, and says whether it did.
    ///
    /// # Errors
    /// [`Error::Malformed`] where no value starts here.
    pub fn null(&mut self) -> Result<bool, Error> {
        if self.peek()? != Kind::Null {
            return Ok(false);
        }
        self.take(|check| check.word(b"null"))?;
        self.has_value = true;
        Ok(true)
    }

    /// Takes any value, checked, as it is written.
    ///
    /// # Errors
    /// [`Error::Malformed`] where there is none.
    #[inline(never)]
    pub fn raw(&mut self) -> Result<&'a str, Error> {
        self.peek()?;
        let fault = Error::Malformed(self.position());
        let mut check = Check { bytes: self.rest };
        let found = check.value(MAX_DEPTH - self.depth);
        let behind = check.bytes.len();
        let text = self.split(self.rest.len() - behind);
        self.has_value = true;
        found.ok_or(Error::Malformed(self.position()))?;
        ascii::utf8(text).ok_or(fault)
    }

    /// Takes any value, checked, and drops it.
    ///
    /// # Errors
    /// As [`Self::raw`].
    pub fn skip(&mut self) -> Result<(), Error> {
        self.raw().map(drop)
    }

    /// Says that the text is whole: one value, taken, and nothing behind it.
    ///
    /// # Errors
    /// [`Error::Malformed`] where it is not.
    pub fn end(mut self) -> Result<(), Error> {
        self.space();
        if self.has_value && self.depth == 0 && self.rest.is_empty() {
            return Ok(());
        }
        Err(Error::Malformed(self.position()))
    }

    /// How many bytes are taken.
    fn position(&self) -> usize {
        self.length - self.rest.len()
    }

    /// Behind a bracket or a value: whether there is one more, or the end.
    #[inline(never)]
    fn goes_on(&mut self, bracket: u8) -> Result<bool, Error> {
        self.space();
        let next = self.rest.first().copied();
        if self.depth > 0 && next == Some(bracket) {
            self.split(1);
            self.depth -= 1;
            self.has_value = true;
            return Ok(false);
        }
        if self.has_value {
            if self.depth == 0 || next != Some(b',') {
                return Err(Error::Malformed(self.position()));
            }
            self.split(1);
            self.has_value = false;
        }
        Ok(true)
    }

    fn open(&mut self, kind: Kind) -> Result<(), Error> {
        self.start(kind)?;
        if self.depth == MAX_DEPTH {
            return Err(Error::Malformed(self.position()));
        }
        self.split(1);
        self.depth += 1;
        self.has_value = false;
        Ok(())
    }

    /// Makes sure of the next value's kind.
    fn start(&mut self, kind: Kind) -> Result<(), Error> {
        if self.peek()? != kind {
            return Err(Error::Unexpected(self.position()));
        }
        self.has_value = true;
        Ok(())
    }

    fn space(&mut self) {
        let _ = self.take(|check| {
            check.space();
            Some(())
        });
    }

    /// Takes what the grammar takes; on a fault, what is good before it.
    #[inline(never)]
    fn take(&mut self, grammar: Grammar) -> Result<&'a mut [u8], Error> {
        let mut check = Check { bytes: self.rest };
        let found = grammar(&mut check);
        let behind = check.bytes.len();
        let taken = self.split(self.rest.len() - behind);
        match found {
            Some(()) => Ok(taken),
            None => Err(Error::Malformed(self.position())),
        }
    }

    fn split(&mut self, count: usize) -> &'a mut [u8] {
        let all = core::mem::take(&mut self.rest);
        let (taken, rest) = all.split_at_mut_checked(count).unwrap_or_default();
        self.rest = rest;
        taken
    }
}

/// Digits alone, as a number.
#[inline(never)]
fn whole(digits: &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for digit in digits {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(digit.into())?;
    }
    Some(value)
}

/// Decodes the escapes of a string, each of which is well formed, in place; the
/// length that is left. `None` where half a surrogate pair stands alone.
#[inline(never)]
fn unescape(text: &mut [u8]) -> Option<usize> {
    let (mut from, mut to) = (0, 0);
    while let Some(&byte) = text.get(from) {
        let mut decoded = [byte; 4];
        let mut length = 1;
        from += 1;
        if byte == b'\\' {
            let escape = *text.get(from)?;
            from += 1;
            decoded[0] = match escape {
                b'b' => 8,
                b'f' => 12,
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                other => other,
            };
            if escape == b'u' {
                let mut code = four_digits(text, from)?;
                from += 4;
                // RFC 8259 section 7: what is past 16 bits is a pair, high half first.
                if code >> 10 == 0xd800 >> 10 && text.get(from..)?.starts_with(b"\\u") {
                    let low = four_digits(text, from + 2)?.wrapping_sub(0xdc00);
                    if low < 0x400 {
                        code = 0x10000 + ((code & 0x3ff) << 10 | low);
                        from += 6;
                    }
                }
                // Half a pair is no character.
                length = char::from_u32(code)?.encode_utf8(&mut decoded).len();
            }
        }
        // What is written is never longer than what was read.
        text.get_mut(to..to + length)?
            .copy_from_slice(decoded.get(..length)?);
        to += length;
    }
    Some(to)
}

fn four_digits(text: &[u8], at: usize) -> Option<u32> {
    let digits = text.get(at..at + 4)?;
    let append = |code, &digit| Some(code << 4 | u32::from(hex_value(digit)?));
    digits.iter().try_fold(0, append)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::json::{Json, is_valid};
    use proptest::prelude::*;
    use std::string::{String, ToString};
    use std::vec::Vec;

    /// Reads anything by the reader's own means and writes it again.
    fn copy(json: &mut Reader<'_>, out: &mut Json<&mut Vec<u8>>) -> Result<(), Error> {
        match json.peek()? {
            Kind::Null => {
                assert!(json.null()?);
                out.raw(b"null");
            }
            Kind::Bool => {
                out.bool(json.bool()?);
            }
            Kind::Number => {
                out.raw(json.number()?.as_bytes());
            }
            Kind::String => {
                out.string(json.string()?);
            }
            Kind::Array => {
                json.array()?;
                out.array();
                while json.element()? {
                    copy(json, out)?;
                }
                out.end_array();
            }
            Kind::Object => {
                json.object()?;
                out.object();
                while let Some(key) = json.key()? {
                    out.key(key);
                    copy(json, out)?;
                }
                out.end_object();
            }
        }
        Ok(())
    }

    fn copied(text: &[u8]) -> Result<String, Error> {
        let mut bytes = text.to_vec();
        let mut out = Vec::new();
        let mut json = Reader::new(&mut bytes);
        copy(&mut json, &mut Json::new(&mut out))?;
        json.end()?;
        Ok(String::from_utf8(out).unwrap())
    }

    fn string(text: &str) -> Result<String, Error> {
        let mut bytes = text.as_bytes().to_vec();
        let mut json = Reader::new(&mut bytes);
        json.string().map(ToString::to_string)
    }

    #[test]
    fn whatever_is_read_is_what_is_written() {
        for text in [
            "null",
            "[]",
            "{}",
            "[[],{},[1,-0.5e+3,true],\"\"]",
            "{\"a\":{\"b\":[null,false]},\"c\":\"d\"}",
        ] {
            assert_eq!(copied(text.as_bytes()).as_deref(), Ok(text));
        }
        let spaced = " { \"a\" : [ 1 , 2 ] , \"b\" : \"c\" } \r\n\t";
        assert_eq!(
            copied(spaced.as_bytes()).as_deref(),
            Ok("{\"a\":[1,2],\"b\":\"c\"}")
        );
    }

    #[test]
    fn rfc8259_7_escapes_are_decoded_where_they_stand() {
        for (text, expected) in [
            (r#""\"\\\/\b\f\n\r\t""#, "\"\\/\u{8}\u{c}\n\r\t"),
            (r#""\u00e9\u20AC\u0000""#, "é€\0"),
            (r#""\uD83D\uDe00x""#, "😀x"),
            (r#""\u0041b\u0063""#, "Abc"),
        ] {
            assert_eq!(string(text).as_deref(), Ok(expected), "{text}");
        }
        for half in [
            r#""\ud83d""#,
            r#""\ude00""#,
            r#""\ud83dx""#,
            r#""\ud83d\ud83d""#,
        ] {
            assert_eq!(string(half), Err(Error::Malformed(0)), "{half}");
        }
    }

    #[test]
    fn names_are_decoded_before_they_are_compared() {
        let mut bytes = *br#"{"\u0069d": 7}"#;
        let mut json = Reader::new(&mut bytes);
        json.object().unwrap();
        assert_eq!(json.key(), Ok(Some("id")));
        assert_eq!(json.u64(), Ok(7));
        assert_eq!(json.key(), Ok(None));
        assert_eq!(json.end(), Ok(()));
    }

    #[test]
    fn whole_numbers_keep_within_their_bounds() {
        let read = |text: &str| {
            let mut bytes = text.as_bytes().to_vec();
            let unsigned = Reader::new(&mut bytes).u64().ok();
            let signed = Reader::new(&mut bytes).i64().ok();
            (unsigned, signed)
        };
        let (least, most) = (i64::MIN.to_string(), u64::MAX.to_string());
        assert_eq!(read("0"), (Some(0), Some(0)));
        assert_eq!(read("-0"), (None, Some(0)));
        assert_eq!(read(&most), (Some(u64::MAX), None));
        assert_eq!(read(&least), (None, Some(i64::MIN)));
        assert_eq!(read("18446744073709551616"), (None, None));
        assert_eq!(read("-9223372036854775809"), (None, None));
        assert_eq!(read("1.0"), (None, None));
        assert_eq!(read("1e2"), (None, None));
    }

    #[test]
    fn another_kind_of_value_is_told_from_none_at_all() {
        let mut bytes = *b"{\"a\": \"1\", \"b\": }";
        let mut json = Reader::new(&mut bytes);
        assert_eq!(json.array(), Err(Error::Unexpected(0)));
        json.object().unwrap();
        json.key().unwrap();
        assert_eq!(json.u64(), Err(Error::Unexpected(6)));
        assert_eq!(json.string(), Ok("1"));
        assert_eq!(json.key(), Ok(Some("b")));
        assert_eq!(json.skip(), Err(Error::Malformed(16)));
    }

    #[test]
    fn nesting_has_the_same_limit_read_or_skipped() {
        for (depth, is_fine) in [(64, true), (65, false)] {
            let text = "[".repeat(depth) + &"]".repeat(depth);
            assert_eq!(copied(text.as_bytes()).is_ok(), is_fine);
            let mut bytes = text.into_bytes();
            let mut json = Reader::new(&mut bytes);
            json.array().unwrap();
            json.element().unwrap();
            assert_eq!(json.skip().is_ok(), is_fine);
        }
    }

    #[test]
    fn brackets_that_do_not_match_and_text_behind_the_value_are_refused() {
        for text in [
            "",
            " ",
            "[1}",
            "{\"a\":1]",
            "[1,]",
            "[,1]",
            "{,}",
            "{\"a\":1,}",
            "[1 2]",
            "1 2",
            "[]]",
            "{}}",
            "[",
            "{",
            "{\"a\"",
            "{\"a\":",
            "nullx",
            "[1",
            "]",
            "01",
            "-",
            "\"\x7f",
        ] {
            assert!(copied(text.as_bytes()).is_err(), "{text}");
        }
        assert!(copied(b"\"\xff\"").is_err());
        assert!(copied(b"\"\xc3\\u0041\"").is_err());
        assert!(copied(b"\"a\nb\"").is_err());
    }

    fn nearly_json() -> impl Strategy<Value = String> {
        "[\\[\\]{}:,\"\\\\u0-9a-f.eE+ tnrd-]{0,16}|(\\[|\\]|\\{|\\}|\"a\":|,|1|\"\"| |null){0,12}"
    }

    proptest! {
        #[test]
        fn the_reader_and_the_check_agree(text in nearly_json()) {
            // But for halves of surrogate pairs, which only decoding finds.
            prop_assume!(!text.contains("\\ud"));
            prop_assert_eq!(copied(text.as_bytes()).is_ok(), is_valid(text.as_bytes()), "{}", text);
        }

        #[test]
        fn every_string_comes_back_as_it_was_written(text: String) {
            let mut out = Vec::new();
            Json::new(&mut out).string(&text);
            prop_assert_eq!(Reader::new(&mut out).string(), Ok(&*text));
        }

        #[test]
        fn no_bytes_make_the_reader_panic(mut bytes: Vec<u8>) {
            let _ = copied(&bytes);
            let mut json = Reader::new(&mut bytes);
            // Going on behind an error must not panic, either.
            let _ = (json.object(), json.key(), json.i64(), json.element(), json.skip(), json.bool());
        }
    }
}
