//! What can be wrong in such a file, and where.

use std::ops::Range;
use std::path::{Path, PathBuf};

/// A file is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}:{line}:{column}: {fault}", path.display())]
pub struct ConfigError {
    /// The file.
    pub path: PathBuf,
    /// Counted from 1.
    pub line: usize,
    /// In characters, counted from 1.
    pub column: usize,
    /// What is wrong.
    pub fault: ConfigFault,
    /// The document that lists every key.
    pub page: &'static str,
}

/// What is wrong at a place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigFault {
    /// Not TOML.
    #[error("not TOML: {0}")]
    Syntax(String),
    /// A key that does not exist.
    #[error("unknown key `{key}`{}", .nearest.as_ref().map(|near| format!(": did you mean `{near}`?")).unwrap_or_default())]
    UnknownKey {
        /// As written, with its table.
        key: String,
        /// The key most like it, if one is.
        nearest: Option<String>,
        /// All that may stand there.
        known: Box<[&'static str]>,
    },
    /// A value of another type.
    #[error("`{key}` wants {wanted}, not {found}")]
    WrongType {
        /// With its table.
        key: String,
        /// In words.
        wanted: &'static str,
        /// In words.
        found: &'static str,
    },
    /// A value that its type does not take.
    #[error("`{key}`: {why}")]
    Value {
        /// With its table.
        key: String,
        /// Why.
        why: String,
    },
    /// A key that must be there.
    #[error("`{0}` is missing")]
    Missing(String),
}

impl ConfigError {
    /// What to do about it.
    pub fn hints(&self) -> Vec<String> {
        match &self.fault {
            ConfigFault::UnknownKey { known, .. } => {
                vec![format!("what may stand here: {}", known.join(", "))]
            }
            _ => vec![format!("{} lists every key", self.page)],
        }
    }
}

/// A fault and where it stands, in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Of the text.
    pub span: Range<usize>,
    /// What is wrong.
    pub fault: ConfigFault,
}

impl Fault {
    pub(crate) fn at(self, path: &Path, page: &'static str, text: &str) -> ConfigError {
        let before = text.get(..self.span.start).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        ConfigError {
            path: path.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            fault: self.fault,
            page,
        }
    }
}
