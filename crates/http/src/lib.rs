//! A sans-I/O HTTP/1.1 server library: bytes in, bytes out, no allocation.
//!
//! [`head`] reads a request, [`path`] decodes what it asks for, [`condition`] and
//! [`encoding`] decide what of that to send, and [`writer`] writes the head of
//! the answer: that is all that a server of files takes. For services,
//! [`connection`] reads whole requests with their bodies, [`route`] finds who
//! answers, and [`response`] joins a body with its head; a program that does not
//! use them does not carry them.
//!
//! For programs that ask other servers, [`reply`] reads the head of an answer.
//!
//! Sockets, files, clocks and timeouts belong to the caller (`ounce-httpd`).
//!
//! RFC 9110 and RFC 9112 are kept on the strict side: a message that two
//! implementations could read in two ways is refused, since that is what
//! request smuggling is made of.
#![no_std]
#![forbid(unsafe_code)]

mod ascii;
pub mod asset;
pub mod chunked;
pub mod condition;
pub mod connection;
pub mod content_type;
mod cursor;
pub mod date;
pub mod encoding;
pub mod etag;
pub mod form;
pub mod head;
mod host;
pub mod json;
pub mod method;
pub mod packed;
pub mod path;
pub mod problem;
pub mod reply;
pub mod request;
pub mod response;
pub mod route;
pub mod secret;
pub mod status;
pub mod stream;
pub mod text;
mod words;
pub mod writer;

pub use ascii::{is_target_byte, is_token, is_value, parse_decimal, take_until, utf8};
