//! Addresses as text.

use ounce_http::{parse_decimal, take_until};
use ounce_linux::bare::Address;

/// `AF_INET` and `AF_INET6`.
const V4: u8 = 2;
const V6: u8 = 10;

/// Reads an address of IPv4 (`127.0.0.1`), or one of two of IPv6: all (`::`) and
/// this machine (`::1`). The port stays as it is.
#[inline(never)]
pub(crate) fn parse(text: &[u8], address: &mut Address) -> bool {
    // In the byte order of both architectures.
    address.bytes[0] = V6;
    let is_local = text == b"::1";
    address.bytes[23] = is_local.into();
    if is_local || text == b"::" {
        return true;
    }
    address.bytes[0] = V4;
    let mut rest = text;
    for at in 4..8 {
        match parse_decimal(take_until(&mut rest, b'.')) {
            Some(number @ ..=255) => address.bytes[at] = number as u8,
            _ => return false,
        }
    }
    rest.is_empty()
}
