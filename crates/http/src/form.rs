//! Names and values as forms send them, in a query or as a body
//! (`application/x-www-form-urlencoded`, WHATWG URL section 5.1), decoded in
//! place.

use crate::ascii::{cut, hex_value, utf8};
use crate::status::Status;

/// Stands between a name and its value once they are decoded.
const EQUALS: u8 = 1;
/// Stands between pairs.
const AND: u8 = 0;

/// Pairs of name and value. As an iterator it gives them in the order they came.
#[derive(Clone, Copy, Debug)]
pub struct Form<'a> {
    rest: Option<&'a str>,
}

impl<'a> Form<'a> {
    /// No pairs.
    pub const EMPTY: Self = Self { rest: None };

    /// Decodes these bytes.
    ///
    /// # Errors
    /// 400 for a malformed escape, for what is not UTF-8, and for the control
    /// characters U+0000 and U+0001.
    #[inline(never)]
    pub fn decode(bytes: &'a mut [u8]) -> Result<Self, Status> {
        match decode(bytes) {
            Some(text) => Ok(Self { rest: Some(text) }),
            None => Err(Status::BadRequest),
        }
    }

    /// The first value of this name.
    #[inline(never)]
    pub fn get(mut self, name: &str) -> Option<&'a str> {
        self.find(|(known, _)| *known == name)
            .map(|(_, value)| value)
    }
}

impl<'a> Iterator for Form<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (pair, rest) = cut(self.rest?, AND);
            self.rest = rest;
            let (name, value) = cut(pair, EQUALS);
            if !pair.is_empty() {
                return Some((name, value.unwrap_or_default()));
            }
        }
    }
}

/// Decodes `+` and percent-encoding, and puts in what stands between.
fn decode(bytes: &mut [u8]) -> Option<&str> {
    let (mut from, mut to) = (0, 0);
    let mut is_value = false;
    while let Some(&first) = bytes.get(from) {
        from += 1;
        let byte = match first {
            b'&' => AND,
            b'=' if !is_value => EQUALS,
            b'+' => b' ',
            b'%' => {
                let &[high, low] = bytes.get(from..)?.first_chunk()?;
                from += 2;
                let byte = hex_value(high)? << 4 | hex_value(low)?;
                (byte > EQUALS).then_some(byte)?
            }
            other => (other > EQUALS).then_some(other)?,
        };
        match byte {
            AND => is_value = false,
            EQUALS => is_value = true,
            _ => {}
        }
        *bytes.get_mut(to)? = byte;
        to += 1;
    }
    utf8(bytes.get(..to)?)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::{String, ToString};
    use std::vec::Vec;

    fn pairs(text: &str) -> Result<Vec<(String, String)>, Status> {
        let mut bytes = text.as_bytes().to_vec();
        let form = Form::decode(&mut bytes)?;
        Ok(form
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect())
    }

    #[test]
    fn pairs_are_split_and_decoded() {
        let found = pairs("a=1&b=x+y%26%3d%c3%a9&&c&=d&e=f=g&").unwrap();
        let expected = [
            ("a", "1"),
            ("b", "x y&=é"),
            ("c", ""),
            ("", "d"),
            ("e", "f=g"),
        ];
        assert_eq!(
            found,
            expected.map(|(name, value)| (name.into(), value.into()))
        );
        assert_eq!(pairs("").unwrap(), []);
    }

    #[test]
    fn the_first_value_of_a_name_is_found() {
        let mut bytes = *b"a=1&%62=2&b=3&c";
        let form = Form::decode(&mut bytes).unwrap();
        assert_eq!(form.get("b"), Some("2"));
        assert_eq!(form.get("c"), Some(""));
        assert_eq!(form.get("d"), None);
        assert_eq!(Form::EMPTY.get(""), None);
    }

    #[test]
    fn what_cannot_be_decoded_is_refused() {
        for text in [
            "a=%", "a=%4", "%zz=1", "a=%ff", "a=%00", "a%01b", "\0", "a\u{1}b",
        ] {
            assert_eq!(pairs(text), Err(Status::BadRequest), "{text:?}");
        }
    }
}
