//! Bodies piece by piece, in constant memory: what comes in is taken out of its
//! framing, what goes out is put into it (RFC 9112 sections 6 and 7).

use crate::ascii::{decimal, from, hex_digit};
use crate::chunked;
use crate::cursor::Stop;
use crate::head::Framing;
use crate::json::{Json, Sink};
use crate::status::Status;
use core::ops::Range;

/// A body on its way in.
#[derive(Clone, Copy, Debug)]
pub struct Incoming {
    place: Place,
    /// Bytes of the body, or of the chunk, that are still to come.
    left_bytes: u64,
    /// Bytes that may still come before it is too much.
    room_bytes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    // First, so that a place that is held for one is all zeros.
    End,
    /// In a body whose length was announced.
    Known,
    /// Before a line with a chunk's size.
    Size,
    /// In a chunk.
    Chunk,
    /// Behind a chunk's data.
    ChunkEnd,
    /// Behind the last chunk.
    Trailer,
}

/// What was taken from the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken<'b> {
    /// Content; empty where there is none yet.
    pub content: &'b [u8],
    /// How many bytes are done with: the content and the framing before it.
    pub consumed: usize,
    /// Whether the body is whole.
    pub is_end: bool,
}

impl Incoming {
    /// Zero bytes of a body of nothing; holds a place.
    pub const EMPTY: Self = Self {
        place: Place::End,
        left_bytes: 0,
        room_bytes: 0,
    };

    /// A body that is framed like this, and has no more than so many bytes.
    ///
    /// # Errors
    /// 413 where the announced length is more.
    pub fn new(framing: Framing, max_bytes: u64) -> Result<Self, Status> {
        let (place, left_bytes) = match framing {
            Framing::Length(0) => (Place::End, 0),
            Framing::Length(length) => (Place::Known, length),
            Framing::Chunked => (Place::Size, 0),
        };
        if left_bytes > max_bytes {
            return Err(Status::ContentTooLarge);
        }
        Ok(Self {
            place,
            left_bytes,
            room_bytes: max_bytes,
        })
    }

    /// Whether all has come.
    pub fn is_end(&self) -> bool {
        self.place == Place::End
    }

    /// Takes the first content that stands in the bytes received and not yet
    /// consumed. Where that is nothing and not the end, more is to be read; it
    /// never asks for more than 4 KB at once.
    ///
    /// # Errors
    /// 400 for faulty framing, 413 for more than is allowed, 431 for a trailer
    /// section that is too long. The connection must be closed after it.
    pub fn take<'b>(&mut self, bytes: &'b [u8]) -> Result<Taken<'b>, Status> {
        let mut consumed = 0;
        let mut content: &[u8] = b"";
        loop {
            let rest = from(bytes, consumed);
            let step = match self.place {
                Place::End => break,
                Place::Known | Place::Chunk => {
                    let count = usize::try_from(self.left_bytes).unwrap_or(usize::MAX);
                    content = rest.get(..count).unwrap_or(rest);
                    consumed += content.len();
                    self.left_bytes -= content.len() as u64;
                    if self.left_bytes == 0 {
                        self.place = match self.place {
                            Place::Known => Place::End,
                            _ => Place::ChunkEnd,
                        };
                    }
                    break;
                }
                Place::Size => chunked::size(rest).map(|(length, size)| {
                    self.place = if size == 0 {
                        Place::Trailer
                    } else {
                        Place::Chunk
                    };
                    self.left_bytes = size;
                    length
                }),
                Place::ChunkEnd => match rest {
                    [] | [b'\r'] => Err(Stop::Partial),
                    [b'\r', b'\n', ..] => {
                        self.place = Place::Size;
                        Ok(2)
                    }
                    _ => Err(Status::BadRequest.into()),
                },
                Place::Trailer => {
                    chunked::trailer_length(rest).inspect(|_| self.place = Place::End)
                }
            };
            match step {
                Ok(length) => consumed += length,
                Err(Stop::Partial) => break,
                Err(Stop::Refuse(status)) => return Err(status),
            }
            if self.place == Place::Chunk {
                // What was announced counts, not what has come.
                self.room_bytes = self
                    .room_bytes
                    .checked_sub(self.left_bytes)
                    .ok_or(Status::ContentTooLarge)?;
            }
        }
        Ok(Taken {
            content,
            consumed,
            is_end: self.is_end(),
        })
    }
}

/// How the end of a streamed answer is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// By closing the connection; for HTTP/1.0.
    Close,
    /// By chunked coding; for HTTP/1.1.
    Chunked,
    /// By its length: so many bytes are still to come.
    Length(u64),
}

/// An answer on its way out.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing {
    /// The place in the answer, as its handler counts; `None` at the end.
    at: Option<u64>,
    ending: Ending,
}

