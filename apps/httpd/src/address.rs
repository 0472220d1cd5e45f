//! Addresses as text.

use ounce_http::parse_decimal;
use ounce_linux::bare::Address;

/// `AF_INET` and `AF_INET6`.
const V4: u16 = 2;
const V6: u16 = 10;

/// Reads an address of IPv4 (`127.0.0.1`) or IPv6 (`::1`), for this port.
#[inline(never)]
pub(crate) fn parse(text: &[u8], port: u32, address: &mut Address) -> bool {
    let [f0, f1, p0, p1, v4 @ ..] = &mut address.bytes;
    [*p0, *p1] = (port as u16).to_be_bytes();
    let is_v6 = text.contains(&b':');
    [*f0, *f1] = if is_v6 { V6 } else { V4 }.to_ne_bytes();
    if is_v6 {
        let [_, _, _, _, v6 @ ..] = v4;
        return parse_v6(text, v6).is_some();
    }
    address.length = 16;
    let mut count = 0;
    for part in text.split(|&byte| byte == b'.') {
        let (Some(place), Some(number @ 0..256)) = (v4.get_mut(count), parse_decimal(part)) else {
            return false;
        };
        *place = number as u8;
        count += 1;
    }
    count == 4
}

/// Groups of hexadecimal digits, of which `::` stands for as many zeros as are
/// missing (RFC 4291 section 2.2, without the mixed form).
fn parse_v6(mut text: &[u8], ip: &mut [u8]) -> Option<()> {
    /// Bytes of an address.
    const BYTES: usize = 16;
    let mut length = 0;
    let mut gap = BYTES;
    loop {
        if let [b':', b':', rest @ ..] = text
            && gap == BYTES
        {
            gap = length;
            text = rest;
        } else if length > 0 {
            text = text.strip_prefix(b":")?;
        }
        if text.is_empty() && gap < BYTES {
            break;
        }
        let mut group = 0_u32;
        while let [digit, rest @ ..] = text
            && *digit != b':'
        {
            group = group << 4 | char::from(*digit).to_digit(16)?;
            text = rest;
        }
        let place = ip.get_mut(length..length + 2)?;
        place.copy_from_slice(&u16::try_from(group).ok()?.to_be_bytes());
        length += 2;
        if text.is_empty() && (length == BYTES || gap < BYTES) {
            break;
        }
    }
    if length > BYTES {
        return None;
    }
    // What is behind the gap moves to the end.
    for at in (gap..length).rev() {
        let byte = ip.get(at).copied()?;
        *ip.get_mut(at)? = 0;
        *ip.get_mut(at + BYTES - length)? = byte;
    }
    Some(())
}
