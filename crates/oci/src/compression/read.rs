//! Decompressing, and the bound that keeps a bomb from going off.

use std::io::{self, BufRead, BufReader, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Compression;
use crate::tar::read::Fault;

/// Input buffer; most micro-containers' layers fit.
const BUFFER: usize = 64 << 10;

/// A decompressed stream.
pub(crate) type Stream = Box<dyn Read + Send>;

/// How many bytes of a blob a decompressor has taken so far.
#[derive(Debug, Clone, Default)]
pub struct Progress(Arc<AtomicU64>);

impl Progress {
    /// Compressed bytes taken: exact for gzip to a handful of bytes, for zstd to
    /// a block, which is up to 128 KiB of content.
    pub fn compressed_bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Counts what is taken out of a buffer.
struct Counted<R> {
    from: R,
    progress: Progress,
}

impl<R: BufRead> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(buffer)?;
        self.progress.0.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

impl<R: BufRead> BufRead for Counted<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.from.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        self.progress.0.fetch_add(count as u64, Ordering::Relaxed);
        self.from.consume(count);
    }
}

/// Decompresses `from`.
pub(crate) fn decompress(
    from: impl Read + Send + 'static,
    compression: Compression,
) -> io::Result<Stream> {
    decompress_telling(from, compression, &Progress::default())
}

/// Decompresses `from` and tells how far it is.
pub(crate) fn decompress_telling(
    from: impl Read + Send + 'static,
    compression: Compression,
    progress: &Progress,
) -> io::Result<Stream> {
    let from = Counted {
        from: BufReader::with_capacity(BUFFER, from),
        progress: progress.clone(),
    };
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
