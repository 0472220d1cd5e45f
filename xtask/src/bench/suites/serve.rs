//! Serving files: our server beside others on one processor, the load on another.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::bench::account::{self, Used};
use crate::bench::client::{Socket, first_answer};
use crate::bench::load::{self, Load};
use crate::bench::options::Options;
use crate::bench::rates::{self, Column, Good};
use crate::bench::report::{Bar, Sense, Sheet, Suite, Table};
use crate::bench::rounds::{Absent, Contender, Marks, Row, Taken, mark, measure};
use crate::bench::servers::{Ground, Server, Servers};
use crate::bench::stage::{Stage, free_port};
use crate::peers::started::Started;

/// How long each trial's answers are counted.
const TIME: Duration = Duration::from_millis(200);
/// Connections of every load that names no other number.
const CONNECTIONS: usize = 64;
/// Requests a second where latencies are compared: what the slowest server that
/// keeps connections open answers with its processor half idle.
const RATE: f64 = 10_000.0;

const SMALL: (&str, usize) = ("/1k.html", 1_024);
const LARGE: (&str, usize) = ("/100k.bin", 102_400);

/// A load that every server is put under in turn.
struct Scene {
    key: &'static str,
    title: &'static str,
    file: (&'static str, usize),
    depth: usize,
    closes: bool,
    rate: Option<f64>,
    /// Whether settings beside the first are measured, too.
    has_variants: bool,
}

const SCENES: [Scene; 5] = [
    Scene {
        key: "keep-alive",
        title: "1 KB, keep-alive, 64 connections",
        file: SMALL,
        depth: 1,
        closes: false,
        rate: None,
        has_variants: true,
    },
    Scene {
        key: "pipelined",
        title: "1 KB, 16 requests in a pipeline, 64 connections",
        file: SMALL,
        depth: 16,
        closes: false,
        rate: None,
        has_variants: false,
    },
    Scene {
        key: "close",
        title: "1 KB, a connection a request, 64 at a time",
        file: SMALL,
        depth: 1,
        closes: true,
        rate: None,
        has_variants: false,
    },
    Scene {
        key: "large",
        title: "100 KB, keep-alive, 64 connections",
        file: LARGE,
        depth: 1,
        closes: false,
        rate: None,
        has_variants: false,
    },
    Scene {
        key: "latency",
        title: "1 KB, 10,000 requests a second offered in an open loop, 64 connections",
        file: SMALL,
        depth: 1,
        closes: false,
        rate: Some(RATE),
        has_variants: false,
    },
];

/// The place that the suite has.
struct Place {
    /// The processor of the server under load, and that of the load.
    processors: (usize, usize),
}

impl Place {
    /// Starts a server on its processor, and waits until it answers.
    fn start(&self, server: &Server) -> Result<Running> {
        let port = free_port()?;
        let mut command = (server.start)(port)?;
        let process = self.spawn(&mut command)?;
        let mut running = Running { process, port };
        let request = Load {
            time: Duration::from_millis(1),
            connections: 1,
            ..load_of(&SCENES[0], port)
        };
        let begun = Instant::now();
        loop {
            match request.run(&mut |_| Ok(())) {
                Ok(_) => return Ok(running),
                Err(error) if begun.elapsed() > Duration::from_secs(5) => {
                    return Err(error.context("no answer"));
                }
                Err(_) => ensure!(running.process.runs(), "it ended at its start"),
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// What is started inherits the processor of the thread that starts it.
    fn spawn(&self, command: &mut Command) -> Result<Started> {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        load::bind_to(self.processors.0)?;
        let started = Started::new(command);
        load::bind_to(self.processors.1)?;
        started
    }
}

/// A server that serves.
struct Running {
    process: Started,
    port: u16,
}

impl Running {
    fn family(&mut self) -> Vec<u32> {
        account::family(self.process.child().id())
    }
}

fn load_of(scene: &Scene, port: u16) -> Load {
    Load {
        port,
        path: scene.file.0,
        body_bytes: scene.file.1,
        connections: CONNECTIONS,
        depth: scene.depth,
        closes: scene.closes,
        rate: scene.rate,
        time: TIME,
    }
}

/// One server under one load.
struct Turn<'a> {
    server: &'a Server,
    scene: &'a Scene,
    running: Running,
}

impl Contender for Turn<'_> {
    fn row(&self) -> Row {
        self.server.row.clone()
    }

    fn trial(&mut self, _: usize) -> Result<Marks> {
        let family = self.running.family();
        let mut before = Used::default();
        let mut used = Used::default();
        let answers = load_of(self.scene, self.running.port).run(&mut |begins| {
            if begins {
                before = account::used(&family)?;
            } else {
                used = account::used(&family)? - before;
            }
            Ok(())
        })?;
        let (count, seconds) = (answers.count as f64, answers.time.as_secs_f64());
        let mut marks = vec![
            (rates::RATE, count / seconds),
            (rates::BUSY, used.total_ns / 1e9 / seconds),
            (rates::USER, used.user_ticks),
            (rates::SYSTEM, used.system_ticks),
        ];
        if self.server.keeps_alive || used.total_ns > 0.0 {
            marks.push((rates::COST, used.total_ns / 1e3 / count));
        }
        let mut latencies = answers.latencies;
        if !latencies.is_empty() {
            latencies.sort_unstable();
            let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize];
            marks.push(mark(rates::P50, at(0.50)));
            marks.push(mark(rates::P99, at(0.99)));
        }
        Ok(marks)
    }
}

/// From the start of the program to the first byte of its answer.
struct Boot<'a> {
    server: &'a Server,
    stage: &'a RefCell<&'a mut Stage>,
    place: &'a Place,
}

