//! Content codings: which of several encoded forms a client prefers (RFC 9110
//! section 12.5.3).

use crate::ascii::{is_same, take_item, take_until, trim};
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
    let list = accept_encoding.unwrap_or_default();
    let mut weights = [1, 0, 0, 0];
    for (place, name) in weights.iter_mut().zip(NAMES) {
        let weight = weight(list, name).or_else(|| weight(list, b"*"));
        *place = weight.unwrap_or(*place);
    }
    weights
}

/// The weight that a list gives to a name (RFC 9110 section 12.4.2): `q=` and a
/// number from 0 to 1 with up to three decimals, in thousandths. What is no such
/// parameter is as none, which is 1.
#[inline(never)]
fn weight(mut list: &[u8], name: &[u8]) -> Option<u16> {
    while let Some(mut parameter) = take_item(&mut list) {
        if !is_same(trim(take_until(&mut parameter, b';')), name) {
            continue;
        }
        let mut parameter = trim(parameter);
        if !is_same(take_until(&mut parameter, b'='), b"q") {
            return Some(1_000);
        }
        let mut weight = 0;
        for at in [0, 2, 3, 4] {
            let digit = parameter.get(at).map_or(0, |digit| digit & 15);
            weight = weight * 10 + u16::from(digit);
        }
        return Some(weight);
    }
    None
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
            ("a;q=1", Some(1_000)),
            ("a;q=0.123", Some(123)),
            ("a;q=0.05", Some(50)),
            ("a;q=0", Some(0)),
            ("a;q=0.000", Some(0)),
            ("a;q=", Some(0)),
            ("a;", Some(1_000)),
            ("b, A ; q=0.5", Some(500)),
            ("b", None),
            // Nothing that is sent can overflow.
            ("a;q=??????", Some(16_665)),
        ] {
            assert_eq!(weight(text.as_bytes(), b"a"), expected, "{text}");
        }
    }
}
