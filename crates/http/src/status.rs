//! Status codes (RFC 9110 section 15): the ones that are really sent.

use crate::ascii::Lines;

/// The status of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// 100
    Continue,
    /// 200
    Ok,
    /// 201
    Created,
    /// 202
    Accepted,
    /// 204
    NoContent,
    /// 301
    MovedPermanently,
    /// 302
    Found,
    /// 303
    SeeOther,
    /// 304
    NotModified,
    /// 307
    TemporaryRedirect,
    /// 308
    PermanentRedirect,
    /// 400
    BadRequest,
    /// 401
    Unauthorized,
    /// 403
    Forbidden,
    /// 404
    NotFound,
    /// 405
    MethodNotAllowed,
    /// 408
    RequestTimeout,
    /// 409
    Conflict,
    /// 412
    PreconditionFailed,
    /// 413
    ContentTooLarge,
    /// 414
    UriTooLong,
    /// 415
    UnsupportedMediaType,
    /// 417
    ExpectationFailed,
    /// 422
    UnprocessableContent,
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
    /// 507
    InsufficientStorage,
}

/// In the order of the variants; one text, as in `content_type`.
const LINES: &str = "\
100 Continue\n\
200 OK\n\
201 Created\n\
202 Accepted\n\
204 No Content\n\
301 Moved Permanently\n\
302 Found\n\
303 See Other\n\
304 Not Modified\n\
307 Temporary Redirect\n\
308 Permanent Redirect\n\
400 Bad Request\n\
401 Unauthorized\n\
403 Forbidden\n\
404 Not Found\n\
405 Method Not Allowed\n\
408 Request Timeout\n\
409 Conflict\n\
412 Precondition Failed\n\
413 Content Too Large\n\
414 URI Too Long\n\
415 Unsupported Media Type\n\
417 Expectation Failed\n\
422 Unprocessable Content\n\
431 Request Header Fields Too Large\n\
500 Internal Server Error\n\
501 Not Implemented\n\
503 Service Unavailable\n\
505 HTTP Version Not Supported\n\
507 Insufficient Storage\n\
";

impl Status {
    /// Code and reason as on the status line, such as `404 Not Found`.
    #[inline(never)]
    pub fn line(self) -> &'static str {
        Lines(LINES).nth(self as usize).unwrap_or_default()
    }

    /// The three digits as a number.
    pub fn code(self) -> u16 {
        self.line()
            .bytes()
            .take(3)
            .fold(0, |code, digit| code * 10 + u16::from(digit - b'0'))
    }

    /// Whether an answer of this status has neither body nor Content-Length
    /// (RFC 9110 sections 8.6 and 15.4.5: 1xx, 204 and 304).
    pub fn is_bodiless(self) -> bool {
        matches!(self, Self::Continue | Self::NoContent | Self::NotModified)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_variants_stand_in_the_same_order() {
        assert_eq!(Status::Continue.code(), 100);
        assert_eq!(Status::NotFound.line(), "404 Not Found");
        assert_eq!(Status::ContentTooLarge.code(), 413);
        assert_eq!(Status::RequestHeaderFieldsTooLarge.code(), 431);
        assert_eq!(Status::HttpVersionNotSupported.code(), 505);
        assert_eq!(
            Status::InsufficientStorage as usize + 1,
            LINES.lines().count()
        );
    }
}
