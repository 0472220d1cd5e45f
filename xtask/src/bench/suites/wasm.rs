//! WebAssembly: from a command to the first line of a module and to the first
//! byte of a handler's answer, requests a second, and what an instance costs.

use std::cell::{Cell, RefCell};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use crate::bench::client::{Socket, first_answer, first_line};
use crate::bench::host;
use crate::bench::load::Load;
use crate::bench::options::Options;
use crate::bench::programs;
use crate::bench::report::{Bar, Grid, GridLine, Sense, Sheet, Suite, Table, three_digits};
use crate::bench::rounds::{Absent, Contender, Marks, Row, Taken, mark, measure};
use crate::bench::stage::{Stage, free_port};
use crate::house::House;
use crate::{dist, wasmhost};

const FIRST_BYTE: &str = "first_byte";
const RATE: &str = "rate";
/// What the handler of examples/wasm-http answers to `GET /`.
const BODY_BYTES: usize = "Hello, /\n".len();
/// Instances that live at once.
const INSTANCES: usize = 10_000;
/// How long load is applied in each trial of `requests`.
const LOAD: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(20);

/// A module that prints a line, as a beginner writes it.
const LINE: &str = "fn main() { println!(\"hello from wasm\"); }\n";
/// A module of one function and a page of memory, for instances.
const TINY: &[u8] = b"\0asm\x01\0\0\0\x01\x05\x01\x60\0\x01\x7f\x03\x02\x01\0\x05\x03\x01\0\x01\
    \x07\x05\x01\x01f\0\0\x0a\x06\x01\x04\0\x41\x07\x0b";

/// Everything that contenders are made of.
struct Kit {
    ounce: PathBuf,
    engine: PathBuf,
    store: PathBuf,
    cache: PathBuf,
    folder: PathBuf,
    /// The module that prints a line, and code of it.
    line: (PathBuf, PathBuf),
    /// The component that answers, and code of it.
    http: (PathBuf, PathBuf),
    /// The native program that prints a line.
    native: PathBuf,
    wasmtime: Option<Wasmtime>,
}

/// The peer, with code of its own making.
struct Wasmtime {
    program: PathBuf,
    line: PathBuf,
    http: PathBuf,
}

impl Kit {
    fn prepare(options: &Options, stage: &Stage) -> Result<Self> {
        let ounce = match &options.ounce {
            Some(path) => path.clone(),
            None => dist::build(dist::HOST_TARGET)?,
        };
        let engine = wasmhost::build(&House::here()?, dist::HOST_TARGET)?;
        let folder = stage.subfolder("wasm")?;
        let mut kit = Self {
            store: folder.join("store"),
            cache: folder.join("cache"),
            line: (folder.join("line.wasm"), folder.join("line.code")),
            http: (folder.join("http.wasm"), folder.join("http.code")),
            native: programs::line(&folder)?,
            wasmtime: None,
            ounce,
            engine,
            folder,
        };
        let source = kit.folder.join("line.rs");
        fs::write(&source, LINE)?;
        done(
            Command::new("rustc")
                .args([
                    "--edition=2024",
                    "--target=wasm32-wasip1",
                    "-Copt-level=s",
                    "-o",
                ])
                .args([&kit.line.0, &source]),
        )?;
        done(
            kit.command(&kit.ounce)
                .args(["build", "--tag", "line"])
                .arg(&kit.line.0),
        )?;
        let example = programs::root().join("examples/wasm-http");
        done(
            kit.command(&kit.ounce)
                .args(["build", "--tag", "http"])
                .arg(example),
        )?;
        // What every contender runs is what the image holds.
        for (name, to) in [("line", &kit.line.0), ("http", &kit.http.0)] {
            fs::copy(kit.module(name)?, to)?;
        }
        for (module, code) in [&kit.line, &kit.http] {
            let out = fs::File::create(code)?;
            done(
                Command::new(&kit.engine)
                    .arg("compile")
                    .arg(module)
                    .stdout(out),
            )?;
        }
        let program = options
            .program("wasmtime")
            .or_else(|| crate::tool::find("wasmtime"));
        if let Some(program) = program {
            let compile = |from: &Path, name: &str| -> Result<PathBuf> {
                let to = kit.folder.join(name);
                let mut command = Command::new(&program);
                done(command.arg("compile").arg(from).arg("-o").arg(&to))?;
                Ok(to)
            };
            kit.wasmtime = Some(Wasmtime {
                line: compile(&kit.line.0, "line.cwasm")?,
                http: compile(&kit.http.0, "http.cwasm")?,
                program,
            });
        }
        Ok(kit)
    }

