//! A document as a tree whose maps keep their order, and its text as YAML or
//! JSON.
//!
//! Kubernetes, compose and CloudFormation are all told in such trees. They are
//! put together by [`map!`](crate::map) and [`list!`](crate::list); what is
//! absent (an empty `Option`) leaves no trace.

use std::fmt::Write as _;

/// A value of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// Left out where it stands.
    Absent,
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Number(i64),
    /// Text, quoted where it has to be.
    Text(String),
    /// Written as it is: an expression of a template, `{{ .Values.image }}`.
    Raw(String),
    /// A list.
    List(Vec<Node>),
    /// Names and values, in their order.
    Map(Vec<(String, Node)>),
}

/// A map of a document, in the order written.
#[macro_export]
macro_rules! map {
    ($($key:expr => $value:expr),* $(,)?) => {
        $crate::node::Node::Map(vec![$(($key.into(), $crate::node::Node::from($value))),*])
    };
}

/// A list of a document.
#[macro_export]
macro_rules! list {
    ($($value:expr),* $(,)?) => {
        $crate::node::Node::List(vec![$($crate::node::Node::from($value)),*])
    };
}

impl From<&str> for Node {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<&String> for Node {
    fn from(text: &String) -> Self {
        Self::Text(text.clone())
    }
}

impl From<String> for Node {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<bool> for Node {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

macro_rules! numbers {
    ($($number:ty),*) => {
        $(impl From<$number> for Node {
            fn from(value: $number) -> Self {
                Self::Number(i64::from(value))
            }
        })*
    };
}
numbers!(i32, i64, u16, u32);

impl<T: Into<Node>> From<Option<T>> for Node {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Absent, Into::into)
    }
}

impl<T: Into<Node>> From<Vec<T>> for Node {
    fn from(values: Vec<T>) -> Self {
        Self::List(values.into_iter().map(Into::into).collect())
    }
}

impl Node {
    /// The value under a name of a map.
    pub fn get(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Map(entries) => {
                let found = entries.iter().find(|(key, _)| key == name);
                found.map(|(_, value)| value)
            }
            _ => None,
        }
    }

