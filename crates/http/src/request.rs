//! What a handler is given.

use crate::ascii::{from, is_equal, is_same, parse_decimal, take_until, trim, utf8};
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
    /// Takes the query, as long as it is not decoded.
    scratch: &'a mut [u8],
}

impl<'a> Request<'a> {
    pub(crate) fn new(
        head: &'a Head<'a>,
        path: &'a str,
        pattern: &'static str,
        body: &'a mut [u8],
        scratch: &'a mut [u8],
    ) -> Self {
        Self {
            head,
            path,
            body,
            pattern,
            query: Form::EMPTY,
            scratch,
        }
    }

    /// The method: HEAD where a handler of GET is asked for the head alone.
    pub fn method(&self) -> Method {
        self.head.method
    }

    /// The segment that `{name}` stood for; empty if the pattern has no such.
    pub fn param(&self, name: &str) -> &'a str {
        let found = walk(
            self.pattern.as_bytes(),
            self.path.as_bytes(),
            name.as_bytes(),
        );
        found.and_then(utf8).unwrap_or_default()
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
    ///
    /// # Errors
    /// 400 where the query cannot be decoded.
    #[inline(never)]
    pub fn query(&mut self, name: &str) -> Result<Option<&'a str>, &'static Problem> {
        let scratch = core::mem::take(&mut self.scratch);
        if let Some(sent) = self.head.query
            && let Some(place) = scratch.get_mut(..sent.len())
        {
            place.copy_from_slice(sent);
            self.query = Form::decode(place).map_err(|_| BAD_FORM)?;
        }
        Ok(self.query.get(name))
    }

    /// A parameter of the query that is a number, written as digits alone.
    ///
    /// # Errors
    /// 400 where it is there and is not, and as [`Self::query`].
    pub fn query_number(&mut self, name: &str) -> Result<Option<u64>, &'static Problem> {
        let Some(text) = self.query(name)? else {
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
    pub fn json(&mut self) -> Result<Reader<'a>, &'static Problem> {
        let mut sent = self.field("Content-Type").unwrap_or_default();
        // `application/json`, or what is JSON besides: `application/…+json`.
        let media_type = trim(take_until(&mut sent, b';'));
        let tail = media_type.len().saturating_sub(4);
        if !is_same(from(media_type, tail), b"json") {
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
        lists_tag(self.head.value(Known::IfNoneMatch), tag, true)
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
        let lists =
            |field, is_weak| !tag.is_empty() && lists_tag(self.head.value(field), tag, is_weak);
        if self.head.has(Known::IfMatch) && !lists(Known::IfMatch, false)
            || lists(Known::IfNoneMatch, true)
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

/// Whether a path ends with an empty segment.
#[inline(never)]
fn ends_open(path: &[u8]) -> bool {
    matches!(path, [.., b'/'])
}

/// Goes along a pattern and a path: the segment that `{name}` stands for, empty
/// where there is none; `None` where the path is not like the pattern.
#[inline(never)]
pub(crate) fn walk<'a>(mut pattern: &[u8], mut path: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut found: &[u8] = b"";
    // Taking segments off, one that is empty at the end is not seen.
    let mut is_match = ends_open(pattern) == ends_open(path);
    while is_match && !pattern.is_empty() {
        let expected = take_until(&mut pattern, b'/');
        let segment = take_until(&mut path, b'/');
        if let [b'{', inner @ .., b'}'] = expected {
            is_match = !segment.is_empty();
            if is_equal(inner, name) {
                found = segment;
            }
        } else {
            is_match = is_equal(expected, segment);
        }
    }
    (is_match && path.is_empty()).then_some(found)
}
