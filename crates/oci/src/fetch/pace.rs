//! A reader that gives up on a trickle: within each window of time a fewest of
//! bytes has to come. Silence is the socket's deadline to notice; one byte now
//! and then passes that one.

use std::io::{self, Read};
use std::time::{Duration, Instant};

use super::Options;
use super::fault::Trickle;

/// Measures what passes through it.
pub(crate) struct Paced<R> {
    reader: R,
    fewest: u64,
    window: Duration,
    begun: Instant,
    bytes: u64,
    /// Time spent outside, by who takes the bytes, is not the sender's.
    left: Option<Instant>,
}

impl<R> Paced<R> {
    pub(super) fn new(reader: R, options: &Options) -> Self {
        Self {
            reader,
            fewest: options.slowest_bytes,
            window: options.slow_window,
            begun: Instant::now(),
            bytes: 0,
            left: None,
        }
    }
}

impl<R: Read> Read for Paced<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(left) = self.left.take() {
            self.begun += left.elapsed();
        }
        let count = self.reader.read(buffer)?;
        self.bytes += count as u64;
        let now = Instant::now();
        let within = now.duration_since(self.begun);
        if within >= self.window {
            if count > 0 && self.bytes < self.fewest {
                let bytes = self.bytes;
                return Err(io::Error::other(Trickle { bytes, within }));
            }
            self.begun = now;
            self.bytes = 0;
        }
        self.left = Some(now);
        Ok(count)
    }
}