    /// A command of ounce's in the store of this run.
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env("OUNCE_STORE", &self.store)
            .env("XDG_CACHE_HOME", &self.cache)
            .env("OUNCE_WASMHOST", &self.engine);
        command
    }

    /// The module's blob in the store.
    fn module(&self, name: &str) -> Result<PathBuf> {
        #[derive(Deserialize)]
        struct Inspected {
            manifest: Manifest,
        }
        #[derive(Deserialize)]
        struct Manifest {
            layers: [Layer; 1],
        }
        #[derive(Deserialize)]
        struct Layer {
            digest: String,
        }
        let output = self.command(&self.ounce).args(["inspect", name]).output()?;
        let inspected: Inspected =
            serde_json::from_slice(&output.stdout).context("reading ounce inspect")?;
        let [layer] = inspected.manifest.layers;
        let hex = layer.digest.trim_start_matches("sha256:");
        Ok(self.store.join("blobs/sha256").join(hex))
    }

    /// Waits until ounce has made code beside a start, so that the next finds it.
    fn warm(&self, words: &[&str]) -> Result<()> {
        let began = Instant::now();
        loop {
            let plan = self
                .command(&self.ounce)
                .args(["run", "--dry-run"])
                .args(words)
                .output()?;
            if String::from_utf8_lossy(&plan.stdout).contains(".ounce-compiled") {
                return Ok(());
            }
            ensure!(began.elapsed() < PATIENCE, "no code was made of {words:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

fn done(command: &mut Command) -> Result<()> {
    let output = command
        .output()
        .with_context(|| format!("starting {:?}", command.get_program()))?;
    ensure!(
        output.status.success(),
        "{:?}: {}",
        command.get_program(),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// Measures all of it.
pub(crate) fn run(
    options: &Options,
    stage: &mut Stage,
    progress: &mut dyn FnMut(&str, usize, usize),
) -> Result<Suite> {
    let kit = Kit::prepare(options, stage)?;
    done(kit.command(&kit.ounce).args(["run", "line"]))?;
    kit.warm(&["line"])?;
    let mut absent = Vec::new();
    if kit.wasmtime.is_none() {
        absent.push(Absent::new(
            "wasmtime",
            "not on the PATH; --server wasmtime=FILE names one (cargo install wasmtime-cli)",
        ));
    }
    let runs = options.runs;
    let lines = measure(lines(&kit), runs, &mut absent, &mut |done, all| {
        progress("first line", done, all);
    });
    let shared = RefCell::new(stage);
    // The first start makes the code for those that follow.
    let answers = handlers(&kit, &shared);
    let answers = measure(answers, runs, &mut absent, &mut |done, all| {
        progress("first answer", done, all);
    });
    let rates = measure(servers(&kit), runs, &mut absent, &mut |done, all| {
        progress("requests", done, all);
    });
    let measured = measured(&kit)?;
    let line_table = Table::new(
        "wasm-line",
        "To the first line of a cached module",
        "ounce-engine",
        FIRST_BYTE,
        &lines,
    );
    let answer_table = Table::new(
        "wasm-http",
        "To the first byte of a handler's answer (wasi:http)",
        "ounce-engine",
        FIRST_BYTE,
        &answers,
    );
    let over_bare = p50(&lines, "ounce-engine", FIRST_BYTE)
        .zip(p50(&lines, "bare", FIRST_BYTE))
        .map(|(own, bare)| own - bare);
    let bars = vec![
        most(
            "engine, cached module: spawn to first line, over fork + exec",
            1.2,
            over_bare,
        ),
        most(
            "handler, cached: spawn to first byte",
            4.0,
            p50(&answers, "ounce-engine", FIRST_BYTE),
        ),
        most(
            "handler, never seen: spawn to first byte",
            8.0,
            p50(&answers, "ounce-quick", FIRST_BYTE),
        ),
        most(
            "instance in a warm host",
            0.005,
            Some(measured.instantiate_p50_ns as f64 / 1000.0),
        ),
        Bar {
            goal: format!("memory of {INSTANCES} live instances, in KB"),
            sense: Sense::KilobytesAtMost,
            wanted: 1_048_576.0,
            against: None,
            found: Some((measured.bytes() / 1024) as f64),
            paired: None,
        },
        rates_bar(&rates),
    ];
    let version = |program: &Path| host::version(program, &["--version"]).unwrap_or_default();
    let mut versions = vec![
        ("ounce".to_owned(), version(&kit.ounce)),
        ("engine".to_owned(), version(&kit.engine)),
    ];
    if let Some(peer) = &kit.wasmtime {
        versions.push(("wasmtime".to_owned(), version(&peer.program)));
    }
    let module_bytes = fs::metadata(&kit.line.0)?.len();
    let component_bytes = fs::metadata(&kit.http.0)?.len();
    Ok(Suite {
        key: "wasm",
        title: "WebAssembly".to_owned(),
        method: format!(
            "The module is a line printed by Rust's standard library, {module_bytes} bytes (wasm32-wasip1); the \
             component is examples/wasm-http, {component_bytes} bytes. All contenders run the same bytes. *Cached*: code was made \
             ahead of time; *never seen*: it is made in the start. The clock begins before the command is spawned."
        ),
        tables: vec![
            Sheet::Times(line_table),
            Sheet::Times(answer_table),
            Sheet::Grid(rates_grid(&rates)),
            Sheet::Grid(instances_grid(&measured)),
        ],
        bars,
        absent,
        notes: vec![
            "`ounce run` is the whole isolation of a container around the engine: namespaces, a read-only root, \
             seccomp. The engine alone and wasmtime have none of it."
                .to_owned(),
        ],
        versions,
    })
}

fn p50(taken: &[Taken], key: &str, mark: &str) -> Option<f64> {
    let one = taken.iter().find(|one| one.row.key == key)?;
    Some(one.series.get(mark)?.statistics()?.p50)
}

/// A bar in milliseconds, of microseconds found.
fn most(goal: &str, wanted: f64, found: Option<f64>) -> Bar {
    Bar {
        goal: goal.to_owned(),
        sense: Sense::MillisecondsAtMost,
        wanted,
        against: None,
        found: found.map(|found| found.round() / 1000.0),
        paired: None,
    }
}

type Make<'a> = Box<dyn Fn(u16) -> Command + 'a>;

/// Somebody who prints a line.
struct Line<'a> {
    row: Row,
    command: Make<'a>,
}

impl Contender for Line<'_> {
    fn row(&self) -> Row {
        self.row.clone()
    }

    fn trial(&mut self, _: usize) -> Result<Marks> {
        let (first, _) = first_line((self.command)(0))?;
        Ok(vec![mark(FIRST_BYTE, first)])
    }
}

fn lines(kit: &Kit) -> Vec<Box<dyn Contender + '_>> {
    let mut all: Vec<Box<dyn Contender + '_>> = Vec::new();
    let mut push = |row, command| all.push(Box::new(Line { row, command }));
    push(
        Row::new(
            "bare",
            "a native program",
            "fork and exec of a static program that prints a line",
        ),
        Box::new(|_| Command::new(&kit.native)),
    );
    push(
        Row::new("ounce-engine", "ounce-wasmhost", "cached, the engine alone"),
        Box::new(|_| {
            let mut command = Command::new(&kit.engine);
            command
                .arg("run")
                .arg("--compiled")
                .args([&kit.line.1, &kit.line.0]);
            command
        }),
    );
    push(
        Row::new(
            "ounce-quick",
            "ounce-wasmhost",
            "never seen, the engine alone",
        ),
        Box::new(|_| {
            let mut command = Command::new(&kit.engine);
            command.arg("run").arg(&kit.line.0);
            command
        }),
    );
    push(
        Row::new("ounce-run", "ounce run", "cached, in a container"),
        Box::new(|_| {
            let mut command = kit.command(&kit.ounce);
            command.args(["run", "line"]);
            command
        }),
    );
    if let Some(peer) = &kit.wasmtime {
        push(
            Row::new(
                "wasmtime",
                "wasmtime run",
                "compiled before by `wasmtime compile`",
            ),
            Box::new(|_| {
                let mut command = Command::new(&peer.program);
                command.args(["run", "--allow-precompiled"]).arg(&peer.line);
                command
            }),
        );
        push(
            Row::new(
                "wasmtime-jit",
                "wasmtime run",
                "never seen, without its cache",
            ),
            Box::new(|_| {
                let mut command = Command::new(&peer.program);
                command.args(["run", "-C", "cache=n"]).arg(&kit.line.0);
                command
            }),
        );
    }
    all
}

/// Somebody who answers a request.
struct Handler<'a, 'b> {
    row: Row,
    command: Make<'a>,
    stage: &'a RefCell<&'b mut Stage>,
}

impl Contender for Handler<'_, '_> {
    fn row(&self) -> Row {
        self.row.clone()
    }

    fn trial(&mut self, _: usize) -> Result<Marks> {
        let mut stage = self.stage.borrow_mut();
        let command = |port| Ok((self.command)(port));
        let first = first_answer(&mut stage, Socket::OwnPort, "/", &command, &|| ())?;
        Ok(vec![mark(FIRST_BYTE, first)])
    }
}

/// Those who serve: key, title, remark, and the command for a port.
fn serving(kit: &Kit) -> Vec<(Row, Make<'_>)> {
    let mut all: Vec<(Row, Make<'_>)> = vec![
        (
            Row::new("ounce-engine", "ounce-wasmhost", "cached, the engine alone"),
            Box::new(|port| {
                let mut command = Command::new(&kit.engine);
                command.args(["run", "--port", &port.to_string(), "--compiled"]);
                command.args([&kit.http.1, &kit.http.0]);
                command
            }),
        ),
        (
            Row::new(
                "ounce-quick",
                "ounce-wasmhost",
                "never seen, the engine alone",
            ),
            Box::new(|port| {
                let mut command = Command::new(&kit.engine);
                command
                    .args(["run", "--port", &port.to_string()])
                    .arg(&kit.http.0);
                command
            }),
        ),
        (
            Row::new("ounce-run", "ounce run -p", "cached, in a container"),
            Box::new(|port| {
                let mut command = kit.command(&kit.ounce);
                command.args(["run", "-p", &format!("127.0.0.1:{port}:8080"), "http"]);
                command
            }),
        ),
    ];
    if let Some(peer) = &kit.wasmtime {
        all.push((
            Row::new(
                "wasmtime",
                "wasmtime serve",
                "compiled before by `wasmtime compile`",
            ),
            Box::new(|port| {
                let mut command = Command::new(&peer.program);
                command.args(["serve", "--allow-precompiled", "--addr"]);
                command.arg(format!("127.0.0.1:{port}")).arg(&peer.http);
                command
            }),
        ));
        all.push((
            Row::new(
                "wasmtime-jit",
                "wasmtime serve",
                "never seen, without its cache",
            ),
            Box::new(|port| {
                let mut command = Command::new(&peer.program);
                command.args(["serve", "-C", "cache=n", "--addr"]);
                command.arg(format!("127.0.0.1:{port}")).arg(&kit.http.0);
                command
            }),
        ));
    }
    all
}

fn handlers<'a, 'b>(kit: &'a Kit, stage: &'a RefCell<&'b mut Stage>) -> Vec<Box<dyn Contender + 'a>>
where
    'b: 'a,
{
    serving(kit)
        .into_iter()
        .map(|(row, command)| {
            Box::new(Handler {
                row,
                command,
                stage,
            }) as Box<dyn Contender + 'a>
        })
        .collect()
}

/// A server under load; it lives as long as the rounds.
struct Server<'a> {
    row: Row,
    command: Make<'a>,
    running: Option<(Child, u16)>,
    failed: Cell<bool>,
}

impl Server<'_> {
    fn port(&mut self) -> Result<u16> {
        if let Some((_, port)) = &self.running {
            return Ok(*port);
        }
        ensure!(!self.failed.replace(true), "it did not start");
        let port = free_port()?;
        let mut command = (self.command)(port);
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        self.running = Some((child.spawn()?, port));
        let began = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            ensure!(began.elapsed() < PATIENCE, "it does not listen");
            std::thread::sleep(Duration::from_millis(5));
        }
        self.failed.set(false);
        Ok(port)
    }
}

