//! Private memory of each server: after its first answer, under 64 connections,
//! under 1,000, and with requests that stop half-way.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::place::{Place, Running, SMALL};
use crate::bench::account;
use crate::bench::load::Load;
use crate::bench::rates::{self, figure};
use crate::bench::report::{Bar, Grid, GridLine, Sense};
use crate::bench::rounds::Absent;
use crate::bench::servers::Server;

/// Fresh starts of each server; the most of them counts.
const STARTS: usize = 3;
const FEW: usize = 64;
const MANY: usize = 1_000;
/// Connections on which nothing happens.
const IDLE: usize = 4_000;
/// Requests that stay half-sent while others are answered.
const HALF: usize = 1_500;

/// What a server has taken at most, in kilobytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Taken {
    idle: u64,
    few: u64,
    many: u64,
    /// Only of ours.
    half: Option<u64>,
    /// The kernel's tables of its pages, at the end.
    tables: u64,
    processes: usize,
}

impl Taken {
    fn most(self, other: Taken) -> Taken {
        Taken {
            idle: self.idle.max(other.idle),
            few: self.few.max(other.few),
            many: self.many.max(other.many),
            half: self.half.max(other.half),
            tables: self.tables.max(other.tables),
            processes: self.processes.max(other.processes),
        }
    }
}

/// What was found.
pub(super) struct Findings {
    pub(super) table: Grid,
    /// On our own memory.
    pub(super) bars: Vec<Bar>,
    /// What the kernel keeps for connections.
    pub(super) note: String,
}

/// Measures everybody.
pub(super) fn measure(
    servers: &[Server],
    place: &Place,
    absent: &mut Vec<Absent>,
    progress: &mut dyn FnMut(&str, usize, usize),
) -> Findings {
    let title = "Private dirty memory, the most of three starts";
    let mut found: Vec<(&Server, Taken)> = Vec::new();
    for (number, server) in servers.iter().enumerate() {
        progress(title, number * 10, servers.len() * 10);
        let mut most = Taken::default();
        let all = (0..STARTS).try_for_each(|_| {
            most = most.most(take(server, place)?);
            Ok::<_, anyhow::Error>(())
        });
        match all {
            Ok(()) => found.push((server, most)),
            Err(error) => {
                let name = format!("{}, memory", server.row.title);
                absent.push(Absent::new(name, format!("{error:#}")));
            }
        }
    }
    found.sort_by_key(|(_, taken)| taken.many);
    let bars = bars(&found);
    let head = [
        "first answer",
        "64 connections",
        "1,000 connections",
        "1,500 half-sent requests",
        "processes",
        "kernel: page tables",
        "conditions",
    ];
    let lines = found.into_iter().map(|(server, taken)| {
        let kilobytes = |value: u64| {
            format!(
                "{} KB",
                figure(value as f64).replace(".00", "").replace(".0", "")
            )
        };
        GridLine {
            row: server.row.clone(),
            is_ours: rates::is_ours(&server.row.key),
            cells: vec![
                kilobytes(taken.idle),
                kilobytes(taken.few),
                kilobytes(taken.many),
                taken.half.map_or_else(|| "–".to_owned(), kilobytes),
                taken.processes.to_string(),
                kilobytes(taken.tables),
                server.row.remark.clone(),
            ],
            repeated: 0,
            samples: serde_json::json!({
                "idle_kb": taken.idle, "few_kb": taken.few, "many_kb": taken.many,
                "half_kb": taken.half, "page_tables_kb": taken.tables,
            }),
        }
    });
    let table = Grid {
        key: "memory".to_owned(),
        title: title.to_owned(),
        head: head.map(str::to_owned).to_vec(),
        lines: lines.collect(),
    };
    let ours = servers.iter().find(|server| server.row.key == rates::OURS);
    let kernel = ours.context("our server is not there");
    let note = match kernel.and_then(|server| kernel_kb(server, place)) {
        Ok(kilobytes) => format!(
            "What the kernel keeps for a connection on which nothing happens, both ends together: {} KB (growth of the \
             slab caches in /proc/meminfo by {IDLE} connections to our server; a client elsewhere has its half there).",
            figure(kilobytes)
        ),
        Err(error) => format!("What the kernel keeps for connections was not measured: {error:#}."),
    };
    Findings { table, bars, note }
}

