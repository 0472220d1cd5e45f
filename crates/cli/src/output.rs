//! stdout is what was asked for, stderr all else. A reader that went away
//! (`ounce images | head -1`) ends the program quietly.

use std::io::{self, ErrorKind, IsTerminal, Write};

use serde::Serialize;

use crate::failure::{Failure, Kind};

/// Where a command prints.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    /// One JSON document instead of text.
    pub(crate) json: bool,
    /// No notes on stderr.
    pub(crate) quiet: bool,
    /// stdout may be coloured.
    pub(crate) color: bool,
    /// stderr is a person's terminal.
    pub(crate) stderr_is_terminal: bool,
}

impl Output {
    /// As the flags and the terminal say. `NO_COLOR` (any value but the empty one) turns colour off.
    pub(crate) fn new(json: bool, quiet: bool) -> Self {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            json,
            quiet,
            color: io::stdout().is_terminal() && !no_color,
            stderr_is_terminal: io::stderr().is_terminal(),
        }
    }

    /// Prints what was asked for, as it is.
    ///
    /// # Errors
    /// stdout cannot be written, as on a full disk.
    pub(crate) fn text(&self, text: &str) -> Result<(), Failure> {
        self.bytes(text.as_bytes())
    }

    /// Prints a document that is no text of ours, as it is.
    ///
    /// # Errors
    /// As [`Output::text`].
    pub(crate) fn bytes(&self, bytes: &[u8]) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
            Err(error) => Err(Failure::new(Kind::Host, error).hint("stdout could not be written")),
            Ok(()) => Ok(()),
        }
    }

    /// Prints one JSON document, indented, with a last newline.
    ///
    /// # Errors
    /// As [`Output::text`].
    pub(crate) fn document<T: Serialize>(&self, document: &T) -> Result<(), Failure> {
        let mut text = serde_json::to_string_pretty(document)
            .map_err(|error| Failure::new(Kind::Bug, error))?;
        text.push('\n');
        self.text(&text)
    }

    /// Tells something on stderr, unless `--quiet`.
    pub(crate) fn note(&self, line: &str) {
        if !self.quiet {
            warn(line);
        }
    }
}

/// Tells something on stderr in any case. There is nowhere to report a failure of that.
pub(crate) fn warn(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}
