//! An event as an HTTP request. The way back is in [`answer`](crate::answer).

use ounce_http::json::{Fault, Kind, Reader, Sink};
use ounce_http::{is_token, is_value};

use crate::event::{Door, Request};
use crate::fault::{Count, escape};
use crate::invocation::Context;
use crate::target::{self, Part};

/// Fields that are about one connection (RFC 9110 section 7.6.1), or are said anew.
const OF_CONNECTION: [&str; 9] = [
    "connection",
    "content-length",
    "expect",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

pub(crate) fn is_of_connection(name: &[u8]) -> bool {
    OF_CONNECTION
        .iter()
        .any(|other| name.eq_ignore_ascii_case(other.as_bytes()))
}

/// What a request cannot be made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// It has something else where fields or values are.
    Json(Fault),
    /// A field that would be read as something else by the server.
    Field,
    /// The body is not the Base64 that it is said to be.
    Body,
}

impl From<Fault> for Unfit {
    fn from(fault: Fault) -> Self {
        Self::Json(fault)
    }
}

impl Unfit {
    /// In words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Json(_) => "the event is no request that can be understood",
            Self::Field => "the event has a field that HTTP cannot have",
            Self::Body => "the body of the event is not Base64",
        }
    }
}

/// Writes the head of the request, for a server that closes the connection after
/// it; the part `base` is taken off the path's front. The fields are read here, and
/// so this is done once.
///
/// # Errors
/// [`Unfit`], with a part written.
pub fn write_head(
    request: &mut Request<'_>,
    context: &Context<'_>,
    base: &str,
    sink: &mut dyn Sink,
) -> Result<(), Unfit> {
    let mut count = Count::default();
    if !request.write_body(&mut count) {
        return Err(Unfit::Body);
    }
    sink.put(request.method());
    sink.put(b" ");
    write_target(request, base, sink)?;
    sink.put(b" HTTP/1.1\r\n");
    let has_host = write_fields(request, sink)?;
    if !has_host {
        sink.put(b"Host: localhost\r\n");
    }
    write_cookies(request, sink)?;
    field("X-Amzn-Trace-Id", context.trace_id().as_bytes(), sink);
    field("X-Amzn-Request-Context", request.context, sink);
    write_context(context, sink);
    // A server may wait for a body that is not announced.
    sink.put(b"Content-Length: ");
    decimal(count.0, sink);
    sink.put(b"\r\nConnection: close\r\n\r\n");
    Ok(())
}

/// The head of a request that hands an event on that is none itself.
pub fn write_event_head(path: &str, context: &Context<'_>, bytes: u64, sink: &mut dyn Sink) {
    sink.put(b"POST ");
    if !path.starts_with('/') {
        sink.put(b"/");
    }
    target::put(path, Part::Path, sink);
    sink.put(b" HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n");
    field("X-Amzn-Trace-Id", context.trace_id().as_bytes(), sink);
    write_context(context, sink);
    sink.put(b"Content-Length: ");
    decimal(bytes, sink);
    sink.put(b"\r\nConnection: close\r\n\r\n");
}

pub(crate) fn decimal(number: u64, sink: &mut dyn Sink) {
    if number > 9 {
        decimal(number / 10, sink);
    }
    sink.put(&[b'0' + (number % 10) as u8]);
}

/// A field of ours; JSON may have line ends between its parts, which go. It is left
/// out where it is empty, or still cannot stand in a head.
fn field(name: &str, value: &[u8], sink: &mut dyn Sink) {
    /// What servers commonly take of a head is twice that and more.
    const MAX_BYTES: usize = 4_096;
    let mut parts = value.split(|byte| *byte < b' ');
    let is_fine = parts.clone().all(is_value);
    if value.is_empty() || value.len() > MAX_BYTES || !is_fine {
        return;
    }
    sink.put(name.as_bytes());
    sink.put(b": ");
    parts.by_ref().for_each(|part| sink.put(part));
    sink.put(b"\r\n");
}

