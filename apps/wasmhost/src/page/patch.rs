//! What a component answers with, done to a tree: the same commands as
//! `web/src/surface.ts` does to a document, refused for the same reasons.

use std::collections::HashMap;

use super::policy;
use super::tree::{PROPERTIES, Place, ROOT, Tree, TreeError};

/// Commands: the low 8 bits of a word; the upper 24 are its first operand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Op {
    Name = 1,
    Open,
    OpenSvg,
    Close,
    At,
    Hold,
    Put,
    Text,
    Node,
    Attribute,
    Unattribute,
    Flag,
    Class,
    Toggle,
    Value,
    On,
    Off,
    Move,
    Remove,
    Clear,
    Focus,
    Call,
    State,
    Copy,
    ClassName,
    OnAt,
}

const OPS: [Op; 26] = [
    Op::Name,
    Op::Open,
    Op::OpenSvg,
    Op::Close,
    Op::At,
    Op::Hold,
    Op::Put,
    Op::Text,
    Op::Node,
    Op::Attribute,
    Op::Unattribute,
    Op::Flag,
    Op::Class,
    Op::Toggle,
    Op::Value,
    Op::On,
    Op::Off,
    Op::Move,
    Op::Remove,
    Op::Clear,
    Op::Focus,
    Op::Call,
    Op::State,
    Op::Copy,
    Op::ClassName,
    Op::OnAt,
];

/// A patch that is not done.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum PatchError {
    /// It ends within a command.
    #[error("a command has no operands")]
    CutShort,
    /// Lengths are in units of UTF-16, as pages count.
    #[error("texts are missing, or one ends within a character")]
    Texts,
    /// No such number.
    #[error("command {0} is unknown")]
    Command(u8),
    /// No such number.
    #[error("there is no name {0}")]
    Name(u32),
    /// No such number.
    #[error("there is no node {0}")]
    Node(u32),
    /// Only what is in it is the component's.
    #[error("the root is the page's")]
    Root,
    /// It has no parent within the component.
    #[error("the root is left")]
    Left,
    /// Nothing to be put.
    #[error("nothing is held")]
    NotHeld,
    /// The page's policy.
    #[error("<{0}> is forbidden")]
    Tag(String),
    /// The page's policy.
    #[error("forbidden: {name}={value:?}")]
    Attribute {
        /// The attribute.
        name: String,
        /// Its value.
        value: String,
    },
    /// The tree does not take it.
    #[error(transparent)]
    Tree(#[from] TreeError),
}

/// Something that a component asks its page for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Call {
    /// What it asks for.
    pub(super) name: String,
    /// The message that an answer comes as.
    pub(super) message: u32,
}

/// What is below a root, with the numbers that a component has for it.
#[derive(Debug)]
pub(super) struct Surface {
    pub(super) tree: Tree,
    nodes: HashMap<u32, Place>,
    names: Vec<String>,
    calls: Vec<Call>,
}

/// What is left of a patch.
struct Rest<'p> {
    words: std::slice::ChunksExact<'p, u8>,
    text: &'p str,
}

impl<'p> Rest<'p> {
    fn word(&mut self) -> Result<u32, PatchError> {
        let bytes = self.words.next().ok_or(PatchError::CutShort)?;
        let bytes = bytes.try_into().map_err(|_| PatchError::CutShort)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn text(&mut self, units: u32) -> Result<&'p str, PatchError> {
        let mut left = units as usize;
        let mut end = 0;
        let mut chars = self.text.chars();
        while left > 0 {
            let char = chars.next().ok_or(PatchError::Texts)?;
            left = left
                .checked_sub(char.len_utf16())
                .ok_or(PatchError::Texts)?;
            end += char.len_utf8();
        }
        let (piece, rest) = self.text.split_at(end);
        self.text = rest;
        Ok(piece)
    }
}

