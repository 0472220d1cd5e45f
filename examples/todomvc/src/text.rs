//! The list as text: a line for each, `id TAB 0|1 TAB title`. By bytes, and without formatting,
//! which would be a quarter of the component.

use alloc::string::String;
use alloc::vec::Vec;

use crate::Todo;

pub(crate) fn write(all: &[Todo]) -> String {
    let mut text = Vec::new();
    for todo in all {
        push(&mut text, todo.id);
        text.extend_from_slice(if todo.done { b"\t1\t" } else { b"\t0\t" });
        // A field of one line cannot hold a line feed.
        text.extend_from_slice(todo.title.as_bytes());
        text.push(b'\n');
    }
    String::from_utf8(text).unwrap_or_default()
}

fn push(text: &mut Vec<u8>, number: u32) {
    if number > 9 {
        push(text, number / 10);
    }
    text.push(b'0' + (number % 10) as u8);
}

/// The list and the next number; lines that are none are left out.
pub(crate) fn read(text: &str) -> (Vec<Todo>, u32) {
    let mut all = Vec::new();
    let mut next = 1;
    for line in text.as_bytes().split(|byte| *byte == b'\n') {
        if let Some(todo) = todo(line) {
            next = next.max(todo.id.saturating_add(1));
            all.push(todo);
        }
    }
    (all, next)
}

fn todo(line: &[u8]) -> Option<Todo> {
    let mut parts = line.splitn(3, |byte| *byte == b'\t');
    let (id, done, title) = (parts.next()?, parts.next()?, parts.next()?);
    let digit = |id: u32, byte: &u8| {
        let digit = byte.is_ascii_digit().then(|| u32::from(byte - b'0'))?;
        id.checked_mul(10)?.checked_add(digit)
    };
    let id = id.iter().try_fold(0, digit).filter(|id| *id > 0)?;
    Some(Todo {
        id,
        done: done == b"1",
        title: String::from(core::str::from_utf8(title).ok()?),
    })
}
