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

/// A file that is to be sent.
struct Found<'p> {
    fd: Fd,
    /// The number of its coding, 0 for none.
    coding: usize,
    /// It has other forms.
    varies: bool,
    /// Whether it is what was asked for.
    status: Status,
    file: File,
    /// Its path, without the suffix of a coding.
    path: HeadWriter<'p>,
}

impl Site {
    /// Answers for the decoded path of this length behind what is written, or says
    /// with which short answer it is to be.
    pub(super) fn answer_file(
        &self,
        head: &Head<'_>,
        length: usize,
        batch: &mut Batch<'_>,
    ) -> Status {
        let mut found = Found {
            fd: -1,
            coding: 0,
            varies: false,
            status: Status::Ok,
            file: File::NONE,
            path: HeadWriter::new(batch.writer.rest()),
        };
        found.path.go_to(length);
        match self.find(&mut found) {
            Status::Ok => {}
            Status::PermanentRedirect => {
                self.redirect(head, batch);
                return ANSWERED;
            }
            ANSWERED => {
                let fd = found.fd;
                listing::write(self, fd, batch);
                return ANSWERED;
            }
            refusal => return refusal,
        }
        let media_type = content_type::of(found.path.bytes());
        let immutable = self.manner.immutable;
        let is_immutable = !immutable.is_empty() && found.path.bytes().starts_with(immutable);
        self.choose(&mut found, head.value(Known::AcceptEncoding));
        let Found {
            fd,
            coding,
            varies,
            status,
            file,
            ..
        } = &found;
        let fd = *fd;

        let tag = tag(file);
        let mut decision = Decision {
            status: *status,
            start: 0,
            end: file.size,
        };
        if *status == Status::Ok {
            decision = judge(head, &tag, file);
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
        writer.put(if *varies { all } else { ranges });
        let cache = if is_immutable {
            b"public, max-age=31536000, immutable"
        } else {
            self.manner.cache
        };
        if !cache.is_empty() {
            writer.field("Cache-Control", cache);
        }
        if decision.status != Status::NotModified {
            writer.content_type(&media_type);
            if *coding > 0 {
                writer.field("Content-Encoding", encoding::name(*coding));
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

    /// Opens what stands at the path, or in for it: 200 where there is a file. Else
    /// 308 where it is a folder without a slash behind its name, [`ANSWERED`] where
    /// a folder is open that is to be listed, and what else there is to say.
    #[inline(never)]
    fn find(&self, found: &mut Found<'_>) -> Status {
        let length = found.path.written();
        if length == HIDDEN {
            found.path.put(b".");
        }
        let has_dot = !content_type::extension(found.path.bytes()).is_empty();
        let is_folder = found.path.bytes().ends_with(b"/");
        if is_folder {
            found.path.put(b"index.html");
        }
        self.open(found);
        if found.file.kind == FileKind::Folder && !is_folder {
            bare::close(found.fd);
            return Status::PermanentRedirect;
        }
        if is_folder && self.manner.lists && found.fd == -(errno::ENOENT as Fd) {
            found.path.go_to(length);
            found.path.put(b".");
            self.open(found);
            if found.fd >= 0 {
                return ANSWERED;
            }
        }
        // What stands in for what is not found.
        let mut left = if self.manner.is_spa && !has_dot { 2 } else { 1 };
        while found.file.kind != FileKind::Regular {
            let refusal = match -found.fd as u32 {
                errno::EACCES | errno::EPERM => Status::Forbidden,
                errno::EMFILE | errno::ENFILE | errno::ENOMEM | errno::EAGAIN => {
                    Status::ServiceUnavailable
                }
                _ if left == 0 => Status::NotFound,
                _ => Status::Ok,
            };
            bare::close(found.fd);
            if refusal != Status::Ok {
                return refusal;
            }
            found.path.go_to(0);
            if left == 2 {
                found.path.put(b"/index.html");
            } else {
                found.path.put(b"/404.html");
                found.status = Status::NotFound;
            }
            left -= 1;
            self.open(found);
        }
        Status::Ok
    }

    /// Chooses the best of the file's forms.
    #[inline(never)]
    fn choose(&self, found: &mut Found<'_>, accepted: &[u8]) {
        let mark = self.mark(found.path.bytes());
        let place = &self.alone[mark as usize % ALONE];
        if place.get() == mark {
            return;
        }
        let mut best = encoding::weight_of(accepted, 0);
        for number in 1..SUFFIXES.len() {
            let (plain, coding) = (found.fd, found.coding);
            found.coding = number;
            self.open(found);
            if found.file.kind == FileKind::Regular {
                found.varies = true;
                let weight = encoding::weight_of(accepted, number);
                // At equal weight a coding goes before none, and the first before
                // others.
                if weight > best || coding == 0 && weight == best && best > 0 {
                    best = weight;
                    bare::close(plain);
                    continue;
                }
            }
            bare::close(found.fd);
            (found.fd, found.coding) = (plain, coding);
        }
        bare::look(found.fd, &mut found.file);
        if !found.varies {
            place.set(mark);
        }
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

    /// Opens the path with its coding's suffix behind it.
    #[inline(never)]
    fn open(&self, found: &mut Found<'_>) {
        let path = &mut found.path;
        let length = path.written();
        if let Some(suffix) = SUFFIXES.get(found.coding) {
            path.put(suffix);
        }
        path.put(b"\0");
        let name = path.bytes().get_mut(1..).unwrap_or_default();
        found.fd = bare::open_beneath(self.root, name, OPEN_FILE);
        path.go_to(length);
        bare::look(found.fd, &mut found.file);
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

/// What is answered to a request for a file. On its own: within its only caller
/// it is larger.
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
fn spread(number: u64) -> u64 {
    number.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
}