fn write_context(context: &Context<'_>, sink: &mut dyn Sink) {
    if !is_value(context.function_arn().as_bytes()) {
        return;
    }
    sink.put(b"X-Amzn-Lambda-Context: {\"request_id\":\"");
    sink.put(context.request_id.as_bytes());
    sink.put(b"\",\"deadline\":");
    decimal(context.deadline_ms, sink);
    sink.put(b",\"invoked_function_arn\":\"");
    escape(context.function_arn().as_bytes(), sink);
    sink.put(b"\"}\r\n");
}

fn write_target(request: &mut Request<'_>, base: &str, sink: &mut dyn Sink) -> Result<(), Unfit> {
    let path = match request.path.strip_prefix(base) {
        // `/api` is no part of `/apiary`.
        Some(rest) if rest.is_empty() || rest.starts_with('/') => rest,
        _ => request.path,
    };
    if !path.starts_with('/') {
        sink.put(b"/");
    }
    target::put(path, Part::Path, sink);
    if !request.raw_query.is_empty() {
        sink.put(b"?");
        target::put(request.raw_query, Part::Query, sink);
    }
    // A load balancer leaves values as they were sent, API Gateway decodes them.
    let part = match request.door {
        Door::LoadBalancer(_) => Part::Query,
        _ => Part::Plain,
    };
    let mut is_first = true;
    members(request.query, &mut |name, value| {
        sink.put(if is_first { b"?" } else { b"&" });
        is_first = false;
        target::put(name, part, sink);
        sink.put(b"=");
        target::put(value, part, sink);
        true
    })
}

/// Whether there was a Host.
fn write_fields(request: &mut Request<'_>, sink: &mut dyn Sink) -> Result<bool, Unfit> {
    let mut has_host = false;
    members(request.headers, &mut |name, value| {
        let (name, value) = (name.as_bytes(), value.trim_matches([' ', '\t']).as_bytes());
        if !is_token(name) || !is_value(value) {
            return false;
        }
        let is_host = name.eq_ignore_ascii_case(b"host");
        // Two Hosts, or one that is empty, servers refuse.
        let is_left_out = is_host && (has_host || value.is_empty());
        if is_of_connection(name) || is_left_out {
            return true;
        }
        has_host |= is_host;
        for part in [name, b": ", value, b"\r\n"] {
            sink.put(part);
        }
        true
    })?;
    Ok(has_host)
}

fn write_cookies(request: &mut Request<'_>, sink: &mut dyn Sink) -> Result<(), Unfit> {
    let mut json = Reader::new(request.cookies);
    if json.peek() != Kind::Array {
        return Ok(());
    }
    let (mut is_first, mut is_fine) = (true, true);
    json.array();
    while json.element() {
        let cookie = json.string().as_bytes();
        is_fine &= is_value(cookie);
        if is_fine {
            sink.put(if is_first { b"Cookie: " } else { b"; " });
            sink.put(cookie);
            is_first = false;
        }
    }
    json.end()?;
    if !is_first {
        sink.put(b"\r\n");
    }
    if is_fine { Ok(()) } else { Err(Unfit::Field) }
}

