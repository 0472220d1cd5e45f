//! Request methods (RFC 9110 section 9): those that a server can be written for.

use crate::ascii::{is_equal, utf8};
use crate::words::{Words, words};

/// A method this library knows. All others, CONNECT and TRACE among them, are
/// answered with 501 before a handler is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// RFC 9110 section 9.3.1.
    Get,
    /// RFC 9110 section 9.3.2: as GET, without the body.
    Head,
    /// RFC 9110 section 9.3.3.
    Post,
    /// RFC 9110 section 9.3.4.
    Put,
    /// RFC 9110 section 9.3.5.
    Delete,
    /// RFC 9110 section 9.3.7.
    Options,
    /// RFC 5789.
    Patch,
}

/// In the order of the variants.
const NAMES: Words = words!["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"];
const ALL: [Method; 7] = [
    Method::Get,
    Method::Head,
    Method::Post,
    Method::Put,
    Method::Delete,
    Method::Options,
    Method::Patch,
];

impl Method {
    /// The method of this exact name; names are case-sensitive.
    pub fn from_bytes(name: &[u8]) -> Option<Self> {
        let mut names = NAMES;
        let number = names.position(|known| is_equal(known, name))?;
        ALL.get(number).copied()
    }

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        utf8(NAMES.get(self as usize)).unwrap_or_default()
    }
}

/// A set of methods, for the `Allow` field of a 405 answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Methods(u8);

impl Methods {
    /// No method at all.
    pub const NONE: Self = Self(0);
    /// What a static file answers to.
    pub const GET_HEAD: Self = Self::NONE.with(Method::Get).with(Method::Head);

    /// The set with one method more.
    #[must_use]
    pub const fn with(self, method: Method) -> Self {
        Self(self.0 | 1 << method as u8)
    }

    /// Whether the set holds nothing.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The names in the set, in a fixed order.
    pub fn names(self) -> impl Iterator<Item = &'static [u8]> {
        NAMES
            .enumerate()
            .filter(move |(number, _)| self.0 >> number & 1 != 0)
            .map(|(_, name)| name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_reads_back_as_its_method() {
        assert_eq!(NAMES.count(), ALL.len());
        for (name, method) in NAMES.zip(ALL) {
            assert_eq!(Method::from_bytes(name), Some(method));
            assert_eq!(method.name().as_bytes(), name);
        }
    }

    #[test]
    fn method_names_are_case_sensitive() {
        assert_eq!(Method::from_bytes(b"get"), None);
    }
}
