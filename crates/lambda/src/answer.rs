//! A server's answer as Lambda wants it, of each front door and of events that are no
//! requests.

use ounce_http::json::Sink;
use ounce_http::reply::Reply;
use ounce_http::utf8;

use crate::base64;
use crate::event::Door;
use crate::fault::{Content, escape};
use crate::translate::{decimal, is_of_connection};

/// The media type of a streamed answer to a front door: a head as JSON, eight zeros,
/// the body (docs.aws.amazon.com/lambda, "Response streaming").
pub const STREAMED_TYPE: &str = "application/vnd.awslambda.http-integration-response";
/// Between the head of such an answer and its body.
pub const STREAMED_GAP: &[u8] = &[0; 8];

/// A server's answer, as Lambda wants it of this front door.
#[derive(Debug)]
pub struct Answer<'a> {
    /// The door.
    pub door: Door,
    /// The head.
    pub reply: Reply<'a>,
    /// The body.
    pub body: &'a [u8],
}

impl Content for Answer<'_> {
    fn write(&self, sink: &mut dyn Sink) {
        let is_text = is_text(&self.reply) && utf8(self.body).is_some();
        self.write_head(sink);
        sink.put(if is_text {
            b",\"isBase64Encoded\":false,\"body\":\""
        } else {
            b",\"isBase64Encoded\":true,\"body\":\""
        });
        if is_text {
            escape(self.body, sink);
        } else {
            base64::encode(self.body, sink);
        }
        sink.put(b"\"}");
    }
}

/// What stands before the body of a streamed answer.
#[derive(Debug)]
pub struct Prelude<'a>(pub Answer<'a>);

impl Content for Prelude<'_> {
    fn write(&self, sink: &mut dyn Sink) {
        self.0.write_head(sink);
        sink.put(b"}");
        sink.put(STREAMED_GAP);
    }
}

impl Answer<'_> {
    fn write_head(&self, sink: &mut dyn Sink) {
        sink.put(b"{\"statusCode\":");
        decimal(self.reply.status.into(), sink);
        if let Door::LoadBalancer(_) = self.door {
            // It must begin with the number.
            sink.put(b",\"statusDescription\":\"");
            decimal(self.reply.status.into(), sink);
            sink.put(b" ");
            sink.put(reason(self.reply.status).as_bytes());
            sink.put(b"\"");
        }
        match self.door {
            Door::V2 => {
                self.write_fields(b"headers", false, true, sink);
                self.write_set_cookies(sink);
            }
            Door::LoadBalancer(false) => self.write_fields(b"headers", false, false, sink),
            Door::V1 | Door::LoadBalancer(true) => {
                self.write_fields(b"multiValueHeaders", true, false, sink);
            }
        }
    }

    /// Fields by name, each name once: values of several of a name are an array, or
    /// joined (RFC 9110 section 5.3). A payload of 2.0 has cookies to set elsewhere;
    /// where there is no place for a second, the last counts, as with load balancers.
    fn write_fields(&self, key: &[u8], many: bool, but_cookies: bool, sink: &mut dyn Sink) {
        sink.put(b",\"");
        sink.put(key);
        sink.put(b"\":{");
        let mut is_first = true;
        for (at, (name, _)) in self.reply.fields().enumerate() {
            let is_cookie = name.eq_ignore_ascii_case(b"set-cookie");
            let is_same = |other: &[u8]| other.eq_ignore_ascii_case(name);
            let is_later = self
                .reply
                .fields()
                .take(at)
                .any(|(other, _)| is_same(other));
            if is_later || is_of_connection(name) || is_cookie && but_cookies {
                continue;
            }
            sink.put(if is_first { b"\"" } else { b",\"" });
            is_first = false;
            // A token needs no escapes.
            sink.put(name);
            sink.put(if many { b"\":[\"" } else { b"\":\"" });
            let values = self.reply.fields().filter(|(other, _)| is_same(other));
            if is_cookie && !many {
                escape(values.last().map_or(b"", |(_, value)| value), sink);
            } else {
                for (at, (_, value)) in values.enumerate() {
                    let between: &[u8] = if many { b"\",\"" } else { b", " };
                    sink.put(if at == 0 { b"" } else { between });
                    escape(value, sink);
                }
            }
            sink.put(if many { b"\"]" } else { b"\"" });
        }
        sink.put(b"}");
    }

    fn write_set_cookies(&self, sink: &mut dyn Sink) {
        sink.put(b",\"cookies\":[");
        let cookies = self
            .reply
            .fields()
            .filter(|(name, _)| name.eq_ignore_ascii_case(b"set-cookie"));
        for (at, (_, value)) in cookies.enumerate() {
            sink.put(if at == 0 { b"\"" } else { b",\"" });
            escape(value, sink);
            sink.put(b"\"");
        }
        sink.put(b"]");
    }
}

/// A word for the status: what stands behind the number has no meaning.
fn reason(status: u16) -> &'static str {
    match status {
        0..=299 => "OK",
        300..=399 => "Redirect",
        400..=499 => "Client Error",
        _ => "Server Error",
    }
}

