//! `ounce stats`: what containers use, once or followed.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use ounce_oci::ByteSize;
use ounce_run::containers::stats::Usage;
use ounce_run::containers::{Containers, Kind, StateError, Status};
use serde::Serialize;

use super::Context;
use crate::arguments::containers::StatsArguments;
use crate::failure::Failure;
use crate::render::table::{Align, Table};

/// Time over which the share of processors is counted.
const SAMPLE: Duration = Duration::from_millis(250);
/// Time between two tables.
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Serialize)]
struct Document {
    schema: &'static str,
    containers: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    name: String,
    /// Hundredths of one processor.
    cpu_percent: f64,
    #[serde(flatten)]
    usage: Usage,
}

/// What was counted, and when.
type Counted = (Instant, BTreeMap<String, Usage>);

/// Prints it.
pub(crate) fn run(context: &Context, arguments: &StatsArguments) -> Result<ExitCode, Failure> {
    let containers = context.containers();
    let mut before = count(&containers, &arguments.names)?;
    std::thread::sleep(SAMPLE);
    loop {
        let now = count(&containers, &arguments.names)?;
        let rows = rows(&before, &now);
        if context.output.json {
            context.output.document(&Document {
                schema: "ounce.stats/1",
                containers: rows,
            })?;
            return Ok(ExitCode::SUCCESS);
        }
        print(context, &rows, arguments.follow)?;
        if !arguments.follow || rows.is_empty() {
            return Ok(ExitCode::SUCCESS);
        }
        before = now;
        std::thread::sleep(PAUSE);
    }
}

/// Of those named, or of all that run. One that ends meanwhile is left out of
/// all, and is an error where it was named.
fn count(containers: &Containers, names: &[String]) -> Result<Counted, Failure> {
    let mut found = BTreeMap::new();
    if names.is_empty() {
        for seen in containers.list()?.into_iter().flatten() {
            if seen.status != Status::Running || seen.record.kind != Kind::Container {
                continue;
            }
            match containers.usage(&seen.name) {
                Ok(usage) => drop(found.insert(seen.name, usage)),
                Err(StateError::NotRunning(..) | StateError::Missing(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    for name in names {
        found.insert(name.clone(), containers.usage(name)?);
    }
    Ok((Instant::now(), found))
}

fn rows((then, before): &Counted, (now, after): &Counted) -> Vec<Row> {
    let nanoseconds = now.duration_since(*then).as_nanos().max(1) as f64;
    let row = |(name, usage): (&String, &Usage)| {
        let used = before.get(name).map_or(0, |before| {
            usage.cpu_nanoseconds.saturating_sub(before.cpu_nanoseconds)
        });
        Row {
            name: name.clone(),
            cpu_percent: (used as f64 / nanoseconds * 1000.0).round() / 10.0,
            usage: usage.clone(),
        }
    };
    after.iter().map(row).collect()
}

fn print(context: &Context, rows: &[Row], anew: bool) -> Result<(), Failure> {
    if rows.is_empty() {
        context
            .output
            .note("nothing runs: `ounce ps -a` shows what has ended");
        return Ok(());
    }
    let mut table = Table::new(&[
        ("NAME", Align::Left),
        ("CPU %", Align::Right),
        ("MEMORY", Align::Right),
        ("LIMIT", Align::Right),
        ("RECEIVED", Align::Right),
        ("SENT", Align::Right),
        ("READ", Align::Right),
        ("WRITTEN", Align::Right),
        ("PROCESSES", Align::Right),
    ]);
    // A limit of version 1 that was not set is nearly all that a number holds.
    const NO_LIMIT: u64 = 1 << 62;
    let bytes = |bytes: Option<u64>| {
        let bytes = bytes.filter(|bytes| *bytes < NO_LIMIT);
        bytes.map_or("-".to_owned(), |bytes| ByteSize(bytes).to_string())
    };
    for row in rows {
        let usage = &row.usage;
        table.row([
            row.name.clone(),
            format!("{:.1}", row.cpu_percent),
            bytes(Some(usage.group_memory_bytes.unwrap_or(usage.memory_bytes))),
            bytes(usage.memory_limit_bytes),
            bytes(usage.received_bytes),
            bytes(usage.sent_bytes),
            bytes(Some(usage.read_bytes)),
            bytes(Some(usage.written_bytes)),
            usage.processes.to_string(),
        ]);
    }
    // Over the table before: from the upper left corner, all else cleared.
    let place = match anew && context.output.color {
        true => "\x1b[H\x1b[2J",
        false => "",
    };
    let text = table.text(context.output.color);
    context.output.text(&format!("{place}{text}"))
}
