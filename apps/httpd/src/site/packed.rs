//! A packed site: heads are ready, bodies are parts of one mapped file.

use super::{Content, HIDDEN, SHORT_BYTES, Site};
use crate::engine::Batch;
use ounce_http::condition::{Decision, Facts, decide};
use ounce_http::encoding::weights;
use ounce_http::head::{Head, Known};
use ounce_http::packed::Kind;
use ounce_http::status::Status;

impl<C: Content> Site<C> {
    /// Answers for the decoded path of this length behind what is written.
    #[inline(never)]
    pub(super) fn answer_packed(&self, head: &Head<'_>, length: usize, batch: &mut Batch<'_>) {
        let mut path = batch.writer.rest().get(..length).unwrap_or_default();
        if length == HIDDEN {
            path = b".";
        }
        let Some(entry) = self.packed.as_ref().and_then(|packed| packed.find(path)) else {
            return self.short(Status::NotFound, b"", batch);
        };
        let [identity, br, zstd, gzip] = weights(head.known(Known::AcceptEncoding));
        let variant = entry.choose(&[br, zstd, gzip, identity]);
        let length = variant.body.len() as u64;
        let mut decision = Decision {
            status: Status::NotFound,
            start: 0,
            end: length,
        };
        let mut fields = variant.fields;
        match entry.kind() {
            Kind::File => {
                decision = decide(
                    head,
                    &Facts {
                        etag: variant.etag(),
                        modified_seconds: 0,
                        length_bytes: length,
                    },
                );
            }
            Kind::Redirect => decision.status = Status::PermanentRedirect,
            Kind::NotFound => {}
        }
        if matches!(
            decision.status,
            Status::PreconditionFailed | Status::RangeNotSatisfiable
        ) {
            return self.unsatisfied(&decision, length, batch);
        }
        self.begin_bare(decision.status, batch);
        let writer = &mut batch.writer;
        if decision.status == Status::NotModified {
            fields = fields.get(..variant.repeated.into()).unwrap_or_default();
        }
        writer.put(fields);
        if decision.status == Status::PermanentRedirect {
            if let Some(query) = head.query {
                writer.put(b"?");
                writer.put(query);
            }
            writer.put(b"\r\n");
        }
        if decision.status != Status::NotModified {
            writer.content(&decision, length);
        }
        self.end(decision.end - decision.start, batch);
        let body = variant
            .body
            .get(decision.start as usize..)
            .unwrap_or_default();
        let body = body.get(..batch.length as usize).unwrap_or_default();
        if batch.length <= SHORT_BYTES && body.len() < batch.writer.rest().len() {
            batch.writer.put(body);
        } else {
            batch.offset = variant.body_offset + decision.start as u32;
            batch.file = self.root;
        }
    }
}
