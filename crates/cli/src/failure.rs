//! The one door for failures: kind, cause and hints, and the exit code that follows.

use std::error::Error;
use std::io;
use std::process::ExitCode;

use ounce_run::Errno;
use ounce_run::failure::NO_MEMORY;

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
        // Any call may end so, and for nearly none it is thought of.
        let memory = self.hints.is_empty() && lacks_memory(&*self.source);
        if memory {
            text.push_str(&format!("hint: {NO_MEMORY}\n"));
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

/// Whether it is, at bottom, that the kernel had no memory.
fn lacks_memory(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
        if kind == Some(io::ErrorKind::OutOfMemory)
            || error.downcast_ref::<Errno>() == Some(&Errno::NOMEM)
        {
            return true;
        }
        next = error.source();
    }
    false
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
    struct Outer(#[source] io::Error);

    #[test]
    fn text_tells_error_cause_and_hints_in_that_order() {
        let failure = Failure::new(Kind::Input, Outer(io::Error::other("disk on fire")))
            .hint("put it out");
        assert_eq!(
            failure.text(),
            "error: reading layer 3\ncaused by: disk on fire\nhint: put it out\n"
        );
    }

    #[test]
    fn no_memory_has_a_hint_wherever_it_was_and_another_hint_is_left_alone() {
        let no_memory = || Outer(io::ErrorKind::OutOfMemory.into());
        let text = Failure::new(Kind::Start, no_memory()).text();
        assert!(text.ends_with(&format!("hint: {NO_MEMORY}\n")), "{text}");
        let text = Failure::new(Kind::Start, no_memory()).hint("less").text();
        assert!(text.ends_with("memory\nhint: less\n"), "{text}");
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
