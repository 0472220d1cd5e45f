//! A router for services: a table of method, pattern and handler. A pattern is
//! a path in which `{name}` stands for one segment: `/hello/{name}`. Patterns
//! are tried in order; a parameter is never empty.

use crate::head::Head;
use crate::method::{Method, Methods};
use crate::response::Response;

/// The most parameters that one pattern can have; more never match.
pub const MAX_PARAMS: usize = 8;

/// What a handler is given.
#[derive(Debug)]
pub struct Request<'a> {
    /// The head, with its fields and the raw query.
    pub head: &'a Head<'a>,
    /// The path, decoded and normalised.
    pub path: &'a str,
    /// The content.
    pub body: &'a [u8],
    params: &'a Params<'a>,
}

impl<'a> Request<'a> {
    /// The segment that `{name}` stood for; empty if the pattern has no such.
    pub fn param(&self, name: &str) -> &'a str {
        self.params
            .iter()
            .find(|(known, _)| *known == name)
            .map_or("", |&(_, value)| value)
    }
}

type Params<'a> = [(&'static str, &'a str); MAX_PARAMS];

/// A function that answers.
pub type Handler = fn(&Request<'_>, &mut Response<'_>);

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    method: Method,
    pattern: &'static str,
    handler: Handler,
}

impl Route {
    /// A row for any method.
    pub const fn new(method: Method, pattern: &'static str, handler: Handler) -> Self {
        Self {
            method,
            pattern,
            handler,
        }
    }

    /// Answers GET, and HEAD with the same head.
    pub const fn get(pattern: &'static str, handler: Handler) -> Self {
        Self::new(Method::Get, pattern, handler)
    }

    /// Answers POST.
    pub const fn post(pattern: &'static str, handler: Handler) -> Self {
        Self::new(Method::Post, pattern, handler)
    }

    /// Answers PUT.
    pub const fn put(pattern: &'static str, handler: Handler) -> Self {
        Self::new(Method::Put, pattern, handler)
    }

    /// Answers DELETE.
    pub const fn delete(pattern: &'static str, handler: Handler) -> Self {
        Self::new(Method::Delete, pattern, handler)
    }

    fn answers(&self, method: Method) -> bool {
        self.method == method || (self.method == Method::Get && method == Method::Head)
    }
}

/// Finds the handler and lets it answer; else the answer is 404, or 405 with
/// the methods that the path does answer to.
pub fn dispatch(
    routes: &[Route],
    head: &Head<'_>,
    path: &str,
    body: &[u8],
    response: &mut Response<'_>,
) {
    let mut allow = Methods::NONE;
    for route in routes {
        let mut params = [("", ""); MAX_PARAMS];
        if matches(route.pattern, path, &mut params).is_none() {
            continue;
        }
        if route.answers(head.method) {
            let request = Request {
                head,
                path,
                body,
                params: &params,
            };
            return (route.handler)(&request, response);
        }
        allow = allow.with(route.method);
        if route.method == Method::Get {
            allow = allow.with(Method::Head);
        }
    }
    if allow.is_empty() {
        response.error(crate::status::Status::NotFound);
    } else {
        response.not_allowed(allow);
    }
}

fn matches<'a>(pattern: &'static str, path: &'a str, params: &mut Params<'a>) -> Option<()> {
    let mut free = params.iter_mut();
    let (mut patterns, mut segments) = (Some(pattern), Some(path));
    while let Some(pattern) = patterns {
        let (expected, more) = first_segment(pattern);
        patterns = more;
        let (segment, more) = first_segment(segments?);
        segments = more;
        let name = match expected.as_bytes() {
            [b'{', .., b'}'] => expected.get(1..expected.len() - 1),
            _ => None,
        };
        match name {
            Some(name) if !segment.is_empty() => *free.next()? = (name, segment),
            None if expected == segment => {}
            _ => return None,
        }
    }
    segments.is_none().then_some(())
}

/// What is before the first slash, and what is behind it.
fn first_segment(path: &str) -> (&str, Option<&str>) {
    match path.bytes().position(|byte| byte == b'/') {
        Some(at) => (path.get(..at).unwrap_or_default(), path.get(at + 1..)),
        None => (path, None),
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::head::{Limits, parse};
    use crate::response::{Finish, HEAD_BYTES};
    use std::string::String;

    const ROUTES: [Route; 4] = [
        Route::get("/", |_, response| {
            response.text("root");
        }),
        Route::get("/a/{x}/b/{y}", |request, response| {
            response
                .text(request.param("x"))
                .text("+")
                .text(request.param("y"));
            response.text(request.param("z"));
        }),
        Route::post("/a", |request, response| {
            response.write(request.body);
        }),
        Route::get("/a", |_, response| {
            response.text("a");
        }),
    ];

    fn ask(method: &str, path: &str) -> String {
        let text = std::format!("{method} / HTTP/1.0\r\n\r\n");
        let Ok(head) = parse(text.as_bytes(), &Limits::DEFAULT) else {
            panic!("bad request");
        };
        let mut buffer = [0; HEAD_BYTES + 64];
        let mut response = Response::new(&mut buffer);
        dispatch(&ROUTES, &head, path, b"body", &mut response);
        let finish = Finish {
            is_head: false,
            connection: None,
            date: &[b'-'; 29],
        };
        let length = response.finish(&finish);
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    #[test]
    fn parameters_are_taken_from_their_segments() {
        assert!(ask("GET", "/a/1/b/2").ends_with("\r\n\r\n1+2"));
        assert!(ask("GET", "/").ends_with("root"));
        assert!(ask("POST", "/a").ends_with("body"));
    }

    #[test]
    fn unknown_paths_get_404() {
        for path in [
            "/b",
            "/a/",
            "/a/1/b",
            "/a/1/b/",
            "/a//b/2",
            "/a/1/b/2/3",
            "//",
        ] {
            assert!(ask("GET", path).starts_with("HTTP/1.1 404 "), "{path}");
        }
    }

    #[test]
    fn known_paths_with_another_method_get_405_and_the_list() {
        let answer = ask("PUT", "/a");
        assert!(answer.starts_with("HTTP/1.1 405 "));
        assert!(
            answer.contains("\r\nAllow: GET, HEAD, POST\r\n"),
            "{answer}"
        );
    }
}