/// Before a chunk: four digits of length and a line end.
const SIZE_BYTES: usize = 6;
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";
/// What chunked coding puts around a piece, the end of the body included.
const FRAME_BYTES: usize = SIZE_BYTES + 2 + LAST_CHUNK.len();
/// How often in a row a handler may give nothing.
const EMPTY_PIECES: u32 = 1_000;

/// A handler wrote more than there was room for, wrote another length than it
/// had announced, or went on without writing. The connection must be closed,
/// which tells the client that something is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken;

impl Outgoing {
    /// At the end of nothing; holds a place.
    pub const EMPTY: Self = Self {
        at: None,
        ending: Ending::Close,
    };

    /// An answer from this place on.
    pub fn new(at: u64, ending: Ending) -> Self {
        Self {
            at: Some(at),
            ending,
        }
    }

    /// Whether all pieces have been written.
    pub fn is_done(&self) -> bool {
        self.at.is_none()
    }

    /// Lets the handler write the next piece, and frames it: where in the buffer
    /// the bytes to send are. The buffer is longer than 64 bytes and no longer than 65,000.
    ///
    /// # Errors
    /// [`Broken`].
    pub fn fill(
        &mut self,
        buffer: &mut [u8],
        write: &mut dyn FnMut(u64, &mut Piece<'_>) -> Option<u64>,
    ) -> Result<Range<usize>, Broken> {
        let end = buffer.len().checked_sub(FRAME_BYTES - SIZE_BYTES);
        let mut length = 0;
        for _ in 0..EMPTY_PIECES {
            let Some(at) = self.at else { break };
            let place = end.and_then(|end| buffer.get_mut(SIZE_BYTES..end));
            let mut piece = Piece {
                buffer: place.ok_or(Broken)?,
                length: 0,
                is_overrun: false,
            };
            self.at = write(at, &mut piece);
            if piece.is_overrun {
                return Err(Broken);
            }
            length = piece.length;
            if length > 0 {
                break;
            }
        }
        if length == 0 && self.at.is_some() {
            return Err(Broken);
        }
        let mut range = SIZE_BYTES..SIZE_BYTES + length;
        let is_done = self.at.is_none();
        if let Ending::Length(left) = &mut self.ending {
            *left = left.checked_sub(length as u64).ok_or(Broken)?;
            if (*left == 0) != is_done {
                return Err(Broken);
            }
        }
        if self.ending == Ending::Chunked {
            if length > 0 {
                let mut size = *b"0000\r\n";
                for (digit, shift) in size.iter_mut().zip([12, 8, 4, 0]) {
                    *digit = hex_digit((length >> shift) as u8 & 15);
                }
                put(buffer, 0, &size);
                put(buffer, range.end, b"\r\n");
                range = 0..range.end + 2;
            }
            if is_done {
                put(buffer, range.end, LAST_CHUNK);
                range.end += LAST_CHUNK.len();
            }
        }
        Ok(range)
    }
}

#[inline(never)]
fn put(buffer: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = buffer.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}

/// Room for the next piece of an answer.
#[derive(Debug)]
pub struct Piece<'b> {
    buffer: &'b mut [u8],
    length: usize,
    is_overrun: bool,
}

impl Piece<'_> {
    /// How many bytes more can be written; writing more breaks the answer off.
    pub fn room(&self) -> usize {
        self.buffer.len() - self.length
    }

    /// Appends bytes.
    #[inline(never)]
    pub fn write(&mut self, bytes: &[u8]) -> &mut Self {
        if bytes.len() > self.room() {
            self.is_overrun = true;
        } else {
            put(self.buffer, self.length, bytes);
            self.length += bytes.len();
        }
        self
    }

    /// Appends text.
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.write(text.as_bytes())
    }

    /// Appends a number's digits.
    pub fn number(&mut self, value: u64) -> &mut Self {
        self.write(decimal(value, &mut [0; 20]))
    }

    /// Goes on writing JSON, behind another value or at the start of one.
    pub fn json(&mut self, is_behind_value: bool) -> Json<&mut Self> {
        Json::resume(self, is_behind_value)
    }
}

