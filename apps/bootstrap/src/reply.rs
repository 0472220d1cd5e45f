//! What a function answers: gathered and sent at its end, or piece by piece.

use ounce_lambda::fault::{Pen, Whole};
use ounce_lambda::http::json::{Json, Sink};
use ounce_lambda::{Broken, Client, Fault, Outcome, Verdict};

use crate::Socket;

/// An answer on its way.
pub struct Reply<'r> {
    client: &'r mut Client<'static, Socket>,
    request_id: &'r str,
    buffer: &'r mut [u8],
    /// Past the buffer's length once something did not fit.
    length: usize,
    /// Once it goes piece by piece. A program that never begins to does not carry
    /// what that takes.
    stream: Option<Streaming>,
}

/// How an answer goes out piece by piece, and what became of the pieces so far.
#[derive(Clone, Copy)]
struct Streaming {
    result: Result<(), Broken>,
    flush: fn(&mut Reply<'_>),
    end: fn(&mut Reply<'_>, Option<Fault<'_>>) -> Result<Verdict, Broken>,
}

impl<'r> Reply<'r> {
    /// An empty one, to be gathered in this buffer.
    pub(crate) fn new(
        client: &'r mut Client<'static, Socket>,
        request_id: &'r str,
        buffer: &'r mut [u8],
    ) -> Self {
        Self {
            client,
            request_id,
            buffer,
            length: 0,
            stream: None,
        }
    }

    /// A writer of JSON, which is what Lambda takes of functions that do not stream.
    pub fn json(&mut self) -> Json<Pen<'_>> {
        Json::new(Pen(self))
    }

    /// Writes a text as it is.
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.write(text.as_bytes());
        self
    }

    /// Writes bytes as they are.
    #[inline(never)]
    pub fn write(&mut self, bytes: &[u8]) {
        if self.stream.is_some() && bytes.len() > self.buffer.len().saturating_sub(self.length) {
            self.flush();
        }
        let rest = self.buffer.get_mut(self.length..);
        match rest.and_then(|rest| rest.get_mut(..bytes.len())) {
            Some(place) => {
                place.copy_from_slice(bytes);
                self.length += bytes.len();
            }
            None => self.length = usize::MAX,
        }
    }

    /// From here on what is written goes out with each [`Self::flush`], as this type
    /// of content; what was written before goes first.
    pub fn stream(&mut self, media_type: &str) {
        if self.stream.is_none() {
            self.stream = Some(Streaming {
                result: self.client.begin_pieces(self.request_id, media_type),
                flush: send_piece,
                end: end_pieces,
            });
        }
    }

    /// Sends what is written, where it goes piece by piece.
    pub fn flush(&mut self) {
        if let Some(stream) = self.stream {
            (stream.flush)(self);
        }
    }

    /// Ends it, as the function has ended.
    pub(crate) fn end(mut self, outcome: Outcome) -> Result<(), Broken> {
        let mut verdict = Verdict::Refused(TOO_LONG);
        if let Some(stream) = self.stream {
            verdict = (stream.end)(&mut self, outcome.err())?;
        } else if let Err(fault) = outcome {
            verdict = self.client.fail(self.request_id, &fault)?;
        } else if let Some(written) = self.buffer.get(..self.length) {
            verdict = self.client.respond(self.request_id, &Whole(written))?;
        }
        if verdict == Verdict::Refused(TOO_LONG) {
            let fault = Fault::new(
                "Function.AnswerTooLong",
                "the answer is longer than Lambda takes",
            );
            self.client.fail(self.request_id, &fault)?;
        }
        Ok(())
    }
}

fn send_piece(reply: &mut Reply<'_>) {
    if let Some(stream) = &mut reply.stream {
        if stream.result.is_ok() {
            let written = reply.buffer.get(..reply.length).unwrap_or_default();
            stream.result = reply.client.piece(&Whole(written));
        }
        reply.length = 0;
    }
}

fn end_pieces(reply: &mut Reply<'_>, fault: Option<Fault<'_>>) -> Result<Verdict, Broken> {
    send_piece(reply);
    match reply.stream {
        // A stream that was cut cannot be mended; whether the API is still there the
        // next invocation shows.
        Some(Streaming { result: Err(_), .. }) => Ok(Verdict::Accepted),
        _ => reply.client.end_pieces(fault.as_ref()),
    }
}

/// Content Too Large.
const TOO_LONG: u16 = 413;

impl Sink for Reply<'_> {
    fn put(&mut self, bytes: &[u8]) {
        self.write(bytes);
    }
}