impl Contender for Server<'_> {
    fn row(&self) -> Row {
        self.row.clone()
    }

    fn trial(&mut self, _: usize) -> Result<Marks> {
        let load = Load {
            port: self.port()?,
            path: "/",
            body_bytes: BODY_BYTES,
            connections: 16,
            depth: 1,
            closes: false,
            rate: None,
            time: LOAD,
        };
        let answers = load.run(&mut |_| Ok(()))?;
        let rate = answers.count as f64 / answers.time.as_secs_f64();
        Ok(vec![(RATE, rate)])
    }
}

impl Drop for Server<'_> {
    fn drop(&mut self) {
        if let Some((mut child, _)) = self.running.take() {
            let pid = rustix::process::Pid::from_child(&child);
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            let _ = child.wait();
        }
    }
}

fn servers(kit: &Kit) -> Vec<Box<dyn Contender + '_>> {
    serving(kit)
        .into_iter()
        .filter(|(row, _)| !["ounce-quick", "wasmtime-jit"].contains(&row.key.as_str()))
        .map(|(row, command)| {
            Box::new(Server {
                row,
                command,
                running: None,
                failed: Cell::new(false),
            }) as Box<dyn Contender + '_>
        })
        .collect()
}

fn rates_bar(taken: &[Taken]) -> Bar {
    crate::bench::rates::bar(
        taken,
        "requests a second, against wasmtime serve",
        "ounce-run",
        &["wasmtime"],
        (RATE, crate::bench::rates::Good::High),
        1.0,
    )
}

