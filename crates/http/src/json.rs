//! JSON (RFC 8259) without allocation: a [`Json`] writer into anything that takes
//! bytes, a pull parser ([`Reader`]) over bytes that are there whole, and
//! [`is_valid`], which tells whether bytes from outside can be passed on as JSON.
//!
//! The parser is strict: what RFC 8259 does not allow is an error, wherever it
//! stands. Nesting is bounded by [`MAX_DEPTH`]; the length is bounded by whoever
//! read the bytes. Doubled names are given as they come.

mod check;
mod read;
mod write;

pub use check::{MAX_DEPTH, is_valid};
pub use read::{Fault, Kind, Reader};
pub use write::{Json, Sink};
