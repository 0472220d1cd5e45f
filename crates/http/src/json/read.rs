//! The pull parser: the caller asks for what it expects and is told what is
//! wrong and where. Nothing is looked at twice, and nothing is built.

use super::check::{Check, MAX_DEPTH};
use crate::ascii::{self, hex_value};

/// Reads one JSON text, piece by piece. Escapes are decoded where they stand,
/// so that every string is a piece of the bytes given, and no buffer is needed.
///
/// The first fault is kept, and from there on nothing is read: names are at
/// their end, strings are empty, numbers are 0. So a text is read in one go and
/// judged once, by [`Self::end`]; before that nothing read counts.
///
/// ```
/// # use ounce_http::json::{Fault, Reader};
/// # fn read() -> Result<(), Fault> {
/// let mut bytes = *br#"{"name": "caf\u00e9", "sizes": [1, 2], "more": {}}"#;
/// let mut json = Reader::new(&mut bytes);
/// let (mut name, mut total) = ("", 0);
/// json.object();
/// while let Some(key) = json.key() {
///     match key {
///         "name" => name = json.string(),
///         "sizes" => {
///             json.array();
///             while json.element() {
///                 total += json.u64();
///             }
///         }
///         _ => json.skip(),
///     }
/// }
/// json.end()?;
/// assert_eq!((name, total), ("café", 3));
/// # Ok(())
/// # }
/// # read().unwrap();
/// ```
#[derive(Debug)]
pub struct Reader<'a> {
    rest: &'a mut [u8],
    length: usize,
    depth: u32,
    /// A value stands before this place within the innermost bracket.
    has_value: bool,
    fault: Option<Kind>,
}

/// What a value is; as a fault, what was asked for where something else stands.
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
    /// No value at all.
    Nothing,
}

