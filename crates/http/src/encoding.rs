//! Content codings: which of several encoded forms a client prefers (RFC 9110
//! section 12.5.3).

use crate::ascii::{from, is_same, split_at_byte, take_item, trim};
use crate::words::{Words, words};

/// The codings in the order of the weights: none, Brotli (RFC 7932), Zstandard
/// (RFC 8878), gzip (RFC 1952).
const NAMES: Words = words!["identity", "br", "zstd", "gzip"];

/// What a client gives to each coding, in thousandths: identity, br, zstd, gzip.
/// 0 is "not acceptable". Where identity is not named, it has the least weight
/// that is one, so that whatever is named goes before it.
///
/// Without the field, identity alone is acceptable: the RFC allows any coding
/// then, but who does not ask for one may not know it.
#[inline(never)]
pub fn weights(accept_encoding: Option<&[u8]>) -> [u16; 4] {
    let mut weights = [None; 4];
    let mut others = None;
    let mut list = accept_encoding.unwrap_or_default();
    while let Some(item) = take_item(&mut list) {
        let (name, parameter) = split_at_byte(item, b';');
        let name = trim(name);
        let weight = Some(weight(trim(from(parameter, 1))));
        if name == b"*" {
            others = weight;
        } else if let Some(place) = NAMES.find(name).and_then(|number| weights.get_mut(number)) {
            *place = weight;
        }
    }
    let [identity, rest @ ..] = weights;
    let [br, zstd, gzip] = rest.map(|weight| weight.or(others).unwrap_or(0));
    [identity.or(others).unwrap_or(1), br, zstd, gzip]
}

/// RFC 9110 section 12.4.2: `q=` and a number from 0 to 1 with up to three
/// decimals, in thousandths. What is no such parameter is as none, which is 1.
fn weight(parameter: &[u8]) -> u16 {
    let (name, value) = split_at_byte(parameter, b'=');
    if !is_same(name, b"q") {
        return 1_000;
    }
    let mut weight = 0;
    let mut unit = 1_000;
    for digit in value.iter().filter(|digit| digit.is_ascii_digit()) {
        weight += u16::from(digit & 15) * unit;
        unit /= 10;
    }
    weight
}

/// The best of several forms: the number, as in [`weights`], of the heaviest
/// whose bit is set in `available`; at equal weight br before zstd before gzip
/// before identity. Identity where none is acceptable, which RFC 9110 section
/// 12.5.3 prefers to refusing.
pub fn choose(weights: &[u16; 4], available: u8) -> usize {
    let mut best = (0, 0);
    for number in [1, 2, 3, 0] {
        let weight = weights.get(number).copied().unwrap_or(0);
        if available >> number & 1 != 0 && weight > best.0 {
            best = (weight, number);
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: u8 = 0b1111;

    fn chosen(accept: &str, available: u8) -> usize {
        choose(&weights(Some(accept.as_bytes())), available)
    }

    #[test]
    fn rfc9110_12_5_3_the_heaviest_available_coding_is_chosen() {
        for (accept, available, expected) in [
            ("gzip, deflate, br, zstd", ALL, 1),
            ("gzip, deflate, br, zstd", 0b1101, 2),
            ("gzip, deflate", ALL, 3),
            ("GZIP", ALL, 3),
            ("deflate", ALL, 0),
            ("", ALL, 0),
            ("gzip;q=0.5, br;q=0.4", ALL, 3),
            ("gzip;q=1.000 , br;q=0.999", ALL, 3),
            ("br;q=0, gzip;q=0.001", ALL, 3),
            ("br;q=0", ALL, 0),
            ("br ; q=0", 0b0011, 0),
            ("br;Q=0", 0b0011, 0),
            ("*", ALL, 1),
            ("*;q=0, gzip", ALL, 3),
            ("*;q=0.5, gzip;q=0.1, identity;q=0.7", ALL, 0),
            ("identity;q=0, gzip;q=0.1", ALL, 3),
            ("identity;q=0", ALL, 0),
            ("identity, gzip;q=0.5", ALL, 0),
            ("gzip;q=0.5", ALL, 3),
            ("gzip;level=9", ALL, 3),
            ("gzipped", ALL, 0),
        ] {
            assert_eq!(chosen(accept, available), expected, "{accept:?}");
        }
    }

    #[test]
    fn who_does_not_ask_gets_no_coding() {
        assert_eq!(choose(&weights(None), ALL), 0);
    }

    #[test]
    fn rfc9110_12_4_2_weights_are_thousandths() {
        for (text, expected) in [
            ("q=1", 1_000),
            ("q=0.123", 123),
            ("q=0.05", 50),
            ("q=0", 0),
            ("q=0.000", 0),
            ("q=", 0),
            ("", 1_000),
        ] {
            assert_eq!(weight(text.as_bytes()), expected, "{text}");
        }
        // Nothing that is sent can overflow.
        assert_eq!(weight(b"q=99999"), 9_999);
    }
}
