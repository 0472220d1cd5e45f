//! ASCII as HTTP uses it: classes of characters, words that are equal but for
//! case, lists, and decimal numbers. The standard library's own are made for
//! long strings; these are made for short ones and are small.

/// RFC 9110 section 5.6.2, `token`.
pub(crate) const TOKEN: u8 = 1;
/// Visible ASCII but for what no browser sends raw and RFC 3986 leaves out: the
/// fragment mark, quotes and angle brackets. `|`, `^`, `{` and the like are out
/// by the letter, but are sent in queries (WHATWG URL, query percent-encode set).
pub(crate) const TARGET: u8 = 2;
/// RFC 9110 section 5.5, `field-value`: text, tabs and bytes past ASCII.
pub(crate) const VALUE: u8 = 4;
/// RFC 3986 section 3.2.2, `reg-name` or `IPv4address`.
pub(crate) const HOST_NAME: u8 = 8;
/// RFC 3986 section 3.2.2, what stands in brackets, without zone and version.
pub(crate) const ADDRESS: u8 = 16;
/// `0` to `9`.
pub(crate) const DIGIT: u8 = 32;
/// Hexadecimal digits of either case.
pub(crate) const HEX: u8 = 64;
/// What need not be escaped in a path: RFC 3986 section 2.3, and the slash.
pub(crate) const PATH: u8 = 128;

static CLASSES: [u8; 128] = classes();

#[allow(
    clippy::indexing_slicing,
    reason = "runs when compiled, as for all const"
)]
const fn classes() -> [u8; 128] {
    let mut classes = [0; 128];
    let mut byte = 0;
    while byte < 128 {
        let (is_alphanumeric, is_hex) = (
            (byte as u8).is_ascii_alphanumeric(),
            (byte as u8).is_ascii_hexdigit(),
        );
        let mut class = 0;
        if is_alphanumeric {
            class |= TOKEN | HOST_NAME | PATH;
        }
        if is_hex {
            class |= HEX | ADDRESS;
        }
        if (byte as u8).is_ascii_digit() {
            class |= DIGIT;
        }
        if (byte as u8).is_ascii_graphic() {
            class |= TARGET;
        }
        if byte >= b' ' as usize && byte != 0x7f || byte == b'\t' as usize {
            class |= VALUE;
        }
        classes[byte] = class;
        byte += 1;
    }
    let classes = change(classes, b"!#$%&'*+-.^_`|~", TOKEN);
    let classes = change(classes, b"-._~%!$&'()*+,;=", HOST_NAME);
    let classes = change(classes, b":.", ADDRESS);
    let classes = change(classes, b"/-._~", PATH);
    change(classes, b"#\"<>", TARGET)
}

const fn change(mut classes: [u8; 128], mut bytes: &[u8], class: u8) -> [u8; 128] {
    while let [byte, rest @ ..] = bytes {
        classes[*byte as usize] ^= class;
        bytes = rest;
    }
    classes
}

/// Whether a byte is in a class.
pub(crate) fn is(byte: u8, class: u8) -> bool {
    // Past ASCII, only values of fields go.
    let classes = CLASSES.get(usize::from(byte)).copied().unwrap_or(VALUE);
    classes & class != 0
}

/// Whether all bytes are in a class.
#[inline(never)]
pub(crate) fn all(mut bytes: &[u8], class: u8) -> bool {
    take_class(&mut bytes, class);
    bytes.is_empty()
}

/// Whether this can be a field's name or a method (RFC 9110 section 5.6.2).
pub fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && all(bytes, TOKEN)
}

/// Whether this can be a field's value: text, tabs and bytes past ASCII, but
/// nothing that ends a line (RFC 9110 section 5.5).
pub fn is_value(bytes: &[u8]) -> bool {
    all(bytes, VALUE)
}

/// Whether a byte can stand in a request's target as it is.
pub fn is_target_byte(byte: u8) -> bool {
    byte < 128 && is(byte, TARGET)
}

/// Equal to the last bit.
#[inline(never)]
pub(crate) fn is_equal(a: &[u8], b: &[u8]) -> bool {
    is_alike(a, b, 0)
}

/// Equal but for case. Both are tokens, hosts or the like: of what these consist
/// of, only letters (and `^` and `~`, which no name has) differ in that bit alone.
#[inline(never)]
pub(crate) fn is_same(a: &[u8], b: &[u8]) -> bool {
    is_alike(a, b, CASE)
}

/// The bit that large and small letters differ in.
pub(crate) const CASE: u8 = 0x20;

/// Equal but for these bits.
#[inline(never)]
pub(crate) fn is_alike(a: &[u8], b: &[u8], but: u8) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a | but == b | but)
}

/// Takes the bytes off that stand before the first that is not of a class.
#[inline(never)]
pub(crate) fn take_class<'a>(rest: &mut &'a [u8], class: u8) -> &'a [u8] {
    let end = rest.iter().position(|&byte| !is(byte, class));
    let (taken, after) = rest
        .split_at_checked(end.unwrap_or(rest.len()))
        .unwrap_or_default();
    *rest = after;
    taken
}

/// Takes what stands before the first of this byte off, and the byte; all where
/// there is none.
#[inline(never)]
pub fn take_until<'a>(rest: &mut &'a [u8], byte: u8) -> &'a [u8] {
    let end = rest.iter().position(|&other| other == byte);
    let (taken, after) = rest
        .split_at_checked(end.unwrap_or(rest.len()))
        .unwrap_or_default();
    *rest = from(after, 1);
    taken
}

