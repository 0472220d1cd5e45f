//! Lengths of time as an `ounce-serve.toml` has them.

use std::time::Duration;

/// A year: more than that is a slip, and some clocks cannot count it.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

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
