//! The list as text: a line for each, `id TAB 0|1 TAB title`.

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use crate::Todo;

pub(crate) fn write(all: &[Todo]) -> String {
    let mut text = String::new();
    for todo in all {
        push(&mut text, todo.id);
        text.push_str(if todo.done { "\t1\t" } else { "\t0\t" });
        // A field of one line cannot hold a line feed.
        text.push_str(&todo.title);
        text.push('\n');
    }
    text
}

/// A number's digits; formatting would be a third of the component.
fn push(text: &mut String, number: u32) {
    if number > 9 {
        push(text, number / 10);
    }
    text.push(char::from(b'0' + (number % 10) as u8));
}

/// The list and the next number; lines that are none are left out.
pub(crate) fn read(text: &str) -> (Vec<Todo>, u32) {
    let mut all = Vec::new();
    let mut next = 1;
    for line in text.lines() {
        let mut parts = line.splitn(3, '\t');
        let id = parts.next().and_then(|id| id.parse().ok());
        if let (Some(id), Some(done), Some(title)) = (id, parts.next(), parts.next()) {
            next = next.max(u32::saturating_add(id, 1));
            all.push(Todo {
                id,
                title: title.to_string(),
                done: done == "1",
            });
        }
    }
    (all, next)
}
