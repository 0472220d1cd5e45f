//! The kinds of events: requests of Lambda's HTTP front doors taken to pieces, and
//! the messages of a queue. What is asked for is not looked at here.
//!
//! The formats: docs.aws.amazon.com/apigateway "Lambda proxy integrations" (1.0 and
//! 2.0), docs.aws.amazon.com/lambda "Function URLs" (2.0), "Application Load
//! Balancer" and "Amazon SQS".

use ounce_http::is_token;
use ounce_http::json::{Fault, Json, Kind, Reader, Sink};

/// Which front door a request came through: that is, how it is told and answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// API Gateway's HTTP API with payload 2.0, and a function's own URL.
    V2,
    /// API Gateway's REST API, and the HTTP API with payload 1.0.
    V1,
    /// A load balancer; with `true` it has several values for a name, and wants the
    /// answer so.
    LoadBalancer(bool),
}

/// A request, as its event tells it; the pieces stand in the event.
#[derive(Debug)]
pub struct Request<'e> {
    /// How it came, and how it is to be answered.
    pub door: Door,
    /// Whether the method is HEAD: its answer has no body.
    pub is_head: bool,
    method: [u8; MAX_METHOD_BYTES],
    /// The path, decoded or not.
    pub path: &'e str,
    /// As it was sent.
    pub(crate) raw_query: &'e str,
    /// An object of values, or of arrays of them.
    pub(crate) query: &'e mut [u8],
    /// The same of fields.
    pub(crate) headers: &'e mut [u8],
    /// An array.
    pub(crate) cookies: &'e mut [u8],
    /// What the front door says of the request, as JSON.
    pub context: &'e [u8],
    /// As text, or as Base64.
    pub(crate) body: &'e str,
    pub(crate) is_base64: bool,
}

/// Longer than any method that is registered.
const MAX_METHOD_BYTES: usize = 24;

/// What an event is.
#[derive(Debug)]
pub enum Event<'e> {
    /// A request through a front door.
    Request(Request<'e>),
    /// Anything else.
    Other,
}

/// Takes an event to pieces. It stays as it is where it is no request, unless the
/// names of its outermost object have escapes, which those of AWS have not.
///
/// # Errors
/// The event is not JSON, or looks like a request and has something else where a
/// request has its parts.
pub fn read(event: &mut [u8]) -> Result<Event<'_>, Fault> {
    let mut json = Reader::new(event);
    if json.peek() != Kind::Object {
        json.skip();
        return json.end().map(|()| Event::Other);
    }
    let mut parts = Parts::default();
    json.object();
    while let Some(key) = json.key() {
        let place = match key {
            "requestContext" => &mut parts.context,
            "headers" => &mut parts.headers,
            "multiValueHeaders" => &mut parts.many_headers,
            "queryStringParameters" => &mut parts.query,
            "multiValueQueryStringParameters" => &mut parts.many_query,
            "cookies" => &mut parts.cookies,
            "rawPath" => &mut parts.raw_path,
            "rawQueryString" => &mut parts.raw_query,
            "path" => &mut parts.path,
            "httpMethod" => &mut parts.method,
            "body" => &mut parts.body,
            "isBase64Encoded" => &mut parts.is_base64,
            _ => &mut parts.other,
        };
        *place = json.part();
    }
    json.end()?;
    parts.judge()
}

/// Values as they stand in the event; empty where there is none.
#[derive(Default)]
struct Parts<'e> {
    context: &'e mut [u8],
    headers: &'e mut [u8],
    many_headers: &'e mut [u8],
    query: &'e mut [u8],
    many_query: &'e mut [u8],
    cookies: &'e mut [u8],
    raw_path: &'e mut [u8],
    raw_query: &'e mut [u8],
    path: &'e mut [u8],
    method: &'e mut [u8],
    body: &'e mut [u8],
    is_base64: &'e mut [u8],
    other: &'e mut [u8],
}

impl<'e> Parts<'e> {
    fn judge(self) -> Result<Event<'e>, Fault> {
        let mut method = [0; MAX_METHOD_BYTES];
        let found = look_at_context(self.context, &mut method)?;
        let is_v2 = found.has_method && !self.raw_path.is_empty();
        if !is_v2 && (self.method.is_empty() || self.path.is_empty()) {
            return Ok(Event::Other);
        }
        if !is_v2 {
            keep(text(self.method)?, &mut method);
        }
        let is_known = is_token(trim(&method));
        if !is_known {
            return Err(Fault::Unexpected(0));
        }
        let has_many = !is_nothing(self.many_headers);
        let door = match (is_v2, found.is_load_balancer) {
            (true, _) => Door::V2,
            (false, true) => Door::LoadBalancer(has_many),
            (false, false) => Door::V1,
        };
        let either =
            |many: &'e mut [u8], one: &'e mut [u8]| if is_nothing(many) { one } else { many };
        Ok(Event::Request(Request {
            door,
            is_head: trim(&method) == b"HEAD",
            method,
            path: text(if is_v2 { self.raw_path } else { self.path })?,
            raw_query: if is_v2 { text(self.raw_query)? } else { "" },
            query: if is_v2 {
                &mut []
            } else {
                either(self.many_query, self.query)
            },
            headers: either(self.many_headers, self.headers),
            cookies: self.cookies,
            context: self.context,
            body: text(self.body)?,
            is_base64: &*self.is_base64 == b"true",
        }))
    }
}