impl Surface {
    /// An empty root.
    pub(super) fn new() -> Self {
        Self {
            tree: Tree::new(),
            nodes: HashMap::from([(0, ROOT)]),
            names: Vec::new(),
            calls: Vec::new(),
        }
    }

    /// What was asked for since this was last called.
    pub(super) fn calls(&mut self) -> Vec<Call> {
        std::mem::take(&mut self.calls)
    }

    /// Does what a patch says: its commands (words, little-endian) and the text
    /// that all of its texts are parts of.
    pub(super) fn apply(&mut self, words: &[u8], text: &str) -> Result<(), PatchError> {
        let mut rest = Rest {
            words: words.chunks_exact(4),
            text,
        };
        let mut current = ROOT;
        let mut held = None;
        while rest.words.len() > 0 {
            let word = rest.word()?;
            let operand = word >> 8;
            let number = word.to_le_bytes()[0];
            let op = usize::from(number)
                .checked_sub(1)
                .and_then(|at| OPS.get(at))
                .ok_or(PatchError::Command(number))?;
            match op {
                Op::Name => self.names.push(rest.text(operand)?.to_owned()),
                Op::Open | Op::OpenSvg => {
                    let name = name(&self.names, operand)?;
                    if !policy::permits_tag(name) {
                        return Err(PatchError::Tag(name.to_owned()));
                    }
                    let made = self.tree.element(name, *op == Op::OpenSvg)?;
                    self.nodes.insert(rest.word()?, made);
                    self.tree.insert(current, made, None)?;
                    current = made;
                }
                Op::Close => current = self.tree.parent(current).ok_or(PatchError::Left)?,
                Op::At => current = self.node(operand)?,
                Op::Hold => {
                    current = self.tree.holder()?;
                    held = Some(current);
                }
                Op::Put => {
                    let held = held.take().ok_or(PatchError::NotHeld)?;
                    current = self.node(operand)?;
                    let before = self.before(rest.word()?)?;
                    self.tree.insert(current, held, before)?;
                }
                Op::Text => self.tree.set_text(current, rest.text(operand)?)?,
                Op::Node => {
                    let made = self.tree.text(rest.text(operand)?)?;
                    self.nodes.insert(rest.word()?, made);
                    self.tree.insert(current, made, None)?;
                }
                Op::Attribute => {
                    let length = rest.word()?;
                    self.attribute(current, operand, rest.text(length)?)?;
                }
                Op::Unattribute => {
                    let name = name(&self.names, operand)?;
                    self.tree.set_attribute(inner(current)?, name, None)?;
                }
                Op::Flag => {
                    let is_on = rest.word()? != 0;
                    let name = name(&self.names, operand)?;
                    if name == "indeterminate" {
                        // No markup says it.
                        inner(current)?;
                    } else if PROPERTIES.contains(&name) {
                        let value = is_on.then_some("");
                        self.tree.set_attribute(inner(current)?, name, value)?;
                    } else if is_on {
                        self.attribute(current, operand, "")?;
                    } else {
                        self.tree.set_attribute(inner(current)?, name, None)?;
                    }
                }
                Op::Class => {
                    let classes = rest.text(operand)?;
                    self.tree
                        .set_attribute(inner(current)?, "class", Some(classes))?;
                }
                Op::ClassName => {
                    let classes = name(&self.names, operand)?;
                    self.tree
                        .set_attribute(inner(current)?, "class", Some(classes))?;
                }
                Op::Toggle => {
                    let is_on = rest.word()? != 0;
                    let class = name(&self.names, operand)?;
                    self.tree.toggle(inner(current)?, class, is_on)?;
                }
                Op::Value => {
                    let value = rest.text(operand)?;
                    self.tree.set_value(inner(current)?, value)?;
                }
                // Nobody acts on what a server writes.
                Op::On => {
                    name(&self.names, operand)?;
                    rest.word()?;
                    rest.word()?;
                }
                Op::OnAt => {
                    name(&self.names, operand)?;
                    self.node(rest.word()?)?;
                    rest.word()?;
                    rest.word()?;
                }
                Op::Off | Op::Focus => {}
                Op::Move => {
                    let node = self.own(operand)?;
                    let before = self.before(rest.word()?)?;
                    self.tree.insert(current, node, before)?;
                }
                Op::Remove => {
                    let node = self.own(operand)?;
                    self.tree.remove(node);
                    self.nodes.remove(&operand);
                }
                Op::Clear => self.tree.clear(current),
                Op::Call => {
                    let (message, length) = (rest.word()?, rest.word()?);
                    rest.text(length)?;
                    let name = name(&self.names, operand)?.to_owned();
                    self.calls.push(Call { name, message });
                }
                // Only what asks for the state wants it.
                Op::State => {
                    rest.text(operand)?;
                }
                Op::Copy => {
                    let node = self.own(operand)?;
                    let first = rest.word()?;
                    let (made, elements) = self.tree.copy(node)?;
                    for (number, element) in (first..).zip(elements) {
                        self.nodes.insert(number, element);
                    }
                    self.tree.insert(current, made, None)?;
                    current = made;
                }
            }
        }
        Ok(())
    }