impl Contender for Boot<'_> {
    fn row(&self) -> Row {
        self.server.row.clone()
    }

    fn trial(&mut self, _: usize) -> Result<Marks> {
        load::bind_to(self.place.processors.0)?;
        let mut stage = self.stage.borrow_mut();
        let first = first_answer(
            &mut stage,
            Socket::OwnPort,
            SMALL.0,
            &self.server.start,
            &|| (),
        );
        load::bind_to(self.place.processors.1)?;
        Ok(vec![mark(FIRST_BYTE, first?)])
    }
}

const FIRST_BYTE: &str = "first_byte";

/// The folder that all serve, in memory where that can be had, and what servers write.
fn folders(stage: &Stage) -> Result<(PathBuf, PathBuf, bool)> {
    let folder = stage.subfolder("serve")?;
    let mut mount = Command::new("mount");
    mount
        .args(["-t", "tmpfs", "-o", "mode=755", "tmpfs"])
        .arg(&folder);
    // Inside the stage the mount ends with the benchmark.
    let in_memory = stage.is_isolated() && mount.status().is_ok_and(|status| status.success());
    let site = folder.join("site");
    fs::create_dir_all(&site)?;
    fs::write(site.join("1k.html"), page(SMALL.1))?;
    fs::write(site.join("index.html"), page(SMALL.1))?;
    fs::write(site.join("100k.bin"), noise(LARGE.1))?;
    Ok((site, folder.join("own"), in_memory))
}

/// A page of so many bytes.
fn page(bytes: usize) -> Vec<u8> {
    let mut text = b"<!doctype html><title>bench</title><p>".to_vec();
    let words = b"one static file, served again and again; ";
    text.extend(words.iter().cycle().take(bytes - text.len()));
    text
}

/// Bytes that do not compress (xorshift64, Marsaglia 2003).
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    std::iter::repeat_with(next).take(bytes).collect()
}

/// Measures all servers in all scenes.
pub(crate) fn run(
    options: &Options,
    httpd: &Path,
    stage: &mut Stage,
    progress: &mut dyn FnMut(&str, usize, usize),
) -> Result<Suite> {
    let (site, own, in_memory) = folders(stage)?;
    fs::create_dir_all(&own)?;
    let place = Place {
        processors: load::processors()?,
    };
    raise_descriptors();
    let packed = options
        .packed
        .clone()
        .context("no packed site was given (--packed FILE)");
    let servers = Servers::gather(Ground {
        options,
        httpd,
        site: &site,
        packed,
        folder: &own,
    })?;
    let mut absent = servers.absent;
    let mut tables = Vec::new();
    let mut seen = Vec::new();
    for scene in &SCENES {
        let mut field: Vec<Box<dyn Contender + '_>> = Vec::new();
        for server in &servers.all {
            let fits = (scene.depth == 1 || server.pipelines)
                && (scene.rate.is_none() || server.keeps_alive);
            if !fits || (server.is_variant && !scene.has_variants) {
                continue;
            }
            match place.start(server) {
                Ok(running) => field.push(Box::new(Turn {
                    server,
                    scene,
                    running,
                })),
                Err(error) => {
                    let one = Absent::new(server.row.title.clone(), format!("{error:#}"));
                    if !absent.contains(&one) {
                        absent.push(one);
                    }
                }
            }
        }
        let taken = measure(field, options.runs, &mut absent, &mut |done, all| {
            progress(scene.title, done, all);
        });
        let columns: &[Column] = if scene.rate.is_some() {
            &rates::LATENCY
        } else {
            &rates::THROUGHPUT
        };
        tables.push(Sheet::Grid(rates::table(
            scene.key,
            scene.title,
            columns,
            &taken,
        )));
        seen.push(taken);
    }
    let boot = boot(
        &servers.all,
        stage,
        &place,
        options.runs,
        &mut absent,
        progress,
    );
    let mut bars = bars(&seen);
    bars.push(boot_bar(&boot));
    tables.push(Sheet::Times(boot));
    Ok(Suite {
        key: "serve",
        title: "Serving files".to_owned(),
        method: format!(
            "The same folder {}, served to one load generator over loopback; the server has one processor, the generator \
             another. Everybody is started once a table and takes turns of {} ms, round by round. *CPU*: processor time \
             of the server's processes, the kernel's part included, a request; *busy*: how much of its processor the \
             server used: where it is well below 100 %, the generator or other work on the machine was the limit, and \
             the CPU tells more than the rate. *ounce ×*: how many times as good our server with the folder is, as the \
             ratio of the medians and (*paired*) as the median of the ratios round by round.",
            if in_memory {
                "in memory (tmpfs)"
            } else {
                "on disk, cached"
            },
            TIME.as_millis(),
        ),
        tables,
        bars,
        absent,
        notes: Vec::new(),
        versions: servers.versions,
    })
}

