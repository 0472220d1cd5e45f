//! Scale to zero: what a service costs that nobody asks for, and how long the
//! first who asks waits.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::held::{Held, Store, address, ask, meminfo_kb, pss_kb};
use crate::bench::host;
use crate::bench::options::Options;
use crate::bench::programs::Programs;
use crate::bench::report::{Bar, Grid, GridLine, Sense, Sheet, Suite, three_digits};
use crate::bench::rounds::Row;
use crate::bench::sampling::{Series, Statistics};
use crate::bench::stage::Stage;

/// Registered services, nobody asks for.
const MANY: usize = 1_000;
/// The same without them.
const FEW: usize = 1;
/// Fresh starts of both; the median counts.
const STARTS: usize = 5;
const LIMIT: Duration = Duration::from_secs(60);

/// Measures both.
pub(crate) fn run(
    options: &Options,
    programs: &Programs,
    stage: &Stage,
    progress: &mut dyn FnMut(&str, usize, usize),
) -> Result<Suite> {
    let store = Store::prepare(programs, stage)?;
    let runs = options.runs.max(20);
    let plain = first_requests(&store, "", runs, progress)?;
    let pooled = first_requests(&store, "[pool]", runs, progress)?;
    let idle = idle_costs(&store, progress)?;
    let version = host::version(&programs.ounce, &["--version"]).unwrap_or_default();
    Ok(Suite {
        key: "zero",
        title: "Scale to zero".to_owned(),
        method: format!(
            "`ounce serve` holds a service's socket; the clock starts before the client connects to a service whose \
             container has been stopped, and stops at the first byte of its answer. The idle cost is the difference \
             between {MANY} registered services and {FEW}: of the process (PSS) and of the machine (MemAvailable), \
             the kernel's sockets included, the median of {STARTS} starts each."
        ),
        tables: vec![
            Sheet::Grid(requests_table(&plain, &pooled)),
            Sheet::Grid(idle_table(&idle)),
        ],
        bars: vec![
            bar(
                "first request to a stopped container, p50",
                Sense::MillisecondsAtMost,
                5.0,
                plain.p50 / 1000.0,
            ),
            bar(
                "a registered service that nobody asks for, of the machine's memory",
                Sense::KilobytesAtMost,
                16.0,
                idle.machine,
            ),
            bar(
                "the same, of the process",
                Sense::KilobytesAtMost,
                16.0,
                idle.process,
            ),
        ],
        absent: Vec::new(),
        notes: vec![
            "The server is asked again only when it has been told that its container has ended; each start is a whole \
             one, from the image's files to the program's first instruction."
                .to_owned(),
        ],
        versions: vec![("ounce".to_owned(), version)],
    })
}

fn bar(goal: &str, sense: Sense, wanted: f64, found: f64) -> Bar {
    Bar {
        goal: goal.to_owned(),
        sense,
        wanted,
        against: None,
        found: Some((found * 100.0).round() / 100.0),
        paired: None,
    }
}

/// Microseconds from the connection's start to the first byte.
fn first_requests(
    store: &Store,
    pool: &str,
    runs: usize,
    progress: &mut dyn FnMut(&str, usize, usize),
) -> Result<Statistics> {
    // Unused for an instant, it is stopped.
    let held = match pool {
        "" => store.serve(1, "idle = \"1ms\"")?,
        _ => store.serve_with("pool = 2\n", 1, "idle = \"1ms\"")?,
    };
    held.wait("listening", LIMIT)?;
    let mut series = Series::default();
    for run in 0..runs + 3 {
        progress("first requests", run, runs + 3);
        let elapsed = ask(address(0))?;
        held.wait("stopped", LIMIT)?;
        // The kernel takes down what the container had.
        std::thread::sleep(Duration::from_millis(20));
        // The first few warm the caches.
        if run >= 3 {
            series.push(elapsed.as_secs_f64() * 1e6);
        }
    }
    held.end()?;
    series.statistics().context("nothing was measured")
}

/// Kilobytes of one service.
struct Idle {
    process: f64,
    machine: f64,
    slab: f64,
}

fn idle_costs(store: &Store, progress: &mut dyn FnMut(&str, usize, usize)) -> Result<Idle> {
    let mut all: [Vec<f64>; 3] = Default::default();
    for start in 0..STARTS {
        progress("idle services", start, STARTS);
        let [few, many] = [cost(store, FEW)?, cost(store, MANY)?];
        for (values, (few, many)) in all.iter_mut().zip(few.into_iter().zip(many)) {
            values.push((many - few) / (MANY - FEW) as f64);
        }
    }
    let [process, machine, slab] = all.map(|mut values| {
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    });
    Ok(Idle {
        process,
        machine,
        slab,
    })
}

/// PSS of the process, and what of the machine's memory and slab is gone.
fn cost(store: &Store, count: usize) -> Result<[f64; 3]> {
    let before = (meminfo_kb("MemAvailable")?, meminfo_kb("Slab")?);
    let held: Held = store.serve(count, "")?;
    for _ in 0..count {
        held.wait("listening", LIMIT)?;
    }
    std::thread::sleep(Duration::from_millis(300));
    let after = (meminfo_kb("MemAvailable")?, meminfo_kb("Slab")?);
    let pss = pss_kb(held.pid())?;
    held.end()?;
    std::thread::sleep(Duration::from_millis(300));
    ensure!(pss > 0.0, "the process has no memory");
    Ok([pss, before.0 - after.0, after.1 - before.1])
}

fn line(key: &str, title: &str, remark: &str, cells: Vec<String>) -> GridLine {
    let mut cells = cells;
    cells.push(remark.to_owned());
    GridLine {
        row: Row::new(key, title, remark),
        is_ours: true,
        cells,
        repeated: 0,
        samples: serde_json::Value::Null,
    }
}

fn requests_table(plain: &Statistics, pooled: &Statistics) -> Grid {
    let of = |one: &Statistics| {
        [one.p50, one.p99, one.min, one.max]
            .map(|value| three_digits(value / 1000.0))
            .to_vec()
    };
    Grid {
        key: "zero-first".to_owned(),
        title: "First request to a stopped container".to_owned(),
        head: ["p50 ms", "p99 ms", "min", "max", "conditions"]
            .map(str::to_owned)
            .to_vec(),
        lines: vec![
            line("ounce-serve", "ounce serve", "a whole start", of(plain)),
            line(
                "ounce-serve-pool",
                "ounce serve, pool = 2",
                "two starts are kept begun: their namespaces are made",
                of(pooled),
            ),
        ],
    }
}

fn idle_table(idle: &Idle) -> Grid {
    let kilobytes = |value: f64| format!("{} KB", three_digits(value));
    Grid {
        key: "zero-idle".to_owned(),
        title: "A registered service that nobody asks for".to_owned(),
        head: [
            "the process (PSS)",
            "the machine",
            "of it slab",
            "conditions",
        ]
        .map(str::to_owned)
        .to_vec(),
        lines: vec![line(
            "ounce-serve",
            "ounce serve",
            &format!("each of {MANY}, by the difference to {FEW}"),
            vec![
                kilobytes(idle.process),
                kilobytes(idle.machine),
                kilobytes(idle.slab),
            ],
        )],
    }
}
