//! Compressing a layer, the same bytes on every machine.
//!
//! gzip is libdeflate's: its output depends on nothing but input and level
//! (zlib-rs chooses its hash by what the processor has), it is the smallest of
//! the fast ones, and its header is the bare ten bytes without name or time. It
//! wants its input whole, so a long layer becomes several gzip members of
//! [`MEMBER`] bytes each: valid by RFC 1952, section 2.2, as pigz and eStargz
//! write them. Members are compressed on all cores at once; where one ends
//! depends on the input alone, so the digest does not depend on the cores.
//!
//! The level follows the size of the input. Measured on one core of a 2-core
//! virtual machine, in one member, static x86-64 programs (Rust 22 KB and
//! 4.2 MB, its first 1 MB, Go 48 MB), milliseconds and bytes:
//!
//! | level | 22 KB | 1 MB | 4.2 MB | 48 MB |
//! |---|---|---|---|---|
//! | gzip 1 | 0.04, 14,849 | 5, 432,127 | 25, 2,032,689 | 204, 17,455,237 |
//! | gzip 6 | 0.15, 14,167 | 11, 401,757 | 48, 1,887,288 | 442, 15,979,576 |
//! | gzip 7 | 0.15, 14,156 | 14, 400,381 | 61, 1,882,288 | 614, 15,870,508 |
//! | gzip 9 | 0.23, 14,158 | 28, 399,410 | 106, 1,877,745 | 1,544, 15,782,849 |
//! | gzip 10 | 0.75, 13,950 | 65, 390,442 | 262, 1,833,672 | 3,648, 15,433,563 |
//! | gzip 12 | 1.01, 13,948 | 112, 390,383 | 418, 1,833,602 | 6,597, 15,389,428 |
//! | zstd 6 | 0.26, 14,620 | 12, 373,788 | 40, 1,741,338 | 369, 14,448,021 |
//! | zstd 9 | 0.30, 14,592 | 20, 369,520 | 63, 1,704,473 | 611, 14,058,682 |
//! | zstd 19 | 2.20, 13,853 | 236, 340,882 | 1,254, 1,549,332 | 15,774, 12,591,748 |
//!
//! So level 12 is for what it is done with in 50 ms, but for the smallest, for
//! which a start is quicker than that and level 10 gives the same to 5 bytes in
//! three quarters of the time; of 400 KB it would be 70 bytes. Level 10 goes up
//! to 2 MiB. Beyond that one
//! waits for it, and level 6 costs 3 % of the bytes for a fifth of the time (7
//! takes a quarter more than 6 for 0.3 %, 8 and 9 double that for 0.5 %).
//! zstd's best is kept to the first megabyte.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};

use libdeflater::{CompressionLvl, Compressor};

use super::Compression;

/// Input of one gzip member. Each further member costs 18 bytes of frame, its
/// own code tables and an empty window: 0.1 to 0.2 % at this size, measured.
const MEMBER: usize = 1 << 20;

/// Most members that are compressed at once, which bounds the memory: two
/// megabytes and a compressor (9 MB at level 10) for each, and a member more.
const MOST_THREADS: usize = 16;

/// How long a layer may take to be made smaller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Effort {
    /// Somebody waits for it, again and again.
    #[default]
    Quick,
    /// It is made once and used often, as a base is: gzip's level 9, which takes
    /// three times as long as 6 for 0.8 %, measured on Debian's slim base.
    Once,
}

/// gzip's level for a layer of so many bytes; an unknown number counts as large.
fn gzip_level(size: Option<u64>, effort: Effort) -> i32 {
    match (size.unwrap_or(u64::MAX), effort) {
        (0..=0x1_0000, _) => 10,
        (0x1_0001..=0x8_0000, _) => 12,
        (0x8_0001..=0x20_0000, _) => 10,
        (_, Effort::Quick) => 6,
        (_, Effort::Once) => 9,
    }
}

