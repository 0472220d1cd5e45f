//! Tables and their values, taken one by one.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::fault::{ConfigFault, Fault};

/// A value and where it stands.
pub type Value<'a> = Spanned<DeValue<'a>>;
/// What was read, or what is wrong.
pub type Read<T> = Result<T, Fault>;

/// A table being read; its keys are checked before anything is taken.
#[derive(Debug)]
pub struct Table<'t, 'a> {
    table: &'t DeTable<'a>,
    behind: Option<&'t DeTable<'a>>,
    prefix: Cow<'static, str>,
}

impl<'t, 'a> Table<'t, 'a> {
    /// A table of which only the `known` keys may be there; `prefix` stands
    /// before them in messages.
    ///
    /// # Errors
    /// Another key: the first in the file, with the nearest of the known.
    pub fn new(
        table: &'t DeTable<'a>,
        prefix: impl Into<Cow<'static, str>>,
        known: &[&'static str],
    ) -> Read<Self> {
        let prefix = prefix.into();
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
                    known: known.into(),
                },
            });
        }
        Ok(Self {
            table,
            behind: None,
            prefix,
        })
    }

    /// What this table does not have is looked for in another.
    #[must_use]
    pub fn before(self, behind: Option<&'t DeTable<'a>>) -> Self {
        Self { behind, ..self }
    }

    /// The value of a key, if it has one.
    pub fn value(&self, key: &str) -> Option<&'t Value<'a>> {
        let behind = || self.behind.and_then(|table| table.get(key));
        self.table.get(key).or_else(behind)
    }

    /// The value of a key, read further with its full name.
    ///
    /// # Errors
    /// Those of `read`.
    pub fn get<T>(
        &self,
        key: &'static str,
        read: impl FnOnce(&str, &'t Value<'a>) -> Read<T>,
    ) -> Read<Option<T>> {
        let name = || format!("{}{key}", self.prefix);
        self.value(key)
            .map(|value| read(&name(), value))
            .transpose()
    }

    /// A string.
    ///
    /// # Errors
    /// It is something else.
    pub fn string(&self, key: &'static str) -> Read<Option<String>> {
        self.get(key, string)
    }

    /// True or false.
    ///
    /// # Errors
    /// It is something else.
    pub fn boolean(&self, key: &'static str) -> Read<Option<bool>> {
        self.get(key, |name, value| match value.get_ref() {
            DeValue::Boolean(flag) => Ok(*flag),
            _ => wrong_type(name, value, "true or false"),
        })
    }

    /// A whole number from `least` on.
    ///
    /// # Errors
    /// It is something else.
    pub fn number(&self, key: &'static str, least: u32) -> Read<Option<u32>> {
        self.get(key, |name, value| match value.get_ref() {
            DeValue::Integer(number) => u32::from_str_radix(number.as_str(), number.radix())
                .ok()
                .filter(|number| *number >= least)
                .ok_or_else(|| invalid(name, value.span(), format!("a number from {least} on"))),
            _ => wrong_type(name, value, "a number"),
        })
    }

    /// A list of strings.
    ///
    /// # Errors
    /// It is something else.
    pub fn strings(&self, key: &'static str) -> Read<Option<Vec<String>>> {
        self.get(key, strings)
    }

    /// A table of strings; nothing is an empty one.
    ///
    /// # Errors
    /// It is something else.
    pub fn map(&self, key: &'static str) -> Read<BTreeMap<String, String>> {
        let map = self.get(key, |name, value| match value.get_ref() {
            DeValue::Table(table) => table
                .iter()
                .map(|(key, value)| {
                    let inner = format!("{name}.{}", key.get_ref());
                    Ok((key.get_ref().to_string(), string(&inner, value)?))
                })
                .collect::<Read<BTreeMap<_, _>>>(),
            _ => wrong_type(name, value, "a table of strings"),
        })?;
        Ok(map.unwrap_or_default())
    }
}

/// Reads a string.
///
/// # Errors
/// It is something else.
pub fn string(name: &str, value: &Value<'_>) -> Read<String> {
    match value.get_ref() {
        DeValue::String(text) => Ok(text.to_string()),
        _ => wrong_type(name, value, "a string"),
    }
}

