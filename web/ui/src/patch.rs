//! A patch in the making: words of commands, and all their texts one after another.
//!
//! Names (of elements, attributes, events) are `&'static str`: each is told once, then numbered.

#[cfg(feature = "alloc")]
use alloc::vec::Vec;

use crate::bare::trap;
use crate::names::{Known, Names};
use crate::op::Op;

#[cfg(not(feature = "alloc"))]
const WORDS: usize = 128;
#[cfg(not(feature = "alloc"))]
const TEXT: usize = 256;

#[cfg(feature = "alloc")]
type Words = Vec<u32>;
#[cfg(feature = "alloc")]
type Text = Vec<u8>;
#[cfg(not(feature = "alloc"))]
type Words = Fixed<u32, WORDS>;
#[cfg(not(feature = "alloc"))]
type Text = Fixed<u8, TEXT>;

/// A list in a place of its own: a component without a heap.
#[cfg(not(feature = "alloc"))]
#[derive(Debug)]
struct Fixed<T, const MOST: usize> {
    all: [T; MOST],
    length: usize,
}

#[cfg(not(feature = "alloc"))]
impl<T: Copy, const MOST: usize> Fixed<T, MOST> {
    fn push(&mut self, one: T) {
        match self.all.get_mut(self.length) {
            Some(place) => *place = one,
            None => trap(),
        }
        self.length += 1;
    }

    fn len(&self) -> usize {
        self.length
    }

    fn as_slice(&self) -> &[T] {
        self.all.get(..self.length).unwrap_or_default()
    }

    fn clear(&mut self) {
        self.length = 0;
    }
}

/// What is to change on the page. Commands are done in their order; most are about the *current*
/// element, which is the root at first.
#[derive(Debug)]
pub struct Patch {
    words: Words,
    text: Text,
    names: Names,
}

impl Default for Patch {
    fn default() -> Self {
        Self::new()
    }
}

impl Patch {
    /// An empty one. Names stay known from one patch to the next.
    pub const fn new() -> Self {
        Self {
            #[cfg(feature = "alloc")]
            words: Vec::new(),
            #[cfg(feature = "alloc")]
            text: Vec::new(),
            #[cfg(not(feature = "alloc"))]
            words: Fixed {
                all: [0; WORDS],
                length: 0,
            },
            #[cfg(not(feature = "alloc"))]
            text: Fixed {
                all: [0; TEXT],
                length: 0,
            },
            names: Names::new(),
        }
    }

    /// The commands so far.
    pub fn words(&self) -> &[u32] {
        self.words.as_slice()
    }

    /// Their texts, as UTF-8.
    pub fn text_bytes(&self) -> &[u8] {
        self.text.as_slice()
    }

    /// Where the commands stand and how many, then the same of the texts.
    pub(crate) fn head(&self) -> [u32; 4] {
        #[cfg(feature = "alloc")]
        let (words, text) = (self.words.as_ptr(), self.text.as_ptr());
        #[cfg(not(feature = "alloc"))]
        let (words, text) = (self.words.all.as_ptr(), self.text.all.as_ptr());
        [
            words as usize as u32,
            self.words.len() as u32,
            text as usize as u32,
            self.text.len() as u32,
        ]
    }

    pub(crate) fn clear(&mut self) {
        self.words.clear();
        self.text.clear();
    }

    /// The next one: without commands, but with the names that are known already.
    #[must_use]
    pub fn emptied(mut self) -> Self {
        self.clear();
        self
    }

    pub(crate) fn command(&mut self, op: Op, operand: u32) {
        self.words.push(op as u32 | operand << 8);
    }

    pub(crate) fn word(&mut self, word: u32) {
        self.words.push(word);
    }

    /// Takes a text in and gives its length as the page counts, in UTF-16.
    pub(crate) fn put(&mut self, text: &[u8]) -> u32 {
        let mut units = 0;
        for byte in text {
            #[cfg(not(feature = "alloc"))]
            self.text.push(*byte);
            // A character has one byte that is no continuation; one of four bytes has two units.
            units += u32::from(byte & 0xc0 != 0x80) + u32::from(*byte >= 0xf0);
        }
        #[cfg(feature = "alloc")]
        self.text.extend_from_slice(text);
        units
    }

    /// A command with a text, whose length is its first operand.
    pub(crate) fn put_as(&mut self, op: Op, text: &[u8]) {
        let units = self.put(text);
        self.command(op, units);
    }

