//! Status codes (RFC 9110 section 15): the ones that are really sent.

/// The status of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// 100
    Continue,
    /// 200
    Ok,
    /// 201
    Created,
    /// 204
    NoContent,
    /// 301
    MovedPermanently,
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
    /// 409
    Conflict,
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
}

const LINES: [&str; 22] = [
    "100 Continue",
    "200 OK",
    "201 Created",
    "204 No Content",
    "301 Moved Permanently",
    "308 Permanent Redirect",
    "400 Bad Request",
    "403 Forbidden",
    "404 Not Found",
    "405 Method Not Allowed",
    "408 Request Timeout",
    "409 Conflict",
    "413 Content Too Large",
    "414 URI Too Long",
    "415 Unsupported Media Type",
    "417 Expectation Failed",
    "422 Unprocessable Content",
    "431 Request Header Fields Too Large",
    "500 Internal Server Error",
    "501 Not Implemented",
    "503 Service Unavailable",
    "505 HTTP Version Not Supported",
];

impl Status {
    /// Code and reason as on the status line, such as `404 Not Found`.
    pub fn line(self) -> &'static str {
        LINES.get(self as usize).copied().unwrap_or_default()
    }

    /// The three digits as a number.
    pub fn code(self) -> u16 {
        self.line()
            .bytes()
            .take(3)
            .fold(0, |code, digit| code * 10 + u16::from(digit - b'0'))
    }

    /// Whether an answer of this status has neither body nor Content-Length
    /// (RFC 9110 section 8.6: 1xx and 204).
    pub fn is_bodiless(self) -> bool {
        matches!(self, Self::Continue | Self::NoContent)
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
        assert_eq!(Status::HttpVersionNotSupported as usize + 1, LINES.len());
    }
}
