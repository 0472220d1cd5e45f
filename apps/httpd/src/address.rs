//! Addresses as text.

use ounce_http::parse_decimal;
use ounce_linux::bare::Address;

/// `AF_INET` and `AF_INET6`.
const V4: u16 = 2;
const V6: u16 = 10;

/// An address of IPv4 (`127.0.0.1`) or IPv6 (`::1`) and a port, for the kernel.
pub(crate) fn parse(text: &[u8], port: u32) -> Option<Address> {
    let mut address = Address::NONE;
    let [f0, f1, p0, p1, a, b, c, d, rest @ ..] = &mut address.bytes;
    [*p0, *p1] = (port as u16).to_be_bytes();
    let mut family = V6;
    if text.contains(&b':') {
        let [ip @ .., _, _, _, _] = rest;
        parse_v6(text, ip)?;
    } else {
        family = V4;
        address.length = 16;
        let mut parts = text.split(|&byte| byte == b'.');
        for place in [a, b, c, d] {
            *place = u8::try_from(parse_decimal(parts.next()?)?).ok()?;
        }
        if parts.next().is_some() {
            return None;
        }
    }
    [*f0, *f1] = family.to_ne_bytes();
    Some(address)
}

/// Groups of hexadecimal digits, of which `::` stands for as many zeros as are
/// missing (RFC 4291 section 2.2, without the mixed form).
fn parse_v6(text: &[u8], ip: &mut [u8]) -> Option<()> {
    let mut length = 0;
    let mut gap = None;
    let mut text = text;
    if let [b':', b':', ..] = text {
        text = text.get(1..)?;
    }
    while let [first, rest @ ..] = text {
        if *first == b':' {
            if gap.is_some() {
                return None;
            }
            gap = Some(length);
            text = rest;
            continue;
        }
        let mut group = 0_u32;
        let mut digits = 0;
        while let [digit, rest @ ..] = text
            && *digit != b':'
        {
            group = group << 4 | char::from(*digit).to_digit(16)?;
            digits += 1;
            text = rest;
        }
        let [high, low] = ip.get_mut(length..length + 2)? else {
            return None;
        };
        [*high, *low] = (group as u16).to_be_bytes();
        length += 2;
        if digits > 4 {
            return None;
        }
        match text {
            [] => {}
            [b':'] => return None,
            [_, rest @ ..] => text = rest,
        }
    }
    match gap {
        Some(gap) => {
            let tail = length - gap;
            let room = ip.len();
            if length >= room {
                return None;
            }
            ip.copy_within(gap..length, room - tail);
            for place in ip.get_mut(gap..room - tail)? {
                *place = 0;
            }
            Some(())
        }
        None => (length == ip.len()).then_some(()),
    }
}
