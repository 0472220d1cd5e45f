//! One answer, received in whatever pieces it comes, and the wire it comes by.

use core::ops::Range;

use ounce_http::head::Framing;
use ounce_http::json::Sink;
use ounce_http::reply::{self, Delimited, Stop};
use ounce_http::status::Status;
use ounce_http::stream::Incoming;

/// The longest head that is read of an answer. A client's context in one is up to
/// 3,583 bytes, as Lambda says.
pub const MAX_HEAD_BYTES: usize = 16_384;
/// How many 1xx answers may come before the one that counts (RFC 9110 section 15.2).
const MAX_INTERIM: u32 = 8;
/// Once an answer that was waited for without end has begun, it is to be whole
/// within this: one of 6 MB that comes from next door takes milliseconds.
const WHOLE_MS: u64 = 30_000;

/// A moment that does not come.
pub const NEVER: u64 = u64::MAX;

/// A connection to a server, opened again and again by whoever has sockets.
pub trait Wire {
    /// Opens a new connection, in place of the one before.
    ///
    /// # Errors
    /// It cannot.
    fn connect(&mut self) -> Result<(), Cut>;
    /// Sends all of these; `has_more` says that more follows at once.
    ///
    /// # Errors
    /// It cannot send all.
    fn send(&mut self, bytes: &[u8], has_more: bool) -> Result<(), Cut>;
    /// Receives some bytes into a buffer that is not empty; 0 at the end. It waits
    /// until this moment, or with [`NEVER`] for ever.
    ///
    /// # Errors
    /// Nothing came in time, or the connection is lost.
    fn receive(&mut self, buffer: &mut [u8], until_ms: u64) -> Result<usize, Cut>;
    /// Milliseconds since 1970, by which moments are told.
    fn now_ms(&mut self) -> u64;
}

/// Why bytes do not come or go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Nobody listens there, or it cannot be reached.
    Unreachable,
    /// The connection was lost, or ended in the midst of an answer.
    Lost,
    /// Nothing came in time.
    Silent,
}

impl Cut {
    /// In words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "nobody listens there",
            Self::Lost => "the connection was cut",
            Self::Silent => "nothing came in time",
        }
    }
}

/// Why an answer is of no use. The connection is of none, either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bad {
    /// Its bytes did not come.
    Cut(Cut),
    /// It is not HTTP, or is so in two ways.
    Malformed,
    /// Its head is whole, and its body longer than there is room for.
    TooLong,
}

impl From<Cut> for Bad {
    fn from(cut: Cut) -> Self {
        Self::Cut(cut)
    }
}

/// An answer that is being received into a buffer: its head stays at the front.
#[derive(Debug)]
pub struct Reading {
    /// The length of its head.
    pub head_bytes: usize,
    /// Its status.
    pub status: u16,
    keep_alive: bool,
    /// The body ends with the connection.
    is_until_close: bool,
    body: Incoming,
    /// When all of it is to be there.
    until_ms: u64,
    /// Where what is received and not looked at begins.
    start: usize,
    /// And where it ends.
    end: usize,
}

impl Reading {
    /// Receives a head, and says when the whole answer is to be there: with
    /// [`NEVER`], its first byte is waited for without end. `to_head` says that HEAD
    /// was asked.
    ///
    /// # Errors
    /// [`Bad`]; it is never too long.
    pub fn head<W: Wire + ?Sized>(
        wire: &mut W,
        buffer: &mut [u8],
        mut until_ms: u64,
        to_head: bool,
    ) -> Result<Self, Bad> {
        let limit = buffer.len().min(MAX_HEAD_BYTES);
        let mut filled = 0;
        let mut interim = MAX_INTERIM;
        loop {
            let received = buffer.get(..filled).unwrap_or_default();
            match reply::parse(received, limit, to_head) {
                Ok(reply) if reply.status >= 200 => {
                    let framing = match reply.body {
                        Delimited::Length(length) => Framing::Length(length),
                        Delimited::Chunked => Framing::Chunked,
                        Delimited::Close => Framing::Length(MAX_BODY_BYTES),
                    };
                    return Ok(Self {
                        head_bytes: reply.length,
                        status: reply.status,
                        keep_alive: reply.keep_alive,
                        is_until_close: reply.body == Delimited::Close,
                        body: Incoming::new(framing, MAX_BODY_BYTES).map_err(judge)?,
                        until_ms,
                        start: reply.length,
                        end: filled,
                    });
                }
                // RFC 9110 section 15.2.2: nobody has asked to switch protocols.
                Ok(reply) if reply.status != 101 && interim > 0 => {
                    interim -= 1;
                    let length = reply.length;
                    buffer.copy_within(length..filled, 0);
                    filled -= length;
                }
                Err(Stop::Partial) => {
                    filled += receive(wire, buffer, filled, until_ms)?;
                    if until_ms == NEVER {
                        until_ms = wire.now_ms().saturating_add(WHOLE_MS);
                    }
                }
                _ => return Err(Bad::Malformed),
            }
        }
    }