    /// The number of a name, which is told if it is new.
    pub(crate) fn name(&mut self, name: &'static str) -> u32 {
        match self.names.number(name) {
            Some(Known::Yes(number)) => number,
            Some(Known::New(number)) => {
                self.put_as(Op::Name, name.as_bytes());
                number
            }
            None => trap(),
        }
    }

    /// Begins an element that later patches do not name.
    pub fn open(&mut self, tag: &'static str) {
        // One number for all of them: the page keeps the last only.
        self.open_as(tag, 1);
    }

    /// Begins an element with a number of its own, from 2 on, for [`Patch::at`].
    pub fn open_as(&mut self, tag: &'static str, node: u32) {
        let name = self.name(tag);
        self.command(Op::Open, name);
        self.word(node);
    }

    /// Ends the current element: its parent becomes the current.
    pub fn close(&mut self) {
        self.command(Op::Close, 0);
    }

    /// Makes an element the current; 0 is the root.
    pub fn at(&mut self, node: u32) {
        self.command(Op::At, node);
    }

    /// Replaces all content of the current by a text.
    pub fn text(&mut self, text: &str) {
        self.put_as(Op::Text, text.as_bytes());
    }

    /// Replaces all content of the current by a number.
    pub fn number(&mut self, number: i32) {
        let before = self.text.len();
        if number < 0 {
            self.text.push(b'-');
        }
        self.digits(number.unsigned_abs());
        let units = self.text.len() - before;
        self.command(Op::Text, units as u32);
    }

    fn digits(&mut self, number: u32) {
        if number > 9 {
            self.digits(number / 10);
        }
        self.text.push(b'0' + (number % 10) as u8);
    }

    /// Sets an attribute of the current. The page refuses those that run code.
    pub fn attribute(&mut self, name: &'static str, value: &str) {
        let name = self.name(name);
        let units = self.put(value.as_bytes());
        self.command(Op::Attribute, name);
        self.word(units);
    }

    /// Sets the classes of the current.
    pub fn class(&mut self, classes: &'static str) {
        let name = self.name(classes);
        self.command(Op::ClassName, name);
    }

    /// Sets the classes of the current to what is put together.
    pub fn classes(&mut self, classes: &str) {
        self.put_as(Op::Class, classes.as_bytes());
    }

    /// Sends `message` at each such event in the current, with `argument`.
    pub fn on(&mut self, event: &'static str, message: u32, argument: u32) {
        let name = self.name(event);
        self.command(Op::On, name);
        self.word(message);
        self.word(argument);
    }

    /// Takes all content of the current away.
    pub fn empty(&mut self) {
        self.command(Op::Clear, 0);
    }

    /// Gives the current the focus.
    pub fn focus(&mut self) {
        self.command(Op::Focus, 0);
    }

    /// Asks the page for something that it grants (`storage.get`, `route.watch`, `timer.after`,
    /// `bus.send`, or the page's own): answers come as `message`.
    pub fn call(&mut self, name: &'static str, message: u32, text: &str) {
        let name = self.name(name);
        let units = self.put(text.as_bytes());
        self.command(Op::Call, name);
        self.word(message);
        self.word(units);
    }

    /// Answers [`SAVE`](crate::SAVE).
    pub fn state(&mut self, state: &str) {
        self.put_as(Op::State, state.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;

    #[test]
    fn numbers_are_written_as_formatting_writes_them() {
        for number in [0, 7, -1, 10, 1_000_000, i32::MAX, i32::MIN] {
            let mut patch = Patch::new();
            patch.number(number);
            assert_eq!(patch.text_bytes(), std::format!("{number}").as_bytes());
        }
    }

    #[test]
    fn a_text_is_as_long_as_the_page_counts_it() {
        let mut patch = Patch::new();
        for text in ["", "plain", "é", "日本", "a🎉b"] {
            assert_eq!(
                patch.put(text.as_bytes()) as usize,
                text.encode_utf16().count()
            );
        }
    }

    #[test]
    fn a_name_is_told_once() {
        let mut patch = Patch::new();
        patch.open("p");
        patch.close();
        patch.open("p");
        let (name, open, close) = (0x101, 2, 4);
        assert_eq!(patch.words(), [name, open, 1, close, open, 1]);
        assert_eq!(patch.text_bytes(), b"p");
    }
}
