//! An event as an HTTP request, and a server's answer as Lambda wants it: what any
//! HTTP server needs to run as a function, unchanged.

use ounce_http::json::{Fault, Kind, Reader, Sink};
use ounce_http::reply::Reply;
use ounce_http::{is_token, is_value, utf8};

use crate::base64;
use crate::event::{Door, Request};
use crate::fault::{Content, Count, escape};
use crate::invocation::Context;
use crate::target::{self, Part};

/// The media type of a streamed answer to a front door: a head as JSON, eight zeros,
/// the body (docs.aws.amazon.com/lambda, "Response streaming").
pub const STREAMED_TYPE: &str = "application/vnd.awslambda.http-integration-response";
/// Between the head of such an answer and its body.
pub const STREAMED_GAP: &[u8] = &[0; 8];

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

fn is_of_connection(name: &[u8]) -> bool {
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
    field("X-Amzn-Trace-Id", context.trace_id.as_bytes(), sink);
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
    field("X-Amzn-Trace-Id", context.trace_id.as_bytes(), sink);
    write_context(context, sink);
    sink.put(b"Content-Length: ");
    decimal(bytes, sink);
    sink.put(b"\r\nConnection: close\r\n\r\n");
}

fn decimal(number: u64, sink: &mut dyn Sink) {
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
    if !is_value(context.function_arn.as_bytes()) {
        return;
    }
    sink.put(b"X-Amzn-Lambda-Context: {\"request_id\":\"");
    sink.put(context.request_id.as_bytes());
    sink.put(b"\",\"deadline\":");
    decimal(context.deadline_ms, sink);
    sink.put(b",\"invoked_function_arn\":\"");
    escape(context.function_arn.as_bytes(), sink);
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

    const CONTEXT: Context<'_> = Context {
        request_id: "id-1",
        deadline_ms: 7,
        function_arn: "arn:x",
        trace_id: "Root=1-2",
        client_context: "",
        cognito_identity: "",
    };

    /// The request that an event becomes, or why it becomes none.
    fn request_below(event: &Value, base: &str) -> Result<String, Unfit> {
        let mut bytes = serde_json::to_vec_pretty(event).unwrap();
        let Event::Request(mut request) = event::read(&mut bytes)? else {
            panic!("no request: {event}");
        };
        let mut out = Bytes::default();
        write_head(&mut request, &CONTEXT, base, &mut out)?;
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
            r#"X-Amzn-Lambda-Context: {"request_id":"id-1","deadline":7,"invoked_function_arn":"arn:x"}"#,
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
            if write_head(&mut request, &CONTEXT, "", &mut out).is_ok() {
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
