//! Why a module did not run, or not to its end, in the form that ounce has for
//! errors, and the exit code that says so.

use std::fmt;

use wasmtime::{Error, Trap};

/// The command line is wrong, or something of the host's failed.
pub(crate) const USAGE: u8 = 125;
/// It is no module, or none that can be run here.
pub(crate) const NOT_EXECUTABLE: u8 = 126;
/// It trapped: 128 and SIGABRT, as a native program that aborts.
pub(crate) const TRAPPED: u8 = 134;
/// It took too long, as timeout(1) says it.
pub(crate) const OUT_OF_TIME: u8 = 124;
/// A mistake of ours.
pub(crate) const BUG: u8 = 70;

/// What is told at the end.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The exit code.
    pub(crate) code: u8,
    what: String,
    causes: Vec<String>,
    hints: Vec<String>,
}

impl Failure {
    /// Of this kind, in these words.
    pub(crate) fn new(code: u8, what: impl Into<String>) -> Self {
        Self {
            code,
            what: what.into(),
            causes: Vec::new(),
            hints: Vec::new(),
        }
    }

    /// With all that an error gives as its reasons.
    pub(crate) fn because(mut self, error: &Error) -> Self {
        for cause in error.chain() {
            let text = cause.to_string();
            // Some repeat the one before in their own words.
            if !self.causes.contains(&text) {
                self.causes.push(text);
            }
        }
        self
    }

    /// With an error of the system as its reason.
    pub(crate) fn because_of(mut self, error: &std::io::Error) -> Self {
        self.causes.push(error.to_string());
        self
    }

    /// With something that can be done.
    pub(crate) fn hint(mut self, text: impl Into<String>) -> Self {
        self.hints.push(text.into());
        self
    }

    /// Of a module that ended by an error of its own doing; `denied` is how
    /// much memory it last asked for in vain, and `limit` how much it has.
    pub(crate) fn of_guest(error: &Error, denied: Option<usize>, limit: usize) -> Self {
        let trap = error.downcast_ref::<Trap>();
        let what = match trap {
            Some(Trap::StackOverflow) => "the module trapped: its calls nest too deep".to_owned(),
            Some(trap) => format!("the module trapped: {trap}"),
            None => "the module was ended by an error".to_owned(),
        };
        let mut failure = Self::new(TRAPPED, what).because(error);
        failure
            .causes
            .retain(|cause| Some(cause) != trap.map(ToString::to_string).as_ref());
        if let Some(denied) = denied {
            failure.hints.push(format!(
                "it asked for {denied} bytes of memory and may have {limit}: ounce run --memory gives it more"
            ));
        }
        failure
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "error: {}", self.what)?;
        for cause in &self.causes {
            writeln!(f, "caused by: {}", cause.trim_end())?;
        }
        self.hints
            .iter()
            .try_for_each(|hint| writeln!(f, "hint: {hint}"))
    }
}

/// Why a module stopped.
pub(crate) enum Stop {
    /// Before it ran: its imports do not fit.
    Link(Error),
    /// By its own doing.
    Guest(Error),
    /// What was asked for does not fit it.
    Asked(Failure),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Guest(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trap_is_told_once_and_memory_that_was_refused_is_a_hint() {
        let error = Error::from(Trap::UnreachableCodeReached).context("while running");
        let text = Failure::of_guest(&error, Some(131_072), 65_536).to_string();
        assert_eq!(text.matches("unreachable").count(), 1, "{text}");
        assert!(text.starts_with("error: the module trapped: "), "{text}");
        assert!(text.contains("131072 bytes"), "{text}");
    }
}
