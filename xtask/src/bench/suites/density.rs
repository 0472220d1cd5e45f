//! Density: how many isolated servers one machine holds, how fast they come up,
//! and what each of them takes.
//!
//! ounce's are services of one `ounce serve` that are always to run. Peers get
//! as long as ounce took for all of its own, with a start on every processor;
//! what they have up then is what they are measured by.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::held::{Store, address, answers, meminfo_kb, pss_kb};
use crate::bench::options::Options;
use crate::bench::peers::{Field, Starter};
use crate::bench::programs::Programs;
use crate::bench::report::{Bar, Grid, GridLine, Sense, Sheet, Suite, three_digits};
use crate::bench::rounds::{Absent, Row};
use crate::bench::stage::{self, Stage};

/// The last ones tell whether it gets slower the more there are.
const LAST: usize = 1_000;
/// Longest until the next container is up.
const LIMIT: Duration = Duration::from_secs(30);
/// A peer gets no less than this, and no more.
const PEERS: [Duration; 2] = [Duration::from_secs(20), Duration::from_secs(60)];
/// Longest until one start of a peer has returned.
const RETURN: Duration = Duration::from_secs(30);
/// Open files of `ounce serve`: for each service (its socket, its process) and besides.
const FILES: [u64; 2] = [2, 500];
/// Until what was started or ended has settled.
const SETTLE: Duration = Duration::from_secs(2);

/// What the kernel has, in kilobytes.
#[derive(Debug, Clone, Copy)]
struct Memory {
    available: f64,
    slab: f64,
    tables: f64,
    stacks: f64,
    percpu: f64,
}

impl Memory {
    fn read() -> Result<Self> {
        Ok(Self {
            available: meminfo_kb("MemAvailable")?,
            slab: meminfo_kb("Slab")?,
            tables: meminfo_kb("PageTables")?,
            stacks: meminfo_kb("KernelStack")?,
            percpu: meminfo_kb("Percpu")?,
        })
    }

    /// What each of so many has taken since.
    fn each(before: Self, count: usize) -> Result<Self> {
        let now = Self::read()?;
        let each = |taken: f64| taken / count.max(1) as f64;
        Ok(Self {
            available: each(before.available - now.available),
            slab: each(now.slab - before.slab),
            tables: each(now.tables - before.tables),
            stacks: each(now.stacks - before.stacks),
            percpu: each(now.percpu - before.percpu),
        })
    }
}

/// What was found of one contender.
struct Found {
    row: Row,
    up: usize,
    answered: usize,
    took: Duration,
    /// Starts a second among the last.
    last: Option<f64>,
    each: Memory,
    /// Of its own process, where that is known.
    pss: Option<f64>,
    stopped: Option<Duration>,
}

impl Found {
    fn rate(&self) -> f64 {
        self.up as f64 / self.took.as_secs_f64()
    }
}

/// Measures ounce, then the peers.
pub(crate) fn run(
    options: &Options,
    programs: &Programs,
    field: &mut Field,
    stage: &Stage,
    progress: &mut dyn FnMut(&str, usize, usize),
) -> Result<Suite> {
    let mut absent: Vec<Absent> = field.no_starters.clone();
    let store = Store::prepare(programs, stage)?;
    let ours = ours(&store, options.count, progress)?;
    let time = ours.took.clamp(PEERS[0], PEERS[1]);
    let mut all = vec![ours];
    for peer in &field.starters {
        let http = crate::bench::programs::Task::Http;
        if peer.detached("probe", 0).is_none() {
            continue;
        }
        progress(&peer.row(http).title, 0, 1);
        settle()?;
        match theirs(peer.as_ref(), time) {
            Ok(found) => all.push(found),
            Err(error) => absent.push(Absent::new(peer.row(http).title, format!("{error:#}"))),
        }
    }
    Ok(Suite {
        key: "density",
        title: "Density".to_owned(),
        method: format!(
            "The project's own server, isolated, as often as {} times on one machine; each is asked for its page, then \
             all are stopped. Memory is what MemAvailable has lost when all are up and have answered, by their number: \
             the program, the kernel's part, and whatever the engine keeps for each.",
            options.count
        ),
        bars: bars(&all, options.count),
        tables: vec![Sheet::Grid(table(&all))],
        absent,
        notes: vec![
            format!(
                "ounce: {} `ounce serve` of {} services together (a service takes two open files, and the hard limit \
                 here is {} a process), with `always = true`, each with a user, a mount, a process, a \
                 network, an IPC, a host name and a control group namespace of its own, a read-only root, no \
                 capability and the list of system calls. The peers have the host's network, which spares them a \
                 network namespace: to their advantage.",
                shares(options.count).len(),
                options.count,
                most_files()
            ),
            format!(
                "Peers have the time that ounce took for all, from {} to {} s, with as many starts at once as there are \
                 processors.",
                PEERS[0].as_secs(),
                PEERS[1].as_secs()
            ),
        ],
        versions: field.versions.clone(),
    })
}