/// What a request's context says of its kind.
#[derive(Default)]
struct Found {
    has_method: bool,
    is_load_balancer: bool,
}

/// Looks for the method, which is copied, so that the context stays as it is.
fn look_at_context(context: &mut [u8], method: &mut [u8]) -> Result<Found, Fault> {
    let mut found = Found::default();
    let mut json = Reader::new(context);
    if json.peek() != Kind::Object {
        return Ok(found);
    }
    json.object();
    while let Some(key) = json.key() {
        if key == "elb" {
            found.is_load_balancer = true;
        }
        if key != "http" || json.peek() != Kind::Object {
            json.skip();
            continue;
        }
        json.object();
        while let Some(key) = json.key() {
            if key == "method" {
                keep(json.string(), method);
                found.has_method = true;
            } else {
                json.skip();
            }
        }
    }
    json.end()?;
    Ok(found)
}

/// A string; empty where there is `null` or nothing.
fn text(part: &mut [u8]) -> Result<&str, Fault> {
    if is_nothing(part) {
        return Ok("");
    }
    let mut json = Reader::new(part);
    let text = json.string();
    json.end()?;
    Ok(text)
}

fn is_nothing(part: &[u8]) -> bool {
    part.is_empty() || part == b"null"
}

/// Copies a text; of one too long, what no method is.
fn keep(text: &str, place: &mut [u8]) {
    match place.get_mut(..text.len()) {
        Some(front) => front.copy_from_slice(text.as_bytes()),
        None => place.fill(b' '),
    }
}

/// Without the zeros behind it.
fn trim(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().position(|&byte| byte == 0);
    bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default()
}

impl Request<'_> {
    /// The method.
    pub fn method(&self) -> &[u8] {
        trim(&self.method)
    }

    /// Writes the body, decoded; false, at some place, where it is not the Base64
    /// that it is said to be.
    pub fn write_body(&self, sink: &mut dyn Sink) -> bool {
        if self.is_base64 {
            return crate::base64::decode(self.body.as_bytes(), sink);
        }
        sink.put(self.body.as_bytes());
        true
    }
}

/// A message of a queue, as it stands in the event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Message<'e> {
    /// By which it is told to have failed.
    pub id: &'e str,
    /// Its content.
    pub body: &'e str,
    /// For who changes how long it stays hidden.
    pub receipt_handle: &'e str,
    /// The queue.
    pub source_arn: &'e str,
}

/// Reads the messages of an SQS event, in order, and says which have failed: the
/// answer that Lambda wants with `ReportBatchItemFailures` goes to `answer`, so that
/// only those come again.
///
/// # Errors
/// The event is not one of SQS; what was written counts for nothing then.
pub fn messages<S: Sink>(
    event: &mut [u8],
    answer: S,
    handle: &mut dyn FnMut(&Message<'_>) -> bool,
) -> Result<(), Fault> {
    let mut answer = Json::new(answer);
    answer.object().key("batchItemFailures").array();
    let mut json = Reader::new(event);
    let mut has_records = false;
    json.object();
    while let Some(key) = json.key() {
        if key != "Records" {
            json.skip();
            continue;
        }
        has_records = true;
        json.array();
        while json.element() {
            let message = message(&mut json);
            // Behind a fault there is nothing: no message is without a name.
            if !message.id.is_empty() && !handle(&message) {
                answer.object().key("itemIdentifier").string(message.id);
                answer.end_object();
            }
        }
    }
    json.end()?;
    answer.end_array().end_object();
    if has_records {
        Ok(())
    } else {
        Err(Fault::Unexpected(0))
    }
}

fn message<'e>(json: &mut Reader<'e>) -> Message<'e> {
    let mut message = Message::default();
    json.object();
    while let Some(key) = json.key() {
        match key {
            "messageId" => message.id = json.string(),
            "body" => message.body = json.string(),
            "receiptHandle" => message.receipt_handle = json.string(),
            "eventSourceARN" => message.source_arn = json.string(),
            _ => json.skip(),
        }
    }
    message
}