/// Goes through an object of strings, or of arrays of strings, if it is one.
fn members(part: &mut [u8], see: &mut dyn FnMut(&str, &str) -> bool) -> Result<(), Unfit> {
    let mut json = Reader::new(part);
    if json.peek() != Kind::Object {
        return Ok(());
    }
    let mut is_fine = true;
    json.object();
    while let Some(name) = json.key() {
        match json.peek() {
            Kind::Array => {
                json.array();
                while json.element() {
                    let value = json.string();
                    is_fine = is_fine && see(name, value);
                }
            }
            Kind::Null => json.skip(),
            _ => {
                let value = json.string();
                is_fine = is_fine && see(name, value);
            }
        }
    }
    json.end()?;
    if is_fine { Ok(()) } else { Err(Unfit::Field) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{self, Event};
    use ounce_http::reply;
    use proptest::prelude::*;
    use serde_json::{Value, json};
    use std::string::String;
    use std::vec::Vec;

    #[derive(Default)]
    struct Bytes(Vec<u8>);

    impl Sink for &mut Bytes {
        fn put(&mut self, bytes: &[u8]) {
            self.0.extend_from_slice(bytes);
        }
    }

    impl Sink for Bytes {
        fn put(&mut self, bytes: &[u8]) {
            self.0.extend_from_slice(bytes);
        }
    }

    const HEAD_OF_CONTEXT: &str = "HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: id-1\r\n\
        Lambda-Runtime-Deadline-Ms: 2000000000000\r\nLambda-Runtime-Trace-Id: Root=1-2\r\n\
        Lambda-Runtime-Invoked-Function-Arn: arn:x\r\n\r\n";

    fn context() -> Context<'static> {
        let head = reply::parse(HEAD_OF_CONTEXT.as_bytes(), 1_000, false).unwrap();
        Context::read(head, 1).unwrap()
    }

    /// The request that an event becomes, or why it becomes none.
    fn request_below(event: &Value, base: &str) -> Result<String, Unfit> {
        let mut bytes = serde_json::to_vec_pretty(event).unwrap();
        let Event::Request(mut request) = event::read(&mut bytes)? else {
            panic!("no request: {event}");
        };
        let mut out = Bytes::default();
        write_head(&mut request, &context(), base, &mut out)?;
        assert!(request.write_body(&mut out));
        Ok(String::from_utf8_lossy(&out.0).into_owned())
    }

    fn request(event: &Value) -> String {
        request_below(event, "").unwrap()
    }

    fn v2() -> Value {
        json!({
            "version": "2.0",
            "routeKey": "$default",
            "rawPath": "/a b/%C3%A9",
            "rawQueryString": "x=1&x=2&y=%20",
            "cookies": ["a=b", "c=d"],
            "headers": {"host": "h.example", "x-a": "1,2", "content-type": "text/plain",
                "connection": "keep-alive", "content-length": "99", "x-empty": ""},
            "queryStringParameters": {"x": "1,2", "y": " "},
            "requestContext": {"accountId": "1", "http": {"method": "PUT", "path": "/a b/\u{e9}",
                "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1", "userAgent": "u"}},
            "body": "h\u{e9}llo",
            "isBase64Encoded": false,
        })
    }

    fn v1() -> Value {
        json!({
            "version": "1.0",
            "resource": "/{proxy+}",
            "path": "/a/b",
            "httpMethod": "POST",
            "headers": {"Host": "h.example", "X-A": "2"},
            "multiValueHeaders": {"Host": ["h.example"], "X-A": ["1", "2"]},
            "queryStringParameters": {"x": "2"},
            "multiValueQueryStringParameters": {"x": ["1", "a&b=c d"], "y": [""]},
            "requestContext": {"httpMethod": "POST", "identity": {"sourceIp": "192.0.2.1"}},
            "body": "aGVsbG8=",
            "isBase64Encoded": true,
        })
    }

    fn load_balancer() -> Value {
        json!({
            "requestContext": {"elb": {"targetGroupArn": "arn:t"}},
            "httpMethod": "GET",
            "path": "/a",
            "queryStringParameters": {"x": "a%20b", "y": "c+d"},
            "headers": {"host": "h.example", "accept": "*/*"},
            "body": "",
            "isBase64Encoded": false,
        })
    }

    #[test]
    fn a_request_of_payload_2_0_is_the_request_that_was_sent() {
        let text = request(&v2());
        assert!(
            text.starts_with("PUT /a%20b/%C3%A9?x=1&x=2&y=%20 HTTP/1.1\r\n"),
            "{text}"
        );
        for line in [
            "host: h.example",
            "x-a: 1,2",
            "content-type: text/plain",
            "x-empty: ",
            "Cookie: a=b; c=d",
            "X-Amzn-Trace-Id: Root=1-2",
            r#"X-Amzn-Lambda-Context: {"request_id":"id-1","deadline":2000000000000,"invoked_function_arn":"arn:x"}"#,
            "Content-Length: 6",
            "Connection: close",
        ] {
            assert!(
                text.contains(&std::format!("\r\n{line}\r\n")),
                "{line}: {text}"
            );
        }
        assert!(
            !text.contains("keep-alive") && !text.contains("99"),
            "{text}"
        );
        assert!(text.contains("\r\nX-Amzn-Request-Context: {"), "{text}");
        assert!(text.ends_with("\r\n\r\nh\u{e9}llo"), "{text}");
    }

    #[test]
    fn a_request_of_payload_1_0_has_all_values_and_its_query_is_encoded_again() {
        let text = request(&v1());
        assert!(
            text.starts_with("POST /a/b?x=1&x=a%26b%3Dc%20d&y= HTTP/1.1\r\n"),
            "{text}"
        );
        assert!(text.contains("\r\nX-A: 1\r\nX-A: 2\r\n"), "{text}");
        assert_eq!(text.matches("h.example").count(), 1);
        assert!(
            text.ends_with("\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"),
            "{text}"
        );
        let mut single = v1();
        single["multiValueHeaders"] = Value::Null;
        single["multiValueQueryStringParameters"] = Value::Null;
        let text = request(&single);
        assert!(text.starts_with("POST /a/b?x=2 HTTP/1.1\r\n"), "{text}");
        assert!(text.contains("\r\nX-A: 2\r\n"), "{text}");
    }

    #[test]
    fn a_load_balancers_query_stays_as_it_was_sent() {
        let text = request(&load_balancer());
        assert!(
            text.starts_with("GET /a?x=a%20b&y=c+d HTTP/1.1\r\n"),
            "{text}"
        );
    }

    #[test]
    fn a_base_path_is_taken_off_whole_segments_only() {
        for (path, expected) in [
            ("/api/x", "PUT /x"),
            ("/api", "PUT /?"),
            ("/apiary", "PUT /apiary"),
            ("/x/api", "PUT /x/api"),
        ] {
            let mut event = v2();
            event["rawPath"] = path.into();
            let text = request_below(&event, "/api").unwrap();
            assert!(text.starts_with(expected), "{text}");
        }
    }

    #[test]
    fn what_would_end_a_line_or_be_read_twice_does_not_come_into_a_head() {
        for (name, value) in [
            ("x", "a\r\nHost: evil"),
            ("x", "a\nb"),
            ("x", "a\u{0}"),
            ("x\r\ny", "a"),
            ("x y", "a"),
            ("", "a"),
            ("x:", "a"),
        ] {
            let mut event = v2();
            event["headers"][name] = value.into();
            assert_eq!(
                request_below(&event, ""),
                Err(Unfit::Field),
                "{name:?}: {value:?}"
            );
        }
        let mut event = v2();
        event["cookies"] = json!(["a\r\nX: y"]);
        assert_eq!(request_below(&event, ""), Err(Unfit::Field));
        let mut event = v2();
        event["rawPath"] = "/a HTTP/1.1\r\nX: y\r\n\r\n".into();
        event["rawQueryString"] = "\r\nX: y".into();
        let text = request(&event);
        assert!(
            text.starts_with("PUT /a%20HTTP/1.1%0D%0AX:%20y%0D%0A%0D%0A?%0D%0AX:%20y HTTP/1.1\r\n"),
            "{text}"
        );
        let mut event = v1();
        event["httpMethod"] = "GET / HTTP/1.1\r\n".into();
        assert!(event::read(&mut serde_json::to_vec(&event).unwrap()).is_err());
    }

    #[test]
    fn a_body_that_is_no_base64_and_parts_of_another_kind_are_refused() {
        let mut event = v1();
        event["body"] = "a".into();
        assert_eq!(request_below(&event, ""), Err(Unfit::Body));
        for (key, value) in [
            ("body", json!(7)),
            ("path", json!([])),
            ("httpMethod", json!({})),
            ("multiValueHeaders", json!({"a": [7]})),
            ("multiValueQueryStringParameters", json!({"a": {}})),
        ] {
            let mut event = v1();
            event[key] = value;
            assert!(
                matches!(request_below(&event, ""), Err(Unfit::Json(_))),
                "{key}"
            );
        }
    }

    #[test]
    fn what_is_no_request_stays_as_it_is() {
        for event in [
            json!({"Records": [{"eventSource": "aws:sqs", "body": "{\"a\":1}"}]}),
            json!({"requestContext": {"connectionId": "c", "eventType": "MESSAGE"}, "body": "\"x\""}),
            json!({"path": "/a"}),
            json!({}),
            json!([1, 2]),
            json!("httpMethod"),
            json!(null),
        ] {
            let before = serde_json::to_vec(&event).unwrap();
            let mut bytes = before.clone();
            assert!(
                matches!(event::read(&mut bytes), Ok(Event::Other)),
                "{event}"
            );
            assert_eq!(bytes, before);
        }
        for text in ["", "{", "{\"a\":}", "{}x", "nul"] {
            assert!(
                event::read(&mut text.as_bytes().to_vec()).is_err(),
                "{text}"
            );
        }
    }

    #[test]
    fn failed_messages_of_a_queue_are_told_by_name() {
        let event = json!({"Records": [
            {"messageId": "1", "body": "{\"n\":1}", "eventSourceARN": "arn:q", "attributes": {}},
            {"messageId": "2", "body": "bad", "receiptHandle": "r"},
            {"messageId": "3", "body": ""},
        ]});
        let mut seen = Vec::new();
        let mut answer = Bytes::default();
        let mut bytes = serde_json::to_vec(&event).unwrap();
        let read = event::messages(&mut bytes, &mut answer, &mut |message| {
            seen.push(String::from(message.body));
            message.body != "bad"
        });
        assert_eq!(read, Ok(()));
        assert_eq!(seen, ["{\"n\":1}", "bad", ""]);
        let answer: Value = serde_json::from_slice(&answer.0).unwrap();
        assert_eq!(
            answer,
            json!({"batchItemFailures": [{"itemIdentifier": "2"}]})
        );
        for text in [
            "{}",
            "[]",
            "{\"Records\": 7}",
            "{\"Records\": [7]}",
            "{\"Records\": [{}",
            "x",
        ] {
            let mut bytes = text.as_bytes().to_vec();
            let mut answer = Bytes::default();
            let read = event::messages(&mut bytes, &mut answer, &mut |_| true);
            assert!(read.is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_event_makes_a_head_of_two_requests(
            path in ".{0,12}", query in ".{0,12}", name in "[ -~]{0,8}", value: String, method in ".{0,6}"
        ) {
            let mut event = v2();
            event["rawPath"] = std::format!("/{path}").into();
            event["rawQueryString"] = query.into();
            event["headers"][name] = value.into();
            event["requestContext"]["http"]["method"] = method.into();
            let mut bytes = serde_json::to_vec(&event).unwrap();
            let Ok(Event::Request(mut request)) = event::read(&mut bytes) else { return Ok(()) };
            let mut out = Bytes::default();
            if write_head(&mut request, &context(), "", &mut out).is_ok() {
                let end = out.0.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
                prop_assert_eq!(end + 4, out.0.len());
                let lines = out.0.split(|byte| *byte == b'\n');
                prop_assert!(lines.clone().all(|line| line.is_empty() || line.ends_with(b"\r")));
                let line = out.0.split(|byte| *byte == b'\r').next().unwrap();
                prop_assert_eq!(line.iter().filter(|byte| **byte == b' ').count(), 2);
            }
        }

        #[test]
        fn no_bytes_make_it_panic(mut bytes: Vec<u8>) {
            let _ = event::read(&mut bytes);
        }
    }
}