    fn attribute(&mut self, node: Place, number: u32, value: &str) -> Result<(), PatchError> {
        let name = name(&self.names, number)?;
        if !policy::permits_attribute(name, value) {
            return Err(PatchError::Attribute {
                name: name.to_owned(),
                value: value.to_owned(),
            });
        }
        Ok(self.tree.set_attribute(inner(node)?, name, Some(value))?)
    }

    fn node(&self, number: u32) -> Result<Place, PatchError> {
        self.nodes
            .get(&number)
            .copied()
            .ok_or(PatchError::Node(number))
    }

    /// A node of the component's own.
    fn own(&self, number: u32) -> Result<Place, PatchError> {
        match number {
            0 => Err(PatchError::Root),
            number => self.node(number),
        }
    }

    /// What something is put before; 0: nothing.
    fn before(&self, number: u32) -> Result<Option<Place>, PatchError> {
        match number {
            0 => Ok(None),
            number => self.node(number).map(Some),
        }
    }
}

fn name(names: &[String], number: u32) -> Result<&str, PatchError> {
    let found = usize::try_from(number).ok().and_then(|at| names.get(at));
    found.map(String::as_str).ok_or(PatchError::Name(number))
}

fn inner(node: Place) -> Result<Place, PatchError> {
    match node {
        ROOT => Err(PatchError::Root),
        node => Ok(node),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Words and texts as a component writes them.
    #[derive(Default)]
    struct Written {
        words: Vec<u8>,
        text: String,
    }

    impl Written {
        fn word(mut self, word: u32) -> Self {
            self.words.extend(word.to_le_bytes());
            self
        }

        fn op(self, op: Op, operand: u32) -> Self {
            self.word(u32::from(op as u8) | operand << 8)
        }

        fn texted(mut self, op: Op, text: &str) -> Self {
            self.text.push_str(text);
            let units = u32::try_from(text.encode_utf16().count()).unwrap();
            self.op(op, units)
        }

        fn html(&self) -> Result<String, PatchError> {
            let mut surface = Surface::new();
            surface.apply(&self.words, &self.text)?;
            Ok(surface.tree.html())
        }
    }

    fn opened(tag: &str) -> Written {
        Written::default()
            .texted(Op::Name, tag)
            .op(Op::Open, 0)
            .word(2)
    }

    #[test]
    fn commands_have_the_numbers_that_components_are_written_with() {
        let source = include_str!("../../../../web/ui/src/op.rs");
        let (_, body) = source.split_once("pub enum Op {\n").expect("the commands");
        let (body, _) = body.split_once("\n}").expect("their end");
        let theirs: Vec<&str> = body
            .lines()
            .map(|line| line.trim().trim_end_matches(','))
            .filter(|line| !line.starts_with('/') && !line.is_empty())
            .map(|line| line.trim_end_matches(" = 1"))
            .collect();
        let own: Vec<String> = OPS.iter().map(|op| format!("{op:?}")).collect();
        assert_eq!(own, theirs);
        for (at, op) in OPS.iter().enumerate() {
            assert_eq!(usize::from(*op as u8), at + 1);
        }
    }

    #[test]
    fn a_patch_becomes_html() {
        let written = opened("p")
            .texted(Op::Text, "a < b 🎉")
            .op(Op::Close, 0)
            .op(Op::Copy, 2)
            .word(9)
            .texted(Op::Class, "x\"y")
            .op(Op::Close, 0)
            .op(Op::Hold, 0)
            .texted(Op::Node, "held")
            .word(5)
            .op(Op::Put, 0)
            .word(9);
        assert_eq!(
            written.html().unwrap(),
            "<p>a &#60; b 🎉</p>held<p class=\"x&#34;y\"></p>"
        );
    }

    #[test]
    fn what_the_page_would_refuse_is_refused_here() {
        for tag in ["script", "iframe", "x-own", "Style", "plaintext"] {
            let refused = opened(tag).html();
            assert_eq!(refused, Err(PatchError::Tag(tag.to_owned())));
        }
        for (name, value) in [
            ("onclick", "alert(1)"),
            ("href", "javascript:alert(1)"),
            ("style", "x"),
        ] {
            let mut written = opened("a")
                .texted(Op::Name, name)
                .op(Op::Attribute, 1)
                .word(u32::try_from(value.len()).unwrap());
            written.text.push_str(value);
            assert!(
                matches!(written.html(), Err(PatchError::Attribute { .. })),
                "{name}"
            );
        }
        // A flag sets an attribute as well.
        let flag = opened("a")
            .texted(Op::Name, "onclick")
            .op(Op::Flag, 1)
            .word(1);
        assert!(matches!(flag.html(), Err(PatchError::Attribute { .. })));
    }

    #[test]
    fn broken_patches_are_told_and_the_root_is_the_pages() {
        let bad = [
            (Written::default().word(0), PatchError::Command(0)),
            (Written::default().word(27), PatchError::Command(27)),
            (Written::default().op(Op::Open, 7), PatchError::Name(7)),
            (Written::default().op(Op::Close, 0), PatchError::Left),
            (Written::default().op(Op::At, 3), PatchError::Node(3)),
            (Written::default().op(Op::Text, 1), PatchError::Texts),
            (Written::default().op(Op::Remove, 0), PatchError::Root),
            (Written::default().op(Op::Class, 0), PatchError::Root),
            (Written::default().op(Op::Put, 0), PatchError::NotHeld),
            (Written::default().op(Op::Toggle, 0), PatchError::CutShort),
            (
                opened("p").op(Op::At, 2).op(Op::Move, 2).word(0),
                PatchError::Tree(TreeError::Circle),
            ),
        ];
        for (written, error) in bad {
            assert_eq!(written.html(), Err(error));
        }
        // Half of a pair is no text.
        let mut half = opened("p");
        half.text.push('🎉');
        assert_eq!(half.op(Op::Text, 1).html(), Err(PatchError::Texts));
    }

    #[test]
    fn words_at_random_never_panic() {
        let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = || {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed
        };
        for _ in 0..20_000 {
            let mut written = Written::default()
                .texted(Op::Name, "p")
                .texted(Op::Name, "class");
            written.text.push_str("some text, é and 🎉");
            for _ in 0..random() % 24 {
                let [op, operand, second, ..] = random().to_le_bytes();
                let op = OPS[usize::from(op) % OPS.len()];
                written = written
                    .op(op, u32::from(operand % 5))
                    .word(u32::from(second % 5));
            }
            let mut surface = Surface::new();
            let _ = surface.apply(&written.words, &written.text);
            let html = surface.tree.html();
            assert_eq!(html.matches('<').count(), html.matches('>').count());
        }
    }
}
