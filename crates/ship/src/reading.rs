//! YAML that others have written, read: kubeconfigs, and files in which images
//! are named.
//!
//! The parser is `saphyr-parser`'s, which tells where each scalar stands; so a
//! file can be changed in a place without a comment or a blank of it changing.

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span};
use serde_json::{Map, Value};

/// How deep a document may be nested.
const DEEPEST: usize = 64;
/// Most bytes of a file.
const MOST_BYTES: usize = 8 << 20;
/// Most values of a file.
const MOST_VALUES: usize = 500_000;

/// A text is no YAML, or not for us.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadingError {
    /// A rule of YAML's is broken.
    #[error("line {line}, column {column}: {why}")]
    Syntax {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
        /// The rule.
        why: String,
    },
    /// More than any file for us has.
    #[error("it is {0}")]
    TooMuch(&'static str),
}

impl From<ScanError> for ReadingError {
    fn from(error: ScanError) -> Self {
        Self::Syntax {
            line: error.marker().line(),
            column: error.marker().col() + 1,
            why: error.info().to_owned(),
        }
    }
}

/// A scalar and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scalar {
    /// What it means.
    pub text: String,
    /// Where it begins and ends in the file's bytes, quotes counted.
    pub bytes: std::ops::Range<usize>,
    /// Its line, from 1.
    pub line: usize,
}

/// The documents of a text.
///
/// # Errors
/// It is not YAML, has aliases (which no file for us needs), or is too large.
pub fn documents(text: &str) -> Result<Vec<Value>, ReadingError> {
    bounded(text)?;
    let mut documents = Vec::new();
    // Values that are not finished, and the names under which the next goes.
    let mut open: Vec<(Value, Option<String>)> = Vec::new();
    let mut count = 0;
    for event in Parser::new_from_str(text) {
        let (event, span) = event?;
        let done = match event {
            Event::MappingStart(..) => {
                open.push((Value::Object(Map::new()), None));
                None
            }
            Event::SequenceStart(..) => {
                open.push((Value::Array(Vec::new()), None));
                None
            }
            Event::MappingEnd | Event::SequenceEnd => open.pop().map(|(value, _)| value),
            Event::Scalar(text, style, ..) => Some(scalar(&text, style)),
            Event::Alias(_) => return Err(wrong(&span, "aliases are not read here")),
            _ => None,
        };
        count += 1;
        if count > MOST_VALUES {
            return Err(ReadingError::TooMuch("of more than 500,000 values"));
        }
        if open.len() > DEEPEST {
            return Err(ReadingError::TooMuch("nested more than 64 deep"));
        }
        let Some(value) = done else { continue };
        match open.last_mut() {
            None => documents.push(value),
            Some((Value::Array(values), _)) => values.push(value),
            Some((Value::Object(entries), name)) => match name.take() {
                Some(key) => {
                    if entries.insert(key, value).is_some() {
                        return Err(wrong(&span, "a name stands there twice"));
                    }
                }
                None => {
                    let key = match value {
                        Value::String(key) => key,
                        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
                        _ => return Err(wrong(&span, "a name is no scalar")),
                    };
                    *name = Some(key);
                }
            },
            Some(_) => {}
        }
    }
    Ok(documents)
}

/// Every scalar of a text, in its order.
///
/// # Errors
/// As [`documents`], aliases allowed.
pub fn scalars(text: &str) -> Result<Vec<Scalar>, ReadingError> {
    bounded(text)?;
    // Marks count characters.
    let starts: Vec<usize> = text
        .char_indices()
        .map(|(at, _)| at)
        .chain([text.len()])
        .collect();
    let byte = |index: usize| starts.get(index).copied().unwrap_or(text.len());
    let mut found = Vec::new();
    for event in Parser::new_from_str(text) {
        let (event, span) = event?;
        if let Event::Scalar(value, style, ..) = event {
            let (start, end) = (byte(span.start.index()), byte(span.end.index()));
            found.push(Scalar {
                text: value.into_owned(),
                bytes: start..written(&text[start..end], style) + start,
                line: span.start.line(),
            });
        }
        if found.len() > MOST_VALUES {
            return Err(ReadingError::TooMuch("of more than 500,000 values"));
        }
    }
    Ok(found)
}