fn ours(
    store: &Store,
    count: usize,
    progress: &mut dyn FnMut(&str, usize, usize),
) -> Result<Found> {
    let before = Memory::read()?;
    let start = Instant::now();
    let mut held = Vec::new();
    let mut first = 0;
    for share in shares(count) {
        held.push((store.serve_from(first, share, "always = true")?, share));
        first += share;
    }
    let mut moments = Vec::with_capacity(count);
    let mut pids = Vec::with_capacity(count);
    // Their events wait for us, each with its moment.
    for (held, share) in &held {
        for _ in 0..*share {
            let told = held.wait("started", LIMIT)?;
            moments.push(told.at);
            let pid = told.event["pid"]
                .as_u64()
                .context("a start has a process")?;
            pids.push(u32::try_from(pid)?);
            if moments.len().is_multiple_of(1000) {
                progress("ounce serve", moments.len(), count);
            }
        }
    }
    moments.sort_unstable();
    let took = moments.last().copied().unwrap_or(start) - start;
    let last = moments.len().checked_sub(LAST + 1).map(|first| {
        let span = moments[moments.len() - 1] - moments[first];
        LAST as f64 / span.as_secs_f64()
    });
    let answered = answering((0..count).map(address).collect());
    std::thread::sleep(SETTLE);
    let each = Memory::each(before, count)?;
    // One after the other, so a sample of them will do.
    let sample: Vec<u32> = pids.iter().copied().step_by((count / 500).max(1)).collect();
    let sum: f64 = sample.iter().filter_map(|pid| pss_kb(*pid).ok()).sum();
    let stopping = Instant::now();
    for (held, _) in &held {
        held.ask_to_end()?;
    }
    for (held, _) in held {
        held.end()?;
    }
    let stopped = stopping.elapsed();
    for pid in &sample {
        let left = std::path::Path::new(&format!("/proc/{pid}")).exists();
        ensure!(!left, "process {pid} is left");
    }
    Ok(Found {
        row: Row::new(
            "ounce-serve",
            "ounce serve",
            "seven namespaces each, its own network among them",
        ),
        up: count,
        answered,
        took,
        last,
        each,
        pss: Some(sum / sample.len().max(1) as f64),
        stopped: Some(stopped),
    })
}

/// How many services each `ounce serve` holds: the fewest that a process's open
/// files allow, alike.
fn shares(count: usize) -> Vec<usize> {
    let [each, besides] = FILES;
    let most = usize::try_from(most_files().saturating_sub(besides) / each).unwrap_or(usize::MAX);
    let processes = count.div_ceil(most.max(1)).max(1);
    (0..processes)
        .map(|process| count / processes + usize::from(process < count % processes))
        .collect()
}

/// The hard limit of open files (man 2 getrlimit).
fn most_files() -> u64 {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limit.maximum.unwrap_or(u64::MAX)
}

