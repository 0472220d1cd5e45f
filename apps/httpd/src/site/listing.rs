//! A folder as a page of links. Its length is not known before: it ends with the
//! connection.

use super::Site;
use crate::engine::Batch;
use ounce_http::status::Status;
use ounce_http::take_until;
use ounce_linux::bare::{self, Fd};

/// Room for what the kernel says of one name (19 bytes and 256) or several.
const RECORD_BYTES: usize = 288;
/// The most bytes of links to them: each byte escaped twice, and what stands
/// around.
const ENTRIES_BYTES: usize = RECORD_BYTES * 9;

/// Writes a page that lists the folder, as far as there is room, and closes it.
#[inline(never)]
pub(super) fn write(site: &Site, fd: Fd, batch: &mut Batch<'_>) {
    batch.closes = true;
    site.begin(Status::Ok, batch);
    batch
        .writer
        .put(b"Content-Type: text/html; charset=utf-8\r\n");
    site.end(0, batch);
    if !batch.is_head {
        batch.writer.put(b"<!doctype html><meta name=viewport content=\"width=device-width\">\n<pre><a href=\"../\">../</a>\n");
        let mut entries = [0; RECORD_BYTES];
        loop {
            let count = bare::entries(fd, &mut entries);
            let mut rest = entries.get(..count.max(0) as usize).unwrap_or_default();
            if rest.is_empty() {
                break;
            }
            if batch.writer.rest().len() < ENTRIES_BYTES {
                batch.writer.put(b"more\n");
                break;
            }
            // struct linux_dirent64: number and place (16 bytes), length, kind, name.
            while let Some(([.., low, high, kind], after)) = rest.split_first_chunk::<19>() {
                let mut after = after;
                let name = take_until(&mut after, 0);
                rest = rest
                    .get(usize::from(u16::from_le_bytes([*low, *high]))..)
                    .unwrap_or_default();
                if let [b'.', ..] = name {
                    continue;
                }
                let slash: &[u8] = if *kind == 4 { b"/" } else { b"" };
                let writer = &mut batch.writer;
                writer.put(b"<a href=\"./");
                writer.path(name);
                writer.put(slash);
                writer.put(b"\">");
                for &byte in name {
                    if matches!(byte, b'<' | b'>' | b'&' | b'"') {
                        writer.numbers(b"&#%;", &[byte.into()]);
                    } else {
                        writer.push(byte);
                    }
                }
                writer.put(slash);
                writer.put(b"</a>\n");
            }
        }
    }
    bare::close(fd);
}
