//! A site: from a request to its answer. What all answers have in common is
//! here; where the content comes from is `folder`'s and `packed`'s.

mod folder;
mod listing;
mod log;
mod packed;

use crate::engine::{Handler, More, NO_STREAM, Turn};
use core::marker::PhantomData;
use ounce_http::chunked;
use ounce_http::date::{DATE_BYTES, imf_fixdate};
use ounce_http::head::{self, Framing, Head, Limits, Stop};
use ounce_http::method::Method;
use ounce_http::packed::Site as Packed;
use ounce_http::path;
use ounce_http::status::Status;
use ounce_http::writer::{Finish, HeadWriter, connection};
use ounce_linux::bare::{self, Clock, Fd};

/// What a program can serve.
pub trait Content: 'static {
    /// Folders, beside packed files.
    const FOLDERS: bool;
    /// The help text; see `options`.
    const HELP: &'static [u8];
}

/// What the user chose about answers, as ready text where it can be.
#[derive(Clone, Copy, Debug, Default)]
pub struct Manner {
    /// Lines for every answer.
    pub fields: &'static [u8],
    /// Lines for a file.
    pub cache: &'static [u8],
    /// Files whose path starts with it never change.
    pub immutable: &'static [u8],
    /// List folders.
    pub lists: bool,
    /// Answer unknown paths with the first page.
    pub is_spa: bool,
    /// Write a line about each request.
    pub logs: bool,
}

/// A site, and what its answers need.
#[derive(Debug)]
pub struct Site<C> {
    /// The folder, or the packed file.
    pub root: Fd,
    /// What is packed, if it is.
    pub packed: Option<Packed<'static>>,
    /// What the user chose.
    pub manner: Manner,
    date: [u8; DATE_BYTES],
    content: PhantomData<C>,
}

const ALLOW: &[u8] = b"Allow: GET, HEAD, OPTIONS\r\n";
/// A clock that stands before 2001 was never set.
const SET_SECONDS: u64 = 1_000_000_000;

impl<C: Content> Site<C> {
    /// A site in this folder or packed file.
    pub fn new(root: Fd, packed: Option<Packed<'static>>, manner: Manner) -> Self {
        Self {
            root,
            packed,
            manner,
            date: [0; DATE_BYTES],
            content: PhantomData,
        }
    }

    fn is_packed(&self) -> bool {
        !C::FOLDERS || self.packed.is_some()
    }

    /// Routes a valid request. Writes the answer's head, and the body where it
    /// is short; else names a file in `turn`.
    fn route(
        &mut self,
        head: &Head<'_>,
        finish: &Finish<'_>,
        out: &mut [u8],
        turn: &mut Turn,
    ) -> Status {
        if head.path == b"*" {
            return self.short(Status::NoContent, ALLOW, b"", finish, out, turn);
        }
        let path = match path::decode(head.path, out) {
            Ok(path) => path,
            Err(status) => return self.short(status, b"", b"", finish, out, turn),
        };
        let status = match head.method {
            Method::Get | Method::Head => Status::Ok,
            Method::Options => Status::NoContent,
            _ => Status::MethodNotAllowed,
        };
        if status != Status::Ok {
            return self.short(status, ALLOW, b"", finish, out, turn);
        }
        if path == b"/healthz" {
            return self.short(Status::Ok, b"", b"ok\n", finish, out, turn);
        }
        if path::is_hidden(path) {
            return self.short(Status::NotFound, b"", b"", finish, out, turn);
        }
        let length = path.len();
        if self.is_packed() {
            self.packed_answer(head, length, finish, out, turn)
        } else {
            self.folder_answer(head, length, finish, out, turn)
        }
    }

    /// A whole short answer: these lines, and the status as text if there is no
    /// other.
    #[inline(never)]
    fn short(
        &self,
        status: Status,
        lines: &[u8],
        text: &[u8],
        finish: &Finish<'_>,
        out: &mut [u8],
        turn: &mut Turn,
    ) -> Status {
        let mut writer = HeadWriter::new(out);
        let line = status.first_line();
        writer.start(line, finish.date);
        writer.put(self.manner.fields);
        writer.put(lines);
        let mut text = text;
        if !status.is_bodiless() {
            if text.is_empty() {
                text = line.as_bytes();
            }
            writer.put(b"Content-Type: text/plain; charset=utf-8\r\n");
            writer.content_length(text.len() as u64);
        }
        writer.end(finish.connection);
        if !status.is_bodiless() && !finish.is_head {
            writer.put(text);
        }
        turn.length = text.len() as u64;
        turn.written = writer.length().unwrap_or(0);
        status
    }
}

