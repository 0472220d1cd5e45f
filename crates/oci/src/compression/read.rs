//! Decompressing, and the bound that keeps a bomb from going off.

use std::io::{self, BufReader, Read};

use super::Compression;
use crate::tar::read::Fault;

/// Input buffer; most micro-containers' layers fit.
const BUFFER: usize = 64 << 10;

/// A decompressed stream.
pub(crate) type Stream = Box<dyn Read + Send>;

/// Decompresses `from`.
pub(crate) fn decompress(
    from: impl Read + Send + 'static,
    compression: Compression,
) -> io::Result<Stream> {
    let from = BufReader::with_capacity(BUFFER, from);
    Ok(match compression {
        Compression::None => Box::new(from),
        // Several members are one stream (RFC 1952): pigz and eStargz write them.
        Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(from)),
        Compression::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(from)?),
    })
}

/// Ends with [`Fault::Bomb`] once more than `most` bytes have come.
pub(crate) struct Bounded<R> {
    stream: R,
    left: u64,
    most: u64,
}

impl<R: Read> Bounded<R> {
    pub(crate) fn new(stream: R, most: u64) -> Self {
        Self {
            stream,
            left: most,
            most,
        }
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.stream.read(buffer)?;
        self.left = self
            .left
            .checked_sub(count as u64)
            .ok_or_else(|| io::Error::other(Fault::Bomb(self.most)))?;
        Ok(count)
    }
}
