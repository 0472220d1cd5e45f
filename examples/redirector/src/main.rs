//! Short links: some from a table in the program, some added while it runs.
//!
//! `GET /{name}` redirects, `GET /links` lists with hits. With `TOKEN` set,
//! `PUT /links/{name}` (`Authorization: Bearer …`) takes a form, such as
//! `to=https://example.org/&status=301`, and `DELETE` drops what was added. No
//! target ever comes from the request that is redirected.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use ounce_httpd::http::json::Json;
use ounce_httpd::http::{parse_decimal, secret};
use ounce_httpd::{
    Answer, Problem, Program, Request, Response, Route, Service, State, Status, Text, serve,
};

ounce_httpd::entry!(main);

fn main(program: &Program) -> u8 {
    let links = LINKS.take();
    links.token = program.variable("TOKEN").filter(|token| !token.is_empty());
    serve(program, links)
}

/// With the table's they are told in one answer, of 16 KB.
const MAX_LINKS: usize = 32;
/// A line is a name, a status and a target; what is wrong there fails the build.
static TABLE: [Row; 4] = rows(include_str!("../links.txt"));

const NO_LINK: &Problem = &Problem::new(Status::NotFound, "There is no such link.");
const FULL: &Problem = &Problem::new(Status::InsufficientStorage, "There are 32 links already.");
const FIXED: &Problem = &Problem::new(Status::Conflict, "This link is part of the program.");
const NO_TOKEN: &Problem =
    &Problem::new(Status::Forbidden, "Links are changed where TOKEN is set.");
const BAD_TOKEN: &Problem = &Problem::new(Status::Unauthorized, "The token is another.");
const BAD_NAME: &Problem = &Problem::new(
    Status::UnprocessableContent,
    "A name has at most 32 bytes, and is not `links` or `healthz`.",
);
const BAD_TARGET: &Problem = &Problem::new(
    Status::UnprocessableContent,
    "A target is a URL of http or https: at most 256 visible characters, no @.",
);
const BAD_STATUS: &Problem = &Problem::new(
    Status::UnprocessableContent,
    "The status is 301, 302, 307 or 308.",
);

impl Service for Links {
    const ROUTES: &'static [Route<Self>] = &[
        Route::get("/links", Self::list),
        Route::put("/links/{name}", Self::add).limit(1_024),
        Route::delete("/links/{name}", Self::remove),
        Route::get("/{name}", Self::follow),
    ];
}

static LINKS: State<Links> = State::new(Links {
    token: None,
    table_hits: [0; TABLE.len()],
    added: [Link::EMPTY; MAX_LINKS],
});

struct Links {
    token: Option<&'static [u8]>,
    table_hits: [u64; TABLE.len()],
    added: [Link; MAX_LINKS],
}

/// One that was added; with an empty name the place is free.
#[derive(Clone, Copy)]
struct Link {
    name: Text<32>,
    target: Text<256>,
    status: u16,
    hits: u64,
}

impl Link {
    const EMPTY: Self = Self {
        name: Text::EMPTY,
        target: Text::EMPTY,
        status: 0,
        hits: 0,
    };
}

impl Links {
    fn follow(&mut self, request: &mut Request, response: &mut Response) -> Answer {
        let name = request.param("name");
        for (row, hits) in TABLE.iter().zip(&mut self.table_hits) {
            if row.name == name {
                *hits += 1;
                return redirect(row.status, row.target, response);
            }
        }
        let link = self.find(name).ok_or(NO_LINK)?;
        link.hits += 1;
        redirect(link.status, link.target.as_str(), response)
    }

    fn find(&mut self, name: &str) -> Option<&mut Link> {
        self.added
            .iter_mut()
            .find(|link| link.name.as_str() == name)
    }

    fn add(&mut self, request: &mut Request, response: &mut Response) -> Answer {
        self.authorize(request, response)?;
        let name = request.param("name");
        let form = request.form()?;
        let target = form.get("to").unwrap_or_default();
        let status = form.get("status").map_or(Some(302), |text| {
            let number = parse_decimal(text.as_bytes())?;
            u16::try_from(number).ok()
        });
        if !is_target(target.as_bytes()) {
            return Err(BAD_TARGET);
        }
        let status = status.filter(|status| status_of(*status).is_some());
        let status = status.ok_or(BAD_STATUS)?;
        if name.len() > 32 || name == "links" || name == "healthz" {
            return Err(BAD_NAME);
        }
        if TABLE.iter().any(|row| row.name == name) {
            return Err(FIXED);
        }
        let is_new = self.find(name).is_none();
        let place = self.find(if is_new { "" } else { name }).ok_or(FULL)?;
        place.name.set(name);
        place.target.set(target);
        (place.status, place.hits) = (status, 0);
        response.status(if is_new {
            Status::Created
        } else {
            Status::NoContent
        });
        Ok(())
    }

