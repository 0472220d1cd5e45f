//! Hosts as the Host field and URLs have them (RFC 9110 section 7.2, RFC 3986
//! section 3.2.2), judged by alphabet: whether a name exists is not asked.

use crate::ascii::{ADDRESS, DIGIT, HOST_NAME, take_class};

/// Takes a host and its port off: a name, an address, or one in brackets;
/// possibly nothing.
#[inline(never)]
pub(crate) fn take_host(rest: &mut &[u8]) -> bool {
    if let [b'[', address @ ..] = *rest {
        *rest = address;
        let address = take_class(rest, ADDRESS);
        let [b']', port @ ..] = *rest else {
            return false;
        };
        *rest = port;
        if address.is_empty() {
            return false;
        }
    } else {
        take_class(rest, HOST_NAME);
    }
    if let [b':', port @ ..] = *rest {
        *rest = port;
        return take_class(rest, DIGIT).len() <= 5;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3986_3_2_2_names_and_addresses_are_taken_whole() {
        for host in [
            "",
            "a",
            "a.b:80",
            "[::1]:8080",
            "[::1]",
            "127.0.0.1",
            "a:",
            "a_b~%41",
        ] {
            let mut rest = host.as_bytes();
            assert!(take_host(&mut rest) && rest.is_empty(), "{host}");
        }
    }

    #[test]
    fn rfc3986_3_2_2_all_else_is_left_or_refused() {
        for host in [
            "a b",
            "a/b",
            "a@b",
            "a,b:1:2",
            "[::1",
            "[]",
            "[::1]x",
            "[::1%25eth0]",
            "[v1.x]",
            "a:b",
            "a:123456",
            "a:1b",
            "\u{e9}",
            "a\tb",
            "<a>",
        ] {
            let mut rest = host.as_bytes();
            assert!(!take_host(&mut rest) || !rest.is_empty(), "{host}");
        }
    }
}