/// zstd's level, likewise.
fn zstd_level(size: Option<u64>) -> i32 {
    match size.unwrap_or(u64::MAX) {
        0..=0x10_0000 => 19,
        _ => 9,
    }
}

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
    pub(crate) fn new(
        out: W,
        compression: Compression,
        size: Option<u64>,
        effort: Effort,
    ) -> io::Result<Self> {
        Ok(match compression {
            Compression::None => Self::None(out),
            Compression::Gzip => Self::Gzip(Members::new(out, size, effort)),
            Compression::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(out, zstd_level(size))?;
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

/// gzip, as many members at a time as there are cores.
pub(crate) struct Members<W> {
    out: W,
    level: CompressionLvl,
    /// The member that is being filled.
    input: Vec<u8>,
    /// For all members but an only one.
    workers: Option<Workers>,
    /// Most members that are compressed at once.
    most: usize,
}

impl<W: Write> Members<W> {
    fn new(out: W, size: Option<u64>, effort: Effort) -> Self {
        // To ask costs three files of /proc and /sys; a single member needs no answer.
        let cores = match size {
            Some(size) if size <= MEMBER as u64 => 1,
            _ => std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
        };
        Self::on(out, size, effort, cores.min(MOST_THREADS))
    }

    fn on(out: W, size: Option<u64>, effort: Effort, most: usize) -> Self {
        let expected = size.map_or(MEMBER, |size| {
            usize::try_from(size).unwrap_or(MEMBER).min(MEMBER)
        });
        Self {
            out,
            // Every level that is chosen above exists.
            level: CompressionLvl::new(gzip_level(size, effort)).unwrap_or_default(),
            input: Vec::with_capacity(expected),
            workers: None,
            most,
        }
    }

    /// Has the full member compressed, and writes the oldest where enough wait.
    fn begin_next(&mut self) -> io::Result<()> {
        let workers = self
            .workers
            .get_or_insert_with(|| Workers::new(self.level, self.most));
        let mut next = Vec::new();
        // One more than there are workers, so that none waits for its input.
        if workers.waiting.len() > self.most
            && let Some((output, input)) = workers.oldest()?
        {
            self.out.write_all(&output)?;
            next = input;
            next.clear();
        }
        next.reserve_exact(MEMBER);
        workers.give(std::mem::replace(&mut self.input, next))
    }

    fn finish(mut self) -> io::Result<W> {
        let Some(mut workers) = self.workers else {
            let output = member(&mut Compressor::new(self.level), &self.input)?;
            self.out.write_all(&output)?;
            return Ok(self.out);
        };
        if !self.input.is_empty() {
            workers.give(self.input)?;
        }
        while let Some((output, _)) = workers.oldest()? {
            self.out.write_all(&output)?;
        }
        Ok(self.out)
    }
}

/// A member compressed, and its input, whose memory can be used again.
type Compressed = io::Result<(Vec<u8>, Vec<u8>)>;

/// A member to compress, and where it goes then.
struct Job {
    input: Vec<u8>,
    done: SyncSender<Compressed>,
}

/// Threads that compress members; they end when this is dropped.
struct Workers {
    level: CompressionLvl,
    most: usize,
    threads: usize,
    jobs: Sender<Job>,
    queue: Arc<Mutex<Receiver<Job>>>,
    /// What was given and not yet taken back, in order.
    waiting: VecDeque<Receiver<Compressed>>,
}

impl Workers {
    fn new(level: CompressionLvl, most: usize) -> Self {
        let (jobs, queue) = mpsc::channel();
        Self {
            level,
            most,
            threads: 0,
            jobs,
            queue: Arc::new(Mutex::new(queue)),
            waiting: VecDeque::new(),
        }
    }

    fn give(&mut self, input: Vec<u8>) -> io::Result<()> {
        if self.threads < self.most {
            let queue = Arc::clone(&self.queue);
            let level = self.level;
            std::thread::Builder::new().spawn(move || work(&queue, level))?;
            self.threads += 1;
        }
        let (done, waiting) = mpsc::sync_channel(1);
        self.waiting.push_back(waiting);
        // The queue's other end is this value's own.
        self.jobs
            .send(Job { input, done })
            .map_err(|_| io::Error::other("nobody compresses"))
    }

    /// The member that was given first of those that were not yet taken back.
    fn oldest(&mut self) -> io::Result<Option<(Vec<u8>, Vec<u8>)>> {
        let Some(waiting) = self.waiting.pop_front() else {
            return Ok(None);
        };
        let ended = |_| io::Error::other("a thread that compresses has ended");
        waiting.recv().map_err(ended)?.map(Some)
    }
}

/// What each thread does until nobody can give it more.
fn work(queue: &Mutex<Receiver<Job>>, level: CompressionLvl) {
    let mut compressor = Compressor::new(level);
    // Poisoned only if one panicked while it waited, which changes nothing.
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
    while let Ok(Job { input, done }) = next() {
        let compressed = member(&mut compressor, &input);
        // Nobody takes it where an error has ended the writing.
        let _ = done.send(compressed.map(|output| (output, input)));
    }
}

fn member(compressor: &mut Compressor, input: &[u8]) -> io::Result<Vec<u8>> {
    let mut output = vec![0; compressor.gzip_compress_bound(input.len())];
    let count = compressor
        .gzip_compress(input, &mut output)
        .map_err(|error| io::Error::other(error.to_string()))?;
    output.truncate(count);
    Ok(output)
}

impl<W: Write> Write for Members<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.input.len() == MEMBER && !bytes.is_empty() {
            self.begin_next()?;
        }
        let count = bytes.len().min(MEMBER - self.input.len());
        self.input.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    /// Bytes that compress somewhat, of any length.
    fn bytes(count: usize) -> Vec<u8> {
        let mut state = 1_u32;
        std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 28) as u8
        })
        .take(count)
        .collect()
    }

    fn gzip(bytes: &[u8], cores: usize, piece: usize) -> Vec<u8> {
        let mut members = Members::on(Vec::new(), Some(bytes.len() as u64), Effort::Quick, cores);
        for piece in bytes.chunks(piece) {
            members.write_all(piece).unwrap();
        }
        members.finish().unwrap()
    }

    #[test]
    fn the_bytes_do_not_depend_on_the_cores_nor_on_the_pieces() {
        for count in [0, 1, MEMBER - 1, MEMBER, MEMBER + 1, 5 * MEMBER / 2] {
            let bytes = bytes(count);
            let one = gzip(&bytes, 1, 1 << 20);
            for (cores, piece) in [(2, 70_000), (3, MEMBER), (8, 5 * MEMBER)] {
                assert!(one == gzip(&bytes, cores, piece), "{count} on {cores}");
            }
            let mut back = Vec::new();
            flate2::read::MultiGzDecoder::new(&*one)
                .read_to_end(&mut back)
                .unwrap();
            assert!(back == bytes, "{count} bytes do not come back");
        }
    }

    #[test]
    fn nothing_at_all_is_one_member_and_a_full_one_has_none_after_it() {
        let members = |count| {
            let gzip = gzip(&bytes(count), 2, MEMBER);
            let mut rest = &*gzip;
            let mut members = 0;
            while !rest.is_empty() {
                let mut one = flate2::bufread::GzDecoder::new(rest);
                io::copy(&mut one, &mut io::sink()).unwrap();
                rest = one.into_inner();
                members += 1;
            }
            members
        };
        assert_eq!(members(0), 1);
        assert_eq!(members(1), 1);
        assert_eq!(members(MEMBER), 1);
        assert_eq!(members(2 * MEMBER), 2);
        assert_eq!(members(2 * MEMBER + 1), 3);
    }
}
