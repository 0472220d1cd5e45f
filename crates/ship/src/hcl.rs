//! HCL as `terraform fmt` writes it: blocks, and attributes whose equals signs
//! stand below each other. For Terraform, OpenTofu and Nomad.

use std::fmt::Write as _;

use crate::node::{Node, quoted};

/// A block, or what stands in one.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    head: String,
    attributes: Vec<(String, Node)>,
    blocks: Vec<Block>,
}

impl Block {
    /// A block of a kind with its labels: `resource "aws_ecs_service" "shop"`.
    pub(crate) fn new(kind: &str, labels: &[&str]) -> Self {
        let labels = labels.iter().map(|label| format!(" {}", text(label)));
        Self {
            head: labels.fold(kind.to_owned(), |head, label| head + &label),
            attributes: Vec::new(),
            blocks: Vec::new(),
        }
    }

    /// With an attribute; one that is absent is left out.
    #[must_use]
    pub(crate) fn set(mut self, name: &str, value: impl Into<Node>) -> Self {
        let value = value.into();
        if value != Node::Absent {
            self.attributes.push((name.to_owned(), value));
        }
        self
    }

    /// With an attribute that is an expression.
    #[must_use]
    pub(crate) fn raw(self, name: &str, expression: &str) -> Self {
        self.set(name, Node::Raw(expression.to_owned()))
    }

    /// With a block in it.
    #[must_use]
    pub(crate) fn with(mut self, block: impl Into<Option<Block>>) -> Self {
        self.blocks.extend(block.into());
        self
    }

    fn write(&self, out: &mut String, depth: usize) {
        let margin = "  ".repeat(depth);
        if self.attributes.is_empty() && self.blocks.is_empty() {
            let _ = writeln!(out, "{margin}{} {{}}", self.head);
            return;
        }
        let _ = writeln!(out, "{margin}{} {{", self.head);
        attributes(&self.attributes, out, depth + 1);
        for (at, block) in self.blocks.iter().enumerate() {
            if at > 0 || !self.attributes.is_empty() {
                out.push('\n');
            }
            block.write(out, depth + 1);
        }
        let _ = writeln!(out, "{margin}}}");
    }
}

/// A file of blocks.
pub(crate) fn file(blocks: &[Block]) -> String {
    let mut out = String::new();
    for (at, block) in blocks.iter().enumerate() {
        if at > 0 {
            out.push('\n');
        }
        block.write(&mut out, 0);
    }
    out
}

/// Those on one line first, aligned; each of several lines after an empty one.
fn attributes(all: &[(String, Node)], out: &mut String, depth: usize) {
    let margin = "  ".repeat(depth);
    let (short, long): (Vec<_>, Vec<_>) = all.iter().partition(|(_, value)| line(value).is_some());
    let widest = short.iter().map(|(name, _)| name.chars().count()).max();
    let widest = widest.unwrap_or(0);
    for (name, value) in &short {
        let value = line(value).unwrap_or_default();
        let _ = writeln!(out, "{margin}{name:widest$} = {value}");
    }
    for (at, (name, value)) in long.iter().enumerate() {
        if at > 0 || !short.is_empty() {
            out.push('\n');
        }
        let _ = write!(out, "{margin}{name} = ");
        lines(value, out, depth);
        out.push('\n');
    }
}

/// A value that fits on a line.
fn line(value: &Node) -> Option<String> {
    match value {
        Node::Absent => Some("null".to_owned()),
        Node::Bool(value) => Some(value.to_string()),
        Node::Number(value) => Some(value.to_string()),
        Node::Text(value) => Some(text(value)),
        Node::Raw(value) => (!value.contains('\n')).then(|| value.clone()),
        Node::List(values) => {
            let simple = values
                .iter()
                .map(|value| match value {
                    Node::Map(_) | Node::List(_) => None,
                    value => line(value),
                })
                .collect::<Option<Vec<_>>>()?;
            Some(format!("[{}]", simple.join(", ")))
        }
        Node::Map(entries) => entries.is_empty().then(|| "{}".to_owned()),
    }
}

fn lines(value: &Node, out: &mut String, depth: usize) {
    let margin = "  ".repeat(depth);
    match value {
        Node::Map(entries) if !entries.is_empty() => {
            out.push_str("{\n");
            let there = entries.iter().filter(|(_, value)| *value != Node::Absent);
            let named: Vec<_> = there
                .map(|(name, value)| (key(name), value.clone()))
                .collect();
            attributes(&named, out, depth + 1);
            let _ = write!(out, "{margin}}}");
        }
        Node::List(values) if line(value).is_none() => {
            out.push_str("[\n");
            for value in values {
                let _ = write!(out, "{margin}  ");
                lines(value, out, depth + 1);
                out.push_str(",\n");
            }
            let _ = write!(out, "{margin}]");
        }
        Node::Raw(text) => out.push_str(text),
        value => out.push_str(&line(value).unwrap_or_default()),
    }
}

/// `NAME(VALUE)` over several lines, as an expression.
pub(crate) fn call(name: &str, value: &Node, depth: usize) -> Node {
    let mut out = format!("{name}(");
    lines(value, &mut out, depth);
    out.push(')');
    Node::Raw(out)
}

fn key(name: &str) -> String {
    let plain = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    match plain {
        true => name.to_owned(),
        false => text(name),
    }
}

/// Text in quotes, in which nothing is a template.
pub(crate) fn text(value: &str) -> String {
    quoted(value).replace("${", "$${").replace("%{", "%%{")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{list, map};

    #[test]
    fn equals_signs_stand_below_each_other_and_templates_are_none() {
        let block = Block::new("resource", &["a", "b"])
            .set("name", "x${y}")
            .raw("cluster", "var.cluster")
            .set("tags", map! { "Name" => "x", "a-b" => list![1, 2] })
            .with(Block::new("network", &[]).set("public", false))
            .with(Block::new("empty", &[]));
        assert_eq!(
            file(&[block]),
            "resource \"a\" \"b\" {\n  name    = \"x$${y}\"\n  cluster = var.cluster\n\n  tags = {\n    \
             Name  = \"x\"\n    \"a-b\" = [1, 2]\n  }\n\n  network {\n    public = false\n  }\n\n  \
             empty {}\n}\n"
        );
    }
}
