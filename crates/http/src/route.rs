//! A router for services: a table of methods, patterns and handlers, and the
//! state that the handlers share.
//!
//! A pattern is a path in which `{name}` stands for one segment: `/keys/{key}`.
//! Patterns are tried in order; a parameter is never empty. HEAD is answered by
//! the handler of GET, OPTIONS with the methods that the path has, and what no
//! row answers to with 404 or 405.

use crate::asset::Asset;
use crate::head::Head;
use crate::method::{Method, Methods};
use crate::problem::{Answer, Problem};
use crate::request::{Request, walk};
use crate::response::Response;
use crate::status::Status;
use crate::stream::Piece;

/// Answers a request; its state is the service's.
pub type Handler<S> = fn(&mut S, &mut Request<'_>, &mut Response<'_>) -> Answer;

/// Takes a body piece by piece. The number tells bodies apart that come at the
/// same time; it is below the number of streams that the server has.
///
/// An `Err` is the answer, and ends it; so is what is in the response behind
/// [`Body::Ends`]. What is written to the response before that is dropped.
pub type Receiver<S> = fn(&mut S, usize, Body<'_, '_>, &mut Response<'_>) -> Answer;

/// Writes the piece of an answer that begins at this place, and returns the
/// place where the next one begins; `None` if this is the last. What places are
/// is the handler's affair; the first is given to [`Response::stream`].
pub type Pieces<S> = fn(&mut S, u64, &mut Piece<'_>) -> Option<u64>;

/// What comes of a body that is received piece by piece.
#[derive(Debug)]
pub enum Body<'r, 'a> {
    /// The head is there; its body, which is empty, is on its way.
    Begins(&'r mut Request<'a>),
    /// The next bytes.
    Piece(&'r [u8]),
    /// That was all.
    Ends,
    /// The client has gone, was too slow, or broke the rules: nothing more will
    /// come, and nobody reads an answer.
    Breaks,
}

/// One row of the table.
#[derive(Debug)]
pub struct Route<S> {
    method: Method,
    pattern: &'static str,
    action: Action<S>,
    pieces: Option<Pieces<S>>,
    max_bytes: u64,
}

#[derive(Debug)]
enum Action<S> {
    Answer(Handler<S>),
    Receive(Receiver<S>),
    Asset(&'static Asset),
}

impl<S> Route<S> {
    /// A row for any method.
    pub const fn new(method: Method, pattern: &'static str, handler: Handler<S>) -> Self {
        Self::row(method, pattern, Action::Answer(handler), u64::MAX)
    }

    /// Answers GET, and HEAD with the same head.
    pub const fn get(pattern: &'static str, handler: Handler<S>) -> Self {
        Self::new(Method::Get, pattern, handler)
    }

    /// Answers POST.
    pub const fn post(pattern: &'static str, handler: Handler<S>) -> Self {
        Self::new(Method::Post, pattern, handler)
    }

    /// Answers PUT.
    pub const fn put(pattern: &'static str, handler: Handler<S>) -> Self {
        Self::new(Method::Put, pattern, handler)
    }

    /// Answers DELETE.
    pub const fn delete(pattern: &'static str, handler: Handler<S>) -> Self {
        Self::new(Method::Delete, pattern, handler)
    }

    /// Answers PATCH.
    pub const fn patch(pattern: &'static str, handler: Handler<S>) -> Self {
        Self::new(Method::Patch, pattern, handler)
    }

    /// Answers GET and HEAD with a file of the program.
    pub const fn asset(pattern: &'static str, asset: &'static Asset) -> Self {
        Self::row(Method::Get, pattern, Action::Asset(asset), u64::MAX)
    }

    /// Takes bodies of up to so many bytes piece by piece, in constant memory.
    pub const fn receive(
        method: Method,
        pattern: &'static str,
        max_bytes: u64,
        receiver: Receiver<S>,
    ) -> Self {
        Self::row(method, pattern, Action::Receive(receiver), max_bytes)
    }

    /// The same row, refusing longer bodies with 413.
    #[must_use]
    pub const fn limit(mut self, max_bytes: u64) -> Self {
        self.max_bytes = max_bytes;
        self
    }

    /// The same row, with what writes the bodies that [`Response::stream`] begins.
    #[must_use]
    pub const fn pieces(mut self, pieces: Pieces<S>) -> Self {
        self.pieces = Some(pieces);
        self
    }

    const fn row(method: Method, pattern: &'static str, action: Action<S>, max_bytes: u64) -> Self {
        Self {
            method,
            pattern,
            action,
            pieces: None,
            max_bytes,
        }
    }
}

/// Who answers a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// This row, by [`App::answer`], once its body is there, which may have so
    /// many bytes.
    Answers(usize, u64),
    /// This row, by [`App::begin`] and [`App::receive`], as its body comes, which
    /// may have so many bytes.
    Receives(usize, u64),
    /// None, though the path answers to these methods: [`refuse`].
    None(Methods),
}

/// A state with the routes to its handlers. The table is a constant, so that a
/// program carries the code for what its rows ask for, and no other.
pub trait Service: Sized + 'static {
    /// The table.
    const ROUTES: &'static [Route<Self>];
}

/// A service that runs.
#[derive(Debug)]
pub struct App<'s, S> {
    state: &'s mut S,
}

impl<'s, S: Service> App<'s, S> {
    /// Whether a row receives bodies in pieces.
    pub const RECEIVES: bool = {
        let (mut found, mut at) = (false, 0);
        while at < S::ROUTES.len() {
            found |= matches!(S::ROUTES[at].action, Action::Receive(_));
            at += 1;
        }
        found
    };
    /// Whether a row answers in pieces.
    pub const STREAMS: bool = {
        let (mut found, mut at) = (false, 0);
        while at < S::ROUTES.len() {
            let route = &S::ROUTES[at];
            found |= route.pieces.is_some() || matches!(route.action, Action::Asset(_));
            at += 1;
        }
        found
    };

    /// Runs on this state.
    pub fn new(state: &'s mut S) -> Self {
        Self { state }
    }

    /// Who answers to this method and this decoded path.
    pub fn find(&self, method: Method, path: &str) -> Found {
        let mut allow = Methods::NONE;
        for (number, route) in S::ROUTES.iter().enumerate() {
            if walk(route.pattern.as_bytes(), path.as_bytes(), b"").is_none() {
                continue;
            }
            let is_get = route.method == Method::Get;
            if route.method == method || is_get && method == Method::Head {
                return match route.action {
                    Action::Receive(_) => Found::Receives(number, route.max_bytes),
                    _ => Found::Answers(number, route.max_bytes),
                };
            }
            allow = allow.with(route.method);
            if is_get {
                allow = allow.with(Method::Head);
            }
        }
        Found::None(allow)
    }

    /// Lets a row answer. `scratch` takes the decoded query: it is as long as
    /// that, or longer.
    pub fn answer(
        &mut self,
        number: usize,
        head: &Head<'_>,
        path: &str,
        body: &mut [u8],
        scratch: &mut [u8],
        response: &mut Response<'_>,
    ) {
        response.set_http11(head.is_http11);
        let Some(route) = S::ROUTES.get(number) else {
            return;
        };
        let state = &mut *self.state;
        let mut request = Request::new(head, path, route.pattern, body, scratch);
        let answer = match route.action {
            Action::Answer(handler) => handler(state, &mut request, response),
            Action::Asset(asset) if Self::STREAMS => {
                asset.answer(&request, response);
                Ok(())
            }
            _ => Ok(()),
        };
        tell(answer, response);
    }

    /// Begins a body that is received by this row: false where the answer is
    /// there already and the body is not wanted.
    pub fn begin(
        &mut self,
        number: usize,
        stream: usize,
        head: &Head<'_>,
        path: &str,
        scratch: &mut [u8],
        response: &mut Response<'_>,
    ) -> bool {
        let pattern = S::ROUTES.get(number).map_or("", |route| route.pattern);
        let mut request = Request::new(head, path, pattern, &mut [], scratch);
        self.receive(number, stream, Body::Begins(&mut request), response)
    }

    /// Goes on with it: false where the answer is there already.
    pub fn receive(
        &mut self,
        number: usize,
        stream: usize,
        body: Body<'_, '_>,
        response: &mut Response<'_>,
    ) -> bool {
        match S::ROUTES.get(number).map(|route| &route.action) {
            Some(Action::Receive(receiver)) => {
                let answer = receiver(&mut *self.state, stream, body, response);
                tell(answer, response)
            }
            _ => false,
        }
    }

    /// Writes the piece of an answer of this row that begins at this place.
    pub fn piece(&mut self, number: usize, at: u64, piece: &mut Piece<'_>) -> Option<u64> {
        let route = S::ROUTES.get(number)?;
        if let Action::Asset(asset) = route.action {
            let rest = usize::try_from(at)
                .ok()
                .and_then(|at| asset.bytes().get(at..))?;
            let part = rest.get(..piece.room()).unwrap_or(rest);
            piece.write(part);
            return (part.len() < rest.len()).then_some(at + part.len() as u64);
        }
        (route.pieces?)(&mut *self.state, at, piece)
    }
}

/// Makes a problem the answer; true where there is none.
fn tell(answer: Answer, response: &mut Response<'_>) -> bool {
    if let Err(problem) = answer {
        problem.write(response);
        return false;
    }
    true
}

/// Answers where no row does: 404, 405 or, for OPTIONS, with what is allowed
/// (RFC 9110 sections 15.5.5, 15.5.6 and 9.3.7).
pub fn refuse(method: Method, allow: Methods, response: &mut Response<'_>) {
    if allow.is_empty() {
        return Problem::NOT_FOUND.write(response);
    }
    response.allow(allow.with(Method::Options));
    if method == Method::Options {
        response.status(Status::NoContent);
    } else {
        response.refuse(Status::MethodNotAllowed);
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::head::{Limits, parse};
    use crate::response::{HEAD_BYTES, Manner};
    use crate::stream::{Ending, Outgoing};
    use std::format;
    use std::string::String;

    #[derive(Default)]
    struct Count {
        calls: u64,
        bytes: usize,
    }

    static ASSET: Asset = Asset::new("text/css", b"a{}");
    static LARGE: Asset = Asset::new("text/plain", &[b'x'; 300]);

    impl Service for Count {
        const ROUTES: &'static [Route<Self>] = &[
            Route::get("/", |_, _, response| {
                response.text("root");
                Ok(())
            }),
            Route::get("/a/{x}/b/{y}", |_, request, response| {
                response.text(request.param("x")).text("+");
                response.text(request.param("y")).text(request.param("z"));
                Ok(())
            }),
            Route::post("/a", |_, request, response| {
                response.write(request.body);
                Ok(())
            })
            .limit(5),
            Route::get("/a", |count, request, response| {
                count.calls += 1;
                response
                    .number(count.calls)
                    .text(request.query("q")?.unwrap_or("-"));
                response.number(request.query_number("n")?.unwrap_or(7));
                Ok(())
            }),
            Route::get("/number/{n}", |_, request, response| {
                response.number(request.parse::<u8>("n")?.into());
                Ok(())
            }),
            Route::asset("/a.css", &ASSET),
            Route::asset("/large", &LARGE),
            Route::receive(Method::Put, "/sum", 4, |count, stream, body, response| {
                match body {
                    Body::Begins(request) => {
                        if request.query("no")?.is_some() {
                            return Err(Problem::NOT_FOUND);
                        }
                        count.bytes = stream;
                    }
                    Body::Piece(bytes) => count.bytes += bytes.len(),
                    Body::Ends => drop(response.number(count.bytes as u64)),
                    Body::Breaks => count.bytes = 0,
                }
                Ok(())
            }),
            Route::get("/count", |_, _, response| {
                response.stream(1);
                Ok(())
            })
            .pieces(|_, at, piece| {
                piece.number(at);
                (at < 3).then_some(at + 1)
            }),
        ];
    }

    struct Asked {
        answer: String,
        row: Option<usize>,
    }

    fn ask_with(count: &mut Count, method: &str, target: &str, fields: &str) -> Asked {
        let text = format!("{method} {target} HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        let head = parse(text.as_bytes(), &Limits::DEFAULT).expect("a good head");
        let mut buffer = [0; HEAD_BYTES + 128];
        let mut response = Response::new(&mut buffer);
        let path = String::from_utf8(head.path.to_vec()).unwrap();
        let mut body = *b"body";
        let mut scratch = [0; 300];
        let mut app = App::new(count);
        let row = match app.find(head.method, &path) {
            Found::Answers(row, _) => {
                app.answer(row, &head, &path, &mut body, &mut scratch, &mut response);
                Some(row)
            }
            Found::None(allow) => {
                refuse(head.method, allow, &mut response);
                None
            }
            Found::Receives(row, _) => Some(row),
        };
        let manner = Manner {
            is_head: method == "HEAD",
            is_http11: true,
            closes: false,
            date: &[b'-'; 29],
        };
        let length = response.finish(&manner);
        let answer = String::from_utf8(buffer[..length].to_vec()).unwrap();
        Asked { answer, row }
    }

    fn ask(method: &str, target: &str) -> String {
        ask_with(&mut Count::default(), method, target, "").answer
    }

    #[test]
    fn parameters_are_taken_from_their_segments() {
        assert!(ask("GET", "/a/1/b/2").ends_with("\r\n\r\n1+2"));
        assert!(ask("GET", "/").ends_with("root"));
        assert!(ask("POST", "/a").ends_with("body"));
    }

    #[test]
    fn parameters_are_numbers_where_asked_for() {
        assert!(ask("GET", "/number/255").ends_with("\r\n\r\n255"));
        for path in ["/number/256", "/number/x", "/number/-1"] {
            assert!(ask("GET", path).starts_with("HTTP/1.1 404 "), "{path}");
        }
    }

    #[test]
    fn queries_are_decoded() {
        assert!(ask("GET", "/a?x=1&%71=%c3%a9+b&q=2&n=12").ends_with("1é b12"));
        assert!(ask("GET", "/a?").ends_with("1-7"));
        for target in ["/a?n=x", "/a?n=", "/a?%"] {
            assert!(ask("GET", target).starts_with("HTTP/1.1 400 "), "{target}");
        }
    }

    #[test]
    fn patterns_are_matched_segment_by_segment() {
        let walk =
            |pattern: &str, path: &str| walk(pattern.as_bytes(), path.as_bytes(), b"x").is_some();
        for (pattern, path) in [
            ("/", "/"),
            ("/a/", "/a/"),
            ("/{x}/", "/b/"),
            ("/a/{x}", "/a/b"),
        ] {
            assert!(walk(pattern, path), "{pattern} {path}");
        }
        for (pattern, path) in [
            ("/", "/a"),
            ("/a", "/a/"),
            ("/a/", "/a"),
            ("/{x}", "/"),
            ("/{x}", "/b/"),
            ("/a/{x}", "/a/"),
            ("/a/{x}", "/a"),
            ("/a", "/a/b"),
            ("/a/b", "/a"),
            ("/{x}/{y}", "/b"),
        ] {
            assert!(!walk(pattern, path), "{pattern} {path}");
        }
    }

    #[test]
    fn handlers_share_a_state() {
        let mut count = Count::default();
        for expected in ["1-7", "2-7", "3-7"] {
            let asked = ask_with(&mut count, "GET", "/a", "");
            assert!(asked.answer.ends_with(expected), "{}", asked.answer);
        }
    }

    #[test]
    fn unknown_paths_get_404_with_details() {
        for path in [
            "/b",
            "/a/",
            "/a/1/b",
            "/a/1/b/",
            "/a//b/2",
            "/a/1/b/2/3",
            "//",
        ] {
            let answer = ask("GET", path);
            assert!(answer.starts_with("HTTP/1.1 404 "), "{path}");
            assert!(answer.contains("application/problem+json"), "{path}");
        }
    }

    #[test]
    fn rfc9110_15_5_6_known_paths_with_another_method_get_405_and_the_list() {
        let answer = ask("PUT", "/a");
        assert!(answer.starts_with("HTTP/1.1 405 "));
        assert!(
            answer.contains("\r\nAllow: GET, HEAD, POST, OPTIONS\r\n"),
            "{answer}"
        );
    }

    #[test]
    fn rfc9110_9_3_7_options_are_told_without_a_handler() {
        let answer = ask("OPTIONS", "/a/1/b/2");
        assert!(answer.starts_with("HTTP/1.1 204 "), "{answer}");
        assert!(answer.contains("\r\nAllow: GET, HEAD, OPTIONS\r\n"));
        assert!(ask("OPTIONS", "/b").starts_with("HTTP/1.1 404 "));
    }

    #[test]
    fn rfc9110_9_3_2_head_is_answered_by_the_handler_of_get() {
        assert!(ask("HEAD", "/").ends_with("Content-Length: 4\r\n\r\n"));
    }

    #[test]
    fn a_row_has_its_own_limit() {
        const { assert!(App::<Count>::RECEIVES && App::<Count>::STREAMS) };
        let mut count = Count::default();
        let app = App::new(&mut count);
        assert_eq!(app.find(Method::Post, "/a"), Found::Answers(2, 5));
        assert_eq!(app.find(Method::Put, "/sum"), Found::Receives(7, 4));
        assert_eq!(app.find(Method::Get, "/"), Found::Answers(0, u64::MAX));
    }

    #[test]
    fn rfc9110_13_1_2_assets_are_not_sent_again() {
        let answer = ask("GET", "/a.css");
        assert!(answer.ends_with("\r\n\r\na{}"), "{answer}");
        assert!(answer.contains("\r\nContent-Type: text/css\r\n"));
        let tag = answer.split("ETag: ").nth(1).unwrap().get(..18).unwrap();
        let fields = format!("If-None-Match: \"x\", W/{tag}\r\n");
        let answer = ask_with(&mut Count::default(), "GET", "/a.css", &fields).answer;
        assert!(answer.starts_with("HTTP/1.1 304 "), "{answer}");
        assert!(answer.contains(tag) && answer.ends_with("\r\n\r\n"));
    }

    #[test]
    fn large_assets_and_streams_are_written_in_pieces() {
        let asked = ask_with(&mut Count::default(), "GET", "/large", "");
        assert!(asked.answer.contains("\r\nContent-Length: 300\r\n"));
        assert!(asked.answer.ends_with("\r\n\r\n"), "{}", asked.answer);
        let mut count = Count::default();
        let mut app = App::new(&mut count);
        let mut collect = |row: usize, from: u64, ending| {
            let mut out = Outgoing::new(from, ending);
            let mut sent = std::vec::Vec::new();
            while !out.is_done() {
                let mut buffer = [0; 100];
                let piece = out.fill(&mut buffer, &mut |at, piece| app.piece(row, at, piece));
                sent.extend_from_slice(&buffer[piece.unwrap()]);
            }
            sent
        };
        assert_eq!(
            collect(asked.row.unwrap(), 0, Ending::Length(300)),
            [b'x'; 300]
        );
        let asked = ask_with(&mut Count::default(), "GET", "/count", "");
        assert_eq!(collect(asked.row.unwrap(), 1, Ending::Close), b"123");
    }

    #[test]
    fn bodies_are_received_in_pieces() {
        let mut count = Count::default();
        let mut app = App::new(&mut count);
        let Found::Receives(row, 4) = app.find(Method::Put, "/sum") else {
            panic!("it is received");
        };
        let mut buffer = [0; HEAD_BYTES + 128];
        let mut response = Response::new(&mut buffer);
        let text = b"PUT /sum HTTP/1.0\r\n\r\n";
        let head = parse(text, &Limits::DEFAULT).unwrap();
        assert!(app.begin(row, 30, &head, "/sum", &mut [], &mut response));
        assert!(app.receive(row, 30, Body::Piece(b"12"), &mut response));
        assert!(app.receive(row, 30, Body::Ends, &mut response));
        assert_eq!(app.state.bytes, 32);
        let text = b"PUT /sum?no HTTP/1.0\r\n\r\n";
        let head = parse(text, &Limits::DEFAULT).unwrap();
        assert!(!app.begin(row, 0, &head, "/sum", &mut [0; 9], &mut response));
    }
}
