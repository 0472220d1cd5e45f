//! A site in a folder. Every file is opened beneath the root by the kernel's own
//! rule: neither `..` nor a symbolic link leads out, even if somebody changes the
//! tree while it is served.

use super::{ANSWERED, HIDDEN, SHORT_BYTES, Site, listing};
use crate::engine::Batch;
use ounce_http::condition::{Decision, Facts, decide};
use ounce_http::content_type;
use ounce_http::date::{DATE_BYTES, imf_fixdate};
use ounce_http::encoding;
use ounce_http::head::{Head, Known};
use ounce_http::status::Status;
use ounce_http::writer::HeadWriter;
use ounce_linux::bare::{self, Fd, File, FileKind, OPEN_FILE, errno};

/// Behind a file's name, by the numbers of the codings.
const SUFFIXES: [[u8; 4]; 4] = [*b"\0\0\0\0", *b".br\0", *b".zst", *b".gz\0"];
/// For all files, and for one that has other forms.
const LINES: (&[u8], &[u8]) = {
    let all = b"Accept-Ranges: bytes\r\nVary: Accept-Encoding\r\n";
    (all.split_at(22).0, all)
};
const TAG_BYTES: usize = 18;
/// How many paths without other forms are remembered for a second.
pub(super) const ALONE: usize = 16;

impl Site {
    /// Answers for the decoded path of this length behind what is written, or says
    /// with which short answer it is to be.
    #[inline(never)]
    pub(super) fn answer_file(
        &self,
        head: &Head<'_>,
        length: usize,
        batch: &mut Batch<'_>,
    ) -> Status {
        let mut path = HeadWriter::new(batch.writer.rest());
        path.go_to(length);
        if length == HIDDEN {
            path.put(b".");
        }
        let bytes = path.bytes();
        let immutable = self.manner.immutable.unwrap_or_default();
        let is_immutable = !immutable.is_empty() && bytes.starts_with(immutable);
        let mut back = bytes.iter().rev();
        let has_dot = back.find(|&&byte| byte == b'/' || byte == b'.') == Some(&b'.');
        let is_folder = bytes.ends_with(b"/");
        if is_folder {
            path.put(b"index.html");
        }
        let mut status = Status::Ok;
        let mut fd = self.open(&mut path, 0);
        let mut file = bare::file(fd);
        if file.kind == FileKind::Folder && !is_folder {
            bare::close(fd);
            self.redirect(head, batch);
            return ANSWERED;
        }
        if is_folder && self.manner.lists && fd == -(errno::ENOENT as Fd) {
            path.go_to(length);
            path.put(b".");
            fd = self.open(&mut path, 0);
            if fd >= 0 {
                listing::write(self, fd, batch);
                return ANSWERED;
            }
        }
        // What stands in for what is not found.
        let mut left = if self.manner.is_spa && !has_dot { 2 } else { 1 };
        while file.kind != FileKind::Regular {
            let refusal = match -fd as u32 {
                errno::EACCES | errno::EPERM => Status::Forbidden,
                errno::EMFILE | errno::ENFILE | errno::ENOMEM => Status::ServiceUnavailable,
                _ if left == 0 => Status::NotFound,
                _ => Status::Ok,
            };
            bare::close(fd);
            if refusal != Status::Ok {
                return refusal;
            }
            path.go_to(0);
            if left == 2 {
                path.put(b"/index.html");
            } else {
                path.put(b"/404.html");
                status = Status::NotFound;
            }
            left -= 1;
            fd = self.open(&mut path, 0);
            file = bare::file(fd);
        }
        let media_type = content_type::of(path.bytes());

        // The best of its forms.
        let mark = self.mark(path.bytes());
        let place = &self.alone[mark as usize % ALONE];
        let mut coding = 0;
        let mut varies = false;
        if place.get() != mark {
            let weights = weights(head);
            let mut best = weights[0];
            #[allow(clippy::needless_range_loop, reason = "`skip` is larger")]
            for number in 1..weights.len() {
                let weight = weights[number];
                let mut other = self.open(&mut path, number);
                if bare::file(other).kind == FileKind::Regular {
                    varies = true;
                    // At equal weight a coding goes before none, and the first
                    // before others.
                    if weight > best || coding == 0 && weight == best && best > 0 {
                        (fd, other) = (other, fd);
                        (best, coding) = (weight, number);
                        file = bare::file(fd);
                    }
                }
                bare::close(other);
            }
            if !varies {
                place.set(mark);
            }
        }

        let tag = tag(&file);
        let mut decision = Decision {
            status,
            start: 0,
            end: file.size,
        };
        if status == Status::Ok {
            decision = judge(head, &tag, &file);
        }
        if matches!(
            decision.status,
            Status::PreconditionFailed | Status::RangeNotSatisfiable
        ) {
            bare::close(fd);
            batch.length = file.size;
            return decision.status;
        }
        self.begin(decision.status, batch);
        let writer = &mut batch.writer;
        writer.field("ETag", &tag);
        if file.modified[0] != 0 {
            let mut date = [0; DATE_BYTES];
            imf_fixdate(file.modified[0], &mut date);
            writer.field("Last-Modified", &date);
        }
        let (ranges, all) = LINES;
        writer.put(if varies { all } else { ranges });
        let cache = if is_immutable {
            b"public, max-age=31536000, immutable"
        } else {
            self.manner.cache.unwrap_or_default()
        };
        if !cache.is_empty() {
            writer.field("Cache-Control", cache);
        }
        if decision.status != Status::NotModified {
            writer.content_type(&media_type);
            if coding > 0 {
                writer.field(
                    "Content-Encoding",
                    match coding {
                        1 => b"br",
                        2 => b"zstd",
                        _ => b"gzip",
                    },
                );
            }
            writer.content(&decision, file.size);
        }
        self.end(decision.end - decision.start, batch);
        let written = batch.writer.written();
        match batch.writer.rest().get_mut(..batch.length as usize) {
            Some(place) if batch.length <= SHORT_BYTES => {
                // Cut short just now: only closing tells the client.
                let read = bare::read_at(fd, place, decision.start);
                batch.closes |= read != batch.length as isize;
                batch.writer.go_to(written + read.max(0) as usize);
                bare::close(fd);
            }
            _ => {
                bare::seek(fd, decision.start);
                batch.file = fd;
            }
        }
        ANSWERED
    }