/// Whether the type of a body is one of text, and nothing is packed.
fn is_text(reply: &Reply<'_>) -> bool {
    const TEXTS: [&[u8]; 6] = [
        b"application/json",
        b"application/javascript",
        b"application/xml",
        b"application/x-www-form-urlencoded",
        b"application/graphql",
        b"image/svg+xml",
    ];
    let encoding = reply.field("content-encoding").unwrap_or_default();
    if !encoding.is_empty() && !encoding.eq_ignore_ascii_case(b"identity") {
        return false;
    }
    let value = reply.field("content-type").unwrap_or_default();
    let media_type = value.split(|byte| *byte == b';').next().unwrap_or_default();
    let media_type = media_type.trim_ascii();
    let ends = |end: &[u8]| {
        let at = media_type.len().checked_sub(end.len());
        let rest = at.and_then(|at| media_type.get(at..)).unwrap_or_default();
        rest.eq_ignore_ascii_case(end)
    };
    let top = media_type.get(..5).unwrap_or_default();
    top.eq_ignore_ascii_case(b"text/")
        || ends(b"+json")
        || ends(b"+xml")
        || TEXTS
            .iter()
            .any(|text| media_type.eq_ignore_ascii_case(text))
}

/// A server's answer to an event that is no request: the function's own, as it is if
/// it is JSON, else as a string of it.
#[derive(Debug)]
pub struct Plain<'a>(pub &'a [u8]);

impl Content for Plain<'_> {
    fn write(&self, sink: &mut dyn Sink) {
        if self.0.is_empty() {
            sink.put(b"null");
        } else if ounce_http::json::is_valid(self.0) {
            sink.put(self.0);
        } else {
            sink.put(b"\"");
            escape(self.0, sink);
            sink.put(b"\"");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ounce_http::reply;
    use serde_json::{Value, json};
    use std::vec::Vec;

    #[derive(Default)]
    struct Bytes(Vec<u8>);

    impl Sink for Bytes {
        fn put(&mut self, bytes: &[u8]) {
            self.0.extend_from_slice(bytes);
        }
    }

    /// What is answered where the server answers this.
    fn answer(door: Door, head: &str, body: &[u8]) -> Value {
        let head = std::format!("HTTP/1.1 {head}\r\n\r\n")
            .replace('\n', "\r\n")
            .replace("\r\r", "\r");
        let reply = reply::parse(head.as_bytes(), 10_000, false).unwrap();
        let mut out = Bytes::default();
        Answer { door, reply, body }.write(&mut out);
        serde_json::from_slice(&out.0).unwrap_or_else(|error| panic!("{error}: {:?}", out.0))
    }

    const HEAD: &str = "201 Created\nContent-Type: text/plain; charset=utf-8\nX-A: 1\nx-a: 2\n\
        Set-Cookie: a=b\nSet-Cookie: c=d\nConnection: close\nContent-Length: 5";

    #[test]
    fn each_front_door_gets_the_answer_in_its_own_form() {
        let text = "text/plain; charset=utf-8";
        assert_eq!(
            answer(Door::V2, HEAD, b"h\"llo"),
            json!({"statusCode": 201, "headers": {"Content-Type": text, "X-A": "1, 2"},
                "cookies": ["a=b", "c=d"], "isBase64Encoded": false, "body": "h\"llo"})
        );
        let many = json!({"Content-Type": [text], "X-A": ["1", "2"], "Set-Cookie": ["a=b", "c=d"]});
        assert_eq!(
            answer(Door::V1, HEAD, b""),
            json!({"statusCode": 201, "multiValueHeaders": many, "isBase64Encoded": false, "body": ""})
        );
        assert_eq!(
            answer(Door::LoadBalancer(true), HEAD, b""),
            json!({"statusCode": 201, "statusDescription": "201 OK", "multiValueHeaders": many,
                "isBase64Encoded": false, "body": ""})
        );
        assert_eq!(
            answer(Door::LoadBalancer(false), HEAD, b"")["headers"],
            json!({"Content-Type": text, "X-A": "1, 2", "Set-Cookie": "c=d"})
        );
    }

    #[test]
    fn what_is_not_text_goes_as_base64() {
        let packed = |head: &str, body: &[u8]| {
            answer(Door::V2, head, body)["isBase64Encoded"] == Value::Bool(true)
        };
        for kind in [
            "text/html",
            "application/json",
            "Application/Problem+JSON; a=b",
            "image/svg+xml",
            "application/atom+xml",
        ] {
            assert!(
                !packed(&std::format!("200 OK\nContent-Type: {kind}"), b"a"),
                "{kind}"
            );
        }
        for head in [
            "200 OK",
            "200 OK\nContent-Type: image/png",
            "200 OK\nContent-Type: te",
            "200 OK\nContent-Type: text/plain\nContent-Encoding: gzip",
        ] {
            assert!(packed(head, b"a"), "{head}");
        }
        let body = &answer(Door::V2, "200 OK\nContent-Type: text/plain", b"\xff\x00")["body"];
        assert_eq!(body, "/wA=");
    }

    #[test]
    fn a_streamed_answer_has_its_head_before_eight_zeros() {
        let reply = reply::parse(b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n", 1_000, false).unwrap();
        let mut out = Bytes::default();
        let body = b"";
        Prelude(Answer {
            door: Door::V2,
            reply,
            body,
        })
        .write(&mut out);
        let json = out.0.strip_suffix(&[0; 8]).unwrap();
        let json: Value = serde_json::from_slice(json).unwrap();
        assert_eq!(
            json,
            json!({"statusCode": 200, "headers": {"A": "b"}, "cookies": []})
        );
    }

    #[test]
    fn an_answer_to_an_event_is_json_whatever_the_server_says() {
        for (body, expected) in [
            ("{\"a\": 1}", json!({"a": 1})),
            ("", Value::Null),
            ("done", json!("done")),
            ("{", json!("{")),
        ] {
            let mut out = Bytes::default();
            Plain(body.as_bytes()).write(&mut out);
            assert_eq!(serde_json::from_slice::<Value>(&out.0).unwrap(), expected);
        }
    }
}
