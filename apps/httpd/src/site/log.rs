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
pub(super) fn write(peer: Fd, line: &[u8], date: &[u8; DATE_BYTES], batch: &mut Batch<'_>) {
    let (status, length) = (batch.status.first_line(), batch.length);
    let mut writer = HeadWriter::new(batch.writer.rest());
    put_address(&mut writer, peer);
    // "Sun, 06 Nov 1994 08:49:37 GMT" as "06/Nov/1994:08:49:37 +0000".
    let mut stamp = *b" - - [06/Nov/1994:08:49:37 +0000] \"";
    for at in 6..26 {
        if stamp[at].is_ascii_alphanumeric() {
            stamp[at] = date[at - 1];
        }
    }
    writer.put(&stamp);
    for &byte in line.get(..LINE_BYTES).unwrap_or(line) {
        // Nobody forges a line, or sends commands to a terminal.
        writer.push(match byte {
            b'"' | b'\\' => b'?',
            b' '..=b'~' => byte,
            _ => b'?',
        });
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
#[allow(clippy::needless_range_loop, reason = "`skip` and `take` are larger")]
fn put_address(writer: &mut HeadWriter<'_>, peer: Fd) {
    let mut address = Address::NONE;
    bare::peer(peer, &mut address);
    // Before it are family and port, and in IPv6 the flow.
    let bytes = &address.bytes;
    let ip = if bytes[0] == 2 {
        &bytes[4..8]
    } else if bytes[8..20] == MAPPED {
        &bytes[20..24]
    } else {
        for at in 8..24 {
            if at > 8 && at % 2 == 0 {
                writer.push(b':');
            }
            writer.hex(bytes[at]);
        }
        return;
    };
    for (at, &byte) in ip.iter().enumerate() {
        if at > 0 {
            writer.push(b'.');
        }
        writer.number(byte.into());
    }
}
