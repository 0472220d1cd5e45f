//! The log: each line with its time and stream, in the form of Kubernetes' CRI
//! (`TIME stdout F TEXT`; P in place of F where the line's end is still to come).
//! Two files, the older one replaced when the newer one is full.
//!
//! A disk that is full costs lines of the log, and the next one that can be
//! written says how many bytes; it never costs the program a pause.

use ounce_httpd::State;
use ounce_linux::bare::{Clock, moment};
use rustix::fd::{BorrowedFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags, ftruncate, openat, renameat};
use rustix::io::{Errno, read, write};

use crate::text::Line;

/// Bytes that are read at once, and so the longest part of a line.
const CHUNK: usize = 4096;
/// Time, stream and kind of a line, and its end.
const FRAME: usize = 48;

/// What is read and what is written, once for the whole program: pages that
/// are not used take no memory.
struct Buffers {
    chunk: [u8; CHUNK],
    lines: Line<{ CHUNK + 4 * FRAME }>,
}

static BUFFERS: State<Buffers> = State::new(Buffers {
    chunk: [0; CHUNK],
    lines: Line::EMPTY,
});

/// The files and how full they are.
pub(crate) struct Log {
    file: Option<OwnedFd>,
    most_bytes: u64,
    bytes: u64,
    lost: u64,
    buffers: &'static mut Buffers,
}

impl Log {
    /// Goes on with this file.
    pub(crate) fn new(file: Option<OwnedFd>, most_bytes: u32) -> Self {
        let bytes = match &file {
            Some(file) => rustix::fs::fstat(file).map_or(0, |stat| stat.st_size as u64),
            None => 0,
        };
        Self {
            file,
            most_bytes: most_bytes.into(),
            bytes,
            lost: 0,
            buffers: BUFFERS.take(),
        }
    }

    /// Copies what there is to read; whether there may be more.
    pub(crate) fn copy(&mut self, from: BorrowedFd<'_>, stream: &[u8]) -> bool {
        let count = match read(from, &mut self.buffers.chunk) {
            Ok(0) => return false,
            Ok(count) => count,
            Err(Errno::INTR | Errno::AGAIN) => return true,
            // A terminal says so when its last user is gone.
            Err(_) => return false,
        };
        let now = moment(Clock::Real);
        self.buffers.lines.clear();
        let mut start = 0;
        while start < count {
            let rest = self.buffers.chunk.get(start..count).unwrap_or_default();
            let end = rest.iter().position(|byte| *byte == b'\n');
            let length = end.unwrap_or(rest.len());
            if self.buffers.lines.room() < length + FRAME {
                self.flush();
            }
            let rest = self.buffers.chunk.get(start..count).unwrap_or_default();
            let line = &mut self.buffers.lines;
            line.moment(now).put(b" ").put(stream);
            line.put(if end.is_some() { b" F " } else { b" P " });
            line.put(rest.get(..length).unwrap_or_default()).put(b"\n");
            start += length + 1;
        }
        self.flush();
        true
    }

    /// A line of our own.
    pub(crate) fn say(&mut self, text: &[u8]) {
        self.buffers.lines.clear();
        let line = &mut self.buffers.lines;
        line.moment(moment(Clock::Real)).put(b" stderr F ounce: ");
        line.put(text).put(b"\n");
        self.flush();
    }

    /// Writes what was put together, all of it or nothing.
    fn flush(&mut self) {
        let lines = self.buffers.lines.bytes();
        let length = lines.len() as u64;
        if self.most_bytes > 0 && self.bytes > 0 && self.bytes + length > self.most_bytes {
            match turn_over() {
                Ok(file) => {
                    self.file = Some(file);
                    self.bytes = 0;
                }
                Err(_) => return self.lose(),
            }
        }
        let Some(file) = &self.file else {
            return self.buffers.lines.clear();
        };
        if self.lost > 0 {
            let mut note: Line<96> = Line::EMPTY;
            note.moment(moment(Clock::Real))
                .put(b" stderr F ounce: ")
                .number(self.lost, 1)
                .put(b" bytes of log were lost\n");
            if write_whole(file, note.bytes(), self.bytes).is_err() {
                return self.lose();
            }
            self.bytes += note.bytes().len() as u64;
            self.lost = 0;
        }
        if write_whole(file, self.buffers.lines.bytes(), self.bytes).is_err() {
            return self.lose();
        }
        self.bytes += length;
        self.buffers.lines.clear();
    }

    fn lose(&mut self) {
        self.lost += self.buffers.lines.bytes().len() as u64;
        self.buffers.lines.clear();
    }
}

/// Puts bytes at the end of a file of this length, which stays as it was if
/// they do not all fit.
fn write_whole(file: &OwnedFd, bytes: &[u8], length: u64) -> Result<(), Errno> {
    let mut rest = bytes;
    while !rest.is_empty() {
        match write(file, rest) {
            Ok(count @ 1..) => rest = rest.get(count..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            other => {
                let _ = ftruncate(file, length);
                return Err(other.err().unwrap_or(Errno::IO));
            }
        }
    }
    Ok(())
}

/// Begins a new file; the former one becomes the older one.
fn turn_over() -> Result<OwnedFd, Errno> {
    let flags = OFlags::WRONLY
        | OFlags::APPEND
        | OFlags::CREATE
        | OFlags::TRUNC
        | OFlags::NOFOLLOW
        | OFlags::CLOEXEC;
    let mode = Mode::RUSR | Mode::WUSR;
    let file = openat(CWD, c"log.new", flags, mode)?;
    renameat(CWD, c"log", CWD, c"log.1")?;
    renameat(CWD, c"log.new", CWD, c"log")?;
    Ok(file)
}
