//! Why a handler does not do what it was asked to, as the client is told
//! (RFC 9457, problem details).

use crate::json;
use crate::response::Response;
use crate::status::Status;

/// What a handler returns: `Err` becomes the answer.
pub type Answer = Result<(), Problem>;

/// A status and what a person can do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Problem {
    status: Status,
    detail: &'static str,
    at: Option<usize>,
}

impl Problem {
    /// A problem with a sentence about it; empty for none.
    pub const fn new(status: Status, detail: &'static str) -> Self {
        Self {
            status,
            detail,
            at: None,
        }
    }

    /// The status of the answer.
    pub fn status(&self) -> Status {
        self.status
    }

    /// Becomes the answer's body. Fields that were set before stay.
    #[inline(never)]
    pub fn write(&self, response: &mut Response<'_>) {
        let line = self.status.line();
        let title = line.get(4..).unwrap_or_default();
        let code = line.get(..3).unwrap_or_default();
        response.clear_body().status(self.status);
        response.write(b"{\"title\":\"").write(title.as_bytes());
        response.write(b"\",\"status\":").write(code.as_bytes());
        if !self.detail.is_empty() {
            response.write(b",\"detail\":");
            response.json().string(self.detail);
        }
        if let Some(at) = self.at {
            response.write(b",\"offset\":").number(at as u64);
        }
        response.write(b"}");
        response.content_type("application/problem+json");
    }
}

impl From<Status> for Problem {
    fn from(status: Status) -> Self {
        Self::new(status, "")
    }
}

/// 400 for what is not JSON, 422 for JSON that says something else than asked,
/// with the number of bytes before the fault.
impl From<json::Error> for Problem {
    #[inline(never)]
    fn from(error: json::Error) -> Self {
        let (status, detail, at) = match error {
            json::Error::Malformed(at) => (Status::BadRequest, "The body is not valid JSON.", at),
            json::Error::Unexpected(at) => (
                Status::UnprocessableContent,
                "A JSON value is of another kind or size than expected.",
                at,
            ),
        };
        Self {
            status,
            detail,
            at: Some(at),
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::response::{HEAD_BYTES, Manner};
    use std::string::String;

    fn told(problem: impl Into<Problem>) -> String {
        let mut buffer = [0; HEAD_BYTES + 256];
        let mut response = Response::new(&mut buffer);
        response.text("half an answer");
        problem.into().write(&mut response);
        let length = response.finish(&Manner {
            is_head: false,
            is_http11: true,
            closes: false,
            date: &[b'-'; 29],
        });
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    #[test]
    fn rfc9457_3_1_a_problem_has_title_status_and_detail() {
        let text = told(Problem::new(Status::NotFound, "No \"such\" key."));
        assert!(text.starts_with("HTTP/1.1 404 "), "{text}");
        assert!(text.contains("\r\nContent-Type: application/problem+json\r\n"));
        assert!(text.ends_with(
            "\r\n\r\n{\"title\":\"Not Found\",\"status\":404,\"detail\":\"No \\\"such\\\" key.\"}"
        ));
        assert!(told(Status::Conflict).ends_with("{\"title\":\"Conflict\",\"status\":409}"));
    }

    #[test]
    fn faults_of_json_say_where_they_are() {
        let text = told(json::Error::Malformed(17));
        assert!(text.starts_with("HTTP/1.1 400 "), "{text}");
        assert!(text.ends_with(",\"offset\":17}"), "{text}");
        assert!(told(json::Error::Unexpected(3)).starts_with("HTTP/1.1 422 "));
    }
}