    /// The next piece of the body, somewhere behind `kept` in the buffer, where it
    /// stays until the next call; empty at the end.
    ///
    /// # Errors
    /// [`Bad`]; it is too long where the buffer is full.
    #[inline(never)]
    pub fn piece<W: Wire + ?Sized>(
        &mut self,
        wire: &mut W,
        buffer: &mut [u8],
        kept: usize,
    ) -> Result<Range<usize>, Bad> {
        loop {
            let pending = buffer.get(self.start..self.end).unwrap_or_default();
            let taken = self.body.take(pending).map_err(judge)?;
            self.start += taken.consumed;
            let length = taken.content.len();
            if length > 0 || taken.is_end {
                return Ok(self.start - length..self.start);
            }
            // Room is behind what is kept.
            buffer.copy_within(self.start..self.end, kept);
            self.end = kept + (self.end - self.start);
            self.start = kept;
            match receive(wire, buffer, self.end, self.until_ms) {
                Ok(count) => self.end += count,
                Err(Bad::Cut(Cut::Lost)) if self.is_until_close => {
                    self.body = Incoming::EMPTY;
                }
                Err(bad) => return Err(bad),
            }
        }
    }

    /// Receives the whole body behind the head; where it ends in the buffer.
    ///
    /// # Errors
    /// [`Bad`].
    #[inline(never)]
    pub fn whole<W: Wire + ?Sized>(
        &mut self,
        wire: &mut W,
        buffer: &mut [u8],
    ) -> Result<usize, Bad> {
        let mut end = self.head_bytes;
        loop {
            let piece = self.piece(wire, buffer, end)?;
            let length = piece.len();
            if length == 0 {
                return Ok(end);
            }
            if piece.start != end {
                buffer.copy_within(piece, end);
            }
            end += length;
        }
    }

    /// Whether the connection can be asked again: the answer has come whole, and
    /// nothing behind it.
    pub fn leaves_connection(&self) -> bool {
        self.keep_alive && self.body.is_end() && self.start == self.end
    }
}

/// Longer than any buffer, which has the last word.
const MAX_BODY_BYTES: u64 = 1 << 62;

fn judge(status: Status) -> Bad {
    match status {
        Status::ContentTooLarge => Bad::TooLong,
        _ => Bad::Malformed,
    }
}

/// Receives behind what is there; the end of the connection is a loss.
#[inline(never)]
fn receive<W: Wire + ?Sized>(
    wire: &mut W,
    buffer: &mut [u8],
    from: usize,
    until_ms: u64,
) -> Result<usize, Bad> {
    match buffer.get_mut(from..) {
        None | Some([]) => Err(Bad::TooLong),
        Some(room) => match wire.receive(room, until_ms)? {
            0 => Err(Cut::Lost.into()),
            count => Ok(count),
        },
    }
}

/// Gathers small pieces, and sends what is gathered.
pub struct Out<'w, W: ?Sized> {
    wire: &'w mut W,
    buffer: [u8; OUT_BYTES],
    length: usize,
    cut: Result<(), Cut>,
}

/// Of a short answer: head and body go in one packet.
const OUT_BYTES: usize = 2_048;

impl<'w, W: Wire + ?Sized> Out<'w, W> {
    /// Nothing gathered yet.
    pub fn new(wire: &'w mut W) -> Self {
        Self {
            wire,
            buffer: [0; OUT_BYTES],
            length: 0,
            cut: Ok(()),
        }
    }

    fn send(&mut self, has_more: bool) {
        let gathered = self.buffer.get(..self.length).unwrap_or_default();
        if self.cut.is_ok() && !gathered.is_empty() {
            self.cut = self.wire.send(gathered, has_more);
        }
        self.length = 0;
    }

    /// Sends what is left.
    ///
    /// # Errors
    /// Not all went.
    pub fn end(mut self) -> Result<(), Cut> {
        self.send(false);
        self.cut
    }
}

impl<W: Wire + ?Sized> Sink for Out<'_, W> {
    fn put(&mut self, bytes: &[u8]) {
        if bytes.len() > OUT_BYTES - self.length {
            self.send(true);
        }
        match self.buffer.get_mut(self.length..self.length + bytes.len()) {
            Some(place) => {
                place.copy_from_slice(bytes);
                self.length += bytes.len();
            }
            // Longer than all there is to gather in.
            None if self.cut.is_ok() => self.cut = self.wire.send(bytes, true),
            None => {}
        }
    }
}