/// What is wrong with a text, and the number of bytes before that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
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
            fault: None,
        }
    }

    /// What the next value is; it is not taken.
    #[inline(never)]
    pub fn peek(&mut self) -> Kind {
        self.space();
        match self.rest.first() {
            _ if self.has_value || self.fault.is_some() => Kind::Nothing,
            Some(b'n') => Kind::Null,
            Some(b't' | b'f') => Kind::Bool,
            Some(b'-' | b'0'..=b'9') => Kind::Number,
            Some(b'"') => Kind::String,
            Some(b'[') => Kind::Array,
            Some(b'{') => Kind::Object,
            _ => Kind::Nothing,
        }
    }

    /// Enters an object; then [`Self::key`] until it is `None`.
    pub fn object(&mut self) {
        self.open(Kind::Object);
    }

    /// Enters an array; then [`Self::element`] until it is false.
    pub fn array(&mut self) {
        self.open(Kind::Array);
    }

    /// The name of the object's next member, whose value must be taken next;
    /// `None` behind the last, and the object is left.
    #[inline(never)]
    pub fn key(&mut self) -> Option<&'a str> {
        if !self.goes_on(b'}') {
            return None;
        }
        let name = self.string();
        self.space();
        self.take(|check| check.word(b":"));
        self.has_value = false;
        self.fault.is_none().then_some(name)
    }

    /// Whether one more element stands here, which must be taken next; if not,
    /// the array is left.
    pub fn element(&mut self) -> bool {
        self.goes_on(b']')
    }

    /// Takes a string, decoded.
    #[inline(never)]
    pub fn string(&mut self) -> &'a str {
        let text = self.value(Kind::String, |check| check.string());
        // Without the quotes.
        let end = text.len().saturating_sub(1);
        let text = text.get_mut(1..end).unwrap_or_default();
        let decoded = unescape(text).and_then(|length| ascii::utf8(text.get(..length)?));
        decoded.unwrap_or_else(|| {
            self.fail(Kind::Nothing);
            ""
        })
    }

    /// Takes a number as it is written.
    pub fn number(&mut self) -> &'a str {
        let text = self.value(Kind::Number, |check| check.number());
        // It is ASCII.
        ascii::utf8(text).unwrap_or_default()
    }

    /// Takes a number written as digits alone. A sign, a fraction, an exponent
    /// and what does not fit are faults.
    #[inline(never)]
    pub fn u64(&mut self) -> u64 {
        let value = whole(self.number().as_bytes());
        self.or_fail(value)
    }

    /// Takes a number written as digits, with a minus or without; as
    /// [`Self::u64`].
    pub fn i64(&mut self) -> i64 {
        let text = self.number().as_bytes();
        let value = match text.strip_prefix(b"-") {
            Some(digits) => whole(digits).and_then(|value| 0_i64.checked_sub_unsigned(value)),
            None => whole(text).and_then(|value| i64::try_from(value).ok()),
        };
        self.or_fail(value)
    }

    /// Takes `true` or `false`.
    pub fn bool(&mut self) -> bool {
        let text = self.value(Kind::Bool, |check| {
            check.word(b"true").or_else(|| check.word(b"false"))
        });
        text == b"true"
    }

    /// Takes `null` if it stands here, and says whether it did.
    pub fn null(&mut self) -> bool {
        let is_null = self.peek() == Kind::Null;
        if is_null {
            self.value(Kind::Null, |check| check.word(b"null"));
        }
        is_null
    }

    /// Takes any value, checked, as it is written.
    #[inline(never)]
    pub fn raw(&mut self) -> &'a str {
        if self.peek() == Kind::Nothing {
            self.fail(Kind::Nothing);
        }
        let mut check = Check { bytes: self.rest };
        let found = check.value(MAX_DEPTH - self.depth);
        let behind = check.bytes.len();
        let text = self.split(self.rest.len() - behind);
        self.has_value = true;
        let text = found.and_then(|()| ascii::utf8(text));
        if text.is_none() {
            self.fail(Kind::Nothing);
        }
        text.unwrap_or_default()
    }

    /// Takes any value as it is written, for a reader of its own to read later.
    /// That it is UTF-8 that one will see to, string by string. (As [`Self::raw`];
    /// what both have in common, apart, makes programs with one of them longer.)
    #[inline(never)]
    pub fn part(&mut self) -> &'a mut [u8] {
        if self.peek() == Kind::Nothing {
            self.fail(Kind::Nothing);
        }
        let mut check = Check { bytes: self.rest };
        let found = check.value(MAX_DEPTH - self.depth);
        let behind = check.bytes.len();
        let text = self.split(self.rest.len() - behind);
        self.has_value = true;
        if found.is_none() {
            self.fail(Kind::Nothing);
            return &mut [];
        }
        text
    }

    /// Takes any value, checked, and drops it.
    pub fn skip(&mut self) {
        self.raw();
    }

    /// Judges the text: one value, taken, and nothing behind it.
    ///
    /// # Errors
    /// The first fault.
    #[inline(never)]
    pub fn end(mut self) -> Result<(), Fault> {
        self.space();
        let at = self.length - self.rest.len();
        match self.fault {
            None if self.has_value && self.depth == 0 && self.rest.is_empty() => Ok(()),
            None | Some(Kind::Nothing) => Err(Fault::Malformed(at)),
            Some(_) => Err(Fault::Unexpected(at)),
        }
    }

    /// Behind a bracket or a value: whether there is one more, or the end.
    fn goes_on(&mut self, bracket: u8) -> bool {
        self.space();
        let next = self.rest.first().copied();
        if self.fault.is_some() || self.depth == 0 {
            self.fail(Kind::Nothing);
            return false;
        }
        if next == Some(bracket) {
            self.split(1);
            self.depth -= 1;
            self.has_value = true;
            return false;
        }
        if self.has_value {
            if next != Some(b',') {
                self.fail(Kind::Nothing);
                return false;
            }
            self.split(1);
            self.has_value = false;
        }
        true
    }

    fn open(&mut self, kind: Kind) {
        // One byte of either bracket.
        self.value(kind, |check| {
            check.bytes = check.bytes.get(1..)?;
            Some(())
        });
        if self.depth == MAX_DEPTH {
            self.fail(Kind::Nothing);
        } else {
            self.depth += 1;
        }
        self.has_value = false;
    }

    /// Takes a value of this kind, of this grammar.
    #[inline(never)]
    fn value(&mut self, kind: Kind, grammar: Grammar) -> &'a mut [u8] {
        match self.peek() {
            Kind::Nothing => self.fail(Kind::Nothing),
            found if found != kind => self.fail(kind),
            _ => {}
        }
        self.has_value = true;
        self.take(grammar)
    }

    fn or_fail<T: Default>(&mut self, value: Option<T>) -> T {
        value.unwrap_or_else(|| {
            self.fail(Kind::Number);
            T::default()
        })
    }

    fn space(&mut self) {
        self.take(|check| {
            check.space();
            Some(())
        });
    }

    /// Notes a fault, unless there is one.
    #[inline(never)]
    fn fail(&mut self, fault: Kind) {
        self.fault = self.fault.or(Some(fault));
    }

    /// Takes what the grammar takes; on a fault, what is good before it.
    #[inline(never)]
    fn take(&mut self, grammar: Grammar) -> &'a mut [u8] {
        if self.fault.is_some() {
            return &mut [];
        }
        let mut check = Check { bytes: self.rest };
        let found = grammar(&mut check);
        let behind = check.bytes.len();
        let taken = self.split(self.rest.len() - behind);
        if found.is_none() {
            self.fail(Kind::Nothing);
            return &mut [];
        }
        taken
    }

    #[inline(never)]
    fn split(&mut self, count: usize) -> &'a mut [u8] {
        let all = core::mem::take(&mut self.rest);
        let (taken, rest) = all.split_at_mut_checked(count).unwrap_or_default();
        self.rest = rest;
        taken
    }
}

