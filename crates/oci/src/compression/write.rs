//! Compressing a layer, the same bytes on every machine.
//!
//! gzip is libdeflate's: its output depends on nothing but input and level
//! (zlib-rs chooses its hash by what the processor has), it is the smallest of
//! the fast ones, and its header is the bare ten bytes without name or time. It
//! wants its input whole, so a long layer becomes several gzip members, each of
//! one block: valid by RFC 1952, section 2.2, as pigz and eStargz write them.

use std::io::{self, Write};

use libdeflater::{CompressionLvl, Compressor};

use super::Compression;

/// Input of one gzip member, and so the bound on memory. Each further member
/// costs 18 bytes of frame and an empty window: nothing at this size.
const MEMBER: usize = 8 << 20;

/// zstd's best level without special windows.
const ZSTD_BEST: i32 = 19;

/// zstd's level beyond [`BEST_UP_TO`].
const ZSTD_FAST: i32 = 6;

/// Compresses what is written to it.
pub(crate) enum Compress<W: Write> {
    /// Passes through.
    None(W),
    /// Members of gzip.
    Gzip(Members<W>),
    /// One frame of zstd.
    Zstd(zstd::stream::write::Encoder<'static, W>),
}

impl<W: Write> Compress<W> {
    /// `size` is that of the whole input, when it is known: it picks the level.
    pub(crate) fn new(out: W, compression: Compression, size: Option<u64>) -> io::Result<Self> {
        Ok(match compression {
            Compression::None => Self::None(out),
            Compression::Gzip => Self::Gzip(Members::new(out, size)),
            Compression::Zstd => {
                let level = match size {
                    Some(size) if size <= BEST_UP_TO => ZSTD_BEST,
                    _ => ZSTD_FAST,
                };
                let mut encoder = zstd::stream::write::Encoder::new(out, level)?;
                encoder.set_pledged_src_size(size)?;
                encoder.include_contentsize(size.is_some())?;
                Self::Zstd(encoder)
            }
        })
    }

    /// Writes what is left and gives the output back.
    pub(crate) fn finish(self) -> io::Result<W> {
        match self {
            Self::None(out) => Ok(out),
            Self::Gzip(members) => members.finish(),
            Self::Zstd(encoder) => encoder.finish(),
        }
    }
}

impl<W: Write> Write for Compress<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::None(out) => out.write(bytes),
            Self::Gzip(members) => members.write(bytes),
            Self::Zstd(encoder) => encoder.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// gzip, a member at a time.
pub(crate) struct Members<W> {
    out: W,
    compressor: Compressor,
    input: Vec<u8>,
    output: Vec<u8>,
    any: bool,
}

/// Measured on a busy machine: libdeflate 12 takes 6.6 s for 42 MB, level 6 1.9 s for 154;
/// zstd 19 takes 26 s and 90 s. A layer beyond this is compressed for speed.
const BEST_UP_TO: u64 = 16 << 20;

impl<W: Write> Members<W> {
    fn new(out: W, size: Option<u64>) -> Self {
        let level = match size {
            Some(size) if size <= BEST_UP_TO => CompressionLvl::best(),
            _ => CompressionLvl::default(),
        };
        let expected = size.map_or(MEMBER, |size| {
            usize::try_from(size).unwrap_or(MEMBER).min(MEMBER)
        });
        Self {
            out,
            compressor: Compressor::new(level),
            input: Vec::with_capacity(expected),
            output: Vec::new(),
            any: false,
        }
    }

    fn member(&mut self) -> io::Result<()> {
        self.output
            .resize(self.compressor.gzip_compress_bound(self.input.len()), 0);
        let count = self
            .compressor
            .gzip_compress(&self.input, &mut self.output)
            .map_err(|error| io::Error::other(error.to_string()))?;
        self.out.write_all(&self.output[..count])?;
        self.input.clear();
        self.any = true;
        Ok(())
    }

    fn finish(mut self) -> io::Result<W> {
        if !self.input.is_empty() || !self.any {
            self.member()?;
        }
        Ok(self.out)
    }
}

impl<W: Write> Write for Members<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(MEMBER - self.input.len());
        self.input.extend_from_slice(&bytes[..count]);
        if self.input.len() == MEMBER {
            self.member()?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
