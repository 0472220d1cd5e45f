//! Addresses as text.

use ounce_linux::bare::Address;

/// `AF_INET` and `AF_INET6`.
const V4: u16 = 2;
const V6: u16 = 10;
/// Bytes of an address of IPv6.
const V6_BYTES: usize = 16;

/// Reads an address of IPv4 (`127.0.0.1`) or IPv6 (`::1`; RFC 4291 section 2.2,
/// without the mixed form), for this port.
#[inline(never)]
#[allow(
    clippy::manual_contains,
    reason = "`contains` is made for long texts and takes 200 bytes"
)]
pub(crate) fn parse(text: &[u8], port: u32, address: &mut Address) -> bool {
    let is_v6 = text.iter().any(|&byte| byte == b':');
    let (separator, base, most, family) = if is_v6 {
        (b':', 16, 0xffff, V6)
    } else {
        (b'.', 10, 0xff, V4)
    };
    let mut ip = [0; V6_BYTES + 2];
    let mut length = 0;
    // Where a group is empty, `::` stands for as many zeros as are missing.
    let mut gap = V6_BYTES;
    let mut group = None;
    for at in 0..=text.len() {
        // The end is as one more separator.
        let byte = text.get(at).copied().unwrap_or(separator);
        if byte != separator {
            let Some(digit) = char::from(byte).to_digit(base) else {
                return false;
            };
            let value = group.unwrap_or(0) * base + digit;
            if value > most {
                return false;
            }
            group = Some(value);
            continue;
        }
        let [high, low] = (group.unwrap_or(0) as u16).to_be_bytes();
        match group.take() {
            // At both ends the gap is next to an empty group.
            None if gap == V6_BYTES || gap == length => gap = length,
            None => return false,
            Some(_) if length >= V6_BYTES => return false,
            Some(_) => {
                if is_v6 {
                    ip[length] = high;
                    length += 1;
                }
                ip[length] = low;
                length += 1;
            }
        }
    }
    address.bytes[..2].copy_from_slice(&family.to_ne_bytes());
    address.bytes[2..4].copy_from_slice(&(port as u16).to_be_bytes());
    if !is_v6 {
        address.length = 16;
        address.bytes[4..8].copy_from_slice(&ip[..4]);
        return length == 4 && gap == V6_BYTES;
    }
    let moved = V6_BYTES - length;
    for at in 0..V6_BYTES {
        address.bytes[8 + at] = if at < gap {
            ip[at]
        } else if at < gap + moved {
            0
        } else {
            ip[at - moved]
        };
    }
    gap < V6_BYTES || length == V6_BYTES
}
