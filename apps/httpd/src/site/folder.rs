//! A site in a folder. Every file is opened beneath the root by the kernel's own
//! rule: neither `..` nor a symbolic link leads out, even if somebody changes the
//! tree while it is served.

use super::{Content, Site, listing};
use crate::engine::Turn;
use ounce_http::condition::{Facts, decide};
use ounce_http::content_type;
use ounce_http::date::{DATE_BYTES, imf_fixdate};
use ounce_http::encoding::weights;
use ounce_http::head::{Head, Known};
use ounce_http::status::Status;
use ounce_http::writer::{Finish, HeadWriter};
use ounce_linux::bare::{self, Fd, File, FileKind, OPEN_FILE, errno};

const INDEX: &[u8] = b"/index.html";
const NOT_FOUND: &[u8] = b"/404.html";
/// Behind a file's name, and what its content then is, in the order of the
/// weights.
const CODINGS: [(&[u8; 4], &[u8]); 3] = [
    (b".br\0", b"br"),
    (b".zst", b"zstd"),
    (b".gz\0", b"gzip"),
];
const TAG_BYTES: usize = 18;

impl<C: Content> Site<C> {
    /// Answers for the decoded path of this length at the start of `out`.
    pub(super) fn folder_answer(
        &mut self,
        head: &Head<'_>,
        mut length: usize,
        finish: &Finish<'_>,
        out: &mut [u8],
        turn: &mut Turn,
    ) -> Status {
        let path = out.get(..length).unwrap_or_default();
        let mut is_folder = path.ends_with(b"/");
        let mut back = path.iter().rev();
        let has_dot = back.find(|&&byte| byte == b'/' || byte == b'.') == Some(&b'.');
        let immutable = self.manner.immutable;
        let is_immutable = !immutable.is_empty() && path.starts_with(immutable);
        let mut status = Status::Ok;
        let mut tail = INDEX;
        let (fd, file) = loop {
            if is_folder {
                // Over the slash at the end.
                length = append(out, length.saturating_sub(1), tail);
            }
            let fd = self.open(out, length, b"");
            let file = bare::file(fd);
            if fd >= 0 && file.kind == FileKind::Regular {
                break (fd, file);
            }
            let is_plain_folder = fd >= 0 && file.kind == FileKind::Folder;
            if fd >= 0 {
                bare::close(fd);
            }
            if is_plain_folder && !is_folder {
                return self.redirect(head, finish, out, turn);
            }
            let refusal = match -fd as u32 {
                errno::EACCES | errno::EPERM => Status::Forbidden,
                errno::EMFILE | errno::ENFILE | errno::ENOMEM => Status::ServiceUnavailable,
                _ => Status::NotFound,
            };
            if refusal == Status::NotFound {
                if is_folder && status == Status::Ok && self.manner.lists && tail == INDEX {
                    let end = length - INDEX.len() + 1;
                    let fd = self.open(out, end.max(1), b".");
                    if fd >= 0 {
                        return listing::write(self, fd, finish, out, turn);
                    }
                }
                if status == Status::Ok && length != 0 {
                    // Once more, with a page of the site in its place.
                    is_folder = true;
                    length = 1;
                    if self.manner.is_spa && !has_dot && tail != NOT_FOUND {
                        tail = INDEX;
                        status = Status::Created;
                    } else {
                        tail = NOT_FOUND;
                        status = Status::NotFound;
                    }
                    continue;
                }
            }
            return self.short(refusal, b"", b"", finish, out, turn);
        };
        if status == Status::Created {
            status = Status::Ok;
        }
        let is_found = status == Status::Ok;
        let media_type = content_type::of(out.get(..length).unwrap_or_default());

        // The best of its forms.
        let weights = weights(head.known(Known::AcceptEncoding));
        let mut chosen = (fd, file, 0);
        let mut best = weights[0] * 2;
        let mut varies = false;
        for (number, (suffix, _)) in (1..).zip(&CODINGS) {
            let fd = self.open(out, length, *suffix);
            if fd < 0 {
                continue;
            }
            varies = true;
            let weight = weights.get(number).copied().unwrap_or(0);
            let other = bare::file(fd);
            if weight > 0 && weight * 2 + 1 > best && other.kind == FileKind::Regular {
                bare::close(chosen.0);
                chosen = (fd, other, number);
                best = weight * 2 + 1;
            } else {
                bare::close(fd);
            }
        }
        let (fd, file, coding) = chosen;

        let tag = tag(&file);
        let facts = Facts {
            etag: &tag,
            modified_seconds: file.modified[0],
            length_bytes: file.size,
        };
        let mut decision = ounce_http::condition::Decision {
            status,
            start: 0,
            end: file.size,
        };
        if is_found {
            decision = decide(head, &facts);
        }
        let status = decision.status;
        if status == Status::PreconditionFailed || status == Status::RangeNotSatisfiable {
            bare::close(fd);
            return self.unsatisfied(status, file.size, finish, out, turn);
        }
        let mut writer = HeadWriter::new(out);
        writer.start(status.first_line(), finish.date);
        writer.put(self.manner.fields);
        writer.put(b"ETag: ");
        writer.put(&tag);
        writer.put(b"\r\n");
        if file.modified[0] != 0 {
            let mut date = [0; DATE_BYTES];
            imf_fixdate(file.modified[0], &mut date);
            writer.field("Last-Modified", &date);
        }
        if varies {
            writer.put(b"Vary: Accept-Encoding\r\n");
        }
        if is_immutable {
            writer.put(b"Cache-Control: public, max-age=31536000, immutable\r\n");
        } else {
            writer.put(self.manner.cache);
        }
        if status != Status::NotModified {
            writer.put(b"Accept-Ranges: bytes\r\nContent-Type: ");
            for part in media_type {
                writer.put(part.as_bytes());
            }
            writer.put(b"\r\n");
            if let Some((_, name)) = CODINGS.get(coding.wrapping_sub(1)) {
                writer.field("Content-Encoding", name);
            }
            writer.content(&decision, file.size);
        }
        writer.end(finish.connection);
        turn.length = decision.end - decision.start;
        turn.written = writer.length().unwrap_or(0);
        if finish.is_head || turn.length == 0 || turn.written == 0 {
            bare::close(fd);
            return status;
        }
        let room = out.get_mut(turn.written..).unwrap_or_default();
        match room.get_mut(..turn.length as usize) {
            Some(place) if turn.length < 4096 => {
                let read = bare::read_at(fd, place, decision.start);
                bare::close(fd);
                if read != turn.length as isize {
                    // Cut short just now.
                    turn.written = 0;
                } else {
                    turn.written += turn.length as usize;
                }
            }
            _ => {
                if decision.start > 0 {
                    bare::seek(fd, decision.start);
                }
                turn.file = fd;
            }
        }
        status
    }

