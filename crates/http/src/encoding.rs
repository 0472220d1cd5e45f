//! Content codings: which of several encoded forms a client prefers (RFC 9110
//! section 12.5.3).

use crate::ascii::{is_same, take_item, take_until, trim};
use crate::words::{Words, words};

/// The codings in the order of the weights.
const NAMES: Words = words!["identity", "br", "zstd", "gzip"];

/// The same in the order of packed variants.
pub(crate) const PACKED_NAMES: Words = words!["br", "zstd", "gzip", "identity"];

/// What a client gives to each coding, in thousandths: none (identity), Brotli
/// (br, RFC 7932), Zstandard (zstd, RFC 8878), gzip (RFC 1952).
/// 0 is "not acceptable". Where identity is not named, it has the least weight
/// that is one, so that whatever is named goes before it.
///
/// Without the field, identity alone is acceptable: the RFC allows any coding
/// then, but who does not ask for one may not know it.
pub fn weights(accept_encoding: Option<&[u8]>) -> [u16; 4] {
    let list = accept_encoding.unwrap_or_default();
    [0, 1, 2, 3].map(|number| weight_of(list, number))
}

/// What a client gives to the coding of a number, as [`weights`] tells it; an
/// empty list is none.
#[inline(never)]
pub fn weight_of(accept_encoding: &[u8], number: usize) -> u16 {
    let mut found = u16::from(number == 0);
    weight(accept_encoding, NAMES.get(number), &mut found);
    found
}

/// The name of the coding of a number.
pub fn name(number: usize) -> &'static [u8] {
    NAMES.get(number)
}

/// The weight that a list gives to a name (RFC 9110 section 12.4.2), or else to
/// `*`: a number from 0 to 1 with up to three decimals, in thousandths. No coding
/// has any other parameter than `q=`.
pub(crate) fn weight(mut list: &[u8], name: &[u8], weight: &mut u16) {
    while let Some(mut number) = take_item(&mut list) {
        let listed = trim(take_until(&mut number, b';'));
        let is_named = is_same(listed, name);
        if is_named || is_same(listed, b"*") {
            *weight = 1_000;
            if !number.is_empty() {
                take_until(&mut number, b'=');
                *weight = thousandths(number);
            }
        }
        if is_named {
            break;
        }
    }
}

fn thousandths(number: &[u8]) -> u16 {
    let mut thousandths = 0_u16;
    let mut unit = 1_000;
    for digit in number {
        if *digit != b'.' {
            thousandths = thousandths.wrapping_add(u16::from(digit & 15) * unit);
            unit /= 10;
        }
    }
    thousandths
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
            ("a;q=1", 1_000),
            ("a;q=0.123", 123),
            ("a;q=0.05", 50),
            ("a;q=0", 0),
            ("a;q=0.000", 0),
            ("a;q=", 0),
            ("a;", 1_000),
            ("b, A ; q=0.5", 500),
            ("b", 7),
            ("*;q=0.2,a;q=0.1,*", 100),
            ("*;q=0.2", 200),
            // Nothing that is sent can overflow.
            ("a;q=??????", 16_665),
        ] {
            let mut found = 7;
            weight(text.as_bytes(), b"a", &mut found);
            assert_eq!(found, expected, "{text}");
        }
    }
}
