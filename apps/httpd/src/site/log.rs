//! The access log, in the Common Log Format. A line that cannot be written at
//! once is dropped: who reads the log, or does not, never slows the server.

use crate::engine::Batch;
use ounce_http::date::DATE_BYTES;
use ounce_http::writer::HeadWriter;
use ounce_linux::bare::{self, Address, Fd};

/// The most of a request line.
const LINE_BYTES: usize = 512;

/// Writes a line about one request to standard output; behind the answer there
/// is room to compose it.
#[inline(never)]
pub(super) fn write(peer: Fd, line: &[u8], date: &[u8; DATE_BYTES], batch: &mut Batch<'_>) {
    let (status, length) = (batch.status.first_line(), batch.length);
    let mut writer = HeadWriter::new(batch.writer.rest());
    put_address(&mut writer, peer);
    // "Sun, 06 Nov 1994 08:49:37 GMT" as "06/Nov/1994:08:49:37 +0000".
    writer.put(b" - - [");
    for (at, &byte) in date.iter().enumerate().take(25).skip(5) {
        writer.put(&[match at {
            7 | 11 => b'/',
            16 => b':',
            _ => byte,
        }]);
    }
    writer.put(b" +0000] \"");
    for &byte in line.iter().take(LINE_BYTES) {
        // Nobody forges a line, or sends commands to a terminal.
        let is_plain = byte.wrapping_sub(b' ') < 95 && byte != b'"' && byte != b'\\';
        writer.put(&[if is_plain { byte } else { b'?' }]);
    }
    writer.put(b"\" ");
    writer.put(status.get(..3).unwrap_or_default());
    writer.numbers(b" %\n", &[length]);
    if bare::is_writable(1) {
        bare::write(1, writer.bytes());
    }
}

/// The peer's address as people write it; one of IPv4 in IPv6 as of IPv4.
fn put_address(writer: &mut HeadWriter<'_>, peer: Fd) {
    let mut address = Address::NONE;
    bare::peer(peer, &mut address);
    // Port and, in IPv6, flow are before the address.
    let [family, _, _, _, rest @ ..] = &address.bytes;
    let mut v4 = &rest[..4];
    if *family != 2 {
        let [_, _, _, _, v6 @ ..] = rest;
        v4 = v6
            .strip_prefix(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255])
            .unwrap_or_default();
        if v4.is_empty() {
            for (number, byte) in v6.iter().take(16).enumerate() {
                if number > 0 && number % 2 == 0 {
                    writer.put(b":");
                }
                writer.put(&[hex(byte >> 4), hex(byte & 15)]);
            }
        }
    }
    for (number, byte) in v4.iter().take(4).enumerate() {
        writer.numbers(if number > 0 { b".%" } else { b"%" }, &[(*byte).into()]);
    }
}

fn hex(digit: u8) -> u8 {
    b"0123456789abcdef"[usize::from(digit & 15)]
}
