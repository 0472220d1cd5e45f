//! The command lines of what is asked of containers that run, or have run.

use std::ffi::OsString;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use ounce_oci::Place;
use ounce_oci::place::PlaceError;
use ounce_run::containers::folder::check_name;
use ounce_run::runtime::state::rfc3339;

/// `ounce ps`.
#[derive(Debug, Args)]
pub(crate) struct PsArguments {
    /// Show those that have ended, too
    #[arg(long, short)]
    pub(crate) all: bool,
    /// Print the names alone
    #[arg(long, conflicts_with = "json")]
    pub(crate) names: bool,
}

/// `ounce logs`.
#[derive(Debug, Args)]
pub(crate) struct LogsArguments {
    /// The container
    pub(crate) name: String,
    /// Go on until it ends
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// The last so many lines alone
    #[arg(long, short = 'n', value_name = "COUNT")]
    pub(crate) tail: Option<usize>,
    /// Those since a moment (2026-11-22T10:00:00Z), or since so long ago (90s, 10m, 2h)
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub(crate) since: Option<String>,
    /// With the time before each line
    #[arg(long, short)]
    pub(crate) timestamps: bool,
}

/// `ounce stop`.
#[derive(Debug, Args)]
pub(crate) struct StopArguments {
    /// The containers
    #[arg(required = true, value_name = "NAME")]
    pub(crate) names: Vec<String>,
    /// Seconds from SIGTERM to SIGKILL [default: what `run --stop-timeout` said]
    #[arg(long = "time", short = 't', visible_alias = "timeout", value_name = "SECONDS", value_parser = super::seconds)]
    pub(crate) time: Option<Duration>,
}

/// `ounce kill`.
#[derive(Debug, Args)]
pub(crate) struct KillArguments {
    /// The containers
    #[arg(required = true, value_name = "NAME")]
    pub(crate) names: Vec<String>,
    /// The signal, by name or number
    #[arg(long, short, value_name = "SIGNAL", default_value = "KILL")]
    pub(crate) signal: String,
}

/// `ounce exec`.
#[derive(Debug, Args)]
pub(crate) struct ExecArguments {
    /// Keep stdin open
    #[arg(long, short)]
    pub(crate) interactive: bool,
    /// Give it a terminal
    #[arg(long, short, conflicts_with = "detach")]
    pub(crate) tty: bool,
    /// Let it run on in the background
    #[arg(long, short)]
    pub(crate) detach: bool,
    /// An environment variable; NAME alone takes this shell's value
    #[arg(long, short, value_name = "NAME[=VALUE]")]
    pub(crate) env: Vec<String>,
    /// Working directory
    #[arg(long, short, value_name = "PATH")]
    pub(crate) workdir: Option<String>,
    /// User, by name or number
    #[arg(long, short, value_name = "USER[:GROUP]")]
    pub(crate) user: Option<String>,
    /// The container
    pub(crate) name: String,
    /// The program and its arguments
    #[arg(
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "COMMAND"
    )]
    pub(crate) command: Vec<OsString>,
}

/// `ounce debug`.
#[derive(Debug, Args)]
pub(crate) struct DebugArguments {
    /// The container
    pub(crate) name: String,
    /// An image with the tools [default: a static busybox of this machine]
    #[arg(long, value_name = "IMAGE")]
    pub(crate) image: Option<Place>,
    /// A program of the tools in place of a shell, and its arguments
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
}

/// `ounce stats`.
#[derive(Debug, Args)]
pub(crate) struct StatsArguments {
    /// The containers [default: all that run]
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,
    /// Go on, with a new table each second
    #[arg(long, short, conflicts_with = "json")]
    pub(crate) follow: bool,
}

/// `ounce wait`.
#[derive(Debug, Args)]
pub(crate) struct WaitArguments {
    /// The containers
    #[arg(required = true, value_name = "NAME")]
    pub(crate) names: Vec<String>,
}

/// What may be a container's name or an image's place.
pub(crate) fn name_or_place(text: &str) -> Result<String, PlaceError> {
    match check_name(text) {
        Ok(()) => Ok(text.to_owned()),
        Err(_) => text.parse::<Place>().map(|_| text.to_owned()),
    }
}

/// A moment as the log has it: RFC 3339 in UTC, of a moment or of a time ago.
fn moment(text: &str) -> Result<String, String> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit = match text.strip_prefix(digits) {
        Some("s") => 1,
        Some("m") => 60,
        Some("h") => 3600,
        _ => 0,
    };
    if let (Ok(count), 1..) = (digits.parse::<u64>(), unit) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |since| since.as_secs());
        let then = now.saturating_sub(count.saturating_mul(unit));
        return Ok(rfc3339(then, 0));
    }
    let form = b"0000-00-00T00:00:00";
    let is_form = text.len() >= form.len()
        && text.bytes().zip(form).all(|(byte, form)| match form {
            b'0' => byte.is_ascii_digit(),
            form => byte == *form,
        });
    let rest = text.get(form.len()..).unwrap_or_default();
    let fraction = rest.strip_prefix('.').unwrap_or(rest).trim_end_matches('Z');
    match is_form && rest.ends_with('Z') && fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        true => Ok(text.to_owned()),
        false => Err("write it as 2026-11-22T10:00:00Z, or as a time ago: 90s, 10m, 2h".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_and_times_ago_are_read_and_others_refused() {
        assert_eq!(
            moment("2026-11-22T10:00:00Z").as_deref(),
            Ok("2026-11-22T10:00:00Z")
        );
        assert!(moment("2026-11-22T10:00:00.123Z").is_ok());
        assert!(moment("10m").unwrap() < moment("1s").unwrap());
        for wrong in [
            "",
            "10",
            "m",
            "10d",
            "2026-11-22",
            "2026-11-22T10:00:00",
            "2026-11-22T10:00:00+01:00",
        ] {
            assert!(moment(wrong).is_err(), "{wrong}");
        }
    }
}
