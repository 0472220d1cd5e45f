//! What can be wrong in an `ounce-serve.toml`, and lengths of time as it has them.

use std::path::PathBuf;
use std::time::Duration;

/// A year: more than that is a slip, and some clocks cannot count it.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// `ounce-serve.toml` is not what it should be.
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
}

/// What is wrong in an `ounce-serve.toml`.
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
        known: Vec<&'static str>,
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
            _ => vec!["docs/serve.md lists every key".to_owned()],
        }
    }
}

/// Why a text is no length of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a length of time: write it as 500ms, 30s, 5m or 1h")]
pub struct DurationError(String);

/// Reads `500ms`, `30s`, `5m`, `1h`, and a number alone as seconds.
///
/// # Errors
/// It is none of these, or longer than a year.
pub fn duration(text: &str) -> Result<Duration, DurationError> {
    let wrong = || DurationError(text.to_owned());
    let end = text
        .find(|letter: char| !letter.is_ascii_digit() && letter != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let seconds = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(wrong()),
    };
    number
        .parse::<f64>()
        .ok()
        .and_then(|number| Duration::try_from_secs_f64(number * seconds).ok())
        .filter(|duration| *duration <= LONGEST)
        .ok_or_else(wrong)
}
