//! An error with all that it comes of, in one line: for logs and lists, where
//! there is no room for a line each.

use std::error::Error;

/// The error and its causes, but for those whose words stand there already.
pub fn in_one_line(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let line = error.to_string();
        // Errors of the system differ by case and number from what is told of them.
        let plain = line.split(" (os error").next().unwrap_or(&line);
        if !text.to_lowercase().contains(&plain.to_lowercase()) {
            text.push_str(": ");
            text.push_str(&line);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{said}")]
    struct Told {
        said: &'static str,
        #[source]
        source: std::io::Error,
    }

    #[test]
    fn causes_follow_and_what_is_said_already_does_not() {
        let told = |said| Told {
            said,
            source: std::io::Error::from_raw_os_error(2),
        };
        assert_eq!(
            in_one_line(&told("reading it")),
            "reading it: No such file or directory (os error 2)"
        );
        let said = "reading it: no such file or directory";
        assert_eq!(in_one_line(&told(said)), said);
    }
}
