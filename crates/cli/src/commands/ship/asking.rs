//! A question to whoever sits there, before something is changed.

use std::io::{self, IsTerminal as _, Write as _};

use crate::failure::{Failure, Kind};

/// Whether anybody can be asked.
pub(super) fn somebody() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks; only `y` and `yes` are a yes.
pub(super) fn yes(question: &str) -> bool {
    let mut stderr = io::stderr().lock();
    let _ = write!(stderr, "{question} [y/N] ");
    let _ = stderr.flush();
    let mut line = String::new();
    let read = io::stdin().read_line(&mut line);
    read.is_ok() && ["y", "yes"].contains(&line.trim().to_ascii_lowercase().as_str())
}

/// Goes on where it is told to, by `--yes` or by an answer.
///
/// # Errors
/// Nobody can be asked, or the answer is no.
pub(super) fn permission(is_given: bool, question: &str) -> Result<(), Failure> {
    if is_given {
        return Ok(());
    }
    if !somebody() {
        return Err(
            Failure::new(Kind::Usage, format!("there is nobody to ask: {question}"))
                .hint("--yes says yes beforehand"),
        );
    }
    match yes(question) {
        true => Ok(()),
        false => Err(Failure::new(Kind::No, "nothing was done")),
    }
}