/// From the start of the program to its first answer, everybody in turn.
fn boot(
    servers: &[Server],
    stage: &mut Stage,
    place: &Place,
    runs: usize,
    absent: &mut Vec<Absent>,
    progress: &mut dyn FnMut(&str, usize, usize),
) -> Table {
    let title = "From the start of the program to the first byte of its answer";
    let stage = RefCell::new(stage);
    let field: Vec<Box<dyn Contender + '_>> = servers
        .iter()
        .filter(|server| !server.is_variant)
        .map(|server| {
            Box::new(Boot {
                server,
                stage: &stage,
                place,
            }) as Box<dyn Contender>
        })
        .collect();
    let taken = measure(field, runs, absent, &mut |done, all| {
        progress(title, done, all);
    });
    Table::new("boot", title, "ounce", FIRST_BYTE, &taken)
}

fn boot_bar(table: &Table) -> Bar {
    let goal = "boot to the first byte, against the faster of darkhttpd and busybox";
    let bar = table.bar(goal, &["darkhttpd", "busybox"], 1.0);
    Bar {
        sense: Sense::AtMostTimes,
        wanted: 0.7,
        found: bar.found.map(f64::recip),
        paired: bar.paired.map(f64::recip),
        ..bar
    }
}

/// The bars on rates, costs and latencies; `seen` in the order of the scenes.
fn bars(seen: &[Vec<Taken>]) -> Vec<Bar> {
    let [keep_alive, pipelined, close, large, latency] = seen else {
        return Vec::new();
    };
    let rate = (rates::RATE, Good::High);
    let cost = (rates::COST, Good::Low);
    let nginx: &[&str] = &["nginx"];
    let tuned: &[&str] = &["nginx-tuned"];
    let lighttpd: &[&str] = &["lighttpd"];
    let bar = rates::bar;
    vec![
        bar(
            keep_alive,
            "1 KB keep-alive, requests/s against nginx as installed",
            "ounce",
            nginx,
            rate,
            1.7,
        ),
        bar(
            keep_alive,
            "the same, CPU a request",
            "ounce",
            nginx,
            cost,
            1.7,
        ),
        bar(
            keep_alive,
            "1 KB keep-alive, requests/s against nginx with open_file_cache",
            "ounce",
            tuned,
            rate,
            1.2,
        ),
        bar(
            keep_alive,
            "the same, CPU a request",
            "ounce",
            tuned,
            cost,
            1.2,
        ),
        bar(
            keep_alive,
            "1 KB keep-alive, packed, requests/s against lighttpd",
            "packed",
            lighttpd,
            rate,
            1.0,
        ),
        bar(
            keep_alive,
            "the same, CPU a request",
            "packed",
            lighttpd,
            cost,
            1.0,
        ),
        bar(
            pipelined,
            "1 KB, 16 in a pipeline, packed, requests/s against lighttpd",
            "packed",
            lighttpd,
            rate,
            1.5,
        ),
        bar(
            pipelined,
            "the same, CPU a request",
            "packed",
            lighttpd,
            cost,
            1.5,
        ),
        bar(
            close,
            "1 KB, `Connection: close`, CPU a request against the best",
            "ounce",
            &[],
            cost,
            1.0,
        ),
        bar(
            large,
            "100 KB, requests/s against the best",
            "ounce",
            &[],
            rate,
            1.0,
        ),
        bar(
            latency,
            "p99 at 10,000 requests a second against the best",
            "ounce",
            &[],
            (rates::P99, Good::Low),
            1.0,
        ),
    ]
}

/// As many descriptors as this process may have: servers inherit it, too.
fn raise_descriptors() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        },
    );
}