    fn remove(&mut self, request: &mut Request, response: &mut Response) -> Answer {
        self.authorize(request, response)?;
        *self.find(request.param("name")).ok_or(NO_LINK)? = Link::EMPTY;
        response.status(Status::NoContent);
        Ok(())
    }

    fn authorize(&self, request: &Request, response: &mut Response) -> Answer {
        let own = self.token.ok_or(NO_TOKEN)?;
        let sent = request.field("Authorization").unwrap_or_default();
        let token = sent.strip_prefix(b"Bearer ").unwrap_or_default();
        if !secret::is_same(token, own) {
            response.field("WWW-Authenticate", b"Bearer");
            return Err(BAD_TOKEN);
        }
        Ok(())
    }

    fn list(&mut self, _: &mut Request, response: &mut Response) -> Answer {
        let mut json = response.json();
        json.array();
        let rows = TABLE.iter().zip(&self.table_hits);
        for (row, hits) in rows {
            tell(&mut json, row.name, row.status, row.target, *hits);
        }
        for link in self.added.iter().filter(|link| !link.name.is_empty()) {
            let target = link.target.as_str();
            tell(
                &mut json,
                link.name.as_str(),
                link.status,
                target,
                link.hits,
            );
        }
        json.end_array();
        Ok(())
    }
}

/// Tells of a link.
#[inline(never)]
fn tell(json: &mut Json<&mut Response>, name: &str, status: u16, target: &str, hits: u64) {
    json.object().key("name").string(name);
    json.key("status").number(status.into());
    json.key("to").string(target);
    json.key("hits").number(hits).end_object();
}

fn redirect(status: u16, target: &str, response: &mut Response) -> Answer {
    response.redirect(status_of(status).ok_or(BAD_STATUS)?, target);
    Ok(())
}

const fn status_of(code: u16) -> Option<Status> {
    match code {
        301 => Some(Status::MovedPermanently),
        302 => Some(Status::Found),
        307 => Some(Status::TemporaryRedirect),
        308 => Some(Status::PermanentRedirect),
        _ => None,
    }
}

/// `http://` or `https://` and a host, nothing that a browser would mend, and
/// no `@`, behind which another host than the visible one would stand.
const fn is_target(url: &[u8]) -> bool {
    let mut rest = match url {
        [b'h', b't', b't', b'p', b':', b'/', b'/', rest @ ..] => rest,
        [b'h', b't', b't', b'p', b's', b':', b'/', b'/', rest @ ..] => rest,
        _ => return false,
    };
    if rest.is_empty() || matches!(rest[0], b'/' | b'?' | b'#' | b':') || url.len() > 256 {
        return false;
    }
    while let [byte, more @ ..] = rest {
        if !matches!(byte, b'!'..=b'~') || matches!(byte, b'@' | b'\\' | b'"' | b'<' | b'>') {
            return false;
        }
        rest = more;
    }
    true
}

/// One of the table.
#[derive(Clone, Copy)]
struct Row {
    name: &'static str,
    status: u16,
    target: &'static str,
}

/// Reads the table when the program is compiled.
const fn rows<const COUNT: usize>(mut text: &'static str) -> [Row; COUNT] {
    let mut rows = [Row {
        name: "",
        status: 0,
        target: "",
    }; COUNT];
    let mut count = 0;
    while !text.is_empty() {
        let (line, rest) = cut(text, b'\n');
        text = rest;
        if line.is_empty() || line.as_bytes()[0] == b'#' {
            continue;
        }
        let (name, rest) = cut(line, b' ');
        let (status, target) = cut(rest, b' ');
        let [a, b, c] = *status.as_bytes() else {
            panic!("a status has three digits");
        };
        let status = (a - b'0') as u16 * 100 + (b - b'0') as u16 * 10 + (c - b'0') as u16;
        assert!(status_of(status).is_some(), "this status is no redirect's");
        assert!(is_target(target.as_bytes()), "this is no target");
        rows[count] = Row {
            name,
            status,
            target,
        };
        count += 1;
    }
    assert!(
        count == COUNT,
        "the table has another number of links than is said"
    );
    rows
}

/// What is before the first of this byte, and what is behind it.
const fn cut(text: &str, byte: u8) -> (&str, &str) {
    let mut at = 0;
    while at < text.len() {
        if text.as_bytes()[at] == byte {
            let (before, behind) = text.split_at(at);
            return (before, behind.split_at(1).1);
        }
        at += 1;
    }
    (text, "")
}
