//! What is to be seen, as flat words: written by an [`App`](crate::App)'s view function, compared
//! by `difference`.

use alloc::vec::Vec;

use crate::bare::Bare as _;
use crate::patch::Patch;

/// An element: its head, its settings, its content.
pub(crate) const ELEMENT: u32 = 0;
/// A text among other content.
pub(crate) const TEXT: u32 = 1;
/// Settings of an element; all have [`SMALL`] words.
pub(crate) const ATTRIBUTE: u32 = 2;
pub(crate) const CLASS: u32 = 3;
pub(crate) const VALUE: u32 = 4;
pub(crate) const FLAG: u32 = 5;
pub(crate) const ON: u32 = 6;
pub(crate) const FOCUS: u32 = 7;
pub(crate) const CLASSES: u32 = 8;

/// Words of an element's head: kind (and 16 for SVG), name, key, node, end.
pub(crate) const HEAD: usize = 5;
/// Words of all else: kind, name or node, and two more: a text's place and length, or values.
pub(crate) const SMALL: usize = 4;
/// The flag of an element's kind that stands in the namespace of SVG.
pub(crate) const SVG: u32 = 16;
/// The key of an element that has none.
pub(crate) const KEYLESS: u32 = u32::MAX;

/// A tree, in the order in which it is read.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    pub(crate) words: Vec<u32>,
    pub(crate) text: Vec<u8>,
}

impl Tree {
    pub(crate) const fn new() -> Self {
        Self {
            words: Vec::new(),
            text: Vec::new(),
        }
    }

    pub(crate) fn clear(&mut self) {
        self.words.clear();
        self.text.clear();
    }

    pub(crate) fn kind(&self, at: usize) -> u32 {
        self.words.at(at) & 15
    }

    /// The text that the last two of the small words at `at` name.
    pub(crate) fn text(&self, at: usize) -> &[u8] {
        let from = self.words.at(at + 2) as usize;
        self.text.part(from, from + self.words.at(at + 3) as usize)
    }

    /// Where what stands at `at` ends.
    pub(crate) fn end(&self, at: usize) -> usize {
        match self.kind(at) {
            ELEMENT => self.words.at(at + 4) as usize,
            _ => at + SMALL,
        }
    }

    /// Where the content of an element begins.
    pub(crate) fn content(&self, element: usize) -> usize {
        let end = self.end(element);
        let mut at = element + HEAD;
        while at < end && self.kind(at) > TEXT {
            at += SMALL;
        }
        at
    }

    /// The text that is all of an element's content.
    pub(crate) fn only_text(&self, element: usize) -> Option<&[u8]> {
        let at = self.content(element);
        (at + SMALL == self.end(element) && self.kind(at) == TEXT).then(|| self.text(at))
    }
}

/// Takes what a view function says. An element's settings come before what is in it.
#[derive(Debug)]
pub struct View<'a> {
    tree: &'a mut Tree,
    /// Knows the names.
    patch: &'a mut Patch,
    /// Where the element begins that is being said.
    open: usize,
    svg: u32,
}

impl<'a> View<'a> {
    /// Begins a tree with its root, which is the page's.
    pub(crate) fn new(tree: &'a mut Tree, patch: &'a mut Patch) -> Self {
        tree.clear();
        tree.words.extend_from_slice(&[ELEMENT, 0, KEYLESS, 0, 0]);
        Self {
            tree,
            patch,
            open: 0,
            svg: 0,
        }
    }

    pub(crate) fn finish(self) {
        let end = self.tree.words.len() as u32;
        self.tree.words.put(4, end);
    }

    /// An element; among its like it is told apart by its place.
    #[inline]
    pub fn element(&mut self, tag: &'static str, inside: impl FnOnce(&mut Self)) {
        self.keyed(KEYLESS, tag, inside);
    }

    /// An element that stays itself wherever it stands among its siblings. Keys are below `u32::MAX`.
    #[inline]
    pub fn keyed(&mut self, key: u32, tag: &'static str, inside: impl FnOnce(&mut Self)) {
        let (outer, svg) = self.begin(key, tag);
        inside(self);
        self.end(outer, svg);
    }

    fn begin(&mut self, key: u32, tag: &'static str) -> (usize, u32) {
        let name = self.patch.name(tag);
        let before = (self.open, self.svg);
        if tag == "svg" {
            self.svg = SVG;
        }
        self.open = self.tree.words.len();
        self.tree
            .words
            .extend_from_slice(&[ELEMENT | self.svg, name, key, 0, 0]);
        before
    }

    fn end(&mut self, outer: usize, svg: u32) {
        let end = self.tree.words.len() as u32;
        self.tree.words.put(self.open + 4, end);
        self.open = outer;
        self.svg = svg;
    }

    fn setting(&mut self, kind: u32, name: u32, one: u32, other: u32) {
        self.tree.words.extend_from_slice(&[kind, name, one, other]);
    }

    fn texted(&mut self, kind: u32, name: u32, text: &[u8]) {
        let from = self.tree.text.len() as u32;
        self.tree.text.extend_from_slice(text);
        self.setting(kind, name, from, text.len() as u32);
    }

    /// Its classes.
    pub fn class(&mut self, classes: &'static str) {
        let number = self.patch.name(classes);
        self.setting(CLASS, 0, number, 0);
    }

    /// Its classes, put together. The page keeps no name for them.
    pub fn classes(&mut self, classes: &str) {
        self.texted(CLASSES, 0, classes.as_bytes());
    }

    /// An attribute. The page refuses those that run code.
    pub fn attribute(&mut self, name: &'static str, value: &str) {
        let name = self.patch.name(name);
        self.texted(ATTRIBUTE, name, value.as_bytes());
    }

    /// An attribute or property that is there or not: `checked`, `hidden`, `disabled`.
    pub fn flag(&mut self, name: &'static str, on: bool) {
        let name = self.patch.name(name);
        self.setting(FLAG, name, u32::from(on), 0);
    }

    /// The value of a field; what its user has typed stays where this does not change.
    pub fn value(&mut self, value: &str) {
        self.texted(VALUE, 0, value.as_bytes());
    }

    /// Sends `message` at each such event in it, with `argument`.
    pub fn on(&mut self, event: &'static str, message: u32, argument: u32) {
        let name = self.patch.name(event);
        self.setting(ON, name, message, argument);
    }

    /// Gives it the focus when `on` becomes true.
    pub fn focus(&mut self, on: bool) {
        self.setting(FOCUS, 0, u32::from(on), 0);
    }

    /// A text in it.
    pub fn text(&mut self, text: &str) {
        self.texted(TEXT, 0, text.as_bytes());
    }

    /// A number as text in it.
    pub fn number(&mut self, number: i32) {
        let from = self.tree.text.len();
        if number < 0 {
            self.tree.text.push(b'-');
        }
        let mut scale = 1;
        while number.unsigned_abs() / scale > 9 {
            scale *= 10;
        }
        while scale > 0 {
            let digit = number.unsigned_abs() / scale % 10;
            self.tree.text.push(b'0' + digit as u8);
            scale /= 10;
        }
        let length = self.tree.text.len() - from;
        self.setting(TEXT, 0, from as u32, length as u32);
    }
}
