//! A size flag: what it is, who chose it, and why.

use serde::Serialize;

/// A flag of a compiler or linker, or a key of a profile, that decides size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Flag {
    /// What the language's tools call it, as `opt-level` or `-ldflags`.
    pub key: String,
    /// Its value in their words; empty where the key says all.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub value: String,
    /// Who chose it.
    pub by: By,
    /// What it does for the size, where ounce chose it.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub why: &'static str,
}

/// Who chose a flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum By {
    /// The project; it is left as it is.
    Project,
    /// Ounce, where the project was silent.
    Ounce,
}

impl Flag {
    /// One that the project has chosen.
    pub(crate) fn of_project(key: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            value: value.into(),
            by: By::Project,
            why: "",
        }
    }

    /// One that ounce adds.
    pub(crate) fn of_ounce(
        key: impl Into<String>,
        value: impl Into<String>,
        why: &'static str,
    ) -> Self {
        Self {
            key: key.into(),
            value: value.into(),
            by: By::Ounce,
            why,
        }
    }

    /// As `key=value`, or the key alone.
    pub fn text(&self) -> String {
        match self.value.as_str() {
            "" => self.key.clone(),
            value => format!("{}={value}", self.key),
        }
    }
}
