//! What `ounce serve` tells, a line each, on stderr: plain, or JSON for programs.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ounce_oci::causes::in_one_line;
use ounce_run::runtime::state::rfc3339;
use ounce_run::serve::{Event, Limit, What, Why};
use serde_json::{Map, Value, json};

use crate::arguments::LogChoice;
use crate::failure::shown;
use crate::output::warn;

/// From so many services on not each is told that it can be reached.
const MANY: usize = 20;

/// Where events go.
pub(super) struct Log {
    form: LogChoice,
    quiet: bool,
    many: bool,
}

impl Log {
    /// A log of so many services.
    pub(super) fn new(form: LogChoice, quiet: bool, services: usize) -> Self {
        Self {
            form,
            quiet,
            many: services > MANY,
        }
    }

    /// Tells one.
    pub(super) fn tell(&self, event: &Event<'_>) {
        if self.quiet && !is_fault(&event.what) {
            return;
        }
        match self.form {
            LogChoice::Json => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH);
                warn(&json_line(event, now.unwrap_or_default()));
            }
            LogChoice::Plain => {
                if !(self.many && matches!(event.what, What::Listening(_))) {
                    warn(&plain_line(event));
                }
            }
        }
    }
}

fn is_fault(what: &What<'_>) -> bool {
    matches!(
        what,
        What::StartFailed { .. }
            | What::Crashed { .. }
            | What::Killed
            | What::Stalled(_)
            | What::RollFailed(_)
            | What::ReloadFailed(_)
    )
}

fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

fn reason(why: Why) -> &'static str {
    match why {
        Why::Idle => "idle",
        Why::Evicted => "evicted",
        Why::Replaced => "replaced",
        Why::Removed => "removed",
        Why::Ending => "ending",
    }
}

fn plain_line(event: &Event<'_>) -> String {
    let text = match &event.what {
        What::Listening(address) => format!("at {address}"),
        What::Metrics(address) => format!("metrics at http://{address}/metrics"),
        What::Started { pid, took } => {
            format!("started in {} ms (process {pid})", milliseconds(*took))
        }
        What::StartFailed { error, again } => format!(
            "not started, again in {} ms: {}",
            again.as_millis(),
            in_one_line(*error)
        ),
        What::Delayed(Limit::Rate) => "waits: too many starts a second".to_owned(),
        What::Delayed(Limit::Running) => "waits: too many containers run".to_owned(),
        What::Crashed { exit, again } => {
            format!("ended with {}, again in {} ms", exit, again.as_millis())
        }
        What::Ended(exit) => format!("ended by itself with {exit}"),
        What::Stopping(why) => format!("stopping: {}", reason(*why)),
        What::Stopped(exit) => format!("stopped with {exit}"),
        What::Killed => "killed: it did not end in time".to_owned(),
        What::Stalled(waited) => format!(
            "killed: has accepted no connection in {} ms",
            waited.as_millis()
        ),
        What::Rolled => "replaced by a container of another image".to_owned(),
        What::RollFailed(error) => {
            format!("not replaced, the old one goes on: {}", in_one_line(*error))
        }
        What::Reloaded {
            added,
            removed,
            changed,
        } => format!("read again: {added} services added, {removed} removed, {changed} changed"),
        What::ReloadFailed(error) => format!("not as the file says: {}", in_one_line(*error)),
        What::Ending => "stopping everything".to_owned(),
    };
    match event.service {
        Some(service) => shown(&format!("{service}: {text}")),
        None => shown(&text),
    }
}

/// One object in a line: `time` in RFC 3339, `event`, `service`, and what belongs to it.
fn json_line(event: &Event<'_>, now: Duration) -> String {
    let (name, fields) = match &event.what {
        What::Listening(address) => ("listening", json!({ "address": address.to_string() })),
        What::Metrics(address) => ("metrics", json!({ "address": address.to_string() })),
        What::Started { pid, took } => (
            "started",
            json!({ "pid": pid, "took_ms": milliseconds(*took) }),
        ),
        What::StartFailed { error, again } => (
            "start-failed",
            json!({ "error": in_one_line(*error), "again_ms": again.as_millis() as u64 }),
        ),
        What::Delayed(limit) => (
            "delayed",
            json!({ "limit": match limit { Limit::Rate => "start-rate", Limit::Running => "max-running" } }),
        ),
        What::Crashed { exit, again } => (
            "crashed",
            json!({ "exit": exit.code(), "how": exit.to_string(), "again_ms": again.as_millis() as u64 }),
        ),
        What::Ended(exit) => ("ended", json!({ "exit": exit.code() })),
        What::Stopping(why) => ("stopping", json!({ "why": reason(*why) })),
        What::Stopped(exit) => ("stopped", json!({ "exit": exit.code() })),
        What::Killed => ("killed", json!({})),
        What::Stalled(waited) => ("stalled", json!({ "waited_ms": waited.as_millis() as u64 })),
        What::Rolled => ("rolled", json!({})),
        What::RollFailed(error) => ("roll-failed", json!({ "error": in_one_line(*error) })),
        What::Reloaded {
            added,
            removed,
            changed,
        } => (
            "reloaded",
            json!({ "added": added, "removed": removed, "changed": changed }),
        ),
        What::ReloadFailed(error) => ("reload-failed", json!({ "error": in_one_line(*error) })),
        What::Ending => ("ending", json!({})),
    };
    let mut line = Map::new();
    let time = rfc3339(now.as_secs(), now.subsec_nanos());
    line.insert("time".to_owned(), Value::String(time));
    line.insert("event".to_owned(), Value::String(name.to_owned()));
    if let Some(service) = event.service {
        line.insert("service".to_owned(), Value::String(service.to_owned()));
    }
    if let Value::Object(fields) = fields {
        line.extend(fields);
    }
    Value::Object(line).to_string()
}

#[cfg(test)]
mod tests {
    use ounce_run::serve::State;

    use super::*;

    #[test]
    fn a_line_is_one_object_and_what_programs_say_cannot_break_it() {
        let error = std::io::Error::other("no\n\"\x1b[2J");
        let event = Event {
            service: Some("web"),
            what: What::StartFailed {
                error: &error,
                again: Duration::from_millis(100),
            },
            state: State::default(),
        };
        let line = json_line(&event, Duration::ZERO);
        assert!(!line.contains('\n'));
        let value: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["event"], "start-failed");
        assert_eq!(value["again_ms"], 100);
        assert!(!plain_line(&event).contains('\x1b'));
    }
}