fn rates_grid(taken: &[Taken]) -> Grid {
    let mut lines = Vec::new();
    for one in taken {
        let Some(found) = one.series.get(RATE).and_then(|series| series.statistics()) else {
            continue;
        };
        lines.push(GridLine {
            row: one.row.clone(),
            is_ours: one.row.key.starts_with("ounce"),
            cells: vec![
                format!("{:.0}", found.p50),
                format!("{:.0}", found.min),
                format!("{:.0}", found.max),
                one.row.remark.clone(),
            ],
            repeated: one.repeated,
            samples: serde_json::to_value(&one.series).unwrap_or_default(),
        });
    }
    Grid {
        key: "wasm-requests".to_owned(),
        title: "Requests a second, a fresh instance each, 16 connections".to_owned(),
        head: ["p50", "min", "max", "conditions"]
            .map(str::to_owned)
            .to_vec(),
        lines,
    }
}

/// What the engine measured of its own instances.
#[derive(Debug, Deserialize)]
struct Measured {
    load_ns: u64,
    instantiate_p50_ns: u64,
    instantiate_p99_ns: u64,
    instances: u64,
    bytes_before: u64,
    bytes_after: u64,
}

impl Measured {
    fn bytes(&self) -> u64 {
        self.bytes_after.saturating_sub(self.bytes_before)
    }
}

