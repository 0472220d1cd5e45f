//! Addresses as text.

use ounce_http::take_until;
use ounce_linux::bare::Address;

/// `AF_INET` and `AF_INET6`.
const V4: u16 = 2;
const V6: u16 = 10;

/// Reads an address of IPv4 (`127.0.0.1`) or IPv6 (`::1`; RFC 4291 section 2.2,
/// without the mixed form); the port stays as it is.
#[inline(never)]
pub(crate) fn parse(text: &[u8], address: &mut Address) -> bool {
    let mut rest = text;
    take_until(&mut rest, b'.');
    let (separator, base, most, mut left) = if rest.is_empty() {
        (b':', 16, 0xffff, 8)
    } else {
        (b'.', 10, 0xff, 4)
    };
    let is_v6 = separator == b':';
    // A gap at the start has an empty group on both sides.
    rest = match text {
        [b':', rest @ ..] => rest,
        _ => text,
    };
    let is_open = rest.len() < text.len() && rest.first() != Some(&b':');
    let (mut head, mut tail, mut v4) = (0_u128, 0_u128, 0_u32);
    let mut has_gap = false;
    while !rest.is_empty() {
        let group = take_until(&mut rest, separator);
        if group.is_empty() {
            if has_gap || !is_v6 {
                return false;
            }
            has_gap = true;
            (head, tail) = (tail.wrapping_shl(16 * left), 0);
            continue;
        }
        let mut value = 0;
        for &byte in group {
            let Some(digit) = char::from(byte).to_digit(base) else {
                return false;
            };
            value = value * base + digit;
            if value > most {
                return false;
            }
        }
        if left == 0 {
            return false;
        }
        left -= 1;
        v4 = v4 << 8 | value;
        tail = tail << 16 | u128::from(value);
    }
    let family = if is_v6 { V6 } else { V4 };
    address.bytes[..2].copy_from_slice(&family.to_ne_bytes());
    address.length = 28;
    if is_v6 {
        address.bytes[8..24].copy_from_slice(&(head | tail).to_be_bytes());
    } else {
        address.length = 16;
        address.bytes[4..8].copy_from_slice(&v4.to_be_bytes());
    }
    !is_open && has_gap != (left == 0)
}
