//! Bodies that go through the service piece by piece, and answers that the
//! kernel does not take at once: a place for each that is under way. A place's
//! pages are touched when it is used.

use ounce_http::response::HEAD_BYTES;
use ounce_http::stream::{Incoming, Outgoing};
use ounce_linux::bare::Fd;

/// The longest body that a handler writes whole.
pub const MAX_ANSWER_BYTES: usize = 16_384;
/// An answer and its head.
pub(crate) const OUTPUT_BYTES: usize = HEAD_BYTES + MAX_ANSWER_BYTES;
/// The most bodies that are received or answers that are streamed at the same
/// time; more get 503.
pub const MAX_STREAMS: usize = 16;
/// The answers before one, and it.
pub(crate) const STREAM_BYTES: usize = 4_096 + OUTPUT_BYTES;
/// Seconds without progress.
const PATIENCE: u8 = 30;
/// What buys another second: a stream that is slower for long is ended.
const PROGRESS_BYTES: usize = 1_024;

/// What is under way on a connection.
pub(crate) struct Stream {
    /// One more than the connection's descriptor; 0 while the place is free.
    holder: u32,
    /// The route.
    pub(crate) row: usize,
    /// A body is being received, else an answer is being sent.
    pub(crate) is_incoming: bool,
    pub(crate) is_http11: bool,
    /// The connection ends with it.
    pub(crate) closes: bool,
    /// Seconds left.
    patience: u8,
    /// Bytes since the last second was bought.
    moved: usize,
    pub(crate) incoming: Incoming,
    pub(crate) outgoing: Outgoing,
    /// What is still to be sent, in `bytes`.
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) bytes: [u8; STREAM_BYTES],
}

impl Stream {
    const EMPTY: Self = Self {
        holder: 0,
        row: 0,
        is_incoming: false,
        is_http11: false,
        closes: false,
        patience: 0,
        moved: 0,
        incoming: Incoming::EMPTY,
        outgoing: Outgoing::EMPTY,
        start: 0,
        end: 0,
        bytes: [0; STREAM_BYTES],
    };

    /// Notes that bytes came or went.
    pub(crate) fn progress(&mut self, bytes: usize) {
        self.moved += bytes;
        let seconds = self.moved / PROGRESS_BYTES;
        self.moved %= PROGRESS_BYTES;
        let seconds = u8::try_from(seconds).unwrap_or(PATIENCE);
        self.patience = self.patience.saturating_add(seconds).min(PATIENCE);
    }

    /// Keeps these bytes to be sent; false where they do not fit.
    pub(crate) fn keep(&mut self, bytes: &[u8]) -> bool {
        let place = self.bytes.get_mut(..bytes.len());
        if let Some(place) = place {
            place.copy_from_slice(bytes);
            (self.start, self.end) = (0, bytes.len());
            return true;
        }
        false
    }
}

/// All places.
pub(crate) struct Streams([Stream; MAX_STREAMS]);

impl Streams {
    /// All free, and all zeros.
    pub(crate) const EMPTY: Self = Self([const { Stream::EMPTY }; MAX_STREAMS]);

    /// Takes a free place for this connection: its number.
    pub(crate) fn take(&mut self, fd: Fd) -> Option<(u16, &mut Stream)> {
        let mut places = (0..).zip(&mut self.0);
        let (number, stream) = places.find(|(_, stream)| stream.holder == 0)?;
        stream.holder = fd as u32 + 1;
        stream.patience = PATIENCE;
        stream.is_incoming = false;
        stream.outgoing = Outgoing::EMPTY;
        (stream.start, stream.end, stream.moved) = (0, 0, 0);
        Some((number, stream))
    }

    /// A place that is taken.
    #[inline(never)]
    pub(crate) fn get(&mut self, number: u16) -> Option<&mut Stream> {
        let stream = self.0.get_mut(number as usize)?;
        (stream.holder != 0).then_some(stream)
    }

    /// Gives a place back.
    pub(crate) fn free(&mut self, number: u16) {
        if let Some(stream) = self.get(number) {
            stream.holder = 0;
        }
    }

    /// A second has passed.
    pub(crate) fn tick(&mut self) {
        // One that was never used has no page yet, and gets none by being read.
        for stream in self.0.iter_mut().filter(|stream| stream.holder != 0) {
            stream.patience = stream.patience.saturating_sub(1);
        }
    }

    /// One that is too slow: its number and its connection.
    pub(crate) fn overdue(&self) -> Option<(u16, Fd)> {
        let mut places = (0..).zip(&self.0);
        let (number, stream) =
            places.find(|(_, stream)| stream.holder != 0 && stream.patience == 0)?;
        Some((number, stream.holder as Fd - 1))
    }
}
