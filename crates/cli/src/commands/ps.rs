//! `ounce ps`: the containers that have a name, and how they are.

use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use ounce_run::containers::record::Port;
use ounce_run::containers::{Kind, Seen, Status};
use serde::Serialize;

use super::Context;
use crate::arguments::containers::PsArguments;
use crate::failure::Failure;
use crate::output::warn;
use crate::render::table::{Align, Table};

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    containers: Vec<Row<'a>>,
}

#[derive(Serialize)]
struct Row<'a> {
    name: &'a str,
    kind: Kind,
    image: &'a str,
    command: &'a [String],
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_code: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<i32>,
    created: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    started: Option<&'a str>,
    starts: u32,
    ports: &'a [Port],
    labels: &'a std::collections::BTreeMap<String, String>,
}

/// Lists them. One whose files are damaged is told on stderr, and the exit code
/// is that of a bad input.
pub(crate) fn run(context: &Context, arguments: &PsArguments) -> Result<ExitCode, Failure> {
    let mut found = Vec::new();
    let mut code = ExitCode::SUCCESS;
    for seen in context.containers().list()? {
        match seen {
            Ok(seen) if arguments.all || seen.status.is_alive() => found.push(seen),
            Ok(_) => {}
            Err(error) => {
                let failure = Failure::from(error);
                warn(failure.text().trim_end());
                code = failure.exit_code();
            }
        }
    }
    if arguments.names {
        let names: String = found
            .iter()
            .map(|seen| format!("{}\n", seen.name))
            .collect();
        context.output.text(&names)?;
    } else if context.output.json {
        context.output.document(&Document {
            schema: "ounce.ps/1",
            containers: found.iter().map(row).collect(),
        })?;
    } else {
        let mut table = Table::new(&[
            ("NAME", Align::Left),
            ("IMAGE", Align::Left),
            ("COMMAND", Align::Left),
            ("STATUS", Align::Left),
            ("PORTS", Align::Left),
        ]);
        let now = now();
        for seen in &found {
            table.row([
                seen.name.clone(),
                seen.record.image.clone(),
                shortened(&seen.record.command.join(" ")),
                status(seen, now),
                ports(&seen.record.ports),
            ]);
        }
        match (table.is_empty(), arguments.all) {
            (false, _) => context.output.text(&table.text(context.output.color))?,
            (true, true) => context
                .output
                .note("no containers: `ounce run -d IMAGE` makes one"),
            (true, false) => context
                .output
                .note("nothing runs: `ounce ps -a` shows what has ended"),
        }
    }
    Ok(code)
}

fn row(seen: &Seen) -> Row<'_> {
    let running = seen.running.as_ref();
    Row {
        name: &seen.name,
        kind: seen.record.kind,
        image: &seen.record.image,
        command: &seen.record.command,
        status: seen.status.name(),
        note: running.and_then(|running| running.note.as_deref()),
        exit_code: match seen.status {
            Status::Exited(ended) => Some(ended.exit.code()),
            _ => None,
        },
        pid: running
            .filter(|running| seen.status == Status::Running && running.pid != 0)
            .map(|running| running.pid),
        created: &seen.record.created,
        started: running.map(|running| running.started.as_str()),
        starts: running.map_or(0, |running| running.starts),
        ports: &seen.record.ports,
        labels: &seen.record.labels,
    }
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// How it is, for people.
fn status(seen: &Seen, now: u64) -> String {
    let running = seen.running.as_ref();
    if let Some(note) = running.and_then(|running| running.note.as_deref())
        && seen.status.is_alive()
    {
        return note.to_owned();
    }
    let ago = |since: u64| age(now.saturating_sub(since));
    match seen.status {
        Status::Running => match running {
            Some(running) if running.starts > 1 => {
                let times = running.starts - 1;
                format!("up {}, restarted {times}x", ago(running.started_seconds))
            }
            Some(running) => format!("up {}", ago(running.started_seconds)),
            None => "up".to_owned(),
        },
        Status::Exited(ended) => {
            format!("exited ({}) {} ago", ended.exit.code(), ago(ended.seconds))
        }
        Status::Dead => "dead: its keeper was killed".to_owned(),
        status => status.name().to_owned(),
    }
}

/// A length of time in its largest unit.
fn age(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min", seconds / 60),
        7200..=172_799 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86400),
    }
}

fn ports(ports: &[Port]) -> String {
    let ports: Vec<String> = ports
        .iter()
        .map(|port| format!("{}->{}", port.address, port.container_port))
        .collect();
    ports.join(", ")
}

fn shortened(text: &str) -> String {
    const MOST: usize = 30;
    match text.chars().count() {
        0..=MOST => text.to_owned(),
        _ => text.chars().take(MOST - 1).chain(['…']).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_told_in_their_largest_unit() {
        let told: Vec<String> = [0, 119, 120, 7199, 7200, 172_800].map(age).to_vec();
        assert_eq!(told, ["0 s", "119 s", "2 min", "119 min", "2 h", "2 days"]);
    }

    #[test]
    fn long_commands_are_cut_at_a_character() {
        assert_eq!(shortened("short"), "short");
        let long = shortened(&"ä".repeat(40));
        assert_eq!(long.chars().count(), 30);
        assert!(long.ends_with('…'));
    }
}