/// How much of a text the scalar at its beginning takes: the parser's end of one in
/// quotes is where the next token begins, blanks and comments passed over.
fn written(text: &str, style: ScalarStyle) -> usize {
    let quote = match style {
        ScalarStyle::SingleQuoted => '\'',
        ScalarStyle::DoubleQuoted => '"',
        _ => return text.trim_end().len(),
    };
    let mut escaped = false;
    let mut inside = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = inside.next() {
        if escaped {
            escaped = false;
        } else if quote == '"' && c == '\\' {
            escaped = true;
        } else if c == quote {
            // Two of the single ones are one that is meant.
            if quote == '\'' && inside.peek().is_some_and(|(_, next)| *next == quote) {
                inside.next();
            } else {
                return at + 1;
            }
        }
    }
    text.len()
}

fn bounded(text: &str) -> Result<(), ReadingError> {
    match text.len() > MOST_BYTES {
        true => Err(ReadingError::TooMuch("larger than 8 MiB")),
        false => Ok(()),
    }
}

fn wrong(span: &Span, why: &str) -> ReadingError {
    ReadingError::Syntax {
        line: span.start.line(),
        column: span.start.col() + 1,
        why: why.to_owned(),
    }
}

/// What a plain scalar means (YAML 1.2, core schema); numbers that JSON has not
/// stay text.
fn scalar(text: &str, style: ScalarStyle) -> Value {
    if style != ScalarStyle::Plain {
        return text.into();
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => true.into(),
        "false" | "False" | "FALSE" => false.into(),
        text if text.starts_with(|first: char| first.is_ascii_digit() || first == '-') => {
            let number: Option<serde_json::Number> = serde_json::from_str(text).ok();
            number.map_or_else(|| text.into(), Value::Number)
        }
        text => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn documents_are_read_as_what_they_mean() {
        let text = "a: [1, no, \"2\", 0x1f]\nb:\n  - c: null\n    d: |\n      x\n---\nyes: true\n";
        assert_eq!(
            documents(text).unwrap(),
            [
                json!({"a": [1, "no", "2", "0x1f"], "b": [{"c": null, "d": "x\n"}]}),
                json!({"yes": true})
            ]
        );
    }

    #[test]
    fn what_we_write_is_read_as_what_was_meant() {
        use crate::{list, map};
        let node = map! {
            "text" => "a: b # \"c\"\n\u{1}é\u{2028}",
            "words" => list!["no", "1", "~", "", "x: y", "- z", "web", "'"],
            "nested" => list![list![1, list![]], map! { "deep" => map! {} }],
            "true" => true,
        };
        assert_eq!(documents(&node.yaml()).unwrap(), [node.json()]);
    }

    #[test]
    fn scalars_stand_where_they_are_said_to() {
        let text = "é: 'ounce://a'  # kept\nb: [ounce://b, \"ounce://c\"]\nc: 'it''s' # it's\nd: \"\\\"\" # \"\n";
        let found = scalars(text).unwrap();
        let cut: Vec<&str> = found.iter().map(|it| &text[it.bytes.clone()]).collect();
        assert_eq!(
            cut[..5],
            ["é", "'ounce://a'", "b", "ounce://b", "\"ounce://c\""]
        );
        assert_eq!(cut[5..], ["c", "'it''s'", "d", "\"\\\"\""]);
        assert_eq!(found[3].line, 2);
    }

    #[test]
    fn hostile_text_ends_in_an_error() {
        for text in [
            "a: b: c".to_owned(),
            "a: 1\na: 2".to_owned(),
            "a: &x 1\nb: *x".to_owned(),
            "{[1]: 2}".to_owned(),
            "\"".to_owned(),
            "[".repeat(10_000),
            "- ".repeat(10_000),
            "a:\n\t- b".to_owned(),
        ] {
            assert!(documents(&text).is_err(), "{}", &text[..text.len().min(20)]);
        }
    }
}
