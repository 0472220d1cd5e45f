//! From a request to its answer: heads are ready, bodies are parts of one mapped
//! file.

use crate::engine::{Batch, Handler};
use ounce_http::condition::{Decision, lists_tag, read_range};
use ounce_http::date::{DATE_BYTES, date_field};
use ounce_http::head::{Framing, Head, Known, Limits, Stop};
use ounce_http::method::Method;
use ounce_http::packed::{Kind, Site};
use ounce_http::path;
use ounce_http::status::Status;
use ounce_linux::bare::Fd;

/// Bodies up to this length are sent with their head.
const SHORT_BYTES: usize = 4_096;
/// In place of a short answer: it is answered.
const ANSWERED: Status = Status::Continue;
/// As a path: one that is never found, and has a dot.
const HIDDEN: &[u8] = b".";

/// A packed site, and what its answers need.
#[derive(Debug)]
pub struct Answers {
    /// The file that the site is mapped from.
    file: Fd,
    /// Its first byte is 0 where the clock is not set.
    date: [u8; DATE_BYTES],
    site: Site<'static>,
}

impl Answers {
    /// Answers from this site, which is mapped from this file.
    #[inline(never)]
    pub fn new(file: Fd, site: Site<'static>) -> Self {
        Self {
            file,
            date: [0; DATE_BYTES],
            site,
        }
    }

    /// Answers a valid request, or says with which short answer it is to be.
    fn route(&self, head: &Head<'_>, batch: &mut Batch<'_>) -> Status {
        match head.method {
            Method::Get | Method::Head => {}
            Method::Options => return Status::NoContent,
            _ => return Status::MethodNotAllowed,
        }
        let path: &[u8] = match path::decode(head.path, batch.writer.rest()) {
            Ok(path) => path,
            Err(Status::NotFound) => HIDDEN,
            Err(status) => return status,
        };
        if path == b"/healthz" {
            return Status::Ok;
        }
        let Some(entry) = self.site.find(path) else {
            return Status::NotFound;
        };
        let variant = entry.negotiate(head.value(Known::AcceptEncoding));
        let length = variant.body.len() as u64;
        let mut decision = Decision {
            status: Status::NotFound,
            start: 0,
            end: length,
        };
        match entry.kind() {
            Kind::File => decide(head, variant.etag(), &mut decision),
            Kind::Redirect => decision.status = Status::PermanentRedirect,
            Kind::NotFound => {}
        }
        let status = decision.status;
        batch.length = length;
        if matches!(
            status,
            Status::PreconditionFailed | Status::RangeNotSatisfiable
        ) {
            return status;
        }
        self.begin(status, batch);
        let writer = &mut batch.writer;
        let mut fields = variant.fields;
        if status == Status::NotModified {
            fields = fields.get(..variant.repeated.into()).unwrap_or_default();
        }
        writer.put(fields);
        if status == Status::PermanentRedirect {
            if let Some(query) = head.query {
                writer.put(b"?");
                writer.put(query);
            }
            writer.put(b"\r\n");
        }
        if status != Status::NotModified {
            writer.content(&decision, length);
        }
        end(batch);
        if batch.is_head || status == Status::NotModified {
            decision.end = decision.start;
        }
        let body = variant
            .body
            .get(decision.start as usize..decision.end as usize);
        let body = body.unwrap_or_default();
        batch.length = body.len() as u64;
        if body.len() <= SHORT_BYTES {
            batch.writer.put(body);
        } else {
            batch.offset = variant.body_offset + decision.start as u32;
            batch.file = self.file;
        }
        ANSWERED
    }

    /// Begins an answer.
    #[inline(never)]
    fn begin(&self, status: Status, batch: &mut Batch<'_>) {
        let writer = &mut batch.writer;
        writer.put(b"HTTP/1.1 ");
        writer.put(status.first_line());
        // RFC 9110 section 6.6.1: not without a clock.
        if self.date[0] != 0 {
            writer.put(b"\r\nDate: ");
            writer.put(&self.date);
        }
        writer.put(b"\r\n");
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
            _ => status.first_line(),
        };
        if status != Status::NoContent {
            let lines =
                b"X-Content-Type-Options: nosniff\r\nContent-Type: text/plain\r\nContent-Length: %\r\n";
            writer.numbers(lines, &[text.len() as u64 + 1]);
        }
        end(batch);
        batch.length = 0;
        if status != Status::NoContent && !batch.is_head {
            batch.writer.put(text);
            batch.writer.put(b"\n");
        }
    }
}

/// Ends a head. RFC 9112 section 9.3: Connection says what the version does not
/// say by itself.
#[inline(never)]
fn end(batch: &mut Batch<'_>) {
    batch.writer.put(match (batch.closes, batch.is_http11) {
        (true, _) => b"Connection: close\r\n\r\n",
        (false, true) => b"\r\n",
        (false, false) => b"Connection: keep-alive\r\n\r\n",
    });
}

/// Decides in the order of RFC 9110 section 13.2.2. What is packed has no times:
/// conditions by date are ignored (sections 13.1.3 and 13.1.4), and a date in
/// If-Range is not ours (section 13.1.5).
fn decide(head: &Head<'_>, etag: &[u8], decision: &mut Decision) {
    decision.status = Status::Ok;
    decision.status =
        if head.has(Known::IfMatch) && !lists_tag(head.value(Known::IfMatch), etag, false) {
            Status::PreconditionFailed
        } else if lists_tag(head.value(Known::IfNoneMatch), etag, true) {
            Status::NotModified
        } else {
            if head.method == Method::Get
                && (!head.has(Known::IfRange) || head.value(Known::IfRange) == etag)
            {
                read_range(head.value(Known::Range), decision);
            }
            return;
        };
}

impl Handler for Answers {
    #[inline(never)]
    fn answer(&mut self, _: Fd, bytes: &mut [u8], is_full: bool, batch: &mut Batch<'_>) -> bool {
        let bytes = &*bytes;
        let start = batch.writer.written();
        // Of what is refused, too, where that is known.
        batch.is_head = bytes.first_chunk() == Some(b"HEAD");
        batch.is_http11 = true;
        batch.consumed = bytes.len();
        batch.closes = true;
        batch.is_refused = true;
        let mut head = Head::new();
        let short = match head.read(bytes, &Limits::DEFAULT) {
            Ok(()) => {
                batch.is_http11 = head.is_http11;
                // A body is not read, and so the connection ends with its request.
                if head.framing == Framing::Length(0) {
                    batch.consumed = head.length;
                    batch.closes =
                        !head.keep_alive || batch.is_stopping && head.length == bytes.len();
                    batch.is_refused = false;
                }
                self.route(&head, batch)
            }
            Err(Stop::Refuse(status)) => status,
            Err(Stop::Partial) if is_full => Status::RequestHeaderFieldsTooLarge,
            Err(Stop::Partial) => return false,
        };
        if short != ANSWERED {
            self.short(short, batch);
        }
        if batch.writer.bytes().is_empty() {
            // It did not fit, as a redirect to a very long path.
            batch.writer.go_to(start);
            batch.closes = true;
            batch.file = -1;
            self.short(Status::InternalServerError, batch);
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
        // It is open: so the compiler knows it, too, and leaves out what is done
        // with files of other kinds.
        self.file.max(0)
    }
}
