//! Names and values as forms send them, in a query or as a body
//! (`application/x-www-form-urlencoded`, WHATWG URL section 5.1), decoded in
//! place.

use crate::ascii::{hex_value, utf8};
use crate::status::Status;

/// The pairs in the order they came.
#[derive(Debug)]
pub struct Form<'a> {
    rest: &'a mut [u8],
}

impl<'a> Form<'a> {
    /// Reads these bytes, which change as they are decoded.
    pub fn new(bytes: &'a mut [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Takes what stands before a byte and drops the byte; all where it is not there.
    fn take(rest: &mut &'a mut [u8], byte: u8) -> &'a mut [u8] {
        let all = core::mem::take(rest);
        let found = all.iter().position(|&other| other == byte);
        let (taken, behind) = all
            .split_at_mut_checked(found.unwrap_or(all.len()))
            .unwrap_or_default();
        *rest = behind.get_mut(1..).unwrap_or_default();
        taken
    }
}

impl<'a> Iterator for Form<'a> {
    /// A pair; 400 for a malformed escape and for what is not UTF-8.
    type Item = Result<(&'a str, &'a str), Status>;

    #[inline(never)]
    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() {
            let mut value = Self::take(&mut self.rest, b'&');
            let name = Self::take(&mut value, b'=');
            if name.is_empty() && value.is_empty() {
                continue;
            }
            let pair = decode(name).zip(decode(value));
            return Some(pair.ok_or(Status::BadRequest));
        }
        None
    }
}

/// Decodes `+` and percent-encoding.
#[inline(never)]
fn decode(bytes: &mut [u8]) -> Option<&str> {
    let (mut from, mut to) = (0, 0);
    while let Some(&first) = bytes.get(from) {
        from += 1;
        let byte = match first {
            b'+' => b' ',
            b'%' => {
                let digits = bytes.get(from..from + 2)?.first_chunk()?;
                let [high, low] = *digits;
                from += 2;
                hex_value(high)? << 4 | hex_value(low)?
            }
            other => other,
        };
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
        Form::new(&mut bytes)
            .map(|pair| pair.map(|(name, value)| (name.to_string(), value.to_string())))
            .collect()
    }

    #[test]
    fn pairs_are_split_and_decoded() {
        let found = pairs("a=1&b=x+y%26%c3%a9&&c&=d&e=f=g").unwrap();
        let expected = [
            ("a", "1"),
            ("b", "x y&é"),
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
    fn malformed_escapes_are_refused() {
        for text in ["a=%", "a=%4", "%zz=1", "a=%ff"] {
            assert_eq!(pairs(text), Err(Status::BadRequest), "{text}");
        }
    }
}
