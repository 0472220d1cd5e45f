//! What a function tells Lambda in place of an answer.

use ounce_http::is_token;
use ounce_http::json::{self, Json, Sink};
use ounce_http::writer::HeadWriter;

/// What a function comes to.
pub type Outcome = Result<(), Fault<'static>>;

/// An error as Lambda shows it: a type, by which retries and alarms can tell errors
/// apart, and a text for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault<'a> {
    /// By Lambda's own custom `Category.Reason`: `Function.NoSuchUser`.
    pub kind: &'a str,
    /// A sentence, or the beginning of one.
    pub message: &'a str,
    /// Behind the text: the place in an event, say.
    pub number: Option<u64>,
}

impl<'a> Fault<'a> {
    /// An error of this type with this text.
    pub const fn new(kind: &'a str, message: &'a str) -> Self {
        Self {
            kind,
            message,
            number: None,
        }
    }

    /// The type as it can stand in a head: any other text is `Function.Error`.
    pub(crate) fn header(&self) -> &'a str {
        let is_fine = is_token(self.kind.as_bytes()) && self.kind.len() <= 128;
        if is_fine { self.kind } else { "Function.Error" }
    }
}

impl From<json::Fault> for Fault<'static> {
    fn from(fault: json::Fault) -> Self {
        let (message, at) = match fault {
            json::Fault::Malformed(at) => ("the event is not JSON from byte", at),
            json::Fault::Unexpected(at) => ("the event has something else at byte", at),
        };
        Self {
            kind: "Function.BadEvent",
            message,
            number: Some(at as u64),
        }
    }
}

/// What a request to the Runtime API carries. It is written at least twice, once to
/// be counted.
pub trait Content {
    /// Writes all of it, each time the same.
    fn write(&self, sink: &mut dyn Sink);
}

/// Bytes as they are.
#[derive(Clone, Copy, Debug)]
pub struct Whole<'a>(pub &'a [u8]);

impl Content for Whole<'_> {
    fn write(&self, sink: &mut dyn Sink) {
        sink.put(self.0);
    }
}

/// Counts what is written.
#[derive(Debug, Default)]
pub struct Count(pub u64);

impl Sink for Count {
    fn put(&mut self, bytes: &[u8]) {
        self.0 += bytes.len() as u64;
    }
}

/// Writes what stands between the quotes of a JSON string (RFC 8259 section 7).
/// Bytes that are not UTF-8 are taken for Latin-1, as HTTP once was.
pub(crate) fn escape(text: &[u8], sink: &mut dyn Sink) {
    for chunk in text.utf8_chunks() {
        let mut plain = chunk.valid().as_bytes();
        while let Some(at) = plain
            .iter()
            .position(|&byte| byte < b' ' || byte == b'"' || byte == b'\\')
        {
            let (before, rest) = plain.split_at(at);
            sink.put(before);
            let (byte, rest) = rest.split_at(1);
            match byte {
                [control @ ..b' '] => unicode(*control, sink),
                _ => {
                    sink.put(b"\\");
                    sink.put(byte);
                }
            }
            plain = rest;
        }
        sink.put(plain);
        for byte in chunk.invalid() {
            unicode(*byte, sink);
        }
    }
}

fn unicode(byte: u8, sink: &mut dyn Sink) {
    let digit = |value: u8| value + if value < 10 { b'0' } else { b'a' - 10 };
    sink.put(&[b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte & 15)]);
}

impl Content for Fault<'_> {
    fn write(&self, sink: &mut dyn Sink) {
        let mut text = [0; 256];
        let mut writer = HeadWriter::new(&mut text);
        let mut message = self.message;
        if let Some(number) = self.number {
            writer.put(message.as_bytes());
            writer.push(b' ');
            writer.number(number);
            // One that is too long stands without its number.
            let whole = ounce_http::utf8(writer.bytes()).unwrap_or_default();
            message = if whole.is_empty() { message } else { whole };
        }
        let mut json = Json::new(Pen(sink));
        json.object().key("errorMessage").string(message);
        json.key("errorType").string(self.kind);
        json.key("stackTrace").array().end_array().end_object();
    }
}

/// A sink that is borrowed, for a writer of JSON. That there is one of its kind only
/// keeps programs small.
pub struct Pen<'s>(pub &'s mut dyn Sink);

impl Sink for Pen<'_> {
    fn put(&mut self, bytes: &[u8]) {
        self.0.put(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::string::String;
    use std::vec::Vec;

    struct Bytes(Vec<u8>);

    impl Sink for Bytes {
        fn put(&mut self, bytes: &[u8]) {
            self.0.extend_from_slice(bytes);
        }
    }

    fn written(fault: &Fault<'_>) -> String {
        let mut out = Bytes(Vec::new());
        fault.write(&mut out);
        String::from_utf8(out.0).unwrap()
    }

    #[test]
    fn a_fault_is_what_lambda_shows() {
        let mut fault = Fault::new("Function.Odd", "a \"b\"\n");
        assert_eq!(
            written(&fault),
            r#"{"errorMessage":"a \"b\"\u000A","errorType":"Function.Odd","stackTrace":[]}"#
        );
        fault = json::Fault::Malformed(7).into();
        assert!(
            written(&fault).starts_with(r#"{"errorMessage":"the event is not JSON from byte 7","#)
        );
    }

    #[test]
    fn a_type_that_would_end_a_line_does_not_come_into_a_head() {
        assert_eq!(Fault::new("A.b", "").header(), "A.b");
        for kind in ["", "a b", "a\r\nX: y", "\u{e9}", &"a".repeat(129)] {
            assert_eq!(Fault::new(kind, "").header(), "Function.Error");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_escaped_is_one_string_of_json(text: Vec<u8>) {
            let mut out = Bytes(Vec::new());
            out.put(b"\"");
            escape(&text, &mut out);
            out.put(b"\"");
            let read: String = serde_json::from_slice(&out.0).unwrap();
            match String::from_utf8(text) {
                Ok(text) => prop_assert_eq!(read, text),
                Err(_) => prop_assert!(!read.is_empty()),
            }
        }
    }
}