impl<C: Content> Handler for Site<C> {
    #[inline(never)]
    fn answer(&mut self, peer: Fd, bytes: &mut [u8], out: &mut [u8], turn: &mut Turn, more: More) {
        let date = self.date;
        let refused = match whole(bytes, more.is_full) {
            Ok(length) => {
                turn.consumed = length;
                None
            }
            Err(Stop::Partial) => return,
            Err(Stop::Refuse(status)) => Some(status),
        };
        let limits = limits();
        let parsed = head::parse(bytes, &limits);
        let mut finish = Finish {
            is_head: false,
            connection: Some("close"),
            date: &date,
        };
        let mut line: &[u8] = b"";
        let status = match (refused, &parsed) {
            (None, Ok(head)) => {
                turn.closes = !head.keep_alive || more.is_stopping || turn.consumed == 0;
                finish.connection = connection(turn.closes, head.is_http11);
                finish.is_head = head.method == Method::Head;
                line = head.line(bytes);
                if turn.consumed == 0 {
                    turn.consumed = head.length;
                    turn.is_refused = true;
                }
                self.route(head, &finish, out, turn)
            }
            (status, _) => {
                turn.closes = true;
                turn.is_refused = true;
                turn.consumed = bytes.len();
                let status = status.unwrap_or(Status::BadRequest);
                self.short(status, b"", b"", &finish, out, turn)
            }
        };
        if turn.written == 0 {
            // The head did not fit, as of a redirect to a very long path.
            turn.closes = true;
            self.short(Status::InternalServerError, b"", b"", &finish, out, turn);
        }
        if self.manner.logs {
            let length = if finish.is_head { 0 } else { turn.length };
            let scratch = out.get_mut(turn.written..).unwrap_or_default();
            log::write(peer, line, status, length, &date, scratch);
        }
    }

    fn refuse(&mut self, status: Status, out: &mut [u8]) -> usize {
        let mut turn = Turn {
            consumed: 0,
            written: 0,
            closes: true,
            is_refused: true,
            file: -1,
            offset: 0,
            length: 0,
            stream: NO_STREAM,
        };
        let finish = Finish {
            is_head: false,
            connection: Some("close"),
            date: &self.date,
        };
        let lines: &[u8] = if status == Status::ServiceUnavailable {
            b"Retry-After: 1\r\n"
        } else {
            b""
        };
        self.short(status, lines, b"", &finish, out, &mut turn);
        turn.written
    }

    fn tick(&mut self) {
        let now = bare::time(Clock::Real);
        imf_fixdate(now, &mut self.date);
        if now < SET_SECONDS {
            self.date[0] = 0;
        }
    }

    fn shared_file(&self) -> Option<Fd> {
        self.is_packed().then_some(self.root)
    }
}

fn limits() -> Limits {
    Limits {
        body_bytes: usize::MAX,
        ..Limits::DEFAULT
    }
}

/// The length of the whole request at the start of these bytes; 0 where its body
/// will not be waited for.
fn whole(bytes: &mut [u8], is_full: bool) -> Result<usize, Stop> {
    let head = match head::parse(bytes, &limits()) {
        Err(Stop::Partial) if is_full => {
            return Err(Status::RequestHeaderFieldsTooLarge.into());
        }
        head => head?,
    };
    let start = head.length;
    let rest = bytes.len() - start;
    let partial = |is_full| {
        if is_full {
            Err(Status::ContentTooLarge.into())
        } else {
            Err(Stop::Partial)
        }
    };
    match head.framing {
        Framing::Length(0) => Ok(start),
        _ if head.expects_continue && rest == 0 => Ok(0),
        Framing::Length(length) if length > 16_384 => Err(Status::ContentTooLarge.into()),
        Framing::Length(length) if length as usize <= rest => Ok(start + length as usize),
        Framing::Length(_) => partial(is_full),
        Framing::Chunked => {
            let body = bytes.get_mut(start..).unwrap_or_default();
            match chunked::decode(body, 16_384) {
                Ok(decoded) => Ok(start + decoded.wire_length),
                Err(Stop::Partial) => partial(is_full),
                Err(stop) => Err(stop),
            }
        }
    }
}
