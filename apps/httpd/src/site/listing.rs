//! A folder as a page of links. Its length is not known before: it ends with the
//! connection.

use super::{Content, Site};
use crate::engine::Turn;
use ounce_http::status::Status;
use ounce_http::writer::{Finish, HeadWriter};
use ounce_linux::bare::{self, Fd};

/// Sends what lists the folder, as far as the kernel takes it, and closes it.
pub(super) fn write<C: Content>(
    site: &Site<C>,
    fd: Fd,
    finish: &Finish<'_>,
    out: &mut [u8],
    turn: &mut Turn,
) -> Status {
    let finish = Finish {
        connection: Some("close"),
        ..*finish
    };
    let (page, entries) = out.split_at_mut_checked(out.len() / 2).unwrap_or_default();
    let mut writer = HeadWriter::new(page);
    writer.start(Status::Ok.first_line(), finish.date);
    writer.put(site.manner.fields);
    writer.put(b"Content-Type: text/html; charset=utf-8\r\n");
    writer.end(finish.connection);
    turn.closes = true;
    if !finish.is_head {
        writer.put(b"<!doctype html><meta name=viewport content=\"width=device-width\"><pre><a href=\"../\">../</a>\n");
        loop {
            let count = bare::entries(fd, entries);
            if count <= 0 {
                break;
            }
            let mut rest = entries.get(..count as usize).unwrap_or_default();
            // struct linux_dirent64: inode, place, length of the entry, kind, name.
            while let [_, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, low, high, kind, name @ ..] = rest {
                let length = u16::from_le_bytes([*low, *high]);
                let end = name.iter().position(|&byte| byte == 0).unwrap_or(0);
                let name = name.get(..end).unwrap_or_default();
                let slash: &[u8] = if *kind == 4 { b"/" } else { b"" };
                rest = rest.get(usize::from(length).max(1)..).unwrap_or_default();
                if name.first() == Some(&b'.') {
                    continue;
                }
                writer.put(b"<a href=\"./");
                writer.path(name);
                writer.put(slash);
                writer.put(b"\">");
                for &byte in name {
                    match byte {
                        b'<' => writer.put(b"&lt;"),
                        b'&' => writer.put(b"&amp;"),
                        byte => writer.put(&[byte]),
                    }
                }
                writer.put(slash);
                writer.put(b"</a>\n");
            }
        }
    }
    bare::close(fd);
    turn.written = writer.length().unwrap_or(0);
    Status::Ok
}