/// Takes the next item of a comma-separated list off (RFC 9110 section 5.6.1),
/// without the space around it. Nothing is left of a list behind its last item.
#[inline(never)]
pub(crate) fn take_item<'a>(list: &mut &'a [u8]) -> Option<&'a [u8]> {
    (!list.is_empty()).then(|| trim(take_until(list, b',')))
}

/// Without spaces and tabs at both ends (RFC 9110 section 5.6.3, OWS).
#[inline(never)]
pub(crate) fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// What is before the first of this character, and what is behind it; `None`
/// where it is not there. It is ASCII.
#[inline(never)]
pub(crate) fn cut(text: &str, byte: u8) -> (&str, Option<&str>) {
    match text.bytes().position(|other| other == byte) {
        Some(at) => (text.get(..at).unwrap_or_default(), text.get(at + 1..)),
        None => (text, None),
    }
}

/// What stands from an index on; nothing where it is past the end.
pub(crate) fn from(bytes: &[u8], at: usize) -> &[u8] {
    bytes.get(at..).unwrap_or_default()
}

/// The bytes as text, if they are UTF-8. Of the standard library's own way, half
/// a kilobyte makes long texts quicker.
#[inline(never)]
pub fn utf8(bytes: &[u8]) -> Option<&str> {
    match bytes.utf8_chunks().next() {
        None => Some(""),
        // A chunk ends where the text does, or at what is invalid.
        Some(chunk) => chunk.invalid().is_empty().then_some(chunk.valid()),
    }
}

/// One or more digits that fit in 63 bits; no sign, no space, no list.
#[inline(never)]
pub fn parse_decimal(digits: &[u8]) -> Option<u64> {
    // Overlong zeros are read as octal or as an overflow elsewhere.
    saturating_decimal(digits).filter(|&number| number < u64::MAX)
}

/// One or more digits; more than 18 of them are [`u64::MAX`].
pub(crate) fn saturating_decimal(digits: &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for digit in digits {
        // Wraps only where there are too many digits.
        number = number.wrapping_mul(10).wrapping_add(u64::from(digit & 15));
    }
    match digits.len() {
        _ if !all(digits, DIGIT) => None,
        0 => None,
        1..=18 => Some(number),
        _ => Some(u64::MAX),
    }
}

/// A number's decimal digits.
pub(crate) fn decimal(mut value: u64, buffer: &mut [u8; 20]) -> &[u8] {
    let mut start = buffer.len();
    for place in buffer.iter_mut().rev() {
        *place = b'0' + (value % 10) as u8;
        value /= 10;
        start -= 1;
        if value == 0 {
            break;
        }
    }
    from(buffer, start)
}

/// The hexadecimal digit of a value below 16, in upper case.
#[inline(never)]
pub(crate) fn hex_digit(value: u8) -> u8 {
    value + if value < 10 { b'0' } else { b'A' - 10 }
}

/// The value of a hexadecimal digit.
#[inline(never)]
pub(crate) fn hex_value(digit: u8) -> Option<u8> {
    // Letters are 1 to 6 in their low bits, and have the bit of 64.
    is(digit, HEX).then(|| (digit & 15) + (digit >> 6) * 9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_hold_what_the_grammar_says() {
        for byte in 0..=u8::MAX {
            let has = |set: &[u8]| set.contains(&byte);
            let alphanumeric = byte.is_ascii_alphanumeric();
            for (class, expected) in [
                (TOKEN, alphanumeric || has(b"!#$%&'*+-.^_`|~")),
                (TARGET, byte.is_ascii_graphic() && !has(b"#\"<>")),
                (VALUE, byte == b'\t' || (byte >= b' ' && byte != 0x7f)),
                (HOST_NAME, alphanumeric || has(b"-._~%!$&'()*+,;=")),
                (ADDRESS, byte.is_ascii_hexdigit() || has(b":.")),
                (DIGIT, byte.is_ascii_digit()),
                (HEX, byte.is_ascii_hexdigit()),
                (PATH, alphanumeric || has(b"/-._~")),
            ] {
                assert_eq!(is(byte, class), expected, "{byte:#x} in {class}");
            }
        }
    }

    #[test]
    fn text_is_utf_8_as_the_standard_library_says() {
        for bytes in [
            &b""[..],
            b"a\xc3\xa9",
            b"\xff",
            b"a\xc3",
            b"\xed\xa0\x80",
            b"a\xffb",
        ] {
            assert_eq!(utf8(bytes), core::str::from_utf8(bytes).ok());
        }
    }

    #[test]
    fn hexadecimal_digits_have_their_values() {
        for byte in 0..=u8::MAX {
            let expected = char::from(byte).to_digit(16).map(|value| value as u8);
            assert_eq!(hex_value(byte), expected);
            if let Some(value) = expected {
                assert_eq!(hex_digit(value), byte.to_ascii_uppercase());
            }
        }
    }

    #[test]
    fn numbers_are_written_in_full() {
        assert_eq!(decimal(0, &mut [0; 20]), b"0");
        assert_eq!(decimal(u64::MAX, &mut [0; 20]), b"18446744073709551615");
    }

    #[test]
    fn rfc9110_5_6_1_lists_are_taken_apart_at_commas() {
        let mut list = &b"a ,, b\t,"[..];
        let items = core::iter::from_fn(|| take_item(&mut list));
        assert!(items.eq([&b"a"[..], b"", b"b"]));
    }

    #[test]
    fn numbers_are_digits_alone() {
        assert_eq!(parse_decimal(b"0123"), Some(123));
        for text in [&b""[..], b"+1", b"1 ", b"1,1", b"1234567890123456789"] {
            assert_eq!(parse_decimal(text), None);
        }
    }
}
