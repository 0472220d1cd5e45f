//! One connection's decisions: what to read, when to answer, and whether to go
//! on after it. Reading, writing and timing are the caller's.
//!
//! The caller shows all bytes that are received and not yet consumed; [`next`]
//! says what they are. After an answer it consumes [`Message::length`] bytes
//! and asks again, which is all that pipelining takes. After a refusal nobody
//! knows where the next request begins: the caller answers, then closes.

use crate::chunked::{self, Decoded};
use crate::head::{self, Framing, Head, Limits, Stop};
use crate::status::Status;

/// What the received bytes amount to.
#[allow(
    clippy::large_enum_variant,
    reason = "nothing to box it in: no allocation"
)]
#[derive(Debug)]
pub enum Next<'a> {
    /// No byte of a request: the connection is idle.
    Idle,
    /// A request that is not whole; read on.
    More {
        /// The client awaits `100 Continue` before it sends the body
        /// (RFC 9110 section 10.1.1): send that once.
        send_continue: bool,
    },
    /// A whole request.
    Request(Message<'a>),
    /// Answer with this status and close.
    Refuse(Status),
}

/// A whole request, head and body.
#[derive(Debug)]
pub struct Message<'a> {
    /// The head.
    pub head: Head<'a>,
    /// The content, decoded.
    pub body: &'a mut [u8],
    /// How many bytes to consume once it is answered.
    pub length: usize,
}

/// Judges the bytes received and not yet consumed. `is_full` says that the
/// caller's buffer has no room for more.
///
/// A chunked body is decoded in place, so that on [`Next::Request`] the bytes
/// within [`Message::length`] may have changed; on any other result they have
/// not.
pub fn next<'a>(bytes: &'a mut [u8], is_full: bool, limits: &Limits) -> Next<'a> {
    if bytes.is_empty() {
        return Next::Idle;
    }
    let (head, rest) = match head(bytes, is_full, limits) {
        Ok(both) => both,
        Err(Stop::Refuse(status)) => return Next::Refuse(status),
        Err(Stop::Partial) => {
            return Next::More {
                send_continue: false,
            };
        }
    };
    match body(&head, rest, limits.body_bytes) {
        Ok(body) => Next::Request(Message {
            body: rest.get_mut(..body.length).unwrap_or_default(),
            length: head.length + body.wire_length,
            head,
        }),
        Err(Stop::Refuse(status)) => Next::Refuse(status),
        Err(Stop::Partial) if is_full => Next::Refuse(Status::ContentTooLarge),
        Err(Stop::Partial) => Next::More {
            // RFC 9110 section 10.1.1: not needed once the body has begun.
            send_continue: head.expects_continue && rest.is_empty(),
        },
    }
}

/// The first half of [`next`]: the head, and the bytes behind it.
///
/// # Errors
/// Where there is no whole head, or it is to be refused.
#[inline(always)]
pub fn head<'a>(
    bytes: &'a mut [u8],
    is_full: bool,
    limits: &Limits,
) -> Result<(Head<'a>, &'a mut [u8]), Stop> {
    let (head_bytes, rest) = split(bytes);
    match head::parse(head_bytes, limits) {
        Ok(head) => Ok((head, rest)),
        Err(Stop::Partial) if is_full => Err(Status::RequestHeaderFieldsTooLarge.into()),
        Err(stop) => Err(stop),
    }
}

/// Parts the head from what is behind it, so that one can be borrowed while the
/// other is moved; what has no end is all head.
#[inline(always)]
pub fn split(bytes: &mut [u8]) -> (&mut [u8], &mut [u8]) {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
    let length = end.map_or(bytes.len(), |at| at + 4);
    bytes.split_at_mut_checked(length).unwrap_or_default()
}

/// The second half of [`next`]: the body behind a head, decoded in place.
///
/// # Errors
/// [`Stop::Partial`] while it is not whole; 413 where it is longer than so many
/// bytes, and 400 where it is malformed.
#[inline(never)]
pub fn body(head: &Head<'_>, rest: &mut [u8], max_bytes: usize) -> Result<Decoded, Stop> {
    match head.framing {
        Framing::Length(length) if length > max_bytes as u64 => {
            Err(Stop::Refuse(Status::ContentTooLarge))
        }
        // No truncation: the limit is a usize.
        Framing::Length(length) if rest.len() < length as usize => Err(Stop::Partial),
        Framing::Length(length) => Ok(Decoded {
            length: length as usize,
            wire_length: length as usize,
        }),
        Framing::Chunked => chunked::decode(rest, max_bytes),
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    fn limits() -> Limits {
        Limits {
            body_bytes: 16,
            ..Limits::DEFAULT
        }
    }

    #[test]
    fn pipelined_requests_come_out_one_by_one() {
        let mut bytes = Vec::from(
            "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n\
             POST /b HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nde\
             GET /c HTTP/1.1\r\nHost: h\r\n\r\n",
        );
        let mut seen = Vec::new();
        loop {
            match next(&mut bytes, false, &limits()) {
                Next::Request(message) => {
                    seen.push((message.head.path.to_vec(), message.body.to_vec()));
                    let length = message.length;
                    bytes.drain(..length);
                }
                Next::Idle => break,
                other => panic!("{other:?}"),
            }
        }
        let expected = [("/a", "abc"), ("/b", "de"), ("/c", "")];
        assert_eq!(
            seen,
            expected.map(|(path, body)| (path.into(), body.into()))
        );
    }

    #[test]
    fn rfc9110_10_1_1_continue_is_asked_for_only_before_the_body() {
        let head =
            "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
        let mut bytes = Vec::from(head);
        let asks = |bytes: &mut Vec<u8>| match next(bytes, false, &limits()) {
            Next::More { send_continue } => send_continue,
            other => panic!("{other:?}"),
        };
        assert!(asks(&mut bytes));
        bytes.push(b'a');
        assert!(!asks(&mut bytes));
    }

    #[test]
    fn rfc9110_15_5_14_a_body_past_the_limit_is_refused_at_its_head() {
        let mut bytes = Vec::from("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 17\r\n\r\n");
        let next = next(&mut bytes, false, &limits());
        assert!(matches!(next, Next::Refuse(Status::ContentTooLarge)));
    }

    #[test]
    fn a_full_buffer_without_a_whole_request_is_refused() {
        let mut bytes = Vec::from("GET / HT");
        let found = next(&mut bytes, true, &limits());
        assert!(matches!(
            found,
            Next::Refuse(Status::RequestHeaderFieldsTooLarge)
        ));
    }
}
