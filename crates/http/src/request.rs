//! What a handler is given.

use crate::ascii::{cut, is_same, parse_decimal};
use crate::condition::lists_tag;
use crate::etag::Tag;
use crate::form::Form;
use crate::head::{Head, Known};
use crate::json::Reader;
use crate::method::Method;
use crate::problem::{Answer, Problem};
use crate::status::Status;
use core::str::FromStr;

/// A request to a service, with everything decoded.
#[derive(Debug)]
pub struct Request<'a> {
    /// The head, with the fields and the query as they were sent.
    pub head: &'a Head<'a>,
    /// The path, decoded and normalised.
    pub path: &'a str,
    /// The content.
    pub body: &'a mut [u8],
    pattern: &'static str,
    query: Form<'a>,
}

impl<'a> Request<'a> {
    #[inline(never)]
    pub(crate) fn new(
        head: &'a Head<'a>,
        path: &'a str,
        pattern: &'static str,
        body: &'a mut [u8],
        scratch: &'a mut [u8],
    ) -> Result<Self, &'static Problem> {
        let mut query = Form::EMPTY;
        if let Some(sent) = head.query {
            let place = scratch.get_mut(..sent.len()).ok_or(BAD_FORM)?;
            place.copy_from_slice(sent);
            query = Form::decode(place).map_err(|_| BAD_FORM)?;
        }
        Ok(Self {
            head,
            path,
            body,
            pattern,
            query,
        })
    }

    /// The method: HEAD where a handler of GET is asked for the head alone.
    pub fn method(&self) -> Method {
        self.head.method
    }

    /// The segment that `{name}` stood for; empty if the pattern has no such.
    #[inline(never)]
    pub fn param(&self, name: &str) -> &'a str {
        let (mut patterns, mut segments) = (Some(self.pattern), Some(self.path));
        while let (Some(pattern), Some(path)) = (patterns, segments) {
            let (expected, more) = cut(pattern, b'/');
            patterns = more;
            let (segment, more) = cut(path, b'/');
            segments = more;
            if parameter(expected) == Some(name) {
                return segment;
            }
        }
        ""
    }

    /// The segment that `{name}` stood for, as a number, an address or whatever
    /// can be read from text.
    ///
    /// # Errors
    /// 404: nothing has such a name.
    pub fn parse<T: FromStr>(&self, name: &str) -> Result<T, &'static Problem> {
        self.param(name).parse().map_err(|_| Problem::NOT_FOUND)
    }

    /// The value of the query's first parameter of this name.
    pub fn query(&self, name: &str) -> Option<&'a str> {
        self.query.get(name)
    }

    /// A parameter of the query that is a number, written as digits alone.
    ///
    /// # Errors
    /// 400 where it is there and is not.
    pub fn query_number(&self, name: &str) -> Result<Option<u64>, &'static Problem> {
        let Some(text) = self.query(name) else {
            return Ok(None);
        };
        match parse_decimal(text.as_bytes()) {
            None => Err(NO_NUMBER),
            number => Ok(number),
        }
    }

    /// The value of the first field of this name.
    pub fn field(&self, name: &str) -> Option<&'a [u8]> {
        self.head.field(name)
    }

    /// Takes the body, and leaves an empty one.
    pub fn take_body(&mut self) -> &'a mut [u8] {
        core::mem::take(&mut self.body)
    }

    /// Takes the body to read it as JSON.
    ///
    /// # Errors
    /// 415 where Content-Type says that it is something else, or nothing: a page
    /// of another site can send forms and text, but not this.
    #[inline(never)]
    pub fn json(&mut self) -> Result<Reader<'a>, &'static Problem> {
        let sent = self.field("Content-Type").unwrap_or_default();
        let end = sent.iter().position(|&byte| byte == b';' || byte == b' ');
        let media_type = sent.get(..end.unwrap_or(sent.len())).unwrap_or_default();
        let tail = media_type.len().saturating_sub(5);
        if !is_same(media_type, b"application/json")
            && !is_same(media_type.get(tail..).unwrap_or_default(), b"+json")
        {
            return Err(NO_JSON);
        }
        Ok(Reader::new(self.take_body()))
    }

    /// Takes the body to read it as a form
    /// (`application/x-www-form-urlencoded`).
    ///
    /// # Errors
    /// 400 where it cannot be decoded.
    pub fn form(&mut self) -> Result<Form<'a>, &'static Problem> {
        Form::decode(self.take_body()).map_err(|_| BAD_FORM)
    }

    /// Whether the client has what bears this entity tag, in quotes, and wants a
    /// 304 rather than that again (RFC 9110 section 13.1.2).
    pub fn has(&self, tag: &[u8]) -> bool {
        self.head
            .known(Known::IfNoneMatch)
            .is_some_and(|list| lists_tag(list, tag, true))
    }

    /// Whether the client's conditions for a change hold: `If-Match` names the
    /// tag of what there is, `If-None-Match` does not (RFC 9110 sections 13.1.1
    /// and 13.1.2). `None` says that there is nothing.
    ///
    /// # Errors
    /// 412 where they do not.
    #[inline(never)]
    pub fn may_change(&self, tag: Option<&Tag>) -> Answer {
        let tag = tag.map_or(&b""[..], Tag::as_bytes);
        // Nothing is listed by no list, not even by `*`.
        let lists = |field, is_weak| {
            let list = self.head.known(field)?;
            Some(!tag.is_empty() && lists_tag(list, tag, is_weak))
        };
        if lists(Known::IfMatch, false) == Some(false)
            || lists(Known::IfNoneMatch, true) == Some(true)
        {
            return Err(CHANGED);
        }
        Ok(())
    }
}

const NO_NUMBER: &Problem = &Problem::new(
    Status::BadRequest,
    "A parameter of the query is not a number.",
);
const BAD_FORM: &Problem = &Problem::new(
    Status::BadRequest,
    "The query or form is not encoded as it should be.",
);
const NO_JSON: &Problem = &Problem::new(
    Status::UnsupportedMediaType,
    "Send it as Content-Type: application/json.",
);
const CHANGED: &Problem = &Problem::new(
    Status::PreconditionFailed,
    "It is not as the request expects it to be.",
);

/// The name in a pattern's segment `{name}`.
pub(crate) fn parameter(segment: &str) -> Option<&str> {
    segment.strip_prefix('{')?.strip_suffix('}')
}
