//! What is asked for: an event, and what Lambda says about it.

use ounce_http::json::Reader;
use ounce_http::reply::Reply;
use ounce_http::{parse_decimal, utf8};

/// An event and its circumstances.
#[derive(Debug)]
pub struct Invocation<'e> {
    /// JSON as it came. It may be read where it stands.
    pub event: &'e mut [u8],
    /// What Lambda says about it.
    pub context: Context<'e>,
}

impl<'e> Invocation<'e> {
    /// Reads the event; its strings are decoded where they stand, so it is read once.
    pub fn json(&mut self) -> Reader<'_> {
        Reader::new(self.event)
    }
}

/// What Lambda says about an event; texts are empty where it says nothing.
#[derive(Clone, Copy, Debug)]
pub struct Context<'e> {
    /// By which it is answered.
    pub request_id: &'e str,
    /// When Lambda ends the function, in milliseconds since 1970; 0 where it does
    /// not say.
    pub deadline_ms: u64,
    head: Reply<'e>,
}

/// Before September 2001: no point in time, but the time that is left.
const FIRST_MOMENT_MS: u64 = 1_000_000_000_000;

impl<'e> Context<'e> {
    /// Of an answer's head; `None` where it has no name that an answer can bear.
    /// `cargo lambda` gives the seconds that are left where Lambda gives the moment.
    pub(crate) fn read(head: Reply<'e>, now_ms: u64) -> Option<Self> {
        let mut context = Self {
            request_id: "",
            deadline_ms: 0,
            head,
        };
        context.request_id = context.text("lambda-runtime-aws-request-id");
        // It becomes a part of a path.
        let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        let id = context.request_id.as_bytes();
        if id.is_empty() || id.len() > 128 || !id.iter().all(|byte| is_fine(*byte)) {
            return None;
        }
        let deadline = context.text("lambda-runtime-deadline-ms").as_bytes();
        context.deadline_ms = parse_decimal(deadline).unwrap_or(0);
        if context.deadline_ms.wrapping_sub(1) < FIRST_MOMENT_MS {
            context.deadline_ms += now_ms;
        }
        Some(context)
    }

    #[inline(never)]
    fn text(&self, name: &str) -> &'e str {
        self.head.field(name).and_then(utf8).unwrap_or_default()
    }

    /// The function, with version or alias as it was called.
    pub fn function_arn(&self) -> &'e str {
        self.text("lambda-runtime-invoked-function-arn")
    }

    /// The trace of X-Ray, for what the function asks in turn.
    pub fn trace_id(&self) -> &'e str {
        self.text("lambda-runtime-trace-id")
    }

    /// JSON of the mobile SDK.
    pub fn client_context(&self) -> &'e str {
        self.text("lambda-runtime-client-context")
    }

    /// JSON of Cognito's identity.
    pub fn cognito_identity(&self) -> &'e str {
        self.text("lambda-runtime-cognito-identity")
    }

    /// Milliseconds that are left, 0 when there are none; without a deadline there
    /// is time without end.
    pub fn left_ms(&self, now_ms: u64) -> u64 {
        match self.deadline_ms {
            0 => u64::MAX,
            deadline => deadline.saturating_sub(now_ms),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ounce_http::reply;
    use std::format;

    fn read(fields: &str) -> Option<Context<'_>> {
        let reply = reply::parse(fields.as_bytes(), 10_000, false).unwrap();
        Context::read(reply, 2_000_000_000_000)
    }

    #[test]
    fn what_lambda_says_is_read_by_name() {
        let text = "HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: a-1\r\n\
            Lambda-Runtime-Deadline-Ms: 2000000003000\r\n\
            Lambda-Runtime-Invoked-Function-Arn: arn:x\r\n\
            Lambda-Runtime-Trace-Id: Root=1\r\n\r\n";
        let context = read(text).unwrap();
        assert_eq!((context.request_id, context.trace_id()), ("a-1", "Root=1"));
        assert_eq!(
            (context.function_arn(), context.client_context()),
            ("arn:x", "")
        );
        assert_eq!(context.left_ms(2_000_000_000_000), 3_000);
        assert_eq!(context.left_ms(2_000_000_004_000), 0);
    }

    #[test]
    fn a_deadline_that_is_a_duration_begins_now_and_none_is_endless() {
        let with = |field| {
            let text =
                format!("HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: a\r\n{field}\r\n\r\n");
            read(&text).unwrap().deadline_ms
        };
        assert_eq!(with("Lambda-Runtime-Deadline-Ms: 600"), 2_000_000_000_600);
        assert_eq!(with("Lambda-Runtime-Deadline-Ms: -1"), 0);
        assert_eq!(with("X: y"), 0);
        let endless = "HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: a\r\n\r\n";
        assert_eq!(read(endless).unwrap().left_ms(7), u64::MAX);
    }

    #[test]
    fn a_name_that_would_leave_its_place_in_a_path_is_none() {
        for id in ["", "a/b", "..", "a b", "a%2fb", "a?b", &"a".repeat(129)] {
            let text =
                format!("HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: {id}\r\nX: y\r\n\r\n");
            assert!(read(&text).is_none(), "{id}");
        }
        assert!(read("HTTP/1.1 200 OK\r\n\r\n").is_none());
    }
}
