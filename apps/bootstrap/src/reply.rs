//! What a function answers: gathered and sent at its end, or piece by piece.

use ounce_lambda::fault::Whole;
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
    /// Once it goes piece by piece: what became of the pieces.
    stream: Option<Result<(), Broken>>,
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
    pub fn json(&mut self) -> Json<&mut Self> {
        Json::new(self)
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
            self.stream = Some(self.client.begin_pieces(self.request_id, media_type));
        }
    }

    /// Sends what is written, where it goes piece by piece.
    pub fn flush(&mut self) {
        if let Some(stream) = &mut self.stream {
            if stream.is_ok() {
                let written = self.buffer.get(..self.length).unwrap_or_default();
                *stream = self.client.piece(&Whole(written));
            }
            self.length = 0;
        }
    }

    /// Ends it, as the function has ended.
    pub(crate) fn end(mut self, outcome: Outcome) -> Result<(), Broken> {
        self.flush();
        let verdict = match (self.stream, outcome) {
            // A stream that was cut cannot be mended; whether the API is still there
            // the next invocation shows.
            (Some(Err(_)), _) => return Ok(()),
            (Some(Ok(())), outcome) => self.client.end_pieces(outcome.err().as_ref())?,
            (None, Err(fault)) => self.client.fail(self.request_id, &fault)?,
            (None, Ok(())) => match self.buffer.get(..self.length) {
                Some(written) => self.client.respond(self.request_id, &Whole(written))?,
                None => Verdict::Refused(TOO_LONG),
            },
        };
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

/// Content Too Large.
const TOO_LONG: u16 = 413;

impl Sink for &mut Reply<'_> {
    fn put(&mut self, bytes: &[u8]) {
        self.write(bytes);
    }
}