/// Kernel memory of an idle connection, client's and server's end, in kilobytes.
fn kernel_kb(server: &Server, place: &Place) -> Result<f64> {
    let running = place.start(&server.start)?;
    let before = account::slab_kb()?;
    let mut streams = Vec::new();
    for _ in 0..IDLE {
        streams.push(TcpStream::connect((Ipv4Addr::LOCALHOST, running.port))?);
    }
    // The last have been accepted, too.
    std::thread::sleep(Duration::from_millis(200));
    Ok((account::slab_kb()? - before) / IDLE as f64)
}

fn bars(found: &[(&Server, Taken)]) -> Vec<Bar> {
    let of = |key: &str| {
        let one = found.iter().find(|(server, _)| server.row.key == key);
        one.map(|(_, taken)| *taken)
    };
    let bar = |goal: &str, wanted: f64, found: Option<u64>| Bar {
        goal: goal.to_owned(),
        sense: Sense::KilobytesAtMost,
        wanted,
        against: None,
        found: found.map(|value| value as f64),
        paired: None,
    };
    vec![
        bar(
            "private dirty memory, 1,000 keep-alive connections under load",
            24.0,
            of("ounce").map(|taken| taken.many),
        ),
        bar(
            "`--tiny`: the same, and 1,500 half-sent requests held under load, all answered",
            4.0,
            of("ounce-tiny").and_then(|taken| taken.many.max(taken.half?).into()),
        ),
    ]
}

/// One start.
fn take(server: &Server, place: &Place) -> Result<Taken> {
    let start = server.start_from_disk.as_ref().unwrap_or(&server.start);
    let mut running = place.start(start)?;
    let mut taken = Taken {
        idle: dirty(&mut running)?,
        ..Taken::default()
    };
    taken.few = under(&mut running, FEW, 300)?;
    taken.many = if server.keeps_alive {
        under(&mut running, MANY, 600)?
    } else {
        taken.few
    };
    if rates::is_ours(&server.row.key) {
        taken.half = Some(half_sent(&mut running)?);
    }
    let family = running.family();
    taken.tables = account::page_tables_kb(&family);
    taken.processes = family.len();
    Ok(taken)
}

fn dirty(running: &mut Running) -> Result<u64> {
    account::private_dirty_kb(&running.family())
}

/// The most that is seen while so many connections are open and asking.
fn under(running: &mut Running, connections: usize, milliseconds: u64) -> Result<u64> {
    let load = Load {
        port: running.port,
        path: SMALL.0,
        body_bytes: SMALL.1,
        connections,
        depth: 1,
        closes: false,
        rate: None,
        time: Duration::from_millis(milliseconds),
    };
    let mut most = 0;
    load.run(&mut |_| {
        most = most.max(dirty(running)?);
        Ok(())
    })?;
    Ok(most)
}

/// The same while others have sent half a request, all of whom are answered in
/// the end.
fn half_sent(running: &mut Running) -> Result<u64> {
    let (front, back) = (
        "GET /1k.html HTTP/1.1\r\nHost: localhost\r\nConn",
        "ection: close\r\n\r\n",
    );
    let mut streams = Vec::new();
    for _ in 0..HALF {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, running.port))?;
        stream.write_all(front.as_bytes())?;
        streams.push(stream);
    }
    let mut most = under(running, FEW, 300)?;
    for (number, mut stream) in streams.into_iter().enumerate() {
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(back.as_bytes())?;
        let mut answer = Vec::new();
        let told = || format!("half-sent request {number} of {HALF}");
        stream.read_to_end(&mut answer).with_context(told)?;
        ensure!(
            answer.starts_with(b"HTTP/1.1 200") && answer.len() > SMALL.1,
            "{} was answered by {} bytes",
            told(),
            answer.len()
        );
    }
    most = most.max(dirty(running)?);
    Ok(most)
}
