//! A site: from a request to its answer. What all answers have in common is
//! here; where the content comes from is `folder`'s.

mod folder;
mod listing;
mod log;

use crate::engine::{Batch, Handler};
use core::cell::Cell;
use ounce_http::chunked;
use ounce_http::date::{DATE_BYTES, date_field};
use ounce_http::head::{Framing, Head, Limits, Stop};
use ounce_http::method::Method;
use ounce_http::path;
use ounce_http::status::Status;
use ounce_http::take_until;
use ounce_linux::bare::{self, Fd};

/// What the user chose about answers, as ready text where it can be.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// Lines for every answer.
    pub security: &'static [u8],
    /// Those that the user gave.
    pub own: &'static [u8],
    /// Cache-Control of a file, or nothing.
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
#[repr(C)]
pub struct Site {
    /// The folder.
    root: Fd,
    date: [u8; DATE_BYTES],
    manner: Manner,
    /// Paths that were looked at in this second and have no other forms.
    alone: [Cell<u32>; folder::ALONE],
}

/// In place of a short answer: it is answered.
const ANSWERED: Status = Status::Continue;
/// The most of a body that is waited for, to be thrown away.
const BODY_BYTES: usize = 16_384;
/// Bodies up to this length are sent with their head.
const SHORT_BYTES: u64 = 4_096;

/// As the length of a path: one that is not to be found.
const HIDDEN: usize = 0;

const LIMITS: Limits = Limits::DEFAULT;

impl Site {
    /// What is in this folder.
    pub fn new(root: Fd, manner: Manner) -> Self {
        Self {
            root,
            manner,
            date: [0; DATE_BYTES],
            alone: [const { Cell::new(0) }; folder::ALONE],
        }
    }

    /// Answers a valid request, or says with which short answer it is to be.
    #[inline(never)]
    fn route(&self, head: &Head<'_>, batch: &mut Batch<'_>) -> Status {
        match head.method {
            Method::Get | Method::Head => {}
            Method::Options => return Status::NoContent,
            _ => return Status::MethodNotAllowed,
        }
        let length = match path::decode(head.path, batch.writer.rest()) {
            Ok(path) if path == b"/healthz" => return Status::Ok,
            Ok(path) => path.len(),
            Err(Status::NotFound) => HIDDEN,
            Err(status) => return status,
        };
        self.answer_file(head, length, batch)
    }

    /// Begins an answer.
    #[inline(never)]
    fn begin(&self, status: Status, batch: &mut Batch<'_>) {
        batch.status = status;
        let writer = &mut batch.writer;
        writer.put(b"HTTP/1.1 ");
        writer.put(status.first_line());
        writer.put(b"\r\n");
        // RFC 9110 section 6.6.1: not without a clock.
        if self.date[0] != 0 {
            writer.field("Date", &self.date);
        }
        writer.put(self.manner.own);
        writer.put(self.manner.security);
    }

    /// Ends a head; so much of a file is its body.
    #[inline(never)]
    fn end(&self, length: u64, batch: &mut Batch<'_>) {
        batch.length = if batch.is_head { 0 } else { length };
        // RFC 9112 section 9.3: what the version does not say by itself.
        if batch.closes {
            batch.writer.put(b"Connection: close\r\n");
        } else if !batch.is_http11 {
            batch.writer.put(b"Connection: keep-alive\r\n");
        }
        batch.writer.put(b"\r\n");
    }

    /// A whole short answer: the status as text, if it may have one.
    #[inline(never)]
    fn short(&self, status: Status, batch: &mut Batch<'_>) {
        self.begin(status, batch);
        let writer = &mut batch.writer;
        let line = match status {
            Status::NoContent | Status::MethodNotAllowed => &b"Allow: GET, HEAD, OPTIONS\r\n"[..],
            Status::ServiceUnavailable => b"Retry-After: 1\r\n",
            Status::RangeNotSatisfiable => b"Content-Range: bytes */%\r\n",
            _ => b"",
        };
        writer.numbers(line, &[batch.length]);
        let text: &[u8] = match status {
            Status::Ok => b"ok",
            Status::NoContent => b"",
            _ => status.first_line(),
        };
        let mut length = 0;
        if !text.is_empty() {
            length = text.len() as u64 + 1;
            let lines = b"Content-Type: text/plain\r\nContent-Length: %\r\n";
            writer.numbers(lines, &[length]);
        }
        self.end(length, batch);
        if batch.length > 0 {
            batch.writer.put(text);
            batch.writer.put(b"\n");
        }
    }
}

impl Handler for Site {
    #[inline(never)]
    fn answer(&mut self, peer: Fd, bytes: &mut [u8], is_full: bool, batch: &mut Batch<'_>) -> bool {
        let bytes = &*bytes;
        let start = batch.writer.written();
        // Of what is refused, too, where that is known.
        batch.is_head = bytes.first_chunk() == Some(b"HEAD") && bytes.get(4) == Some(&b' ');
        batch.is_http11 = true;
        batch.consumed = bytes.len();
        batch.closes = true;
        batch.is_refused = true;
        let mut head = Head::new();
        let mut too_large = Status::RequestHeaderFieldsTooLarge;
        let whole = head.read(bytes, &LIMITS).and_then(|()| {
            too_large = Status::ContentTooLarge;
            whole(&head, bytes)
        });
        let short = match whole {
            Ok(length) => {
                batch.is_http11 = head.is_http11;
                if length > 0 {
                    batch.consumed = length;
                    batch.closes = !head.keep_alive || batch.is_stopping && length == bytes.len();
                    batch.is_refused = false;
                }
                self.route(&head, batch)
            }
            Err(Stop::Refuse(status)) => status,
            Err(Stop::Partial) if is_full => too_large,
            Err(Stop::Partial) => return false,
        };
        if short != ANSWERED {
            self.short(short, batch);
        }
        if batch.writer.bytes().is_empty() {
            // It did not fit, as a redirect to a very long path.
            batch.writer.go_to(start);
            batch.closes = true;
            bare::close(batch.file);
            batch.file = -1;
            self.short(Status::InternalServerError, batch);
        }
        if self.manner.logs {
            let mut rest = bytes;
            log::write(peer, take_until(&mut rest, b'\r'), &self.date, batch);
        }
        true
    }

    fn refuse(&self, status: Status, batch: &mut Batch<'_>) {
        self.short(status, batch);
    }

    fn tick(&mut self, second: u64) {
        date_field(second, &mut self.date);
    }

    fn shared_file(&self) -> Fd {
        -1
    }
}

/// The length of the whole request; 0 where its body is not waited for, since
/// the client waits for us.
fn whole(head: &Head<'_>, bytes: &[u8]) -> Result<usize, Stop> {
    let rest = bytes.get(head.length..).unwrap_or_default();
    let length = match head.framing {
        Framing::Length(0) => 0,
        _ if head.expects_continue && rest.is_empty() => return Ok(0),
        Framing::Chunked => chunked::measure(rest, BODY_BYTES)?,
        Framing::Length(length) if length > BODY_BYTES as u64 => {
            return Err(Status::ContentTooLarge.into());
        }
        Framing::Length(length) if length > rest.len() as u64 => return Err(Stop::Partial),
        Framing::Length(length) => length as usize,
    };
    Ok(head.length + length)
}
