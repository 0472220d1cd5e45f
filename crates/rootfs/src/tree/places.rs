//! The places of a tree, in few bytes each: a node takes 64 and its path as many as
//! it has, all paths standing in one piece of memory. An image of a million files is
//! no rarity, and a map of owned paths takes three times as much.

use std::cmp::Ordering;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::{Node, TreeError};

/// Paths and what is there.
#[derive(Debug, Clone, Default)]
pub(super) struct Places {
    text: Vec<u8>,
    rows: Vec<Row>,
}

/// Where a path stands in the text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    start: u32,
    length: u32,
}

#[derive(Debug, Clone)]
struct Row {
    span: Span,
    /// Nothing where something was and is gone.
    node: Option<Node>,
}

impl Places {
    /// Adds a path, at which nothing is yet, and gives its row.
    pub(super) fn push(&mut self, path: &[u8]) -> Result<u32, TreeError> {
        let row = u32::try_from(self.rows.len()).map_err(|_| TreeError::TooLarge)?;
        let start = u32::try_from(self.text.len()).map_err(|_| TreeError::TooLarge)?;
        let length = u32::try_from(path.len()).map_err(|_| TreeError::TooLarge)?;
        self.text.extend_from_slice(path);
        let span = Span { start, length };
        self.rows.push(Row { span, node: None });
        Ok(row)
    }

    /// What is at a row, to be changed.
    pub(super) fn node_mut(&mut self, row: u32) -> &mut Option<Node> {
        &mut self.rows[row as usize].node
    }

    /// What is at a row.
    pub(super) fn node(&self, row: u32) -> Option<&Node> {
        self.rows[row as usize].node.as_ref()
    }

    pub(super) fn span(&self, row: u32) -> Span {
        self.rows[row as usize].span
    }

    /// The path of a row.
    pub(super) fn path(&self, row: u32) -> &Path {
        self.shown(self.span(row))
    }

    pub(super) fn shown(&self, span: Span) -> &Path {
        Path::new(OsStr::from_bytes(bytes(&self.text, span)))
    }

    /// Leaves rows with nothing out and sorts the others part by part; rows have
    /// other numbers then.
    pub(super) fn sort(&mut self) {
        self.rows.retain(|row| row.node.is_some());
        self.rows.shrink_to_fit();
        let text = &self.text;
        self.rows
            .sort_unstable_by(|a, b| part_by_part(bytes(text, a.span), bytes(text, b.span)));
    }

    /// Every path with what is there; once sorted, in that order.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = (&Path, &Node)> {
        self.from(0)
    }

    /// What is at a path, once they are sorted.
    pub(super) fn get(&self, path: &Path) -> Option<&Node> {
        let order = |row: &Row| self.shown(row.span).cmp(path);
        let found = self.rows.binary_search_by(order).ok()?;
        self.rows[found].node.as_ref()
    }

    /// All that comes after a path, once they are sorted.
    pub(super) fn after(&self, path: &Path) -> impl DoubleEndedIterator<Item = (&Path, &Node)> {
        let upto = |row: &Row| self.shown(row.span) <= path;
        self.from(self.rows.partition_point(upto))
    }

    fn from(&self, first: usize) -> impl DoubleEndedIterator<Item = (&Path, &Node)> {
        let there = |row: &Row| row.node.is_some();
        let rows = self.rows[first..].iter().filter(move |row| there(row));
        rows.filter_map(|row| Some((self.shown(row.span), row.node.as_ref()?)))
    }
}

fn bytes(text: &[u8], span: Span) -> &[u8] {
    let start = span.start as usize;
    &text[start..start + span.length as usize]
}

/// As paths are compared, without taking them apart: no name has a byte before `/`
/// if that counts as the zero that no name has.
fn part_by_part(a: &[u8], b: &[u8]) -> Ordering {
    let key = |byte: &u8| if *byte == b'/' { 0 } else { *byte };
    a.iter().map(key).cmp(b.iter().map(key))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn order_of_bytes_is_that_of_paths(
            a in prop::collection::vec("[a./\u{1}-]{1,3}", 1..4),
            b in prop::collection::vec("[a./\u{1}-]{1,3}", 1..4),
        ) {
            let normal = |parts: Vec<String>| {
                let names = parts.iter().map(|part| part.replace(['/', '.'], ""));
                names.filter(|name| !name.is_empty()).collect::<Vec<_>>().join("/")
            };
            let (a, b) = (normal(a), normal(b));
            prop_assert_eq!(
                part_by_part(a.as_bytes(), b.as_bytes()),
                Path::new(&a).cmp(Path::new(&b))
            );
        }
    }
}
