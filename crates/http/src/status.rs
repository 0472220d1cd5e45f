//! Status codes (RFC 9110 section 15): the ones that are really sent.

use crate::ascii::utf8;
use crate::words::{Words, words};

/// The status of an answer. The first ones, to [`Status::HttpVersionNotSupported`],
/// are those that this library and a server of files send; a program that sends
/// no others does not carry the text of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// 200
    Ok,
    /// 204
    NoContent,
    /// 206
    PartialContent,
    /// 304
    NotModified,
    /// 308
    PermanentRedirect,
    /// 400
    BadRequest,
    /// 403
    Forbidden,
    /// 404
    NotFound,
    /// 405
    MethodNotAllowed,
    /// 408
    RequestTimeout,
    /// 412
    PreconditionFailed,
    /// 413
    ContentTooLarge,
    /// 414
    UriTooLong,
    /// 416
    RangeNotSatisfiable,
    /// 417
    ExpectationFailed,
    /// 431
    RequestHeaderFieldsTooLarge,
    /// 500
    InternalServerError,
    /// 501
    NotImplemented,
    /// 503
    ServiceUnavailable,
    /// 505
    HttpVersionNotSupported,
    /// 100
    Continue,
    /// 201
    Created,
    /// 202
    Accepted,
    /// 301
    MovedPermanently,
    /// 302
    Found,
    /// 303
    SeeOther,
    /// 307
    TemporaryRedirect,
    /// 401
    Unauthorized,
    /// 406
    NotAcceptable,
    /// 409
    Conflict,
    /// 410
    Gone,
    /// 411
    LengthRequired,
    /// 415
    UnsupportedMediaType,
    /// 422
    UnprocessableContent,
    /// 429
    TooManyRequests,
    /// 502
    BadGateway,
    /// 504
    GatewayTimeout,
    /// 507
    InsufficientStorage,
}

/// Of the first ones, in the order of the variants.
const LINES: Words = words![
    "200 OK",
    "204 No Content",
    "206 Partial Content",
    "304 Not Modified",
    "308 Permanent Redirect",
    "400 Bad Request",
    "403 Forbidden",
    "404 Not Found",
    "405 Method Not Allowed",
    "408 Request Timeout",
    "412 Precondition Failed",
    "413 Content Too Large",
    "414 URI Too Long",
    "416 Range Not Satisfiable",
    "417 Expectation Failed",
    "431 Request Header Fields Too Large",
    "500 Internal Server Error",
    "501 Not Implemented",
    "503 Service Unavailable",
    "505 HTTP Version Not Supported",
];

/// Of the others, in the order of the variants. Each is for itself: what is asked
/// for by a constant is all that a program carries of them.
const OTHER_LINES: [&str; 18] = [
    "100 Continue",
    "201 Created",
    "202 Accepted",
    "301 Moved Permanently",
    "302 Found",
    "303 See Other",
    "307 Temporary Redirect",
    "401 Unauthorized",
    "406 Not Acceptable",
    "409 Conflict",
    "410 Gone",
    "411 Length Required",
    "415 Unsupported Media Type",
    "422 Unprocessable Content",
    "429 Too Many Requests",
    "502 Bad Gateway",
    "504 Gateway Timeout",
    "507 Insufficient Storage",
];

impl Status {
    /// Code and reason as on the status line, such as `404 Not Found`.
    pub fn line(self) -> &'static str {
        match self.other_line() {
            "" => utf8(self.first_line()).unwrap_or_default(),
            line => line,
        }
    }

    /// The same, but empty for those which a server of files sends.
    #[allow(clippy::indexing_slicing, reason = "in bounds by the condition")]
    #[inline(always)]
    pub(crate) const fn other_line(self) -> &'static str {
        let number = (self as usize).wrapping_sub(Self::Continue as usize);
        if number < OTHER_LINES.len() {
            OTHER_LINES[number]
        } else {
            ""
        }
    }

    /// The same, but empty for those which a server of files does not send.
    #[inline(never)]
    pub fn first_line(self) -> &'static [u8] {
        LINES.get(self as usize)
    }

    /// The three digits as a number.
    pub fn code(self) -> u16 {
        self.line()
            .bytes()
            .take(3)
            .fold(0, |code, digit| code * 10 + u16::from(digit - b'0'))
    }

    /// Whether an answer of this status never has a body (RFC 9110 section
    /// 6.4.1: 1xx, 204 and 304).
    pub fn is_bodiless(self) -> bool {
        matches!(self, Self::Continue | Self::NoContent | Self::NotModified)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_variants_stand_in_the_same_order() {
        for (status, code) in [
            (Status::Ok, 200),
            (Status::PartialContent, 206),
            (Status::NotFound, 404),
            (Status::ContentTooLarge, 413),
            (Status::RequestHeaderFieldsTooLarge, 431),
            (Status::HttpVersionNotSupported, 505),
            (Status::Continue, 100),
            (Status::SeeOther, 303),
            (Status::LengthRequired, 411),
            (Status::InsufficientStorage, 507),
        ] {
            assert_eq!(status.code(), code);
        }
        assert_eq!(LINES.count(), Status::Continue as usize);
        assert_eq!(
            LINES.count() + OTHER_LINES.len(),
            Status::InsufficientStorage as usize + 1
        );
    }
}
