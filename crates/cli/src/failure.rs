//! The one door for failures: kind, cause and hints, and the exit code that follows.

use std::error::Error;
use std::process::ExitCode;

/// What went wrong, as far as a calling script cares. The numbers are a
/// contract, written in `--help`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The answer is no: over budget, verification found a fault.
    No,
    /// The command line is wrong.
    Usage,
    /// What was read is wrong: a file, an image, a project.
    Input,
    /// The kernel or the file system refuses.
    Host,
    /// The container could not be started (docker's 125).
    Start,
    /// The program in the container cannot be executed (docker's 126).
    NotExecutable,
    /// The program is not in the container (docker's 127).
    NotFound,
    /// The network or a registry refuses.
    Network,
    /// Our own fault.
    Bug,
}

impl Kind {
    /// The process's exit code.
    pub(crate) fn code(self) -> u8 {
        match self {
            Kind::No => 1,
            Kind::Usage => 2,
            Kind::Input => 3,
            Kind::Host => 4,
            Kind::Network => 5,
            Kind::Bug => 70,
            Kind::Start => 125,
            Kind::NotExecutable => 126,
            Kind::NotFound => 127,
        }
    }
}

/// A failed command.
#[derive(Debug)]
pub(crate) struct Failure {
    /// Picks the exit code.
    pub(crate) kind: Kind,
    /// What and where.
    pub(crate) source: Box<dyn Error + Send + Sync>,
    /// What another program, such as the compiler, said about it.
    pub(crate) said: Vec<String>,
    /// What to do about it, most likely first.
    pub(crate) hints: Vec<String>,
}

impl Failure {
    /// A failure of this kind.
    pub(crate) fn new(kind: Kind, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            kind,
            source: source.into(),
            said: Vec::new(),
            hints: Vec::new(),
        }
    }

    /// With one more hint.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// With what another program said, told as it is.
    #[must_use]
    pub(crate) fn said(mut self, lines: Vec<String>) -> Self {
        self.said = lines;
        self
    }

    /// `error:`, `caused by:`, `hint:`, a line each, after what another program said. A cause whose text its
    /// parent already tells is left out.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for line in &self.said {
            text.push_str(&format!("  {line}\n"));
        }
        text.push_str(&format!("error: {}\n", shown(&self.source.to_string())));
        let mut told = self.source.to_string();
        let mut cause = self.source.source();
        while let Some(error) = cause {
            let line = error.to_string();
            if !told.contains(&line) {
                text.push_str(&format!("caused by: {}\n", shown(&line)));
            }
            told = line;
            cause = error.source();
        }
        for hint in &self.hints {
            text.push_str(&format!("hint: {}\n", shown(hint)));
        }
        text
    }

    /// The error alone, to be told among others.
    pub(crate) fn into_error(self) -> Box<dyn Error + Send + Sync> {
        self.source
    }

    /// The exit code.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.kind.code())
    }
}

/// What an image, an archive or a file says may hold control characters that
/// would drive the reader's terminal: they are shown, not sent. Lines stay lines.
pub(crate) fn shown(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            let escape = c.is_control() && c != '\n';
            let plain = (!escape).then_some(c);
            let escaped = escape.then(|| c.escape_default());
            plain.into_iter().chain(escaped.into_iter().flatten())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_of_an_image_do_not_reach_the_terminal() {
        let failure = Failure::new(Kind::Input, "no \x1b[2J here").hint("nor \x07");
        assert_eq!(
            failure.text(),
            "error: no \\u{1b}[2J here\nhint: nor \\u{7}\n"
        );
    }

    #[derive(Debug, thiserror::Error)]
    #[error("reading layer 3")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn text_tells_error_cause_and_hints_in_that_order() {
        let failure = Failure::new(Kind::Input, Outer(std::io::Error::other("disk on fire")))
            .hint("put it out");
        assert_eq!(
            failure.text(),
            "error: reading layer 3\ncaused by: disk on fire\nhint: put it out\n"
        );
    }

    #[test]
    fn each_kind_has_an_exit_code_of_its_own() {
        use Kind::*;
        let kinds = [
            No,
            Usage,
            Input,
            Host,
            Network,
            Bug,
            Start,
            NotExecutable,
            NotFound,
        ];
        let codes: std::collections::BTreeSet<u8> = kinds.iter().map(|kind| kind.code()).collect();
        assert_eq!(codes.len(), kinds.len());
        assert!(!codes.contains(&0));
    }
}
