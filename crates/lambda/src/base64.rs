//! Base64 (RFC 4648 section 4) piece by piece, into anything that takes bytes.

use ounce_http::json::Sink;

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Writes bytes as Base64, with padding.
pub fn encode(bytes: &[u8], sink: &mut dyn Sink) {
    for group in bytes.chunks(3) {
        let mut bits = 0_u32;
        for at in 0..3 {
            bits = bits << 8 | u32::from(group.get(at).copied().unwrap_or(0));
        }
        let mut digits = [b'='; 4];
        for (at, digit) in digits.iter_mut().enumerate().take(group.len() + 1) {
            let index = bits >> (18 - 6 * at) & 63;
            *digit = DIGITS.get(index as usize).copied().unwrap_or(0);
        }
        sink.put(&digits);
    }
}

/// Writes what a text of Base64 stands for; false, at some place, where it is not
/// that: digits of four, padding at the end alone, and no bits behind the last byte.
pub fn decode(text: &[u8], sink: &mut dyn Sink) -> bool {
    let mut groups = text.chunks(4);
    while let Some(group) = groups.next() {
        let mut bits = 0_u32;
        let mut digits = 0;
        for byte in group {
            let value = match byte {
                b'A'..=b'Z' => byte - b'A',
                b'a'..=b'z' => byte - b'a' + 26,
                b'0'..=b'9' => byte - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                b'=' => break,
                _ => return false,
            };
            bits = bits << 6 | u32::from(value);
            digits += 1;
        }
        let padding = group.get(digits..).unwrap_or_default();
        let is_last = groups.len() == 0;
        let [_, bytes @ ..] = (bits << (6 * (4 - digits))).to_be_bytes();
        let (whole, rest) = bytes.split_at(digits.saturating_sub(1));
        let is_fine = group.len() == 4
            && digits > 1
            && (digits == 4 || is_last)
            && padding.iter().all(|byte| *byte == b'=')
            && rest.iter().all(|byte| *byte == 0);
        if !is_fine {
            return false;
        }
        sink.put(whole);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    struct Bytes(Vec<u8>);

    impl Sink for Bytes {
        fn put(&mut self, bytes: &[u8]) {
            self.0.extend_from_slice(bytes);
        }
    }

    fn encoded(bytes: &[u8]) -> Vec<u8> {
        let mut out = Bytes(Vec::new());
        encode(bytes, &mut out);
        out.0
    }

    fn decoded(text: &[u8]) -> Option<Vec<u8>> {
        let mut out = Bytes(Vec::new());
        decode(text, &mut out).then_some(out.0)
    }

    #[test]
    fn rfc4648_10_the_vectors_come_out_as_written() {
        for (plain, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(encoded(plain.as_bytes()), text.as_bytes());
            assert_eq!(decoded(text.as_bytes()).unwrap(), plain.as_bytes());
        }
    }

    #[test]
    fn what_is_not_base64_is_refused() {
        for text in [
            "Z", "Zg", "Zg=", "Zg===", "=", "====", "Z===", "Zg==Zg==", "Zh==", "Zm9=", "Zm9v\n",
            "Z=9v", "Zm-_", "Zm9v ", "Zg=x",
        ] {
            assert_eq!(decoded(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded(bytes: Vec<u8>) {
            prop_assert_eq!(decoded(&encoded(&bytes)), Some(bytes));
        }
    }
}