    /// The value at a path of names.
    pub fn at(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |node, name| node.get(name))
    }

    /// Text, if it is that.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A place to write to, below names of maps; made where it is missing.
    pub fn put(&mut self, path: &[&str], value: impl Into<Self>) {
        let Some((first, rest)) = path.split_first() else {
            *self = value.into();
            return;
        };
        if !matches!(self, Self::Map(_)) {
            *self = Self::Map(Vec::new());
        }
        let Self::Map(entries) = self else { return };
        let at = entries.iter().position(|(key, _)| key == first);
        let at = at.unwrap_or_else(|| {
            entries.push(((*first).to_owned(), Self::Absent));
            entries.len() - 1
        });
        entries[at].1.put(rest, value);
    }

    /// As a value of JSON, whose maps are in alphabetical order.
    pub fn json(&self) -> serde_json::Value {
        use serde_json::Value;
        match self {
            Self::Absent => Value::Null,
            Self::Bool(value) => (*value).into(),
            Self::Number(value) => (*value).into(),
            Self::Text(text) | Self::Raw(text) => text.as_str().into(),
            Self::List(values) => values.iter().filter(there).map(Self::json).collect(),
            Self::Map(entries) => {
                let entries = entries.iter().filter(|(_, value)| there(&value));
                Value::Object(
                    entries
                        .map(|(key, value)| (key.clone(), value.json()))
                        .collect(),
                )
            }
        }
    }

    /// As indented JSON with a last newline, in the order written.
    pub fn json_text(&self) -> String {
        let mut text = String::new();
        self.write_json(&mut text, 0);
        text.push('\n');
        text
    }

    fn write_json(&self, out: &mut String, depth: usize) {
        let line = |out: &mut String, depth: usize| {
            out.push('\n');
            out.push_str(&"  ".repeat(depth));
        };
        match self {
            Self::Absent => out.push_str("null"),
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Number(value) => {
                let _ = write!(out, "{value}");
            }
            Self::Text(text) | Self::Raw(text) => out.push_str(&quoted(text)),
            Self::List(values) => {
                out.push('[');
                let mut first = true;
                for value in values.iter().filter(there) {
                    if !std::mem::take(&mut first) {
                        out.push(',');
                    }
                    line(out, depth + 1);
                    value.write_json(out, depth + 1);
                }
                if !first {
                    line(out, depth);
                }
                out.push(']');
            }
            Self::Map(entries) => {
                out.push('{');
                let mut first = true;
                for (key, value) in entries.iter().filter(|(_, value)| there(&value)) {
                    if !std::mem::take(&mut first) {
                        out.push(',');
                    }
                    line(out, depth + 1);
                    let _ = write!(out, "{}: ", quoted(key));
                    value.write_json(out, depth + 1);
                }
                if !first {
                    line(out, depth);
                }
                out.push('}');
            }
        }
    }

    /// As YAML 1.2 that every reader of 1.1 takes alike: what could be read as
    /// something else than text is quoted.
    pub fn yaml(&self) -> String {
        let mut text = String::new();
        match self {
            Self::Map(_) | Self::List(_) if !self.is_empty() => self.block(&mut text, 0, false),
            scalar => {
                text.push_str(&scalar.scalar());
                text.push('\n');
            }
        }
        text
    }

    fn is_empty(&self) -> bool {
        match self {
            Self::List(values) => !values.iter().any(|value| there(&value)),
            Self::Map(entries) => !entries.iter().any(|(_, value)| there(&value)),
            _ => false,
        }
    }

    /// Lines of a map or a list; `inline` where the first stands behind a dash.
    fn block(&self, out: &mut String, depth: usize, inline: bool) {
        let mut inline = inline;
        let mut margin = |out: &mut String| {
            if !std::mem::take(&mut inline) {
                out.push_str(&"  ".repeat(depth));
            }
        };
        match self {
            Self::Map(entries) => {
                for (key, value) in entries.iter().filter(|(_, value)| there(&value)) {
                    margin(out);
                    out.push_str(&scalar_text(key));
                    out.push(':');
                    match value {
                        Self::Map(_) if !value.is_empty() => {
                            out.push('\n');
                            value.block(out, depth + 1, false);
                        }
                        Self::List(_) if !value.is_empty() => {
                            out.push('\n');
                            value.block(out, depth + 1, false);
                        }
                        scalar => {
                            out.push(' ');
                            out.push_str(&scalar.scalar());
                            out.push('\n');
                        }
                    }
                }
            }
            Self::List(values) => {
                for value in values.iter().filter(there) {
                    margin(out);
                    out.push_str("- ");
                    match value {
                        Self::Map(_) | Self::List(_) if !value.is_empty() => {
                            value.block(out, depth + 1, true);
                        }
                        scalar => {
                            out.push_str(&scalar.scalar());
                            out.push('\n');
                        }
                    }
                }
            }
            _ => {}
        }
    }

    fn scalar(&self) -> String {
        match self {
            Self::Absent => "null".to_owned(),
            Self::Bool(value) => value.to_string(),
            Self::Number(value) => value.to_string(),
            Self::Text(text) => scalar_text(text),
            Self::Raw(text) => text.clone(),
            Self::List(_) => "[]".to_owned(),
            Self::Map(_) => "{}".to_owned(),
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as filters take it")]
fn there(node: &&Node) -> bool {
    !matches!(node, Node::Absent)
}

/// Words that YAML 1.1 reads as truth values or nothing, in any case.
const WORDS: &[&str] = &[
    "y", "n", "yes", "no", "on", "off", "true", "false", "null", "none",
];

/// Text as YAML has it: plain where nobody could take it for anything else.
fn scalar_text(text: &str) -> String {
    let is_plain = text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '/')
        && !text.ends_with(':')
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_./@:-".contains(&byte))
        && !WORDS.contains(&text.to_ascii_lowercase().as_str());
    match is_plain {
        true => text.to_owned(),
        false => quoted(text),
    }
}

/// Text as a string of JSON, which YAML's double-quoted style takes as it is.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            // The line ends of Unicode, and its byte order mark, are breaks or
            // nothing to some readers of YAML.
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}') => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yaml_keeps_the_order_and_leaves_out_what_is_absent() {
        let nothing: Option<&str> = None;
        let node = map! {
            "kind" => "Pod",
            "absent" => nothing,
            "list" => list![map! { "a" => 1, "b" => list!["x", "y"] }, "plain"],
            "empty" => map! {},
            "deep" => map! { "on" => "yes" },
        };
        assert_eq!(
            node.yaml(),
            "kind: Pod\nlist:\n  - a: 1\n    b:\n      - x\n      - \"y\"\n  - plain\nempty: {}\n\
             deep:\n  \"on\": \"yes\"\n"
        );
    }

    #[test]
    fn text_that_looks_like_something_else_is_quoted() {
        for text in [
            "no",
            "1",
            "0x1f",
            "1e3",
            "~",
            "",
            "- a",
            "a: b",
            "a #b",
            "12:30",
            "é\u{2028}",
        ] {
            assert!(Node::from(text).yaml().starts_with('"'), "{text:?}");
        }
        for text in ["web", "registry.example:5000/a@sha256:00", "/healthz"] {
            assert_eq!(Node::from(text).yaml(), format!("{text}\n"));
        }
    }

    #[test]
    fn text_of_json_reads_as_the_same_value() {
        let node = map! { "b" => "line\nbreak \"and\" \\ \u{1}", "a" => list![1, true, map! {}] };
        let read: serde_json::Value = serde_json::from_str(&node.json_text()).unwrap();
        assert_eq!(read, node.json());
    }

    #[test]
    fn what_is_put_is_found_there() {
        let mut node = map! { "a" => map! { "b" => 1 } };
        node.put(&["a", "c", "d"], "x");
        node.put(&["a", "b"], 2);
        assert_eq!(node.at(&["a", "c", "d"]).and_then(Node::text), Some("x"));
        assert_eq!(node.at(&["a", "b"]), Some(&Node::Number(2)));
    }
}