    /// Opens the path of this length, and this behind it.
    #[inline(never)]
    fn open(&self, out: &mut [u8], length: usize, suffix: &[u8]) -> Fd {
        let end = append(out, length, suffix);
        let end = append(out, end, b"\0");
        let path = out.get_mut(1..end).unwrap_or_default();
        // One NUL is enough.
        let path = match path {
            [short @ .., 0, 0] => {
                let length = short.len() + 1;
                path.get_mut(..length).unwrap_or_default()
            }
            path => path,
        };
        bare::open_beneath(self.root, path, OPEN_FILE)
    }

    /// To the same path with a slash behind it.
    fn redirect(
        &self,
        head: &Head<'_>,
        finish: &Finish<'_>,
        out: &mut [u8],
        turn: &mut Turn,
    ) -> Status {
        let status = Status::PermanentRedirect;
        let mut writer = HeadWriter::new(out);
        writer.start(status.first_line(), finish.date);
        writer.put(self.manner.fields);
        // Two slashes at the start would name a host.
        writer.put(b"Location: /");
        let mut path = head.path;
        while let [b'/', rest @ ..] = path {
            path = rest;
        }
        writer.put(path);
        writer.put(b"/");
        if let Some(query) = head.query {
            writer.put(b"?");
            writer.put(query);
        }
        writer.put(b"\r\n");
        writer.content_length(0);
        writer.end(finish.connection);
        turn.written = writer.length().unwrap_or(0);
        status
    }
}

/// Puts bytes behind so many others; how many there are then. What does not fit
/// is as if it were not there.
#[inline(never)]
fn append(out: &mut [u8], length: usize, bytes: &[u8]) -> usize {
    let end = length + bytes.len();
    if let Some(place) = out.get_mut(length..end) {
        place.copy_from_slice(bytes);
    }
    end
}

/// An entity tag from what changes with a file's content: when it was modified,
/// its length and its number. Where it was never modified, as in images that can
/// be built again to the same bytes, when it was put there.
fn tag(file: &File) -> [u8; TAG_BYTES] {
    let [seconds, nanoseconds] = if file.modified[0] == 0 {
        file.changed
    } else {
        file.modified
    };
    let mut hash = 0_u64;
    for part in [seconds, nanoseconds, file.size, file.inode] {
        // The constant is 2^64 divided by the golden ratio, to spread the bits.
        hash = (hash ^ part).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    }
    let mut tag = [b'"'; TAG_BYTES];
    for place in tag.iter_mut().skip(1).take(16) {
        hash = hash.rotate_left(4);
        let digit = hash as u8 & 15;
        *place = digit + if digit < 10 { b'0' } else { b'a' - 10 };
    }
    tag
}
