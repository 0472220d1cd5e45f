//! What a start asks of the kernel and of the processor, counted by perf(1):
//! beside the times, since it is the same on a busy machine.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::bench::peers::Starter;
use crate::bench::programs::Task;

/// Counted this often; the least is told, since what comes on top is others' doing.
const TIMES: usize = 5;

const CALLS: &str = "raw_syscalls:sys_enter";
const OWN: &str = "instructions:u";
const KERNEL: &str = "instructions:k";

/// One sentence on all starters, or why there is none. What daemons do for a
/// client is not in it.
pub(super) fn note(starters: &[Box<dyn Starter>]) -> String {
    let counted: Result<Vec<String>> = starters
        .iter()
        .enumerate()
        .map(|(at, starter)| {
            let count = |time| {
                let name = format!("bench-count-{at}-{time}");
                let counts = counts(&starter.command(Task::Line, &name, 0));
                starter.clean(&name);
                counts
            };
            let all: Vec<_> = (0..TIMES).map(count).collect::<Result<_>>()?;
            let least = |which: fn(&Counts) -> u64| all.iter().map(which).min().unwrap_or(0);
            Ok(format!(
                "{}: {} calls, {:.2} + {:.2} M",
                starter.row(Task::Line).title,
                least(|one| one.calls),
                least(|one| one.own) as f64 / 1e6,
                least(|one| one.kernel) as f64 / 1e6
            ))
        })
        .collect();
    match counted {
        Ok(lines) => format!(
            "System calls, and millions of instructions of programs + of the kernel for them, of one whole start of \
             the printing program with all its processes (what a daemon does for its client is not counted): {}.",
            lines.join("; ")
        ),
        Err(error) => format!("System calls and instructions were not counted: {error:#}."),
    }
}

struct Counts {
    calls: u64,
    own: u64,
    kernel: u64,
}

fn counts(command: &Command) -> Result<Counts> {
    let events = format!("{CALLS},{OWN},{KERNEL}");
    let mut perf = Command::new("perf");
    perf.args(["stat", "-x", ";", "-e", &events, "--"])
        .arg(command.get_program())
        .args(command.get_args())
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => perf.env(name, value),
            None => perf.env_remove(name),
        };
    }
    let output = perf.output().context("starting perf")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "perf: {}", said.trim());
    parse(&said)
}

/// Lines of `perf stat -x ';'`: value; unit; event; …
fn parse(text: &str) -> Result<Counts> {
    let value = |event: &str| {
        text.lines()
            .find_map(|line| {
                let mut fields = line.split(';');
                let value = fields.next()?;
                (fields.nth(1)? == event).then(|| value.parse::<u64>().ok())?
            })
            .with_context(|| format!("perf did not count {event}"))
    };
    Ok(Counts {
        calls: value(CALLS)?,
        own: value(OWN)?,
        kernel: value(KERNEL)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn perfs_fields_are_read_and_what_it_could_not_count_is_told() {
        let text = "301;;raw_syscalls:sys_enter;100;100.00;;\n105622;;instructions:u;1;1;;\n\
                    3540990;;instructions:k;1;1;;\n";
        let counts = parse(text).unwrap();
        assert_eq!(
            (counts.calls, counts.own, counts.kernel),
            (301, 105_622, 3_540_990)
        );
        let error = parse("<not supported>;;instructions:u;0;100.00;;")
            .err()
            .unwrap();
        assert!(error.to_string().contains("sys_enter"), "{error}");
    }
}