/// Reads a list of strings.
///
/// # Errors
/// It, or a part of it, is something else.
pub fn strings(name: &str, value: &Value<'_>) -> Read<Vec<String>> {
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

/// Takes a value as a table.
///
/// # Errors
/// It is something else.
pub fn table_of<'t, 'a>(name: &str, value: &'t Value<'a>) -> Read<&'t DeTable<'a>> {
    match value.get_ref() {
        DeValue::Table(table) => Ok(table),
        _ => wrong_type(name, value, "a table"),
    }
}

/// Takes a value as a list of tables; `wanted` says how they are written.
///
/// # Errors
/// It is something else than a list.
pub fn tables<'t, 'a>(
    name: &str,
    value: &'t Value<'a>,
    wanted: &'static str,
) -> Read<Vec<&'t Value<'a>>> {
    match value.get_ref() {
        DeValue::Array(items) => Ok(items.iter().collect()),
        _ => wrong_type(name, value, wanted),
    }
}

/// The fault of a value that is of another type.
///
/// # Errors
/// Always.
pub fn wrong_type<T>(name: &str, value: &Value<'_>, wanted: &'static str) -> Read<T> {
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
///
/// # Errors
/// It is no string, or `read` refuses it.
pub fn parsed<T, E: ToString>(
    name: &str,
    value: &Value<'_>,
    read: impl FnOnce(&str) -> Result<T, E>,
) -> Read<T> {
    read(&string(name, value)?).map_err(|error| invalid(name, value.span(), error))
}

/// The fault of a value that its type does not take.
pub fn invalid(name: &str, span: Range<usize>, why: impl ToString) -> Fault {
    Fault {
        span,
        fault: ConfigFault::Value {
            key: name.to_owned(),
            why: why.to_string(),
        },
    }
}

/// The fault of a key that must be there, told at `span`.
pub fn missing(key: impl Into<String>, span: Range<usize>) -> Fault {
    Fault {
        span,
        fault: ConfigFault::Missing(key.into()),
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn read(text: &str) -> Result<(Option<u32>, Option<String>), String> {
        crate::read(Path::new("a.toml"), "the manual", text, |root| {
            let root = Table::new(root, "", &["one", "two", "count"])?;
            let behind = root.get("two", table_of)?;
            let one = root.value("one").map(|one| table_of("one", one));
            let Some(one) = one.transpose()? else {
                return Err(missing("one", 0..0));
            };
            let one = Table::new(one, "one.", &["count", "name"])?.before(behind);
            Ok((one.number("count", 1)?, one.string("name")?))
        })
        .map_err(|error| format!("{error}; {}", error.hints().join("; ")))
    }

    #[test]
    fn what_one_table_lacks_is_taken_from_the_one_behind_it() {
        let text = "[two]\ncount = 2\nname = \"b\"\n[one]\nname = \"a\"";
        assert_eq!(read(text), Ok((Some(2), Some("a".to_owned()))));
        assert_eq!(read("[one]"), Ok((None, None)));
    }

    #[test]
    fn faults_are_told_with_their_place_and_the_nearest_key() {
        for (text, wanted) in [
            (
                "[one]\n  conut = 3",
                "a.toml:2:3: unknown key `one.conut`: did you mean `one.count`?; \
                 what may stand here: count, name",
            ),
            (
                "[one]\ncount = 0",
                "a.toml:2:9: `one.count`: a number from 1 on; the manual lists every key",
            ),
            (
                "[one]\nname = 1979-05-27",
                "a.toml:2:8: `one.name` wants a string, not a date; the manual lists every key",
            ),
            (
                "",
                "a.toml:1:1: `one` is missing; the manual lists every key",
            ),
        ] {
            assert_eq!(read(text).unwrap_err(), wanted);
        }
        assert!(
            read("one = = 1")
                .unwrap_err()
                .starts_with("a.toml:1:7: not TOML")
        );
    }

    #[test]
    fn the_first_unknown_key_of_the_file_is_the_one_told() {
        let text = "zebra = 1\naardvark = 2";
        assert!(
            read(text)
                .unwrap_err()
                .starts_with("a.toml:1:1: unknown key `zebra`;")
        );
    }
}