    /// A number that stands for a path in this second: where it is noted in
    /// `alone`, the path was looked at in this second and had no other forms.
    #[inline(never)]
    fn mark(&self, path: &[u8]) -> u32 {
        let second = u32::from(self.date[24]) | 1 << 31;
        path.iter().fold(second, |mark, &byte| {
            // FNV-1a, 32 bits.
            (mark ^ u32::from(byte)).wrapping_mul(0x0100_0193)
        })
    }

    /// Opens the path with a coding's suffix behind it.
    #[inline(never)]
    fn open(&self, path: &mut HeadWriter<'_>, coding: usize) -> Fd {
        let length = path.written();
        if let Some(suffix) = SUFFIXES.get(coding) {
            path.put(suffix);
        }
        path.put(b"\0");
        let name = path.bytes().get_mut(1..).unwrap_or_default();
        let fd = bare::open_beneath(self.root, name, OPEN_FILE);
        path.go_to(length);
        fd
    }

    /// To the same path with a slash behind it. It is a valid one, as it was sent;
    /// at its start one slash stands for all, since two would begin a host's name.
    #[inline(never)]
    fn redirect(&self, head: &Head<'_>, batch: &mut Batch<'_>) {
        let mut path = head.path;
        while let [b'/', rest @ ..] = path {
            path = rest;
        }
        self.begin(Status::PermanentRedirect, batch);
        let writer = &mut batch.writer;
        writer.put(b"Location: /");
        writer.put(path);
        writer.put(b"/");
        if let Some(query) = head.query {
            writer.put(b"?");
            writer.put(query);
        }
        writer.put(b"\r\n");
        writer.content_length(0);
        self.end(0, batch);
    }
}

/// What is answered to a request for a file. On its own, as is `weights`: within
/// its only caller it is larger.
#[inline(never)]
fn judge(head: &Head<'_>, tag: &[u8], file: &File) -> Decision {
    decide(
        head,
        &Facts {
            etag: tag,
            modified_seconds: file.modified[0],
            length_bytes: file.size,
        },
    )
}

/// How much a client wants the codings, by their numbers.
#[inline(never)]
fn weights(head: &Head<'_>) -> [u16; 4] {
    encoding::weights(head.known(Known::AcceptEncoding))
}

/// An entity tag from what changes with a file's content: when it was modified,
/// its length and its number. Where it was never modified, as in images that can
/// be built again to the same bytes, when it was put there.
#[inline(never)]
fn tag(file: &File) -> [u8; TAG_BYTES] {
    let [seconds, nanoseconds] = if file.modified[0] == 0 {
        file.changed
    } else {
        file.modified
    };
    let mut tag = [b'"'; TAG_BYTES];
    let mut hash = spread(spread(spread(nanoseconds) ^ seconds) ^ file.size) ^ file.inode;
    hash = spread(hash);
    for place in &mut tag[1..TAG_BYTES - 1] {
        // Letters from a to p: as good as hexadecimal digits.
        *place = b'a' + (hash >> 60) as u8;
        hash <<= 4;
    }
    tag
}

/// Spreads the bits of a number, by 2^64 divided by the golden ratio.
#[inline(never)]
fn spread(number: u64) -> u64 {
    number.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
}
