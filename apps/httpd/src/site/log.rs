//! The access log, in the Common Log Format. A line that cannot be written at
//! once is dropped: who reads the log, or does not, never slows the server.

use ounce_http::date::DATE_BYTES;
use ounce_http::status::Status;
use ounce_http::writer::HeadWriter;
use ounce_linux::bare::{self, Address, Fd};

/// The most of a request line.
const LINE_BYTES: usize = 512;

/// Writes a line about one request to standard output.
#[inline(never)]
pub(super) fn write(
    peer: Fd,
    line: &[u8],
    status: Status,
    length: u64,
    date: &[u8; DATE_BYTES],
    scratch: &mut [u8],
) {
    if !bare::is_writable(1) {
        return;
    }
    let mut writer = HeadWriter::new(scratch);
    let mut address = Address::NONE;
    bare::peer(peer, &mut address);
    put_address(&mut writer, &address);
    // "Sun, 06 Nov 1994 08:49:37 GMT" as "06/Nov/1994:08:49:37 +0000".
    writer.put(b" - - [");
    writer.put(&date[5..7]);
    writer.put(b"/");
    writer.put(&date[8..11]);
    writer.put(b"/");
    writer.put(&date[12..16]);
    writer.put(b":");
    writer.put(&date[17..25]);
    writer.put(b" +0000] \"");
    for &byte in line.iter().take(LINE_BYTES) {
        // Nobody forges a line, or sends commands to a terminal.
        let byte = if byte.is_ascii_graphic() && byte != b'"' && byte != b'\\' || byte == b' ' {
            byte
        } else {
            b'?'
        };
        writer.put(&[byte]);
    }
    writer.put(b"\" ");
    writer.put(status.first_line().get(..3).unwrap_or_default().as_bytes());
    writer.put(b" ");
    writer.number(length);
    writer.put(b"\n");
    let end = writer.length().unwrap_or(0);
    bare::write(1, scratch.get(..end).unwrap_or_default());
}

/// An address as people write it; one of IPv4 in IPv6 as of IPv4.
fn put_address(writer: &mut HeadWriter<'_>, address: &Address) {
    let [family, _, _, _, rest @ ..] = &address.bytes;
    let (v4, rest) = match (family, rest) {
        (2, [a, b, c, d, ..]) => ([*a, *b, *c, *d], None),
        (10, [_, _, _, _, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, a, b, c, d, ..]) => {
            ([*a, *b, *c, *d], None)
        }
        (10, [_, _, _, _, groups @ ..]) => ([0; 4], Some(groups)),
        _ => return writer.put(b"-"),
    };
    let Some(groups) = rest else {
        for (number, byte) in v4.iter().enumerate() {
            if number > 0 {
                writer.put(b".");
            }
            writer.number((*byte).into());
        }
        return;
    };
    for (number, byte) in groups.iter().take(16).enumerate() {
        if number > 0 && number % 2 == 0 {
            writer.put(b":");
        }
        for digit in [byte >> 4, byte & 15] {
            writer.put(&[digit + if digit < 10 { b'0' } else { b'a' - 10 }]);
        }
    }
}
