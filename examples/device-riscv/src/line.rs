//! What is said over the serial line: lines of text from the device; to it, a length of four bytes and
//! as many bytes, for each line that begins with a question mark.

use crate::board::{receive, reset, send};

/// Says a line.
pub fn say(line: &str) {
    text(line);
    send(b'\n');
}

/// Says a part of a line.
pub fn text(text: &str) {
    bytes(text.as_bytes());
}

/// Says bytes as they are.
pub fn bytes(bytes: &[u8]) {
    for byte in bytes {
        send(*byte);
    }
}

/// Says a space, a name and a number, as part of a line.
pub fn number(name: &str, value: u32) {
    text(" ");
    text(name);
    text("=");
    let mut digits = [0; 10];
    let (mut at, mut left) = (digits.len(), value);
    loop {
        at -= 1;
        digits[at] = b'0' + (left % 10) as u8;
        left /= 10;
        if left == 0 {
            break;
        }
    }
    for digit in &digits[at..] {
        send(*digit);
    }
}

/// Takes the answer to a question: how many bytes it has that fit.
pub fn answer(into: &mut [u8]) -> usize {
    let length = u32::from_le_bytes(core::array::from_fn(|_| receive())) as usize;
    for at in 0..length {
        let byte = receive();
        if let Some(place) = into.get_mut(at) {
            *place = byte;
        }
    }
    length.min(into.len())
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    say("panic");
    reset()
}
