//! Where the Runtime API is: `AWS_LAMBDA_RUNTIME_API`. Lambda gives a host and a
//! port; `cargo lambda` a URL with a path.

use ounce_http::{is_target_byte, parse_decimal, take_until};

/// A valid address, borrowed from its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Api<'a> {
    /// Host and port, as `Host` has them.
    pub authority: &'a str,
    /// Before every path; empty, or begins with a slash and does not end with one.
    pub prefix: &'a str,
}

/// The longest one.
const MAX_BYTES: usize = 300;

impl<'a> Api<'a> {
    /// Reads `HOST:PORT`, or `http://HOST:PORT/PREFIX`; `None` where it is neither.
    pub fn parse(text: &'a str) -> Option<Self> {
        let text = text.strip_prefix("http://").unwrap_or(text);
        let slash = text.bytes().position(|byte| byte == b'/');
        let (authority, prefix) = text.split_at_checked(slash.unwrap_or(text.len()))?;
        let is_fine = |byte: u8| is_target_byte(byte) && !matches!(byte, b'?' | b'@' | b'\\');
        let all_fine = text.len() <= MAX_BYTES && text.bytes().all(is_fine);
        (all_fine && !authority.is_empty()).then_some(Self {
            authority,
            prefix: prefix.strip_suffix('/').unwrap_or(prefix),
        })
    }

    /// Of an address of IPv4, or `localhost`, the four numbers and the port (80
    /// where none is given); other names are for who can ask for them.
    pub fn numbers(&self) -> Option<([u8; 4], u16)> {
        let mut rest = self.authority.as_bytes();
        let host = take_until(&mut rest, b':');
        let port = if host.len() == self.authority.len() {
            80
        } else {
            u16::try_from(parse_decimal(rest)?).ok()?
        };
        let mut numbers = [127, 0, 0, 1];
        if host != b"localhost" {
            let mut rest = host;
            for number in &mut numbers {
                *number = u8::try_from(parse_decimal(take_until(&mut rest, b'.'))?).ok()?;
            }
            if !rest.is_empty() {
                return None;
            }
        }
        Some((numbers, port))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read() {
        let plain = Api::parse("127.0.0.1:9001").unwrap();
        assert_eq!((plain.authority, plain.prefix), ("127.0.0.1:9001", ""));
        assert_eq!(plain.numbers(), Some(([127, 0, 0, 1], 9_001)));
        let url = Api::parse("http://localhost:9000/.rt/hello/").unwrap();
        assert_eq!(
            (url.authority, url.prefix),
            ("localhost:9000", "/.rt/hello")
        );
        assert_eq!(url.numbers(), Some(([127, 0, 0, 1], 9_000)));
        assert_eq!(
            Api::parse("10.0.0.7").unwrap().numbers(),
            Some(([10, 0, 0, 7], 80))
        );
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            "/x",
            "http://",
            "a b:1",
            "a\r\nb:1",
            "u@h:1",
            "h:1/?q",
            "http://h\\x",
        ] {
            assert_eq!(Api::parse(text), None, "{text:?}");
        }
        let long = std::string::String::from("h").repeat(400);
        assert_eq!(Api::parse(&long), None);
        for text in [
            "h:1",
            "1.2.3:1",
            "1.2.3.4.5:1",
            "1.2.3.256:1",
            "1.2.3.4:",
            "1.2.3.4:65536",
        ] {
            assert_eq!(Api::parse(text).unwrap().numbers(), None, "{text}");
        }
    }
}