/// Digits alone, as a number.
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
    fn copy(json: &mut Reader<'_>, out: &mut Json<&mut Vec<u8>>) {
        match json.peek() {
            Kind::Null => {
                assert!(json.null());
                out.null();
            }
            Kind::Bool => {
                out.bool(json.bool());
            }
            Kind::Number => {
                out.raw(json.number().as_bytes());
            }
            Kind::String => {
                out.string(json.string());
            }
            Kind::Array => {
                json.array();
                out.array();
                while json.element() {
                    copy(json, out);
                }
                out.end_array();
            }
            Kind::Object => {
                json.object();
                out.object();
                while let Some(key) = json.key() {
                    out.key(key);
                    copy(json, out);
                }
                out.end_object();
            }
            Kind::Nothing => json.skip(),
        }
    }

    fn copied(text: &[u8]) -> Result<String, Fault> {
        let mut bytes = text.to_vec();
        let mut out = Vec::new();
        let mut json = Reader::new(&mut bytes);
        copy(&mut json, &mut Json::new(&mut out));
        json.end()?;
        Ok(String::from_utf8(out).unwrap())
    }

    fn string(text: &str) -> Result<String, Fault> {
        let mut bytes = text.as_bytes().to_vec();
        let mut json = Reader::new(&mut bytes);
        let string = json.string().to_string();
        json.end().map(|()| string)
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
            assert_eq!(string(half), Err(Fault::Malformed(half.len())), "{half}");
        }
    }

    #[test]
    fn a_part_is_read_by_a_reader_of_its_own_later() {
        let mut bytes = *br#" {"a": [1, "\u0062"] , "c": 2}"#;
        let mut json = Reader::new(&mut bytes);
        json.object();
        json.key();
        let part = json.part();
        assert_eq!((json.key(), json.u64(), json.key()), (Some("c"), 2, None));
        assert_eq!(json.end(), Ok(()));
        let mut json = Reader::new(part);
        json.array();
        assert!(json.element() && json.u64() == 1 && json.element());
        assert_eq!((json.string(), json.element()), ("b", false));
        assert_eq!(json.end(), Ok(()));
        let mut bytes = *b"[1, {]";
        let mut json = Reader::new(&mut bytes);
        assert_eq!(json.part(), b"");
        assert_eq!(json.end(), Err(Fault::Malformed(5)));
    }

    #[test]
    fn names_are_decoded_before_they_are_compared() {
        let mut bytes = *br#"{"\u0069d": 7}"#;
        let mut json = Reader::new(&mut bytes);
        json.object();
        assert_eq!(json.key(), Some("id"));
        assert_eq!(json.u64(), 7);
        assert_eq!(json.key(), None);
        assert_eq!(json.end(), Ok(()));
    }

    #[test]
    fn whole_numbers_keep_within_their_bounds() {
        let read = |text: &str| {
            let mut bytes = text.as_bytes().to_vec();
            let mut json = Reader::new(&mut bytes);
            let unsigned = json.u64();
            let unsigned = json.end().is_ok().then_some(unsigned);
            let mut json = Reader::new(&mut bytes);
            let signed = json.i64();
            (unsigned, json.end().is_ok().then_some(signed))
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
        let mut bytes = *b" {}";
        let mut json = Reader::new(&mut bytes);
        json.array();
        assert_eq!(json.end(), Err(Fault::Unexpected(1)));
        let mut bytes = *b"{\"a\": \"1\"}";
        let mut json = Reader::new(&mut bytes);
        json.object();
        json.key();
        assert_eq!(json.u64(), 0);
        assert_eq!(json.end(), Err(Fault::Unexpected(6)));
        let mut bytes = *b"{\"b\": }";
        let mut json = Reader::new(&mut bytes);
        json.object();
        assert_eq!(json.key(), Some("b"));
        json.skip();
        assert_eq!(json.end(), Err(Fault::Malformed(6)));
    }

    #[test]
    fn behind_a_fault_nothing_is_read() {
        let mut bytes = *b"[1, x, {\"a\": [true, \"b\"]}]";
        let mut json = Reader::new(&mut bytes);
        json.array();
        assert!(json.element());
        assert_eq!(json.u64(), 1);
        assert!(json.element());
        assert_eq!(json.u64(), 0);
        assert!(!json.element() && !json.bool() && !json.null());
        json.object();
        assert_eq!((json.key(), json.string(), json.raw()), (None, "", ""));
        assert_eq!(json.peek(), Kind::Nothing);
        assert_eq!(json.end(), Err(Fault::Malformed(4)));
    }

    #[test]
    fn nesting_has_the_same_limit_read_or_skipped() {
        for (depth, is_fine) in [(64, true), (65, false)] {
            let text = "[".repeat(depth) + &"]".repeat(depth);
            assert_eq!(copied(text.as_bytes()).is_ok(), is_fine);
            let mut bytes = text.into_bytes();
            let mut json = Reader::new(&mut bytes);
            json.array();
            json.element();
            json.skip();
            json.element();
            assert_eq!(json.end().is_ok(), is_fine);
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
            prop_assert_eq!(Reader::new(&mut out).string(), &*text);
        }

        #[test]
        fn no_bytes_make_the_reader_panic(mut bytes: Vec<u8>) {
            let _ = copied(&bytes);
            let mut json = Reader::new(&mut bytes);
            // Going on behind an error must not panic, either.
            json.object();
            let _ = (json.key(), json.i64(), json.element(), json.raw(), json.bool());
        }
    }
}
