//! Why a handler does not do what it was asked to, as the client is told
//! (RFC 9457, problem details).

use crate::ascii;
use crate::json;
use crate::response::Response;
use crate::status::Status;

/// What a handler returns: `Err` becomes the answer.
pub type Answer = Result<(), &'static Problem>;

/// A status and what a person can do about it. They are constants of a program:
///
/// ```
/// # use ounce_http::{problem::Problem, status::Status};
/// const FULL: &Problem = &Problem::new(Status::InsufficientStorage, "The store is full.");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Problem {
    status: Status,
    /// Of one that only services send.
    line: &'static str,
    detail: &'static str,
}

impl Problem {
    /// 404, and no more to say.
    pub const NOT_FOUND: &Self = &Self::new(Status::NotFound, "");
    /// 413, and no more to say.
    pub const TOO_LARGE: &Self = &Self::new(Status::ContentTooLarge, "");
    /// 400 for what is no JSON.
    const MALFORMED: &Self = &Self::new(Status::BadRequest, "The body is not valid JSON.");
    /// 422 for JSON that says something else than asked.
    const UNEXPECTED: &Self = &Self::new(
        Status::UnprocessableContent,
        "A JSON value is of another kind or size than expected.",
    );

    /// A problem with a sentence about it; empty for none.
    pub const fn new(status: Status, detail: &'static str) -> Self {
        Self {
            status,
            line: status.other_line(),
            detail,
        }
    }

    /// The status of the answer.
    pub fn status(&self) -> Status {
        self.status
    }

    /// Becomes the answer. Fields that were set before stay.
    pub fn write(&self, response: &mut Response<'_>) {
        response.tell(self.status, self.line, self.detail);
    }
}

impl Response<'_> {
    /// Becomes a problem with a sentence about it; empty for none. Fields that
    /// were set before stay.
    #[inline(always)]
    pub fn problem(&mut self, status: Status, detail: &str) -> &mut Self {
        self.tell(status, status.other_line(), detail)
    }

    /// Becomes the refusal of a request that this library finds fault with: a
    /// problem of a status up to [`Status::HttpVersionNotSupported`].
    #[inline(never)]
    pub fn refuse(&mut self, status: Status) -> &mut Self {
        self.tell(status, "", "")
    }

    /// Becomes a problem of this status, whose line is given where only services
    /// send it.
    #[inline(never)]
    fn tell(&mut self, status: Status, line: &'static str, detail: &str) -> &mut Self {
        self.clear_body().set_status(status, line);
        let line = self.status_line();
        self.write(b"{\"title\":\"");
        self.write(ascii::from(line, 4));
        self.write(b"\",\"status\":");
        self.write(line.get(..3).unwrap_or_default());
        if !detail.is_empty() {
            self.write(b",\"detail\":");
            self.json().string(detail);
        }
        self.content_type("application/problem+json").write(b"}")
    }
}

impl From<json::Fault> for &Problem {
    fn from(fault: json::Fault) -> Self {
        match fault {
            json::Fault::Malformed(_) => Problem::MALFORMED,
            json::Fault::Unexpected(_) => Problem::UNEXPECTED,
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::response::{HEAD_BYTES, Manner};
    use std::string::String;

    fn told(problem: &Problem) -> String {
        let mut buffer = [0; HEAD_BYTES + 256];
        let mut response = Response::new(&mut buffer);
        response.field("X-A", b"b").text("half an answer");
        problem.write(&mut response);
        let length = response.finish(&Manner {
            date: &[b'-'; 29],
            is_head: false,
            is_http11: true,
            closes: false,
        });
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    #[test]
    fn rfc9457_3_1_a_problem_has_title_status_and_detail() {
        let text = told(&Problem::new(Status::NotFound, "No \"such\" key."));
        assert!(text.starts_with("HTTP/1.1 404 "), "{text}");
        assert!(text.contains("\r\nContent-Type: application/problem+json\r\n"));
        assert!(text.contains("\r\nX-A: b\r\n"));
        assert!(text.ends_with(
            "\r\n\r\n{\"title\":\"Not Found\",\"status\":404,\"detail\":\"No \\\"such\\\" key.\"}"
        ));
        let text = told(Problem::TOO_LARGE);
        assert!(text.ends_with("{\"title\":\"Content Too Large\",\"status\":413}"));
    }

    #[test]
    fn faults_of_json_have_their_status() {
        let status = |fault: json::Fault| <&Problem>::from(fault).status();
        assert_eq!(status(json::Fault::Malformed(17)), Status::BadRequest);
        assert_eq!(
            status(json::Fault::Unexpected(3)),
            Status::UnprocessableContent
        );
    }
}
