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
        writer.push(match at {
            7 | 11 => b'/',
            16 => b':',
            _ => byte,
        });
    }
    writer.put(b" +0000] \"");
    for &byte in line.get(..LINE_BYTES).unwrap_or(line) {
        // Nobody forges a line, or sends commands to a terminal.
        let is_plain = byte.wrapping_sub(b' ') < 95 && byte != b'"' && byte != b'\\';
        writer.push(if is_plain { byte } else { b'?' });
    }
    writer.put(b"\" ");
    writer.put(status.get(..3).unwrap_or_default());
    writer.numbers(b" %\n", &[length]);
    if bare::is_writable(1) {
        bare::write(1, writer.bytes());
    }
}

/// Before an address of IPv4 in one of IPv6 (RFC 4291 section 2.5.5.2).
const MAPPED: [u8; 12] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255];

/// The peer's address as people write it; one of IPv4 in IPv6 as of IPv4.
#[inline(never)]
fn put_address(writer: &mut HeadWriter<'_>, peer: Fd) {
    let mut address = Address::NONE;
    bare::peer(peer, &mut address);
    // Before it are family and port, and in IPv6 the flow.
    let mut start = 4;
    let mut end = 8;
    if address.bytes[0] != 2 {
        (start, end) = (8, 24);
        if address.bytes[8..20] == MAPPED {
            start = 20;
        }
    }
    let is_v4 = end - start == 4;
    for at in start..end {
        if at > start && (is_v4 || at % 2 == 0) {
            writer.push(if is_v4 { b'.' } else { b':' });
        }
        if is_v4 {
            writer.number(address.bytes[at].into());
        } else {
            writer.hex(address.bytes[at]);
        }
    }
}