/// How many of these answer, asked on every processor.
fn answering(addresses: Vec<SocketAddr>) -> usize {
    let next = AtomicUsize::new(0);
    let answered = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..processors() {
            scope.spawn(|| {
                while let Some(address) = addresses.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if answers(*address) {
                        answered.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    answered.into_inner()
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Waits until the kernel has given back what those before had: that goes on
/// after their end, and would count as memory that the next ones do not take.
fn settle() -> Result<()> {
    const STEADY_KB: f64 = 4096.0;
    let mut before = meminfo_kb("MemAvailable")?;
    for _ in 0..30 {
        std::thread::sleep(SETTLE);
        let now = meminfo_kb("MemAvailable")?;
        if (now - before).abs() < STEADY_KB {
            break;
        }
        before = now;
    }
    Ok(())
}

/// As many as are up after this time.
fn theirs(peer: &dyn Starter, time: Duration) -> Result<Found> {
    let row = peer.row(crate::bench::programs::Task::Http);
    let before = Memory::read()?;
    let start = Instant::now();
    let mut up: Vec<(String, u16)> = Vec::new();
    let mut failed = None;
    let mut number = 0;
    while start.elapsed() < time && failed.is_none() {
        let mut batch = Vec::new();
        for _ in 0..processors() {
            number += 1;
            let (name, port) = (format!("dense-{number}"), stage::free_port()?);
            let command = peer
                .detached(&name, port)
                .context("it cannot be left alone")?;
            batch.push((name, port, spawn(command)?));
        }
        for (name, port, child) in batch {
            match returned(child)? {
                None => up.push((name, port)),
                Some(said) => failed = Some(said),
            }
        }
    }
    let took = start.elapsed();
    if up.is_empty() {
        anyhow::bail!(failed.unwrap_or_else(|| "nothing was started".to_owned()));
    }
    let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let answered = answering(up.iter().map(|(_, port)| local(*port)).collect());
    std::thread::sleep(SETTLE);
    let each = Memory::each(before, up.len());
    let names: Vec<String> = up.iter().map(|(name, _)| name.clone()).collect();
    peer.clean_all(&names);
    Ok(Found {
        row,
        up: up.len(),
        answered,
        took,
        last: None,
        each: each?,
        pss: None,
        stopped: None,
    })
}

/// Waits for the end of a start; what it said, if it failed or took too long.
fn returned(mut child: std::process::Child) -> Result<Option<String>> {
    let start = Instant::now();
    while child.try_wait()?.is_none() {
        if start.elapsed() > RETURN {
            child.kill()?;
            child.wait()?;
            return Ok(Some(format!(
                "a start did not return in {} s",
                RETURN.as_secs()
            )));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let output = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Ok((!output.status.success()).then_some(said))
}

fn spawn(mut command: std::process::Command) -> Result<std::process::Child> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("starting {:?}", command.get_program()))
}

fn bars(all: &[Found], count: usize) -> Vec<Bar> {
    let [ours, peers @ ..] = all else {
        return Vec::new();
    };
    let bar = |goal: &str, sense, wanted: f64, found: Option<f64>| Bar {
        goal: goal.to_owned(),
        sense,
        wanted,
        against: None,
        found,
        paired: None,
    };
    let mut bars = vec![
        bar(
            "containers that are up at once and answer",
            Sense::AtLeast,
            count as f64,
            Some(ours.answered as f64),
        ),
        bar(
            "starts a second, from the first to the last",
            Sense::AtLeast,
            300.0,
            Some(ours.rate().round()),
        ),
        bar(
            "starts a second, the last 1,000",
            Sense::AtLeast,
            300.0,
            ours.last.map(f64::round),
        ),
        bar(
            "memory of the machine for each",
            Sense::KilobytesAtMost,
            600.0,
            Some(ours.each.available.round()),
        ),
    ];
    // podman on ounce is no peer of ounce.
    let others = peers.iter().filter(|one| !one.row.key.contains("ounce"));
    let fastest = others.max_by(|a, b| a.rate().total_cmp(&b.rate()));
    bars.push(Bar {
        against: fastest.map(|peer| peer.row.title.clone()),
        ..bar(
            "starts a second, over the fastest peer's",
            Sense::Ratio,
            1.0,
            fastest.map(|peer| ours.rate() / peer.rate()),
        )
    });
    bars
}

fn table(all: &[Found]) -> Grid {
    let kilobytes = |value: f64| format!("{} KB", value.round());
    let seconds = |time: Duration| format!("{} s", three_digits(time.as_secs_f64()));
    let lines = all.iter().map(|one| GridLine {
        row: one.row.clone(),
        is_ours: one.row.key == "ounce-serve",
        cells: vec![
            one.up.to_string(),
            one.answered.to_string(),
            seconds(one.took),
            three_digits(one.rate()),
            one.last.map_or_else(|| "–".to_owned(), three_digits),
            kilobytes(one.each.available),
            one.pss.map_or_else(|| "–".to_owned(), kilobytes),
            kilobytes(one.each.slab),
            kilobytes(one.each.tables + one.each.stacks + one.each.percpu),
            one.stopped.map_or_else(|| "–".to_owned(), seconds),
            one.row.remark.clone(),
        ],
        repeated: 0,
        samples: serde_json::json!({
            "up": one.up, "answered": one.answered, "seconds": one.took.as_secs_f64(),
            "available_kb": one.each.available, "slab_kb": one.each.slab,
            "page_tables_kb": one.each.tables, "kernel_stacks_kb": one.each.stacks,
            "percpu_kb": one.each.percpu, "pss_kb": one.pss,
        }),
    });
    let head = [
        "up",
        "answer",
        "after",
        "starts/s",
        "the last 1,000",
        "memory each",
        "its process (PSS)",
        "slab",
        "page tables, stacks, per-CPU",
        "all stopped in",
        "conditions",
    ];
    Grid {
        key: "density".to_owned(),
        title: "Containers at once".to_owned(),
        head: head.map(str::to_owned).to_vec(),
        lines: lines.collect(),
    }
}