impl Sink for &mut Piece<'_> {
    fn put(&mut self, bytes: &[u8]) {
        self.write(bytes);
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    /// The content of the wire's bytes, shown no more than so many at a time.
    fn collect(
        framing: Framing,
        max_bytes: u64,
        wire: &[u8],
        window: usize,
    ) -> Result<(Vec<u8>, usize), Status> {
        let mut body = Incoming::new(framing, max_bytes)?;
        let mut content = Vec::new();
        let (mut start, mut end) = (0, 0);
        loop {
            let taken = body.take(&wire[start..end])?;
            content.extend_from_slice(taken.content);
            start += taken.consumed;
            if taken.is_end {
                return Ok((content, start));
            }
            if taken.consumed == 0 {
                assert!(end < wire.len(), "asks for more than there is");
                end = (end + window).min(wire.len());
            }
        }
    }

    #[test]
    fn a_body_comes_out_whole_however_it_is_cut_up() {
        let wire = b"5\r\nhello\r\n1;a=b\r\n \r\n05\r\nworld\r\n0\r\nX: y\r\n\r\nGET";
        for window in 1..wire.len() {
            let (content, length) = collect(Framing::Chunked, 100, wire, window).unwrap();
            assert_eq!(content, b"hello world");
            assert_eq!(length, wire.len() - 3);
            let (content, length) = collect(Framing::Length(7), 7, wire, window).unwrap();
            assert_eq!((content.as_slice(), length), (&wire[..7], 7));
        }
        assert_eq!(collect(Framing::Length(0), 0, b"", 1), Ok((Vec::new(), 0)));
    }

    #[test]
    fn rfc9110_15_5_14_more_than_allowed_is_refused_when_it_is_announced() {
        let too_large = Err(Status::ContentTooLarge);
        assert_eq!(collect(Framing::Length(8), 7, b"", 1), too_large);
        assert_eq!(collect(Framing::Chunked, 7, b"8\r\n", 9), too_large);
        let wire = b"7\r\n1234567\r\n1\r\n";
        assert_eq!(collect(Framing::Chunked, 7, wire, 99), too_large);
        let huge = b"7\r\n1234567\r\nfffffffffffffff\r\n";
        assert_eq!(collect(Framing::Chunked, 7, huge, 99), too_large);
    }

    #[test]
    fn rfc9112_7_1_malformed_chunks_are_refused() {
        for wire in [
            "5\r\nhelloX",
            "5\r\nhello\n",
            "x\r\n",
            "5\n",
            "0\r\n y\r\n\r\n",
        ] {
            let found = collect(Framing::Chunked, 100, wire.as_bytes(), 99);
            assert_eq!(found, Err(Status::BadRequest), "{wire:?}");
        }
    }

    fn all(ending: Ending, pieces: &[&str]) -> Result<Vec<u8>, Broken> {
        let mut out = Outgoing::new(0, ending);
        let mut sent = Vec::new();
        while !out.is_done() {
            let mut buffer = [0; 80];
            let range = out.fill(&mut buffer, &mut |at, piece| {
                let at = usize::try_from(at).unwrap();
                piece.text(pieces[at]);
                (at + 1 < pieces.len()).then_some(at as u64 + 1)
            })?;
            sent.extend_from_slice(&buffer[range]);
        }
        Ok(sent)
    }

    #[test]
    fn pieces_are_framed_as_their_end_is_told() {
        let pieces = ["hello", "", " ", "world"];
        let chunked = b"0005\r\nhello\r\n0001\r\n \r\n0005\r\nworld\r\n0\r\n\r\n";
        assert_eq!(all(Ending::Chunked, &pieces).unwrap(), chunked);
        assert_eq!(all(Ending::Close, &pieces).unwrap(), b"hello world");
        assert_eq!(all(Ending::Length(11), &pieces).unwrap(), b"hello world");
        assert_eq!(all(Ending::Chunked, &[""]).unwrap(), b"0\r\n\r\n");
        assert_eq!(
            all(Ending::Chunked, &["a", ""]).unwrap(),
            b"0001\r\na\r\n0\r\n\r\n"
        );
        assert_eq!(all(Ending::Length(0), &[""]).unwrap(), b"");
    }

    #[test]
    fn a_handler_that_does_not_keep_its_word_breaks_the_answer_off() {
        assert_eq!(all(Ending::Length(10), &["hello", "world!"]), Err(Broken));
        assert_eq!(all(Ending::Length(12), &["hello", "world"]), Err(Broken));
        assert_eq!(all(Ending::Length(5), &["hello", ""]), Err(Broken));
        assert_eq!(all(Ending::Close, &["x".repeat(80).as_str()]), Err(Broken));
        let mut out = Outgoing::new(0, Ending::Chunked);
        assert_eq!(out.fill(&mut [0; 80], &mut |at, _| Some(at)), Err(Broken));
    }

    proptest! {
        #[test]
        fn what_is_framed_is_what_is_taken_out_again(pieces in proptest::collection::vec("[a-z]{0,60}", 1..20), window in 1_usize..200) {
            let pieces: Vec<&str> = pieces.iter().map(|piece| piece.as_str()).collect();
            let wire = all(Ending::Chunked, &pieces).unwrap();
            let (content, length) = collect(Framing::Chunked, 10_000, &wire, window).unwrap();
            prop_assert_eq!(content, pieces.concat().into_bytes());
            prop_assert_eq!(length, wire.len());
        }

        #[test]
        fn no_bytes_make_it_panic(wire: Vec<u8>, max_bytes in 0_u64..100) {
            let mut body = Incoming::new(Framing::Chunked, max_bytes).unwrap();
            let mut at = 0;
            while let Ok(taken) = body.take(&wire[at..]) {
                at += taken.consumed;
                if taken.consumed == 0 {
                    break;
                }
            }
        }
    }
}