fn measured(kit: &Kit) -> Result<Measured> {
    let tiny = kit.folder.join("tiny.wasm");
    let code = kit.folder.join("tiny.code");
    fs::write(&tiny, TINY)?;
    let out = fs::File::create(&code)?;
    done(
        Command::new(&kit.engine)
            .arg("compile")
            .arg(&tiny)
            .stdout(out),
    )?;
    let output = Command::new(&kit.engine)
        .args([
            "measure",
            "--instances",
            &INSTANCES.to_string(),
            "--compiled",
        ])
        .args([&code, &tiny])
        .output()?;
    serde_json::from_slice(&output.stdout)
        .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())
}

fn instances_grid(measured: &Measured) -> Grid {
    let each = measured.bytes() / measured.instances.max(1);
    Grid {
        key: "wasm-instances".to_owned(),
        title: format!("{INSTANCES} instances of a small module in one host"),
        head: [
            "code mapped, µs",
            "an instance p50, µs",
            "p99",
            "memory of each, KB",
            "of all, MB",
            "conditions",
        ]
        .map(str::to_owned)
        .to_vec(),
        lines: vec![GridLine {
            row: Row::new("ounce-engine", "ounce-wasmhost", "pooled, PSS"),
            is_ours: true,
            cells: vec![
                three_digits(measured.load_ns as f64 / 1000.0),
                three_digits(measured.instantiate_p50_ns as f64 / 1000.0),
                three_digits(measured.instantiate_p99_ns as f64 / 1000.0),
                three_digits(each as f64 / 1024.0),
                three_digits(measured.bytes() as f64 / 1_048_576.0),
                "made one after the other, all alive".to_owned(),
            ],
            repeated: 0,
            samples: serde_json::Value::Null,
        }],
    }
}
