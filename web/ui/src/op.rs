//! The numbers of the commands. `web/src/protocol.ts` has the same.

/// A command: the low 8 bits of a word; the upper 24 are its first operand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Op {
    /// (length) The next name: names are numbered from 0 as they come.
    Name = 1,
    /// (name) node. A new element, last in the current, becomes the current.
    Open,
    /// The same in the namespace of SVG.
    OpenSvg,
    /// The current's parent becomes the current.
    Close,
    /// (node) It becomes the current; 0 is the root.
    At,
    /// What is opened next stands nowhere yet.
    Hold,
    /// (parent) before. All that is held is put before a node, 0: at the end.
    Put,
    /// (length) All content of the current becomes this text.
    Text,
    /// (length) node. A new text, last in the current.
    Node,
    /// (name) length. An attribute of the current.
    Attribute,
    /// (name)
    Unattribute,
    /// (name) 0 or 1. An attribute or property that is there or not.
    Flag,
    /// (length) The classes of the current.
    Class,
    /// (name) 0 or 1. One class of the current.
    Toggle,
    /// (length) The value of a field.
    Value,
    /// (name of an event) message, argument.
    On,
    /// (name of an event)
    Off,
    /// (node) before. Moves a child of the current.
    Move,
    /// (node) Takes it away, with all that is in it.
    Remove,
    /// Takes all content of the current away.
    Clear,
    /// Gives the current the focus.
    Focus,
    /// (name) message, length. Asks the page for what it grants.
    Call,
    /// (length) The state, as an answer to [`SAVE`](crate::SAVE).
    State,
    /// (node) first. A copy of an element and those in it with their attributes, without texts and
    /// what they listen to, last in the current; it becomes the current. They are numbered from
    /// `first` on, as they stand.
    Copy,
    /// (name) The classes of the current, by a name.
    ClassName,
    /// (name of an event) node, message, argument. As `On`, for one that is not the current.
    OnAt,
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    /// Names of an enumeration's variants, in order, after the line `head`.
    fn variants<'t>(source: &'t str, head: &str) -> Vec<&'t str> {
        let (_, body) = source.split_once(head).expect("the enumeration");
        let (body, _) = body.split_once("\n}").expect("its end");
        body.lines()
            .map(str::trim)
            .filter(|line| !line.starts_with('/') && !line.is_empty())
            .map(|line| line.trim_end_matches(','))
            .collect()
    }

    #[test]
    fn the_page_has_the_same_commands_in_the_same_order() {
        let own = variants(include_str!("op.rs"), "pub enum Op {\n");
        let page = variants(
            include_str!("../../src/protocol.ts"),
            "export const enum Op {\n",
        );
        assert_eq!(own[0], "Name = 1");
        assert_eq!(own.last(), Some(&"OnAt"));
        assert_eq!(own, page);
    }
}
