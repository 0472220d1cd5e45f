//! A packed site: heads are ready, bodies are parts of one mapped file.

use super::{Content, Site};
use crate::engine::Turn;
use ounce_http::condition::{Decision, Facts, decide};
use ounce_http::encoding::weights;
use ounce_http::head::{Head, Known};
use ounce_http::packed::Kind;
use ounce_http::status::Status;
use ounce_http::writer::{Finish, HeadWriter};

impl<C: Content> Site<C> {
    /// Answers for the decoded path of this length at the start of `out`.
    pub(super) fn packed_answer(
        &mut self,
        head: &Head<'_>,
        length: usize,
        finish: &Finish<'_>,
        out: &mut [u8],
        turn: &mut Turn,
    ) -> Status {
        let path = out.get(..length).unwrap_or_default();
        let Some(entry) = self.packed.as_ref().and_then(|packed| packed.find(path)) else {
            return self.short(Status::NotFound, b"", b"", finish, out, turn);
        };
        let [identity, br, zstd, gzip] = weights(head.known(Known::AcceptEncoding));
        let variant = entry.choose(&[br, zstd, gzip, identity]);
        let length = variant.body.len() as u64;
        let mut decision = Decision {
            status: Status::Ok,
            start: 0,
            end: length,
        };
        let mut fields = variant.fields;
        match entry.kind() {
            Kind::File => {
                let facts = Facts {
                    etag: variant.etag(),
                    modified_seconds: 0,
                    length_bytes: length,
                };
                decision = decide(head, &facts);
            }
            Kind::Redirect => decision.status = Status::PermanentRedirect,
            Kind::NotFound => decision.status = Status::NotFound,
        }
        let status = decision.status;
        if status == Status::PreconditionFailed || status == Status::RangeNotSatisfiable {
            return self.unsatisfied(status, length, finish, out, turn);
        }
        let mut writer = HeadWriter::new(out);
        writer.start(status.first_line(), finish.date);
        writer.put(self.manner.fields);
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
        writer.end(finish.connection);
        turn.length = decision.end - decision.start;
        turn.written = writer.length().unwrap_or(0);
        if finish.is_head || turn.length == 0 || turn.written == 0 {
            return status;
        }
        let part = decision.start as usize..decision.end as usize;
        let body = variant.body.get(part).unwrap_or_default();
        let room = out.get_mut(turn.written..).unwrap_or_default();
        match room.get_mut(..body.len()) {
            Some(place) if body.len() <= 4096 => {
                place.copy_from_slice(body);
                turn.written += body.len();
            }
            _ => {
                turn.offset = variant.body_offset + decision.start as u32;
                turn.file = self.root;
            }
        }
        status
    }

    /// 412, or 416 with the length that there is.
    #[inline(never)]
    pub(super) fn unsatisfied(
        &self,
        status: Status,
        length: u64,
        finish: &Finish<'_>,
        out: &mut [u8],
        turn: &mut Turn,
    ) -> Status {
        let mut line = [0; 48];
        let mut writer = HeadWriter::new(&mut line);
        if status == Status::RangeNotSatisfiable {
            writer.put(b"Content-Range: bytes */");
            writer.number(length);
            writer.put(b"\r\n");
        }
        let end = writer.length().unwrap_or(0);
        let line = line.get(..end).unwrap_or_default();
        self.short(status, line, b"", finish, out, turn)
    }
}
