//! Walking through a TOML document, so that a fault is told with its line, its
//! column, what is wanted there, and the nearest key that exists.

use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::fault::{ConfigError, ConfigFault, duration};

/// A fault and where it stands, in bytes.
pub(super) struct Fault {
    pub(super) span: Range<usize>,
    pub(super) fault: ConfigFault,
}

impl Fault {
    pub(super) fn at(self, path: &Path, text: &str) -> ConfigError {
        let before = text.get(..self.span.start).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        ConfigError {
            path: path.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            fault: self.fault,
        }
    }
}

pub(super) type Value<'a> = Spanned<DeValue<'a>>;
pub(super) type Read<T> = Result<T, Fault>;

/// A table being read; its keys are checked before anything is taken. What it
/// does not have is looked for in the one behind it.
pub(super) struct Table<'t, 'a> {
    table: &'t DeTable<'a>,
    behind: Option<&'t DeTable<'a>>,
    prefix: &'static str,
}

impl<'t, 'a> Table<'t, 'a> {
    pub(super) fn new(
        table: &'t DeTable<'a>,
        behind: Option<&'t DeTable<'a>>,
        prefix: &'static str,
        known: &[&'static str],
    ) -> Read<Self> {
        // The first in the file, not the first by name, is the one to show.
        let unknown = table
            .keys()
            .filter(|key| !known.contains(&key.get_ref().as_ref()))
            .min_by_key(|key| key.span().start);
        if let Some(key) = unknown {
            let name = key.get_ref().as_ref();
            return Err(Fault {
                span: key.span(),
                fault: ConfigFault::UnknownKey {
                    key: format!("{prefix}{name}"),
                    nearest: nearest(name, known).map(|near| format!("{prefix}{near}")),
                    known: known.to_vec(),
                },
            });
        }
        Ok(Self {
            table,
            behind,
            prefix,
        })
    }

    pub(super) fn value(&self, key: &str) -> Option<&'t Value<'a>> {
        let behind = || self.behind.and_then(|table| table.get(key));
        self.table.get(key).or_else(behind)
    }

    pub(super) fn get<T>(
        &self,
        key: &'static str,
        read: impl FnOnce(&str, &'t Value<'a>) -> Read<T>,
    ) -> Read<Option<T>> {
        let name = || format!("{}{key}", self.prefix);
        self.value(key)
            .map(|value| read(&name(), value))
            .transpose()
    }

    pub(super) fn number(&self, key: &'static str, least: u32) -> Read<Option<u32>> {
        self.get(key, |name, value| match value.get_ref() {
            DeValue::Integer(number) => u32::from_str_radix(number.as_str(), number.radix())
                .ok()
                .filter(|number| *number >= least)
                .ok_or_else(|| invalid(name, value.span(), format!("a number from {least} on"))),
            _ => wrong_type(name, value, "a number"),
        })
    }

    pub(super) fn duration(&self, key: &'static str) -> Read<Option<Duration>> {
        self.get(key, |name, value| parsed(name, value, duration))
    }
}

pub(super) fn string(name: &str, value: &Value<'_>) -> Read<String> {
    match value.get_ref() {
        DeValue::String(text) => Ok(text.to_string()),
        _ => wrong_type(name, value, "a string"),
    }
}

pub(super) fn strings(name: &str, value: &Value<'_>) -> Read<Vec<String>> {
    let wanted = "a list of strings";
    match value.get_ref() {
        DeValue::Array(items) => items
            .iter()
            .map(|item| match item.get_ref() {
                DeValue::String(text) => Ok(text.to_string()),
                _ => wrong_type(name, item, wanted),
            })
            .collect(),
        _ => wrong_type(name, value, wanted),
    }
}

pub(super) fn wrong_type<T>(name: &str, value: &Value<'_>, wanted: &'static str) -> Read<T> {
    let found = match value.get_ref() {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a number with a point",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    };
    Err(Fault {
        span: value.span(),
        fault: ConfigFault::WrongType {
            key: name.to_owned(),
            wanted,
            found,
        },
    })
}

/// Reads a string further; what it is not is told at its place.
pub(super) fn parsed<T, E: ToString>(
    name: &str,
    value: &Value<'_>,
    read: impl FnOnce(&str) -> Result<T, E>,
) -> Read<T> {
    read(&string(name, value)?).map_err(|error| invalid(name, value.span(), error))
}

pub(super) fn invalid(name: &str, span: Range<usize>, why: impl ToString) -> Fault {
    Fault {
        span,
        fault: ConfigFault::Value {
            key: name.to_owned(),
            why: why.to_string(),
        },
    }
}

/// The known key most like `name`, if it is like enough to be meant.
fn nearest(name: &str, known: &[&'static str]) -> Option<&'static str> {
    let plain = name.to_ascii_lowercase().replace('_', "-");
    known
        .iter()
        .map(|key| (strsim::jaro_winkler(&plain, key), *key))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, key)| key)
}
