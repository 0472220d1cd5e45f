//! Cold start: from the spawn of the command to the server's or the program's first byte.

use std::fs::File;
use std::io::Read as _;
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use super::{Bar, Row, Table};
use crate::dist;
use crate::house::House;
use crate::peers::answer::{first_answer, free_port};
use crate::peers::bundle::{self, Network};
use crate::peers::docker::Daemon;
use crate::peers::podman::Storage;
use crate::peers::started::Started;
use crate::scratch::Scratch;
use crate::tidy;
use crate::tool::{command, find, read, run};

const PATIENCE: Duration = Duration::from_secs(20);

/// Untimed rounds before the first that counts: caches warm for all.
const WARM_ROUNDS: usize = 3;

/// From a port and a name for the container, the command that starts it.
type Make<'a> = Box<dyn Fn(u16, &str) -> Command + 'a>;

/// One way to start the same program.
struct Contender<'a> {
    name: &'static str,
    note: String,
    make: Make<'a>,
    /// Removes what a start leaves behind; not timed.
    clear: Box<dyn Fn(&str) + 'a>,
    /// The listening socket is bound here and handed in as descriptor 3.
    handed: bool,
    /// A port that is fixed in a file, where it cannot be given on the command line.
    port: Option<u16>,
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Until {
    Answer,
    Line,
}

/// Both tables of the suite.
pub(super) fn suite(house: &House, ounce: &Path, runs: usize) -> Result<Vec<Table>> {
    let scratch = Scratch::new("start")?;
    let server = tidy::build_program(&house.path("examples/hello"), dist::own_target()?)?;
    let line = compile_line(house, &scratch)?;
    let answer = table(house, ounce, &scratch, &server, Until::Answer, runs)?;
    let line = table(house, ounce, &scratch, &line, Until::Line, runs)?;
    Ok(vec![answer, line])
}

/// A static program that prints one line, from `bench/start/line.rs`.
fn compile_line(house: &House, scratch: &Scratch) -> Result<PathBuf> {
    let program = scratch.join("line");
    run(command(&[
        "rustc",
        "-O",
        "-Cpanic=abort",
        "-Cstrip=symbols",
        "--edition=2024",
        "--target",
        dist::own_target()?,
        "-o",
    ])
    .arg(&program)
    .arg(house.path("bench/start/line.rs")))?;
    Ok(program)
}

fn table(
    house: &House,
    ounce: &Path,
    scratch: &Scratch,
    elf: &Path,
    until: Until,
    runs: usize,
) -> Result<Table> {
    let word = if until == Until::Answer {
        "server"
    } else {
        "line"
    };
    let store = scratch.join("store");
    let image = format!("{word}:bench");
    read(
        command(&[ounce])
            .arg("--store")
            .arg(&store)
            .arg("build")
            .arg(elf)
            .args(["-t", &image]),
    )?;
    let archive = scratch.join(&format!("{word}.tar"));
    read(command(&[ounce]).arg("--store").arg(&store).args([
        "copy",
        &image,
        &format!("docker-archive:{}", archive.display()),
    ]))?;

    let mut missing = Vec::new();
    let storage = Storage::new()
        .map_err(|error| missing.push(format!("podman run: {error:#}")))
        .ok();
    let daemon = Daemon::start()
        .map_err(|error| missing.push(format!("docker run: {error:#}")))
        .ok();
    let mut contenders = vec![ounce_contender(ounce, &store, &image, until), bare(elf)];
    contenders.extend(bundles(house, scratch, elf, until, &mut missing)?);
    if let Some(storage) = &storage {
        let id = read(&mut storage.podman(&[
            "pull",
            "--quiet",
            &format!("docker-archive:{}", archive.display()),
        ]))?;
        contenders.push(podman(storage, id.trim().to_owned()));
    }
    if let Some(daemon) = &daemon {
        let text = read(&mut daemon.client(&[
            "load",
            "--quiet",
            "--input",
            &archive.display().to_string(),
        ]))?;
        let id = text
            .trim()
            .rsplit(": ")
            .next()
            .unwrap_or_default()
            .to_owned();
        contenders.push(docker(daemon, id));
    }
    let rows = rounds(&contenders, until, runs, &mut missing);
    let bytes = std::fs::metadata(elf)?.len();
    Ok(Table {
        title: match until {
            Until::Answer => "Cold start to the first byte of the HTTP answer".to_owned(),
            Until::Line => "Cold start to the first byte on stdout".to_owned(),
        },
        method: match until {
            Until::Answer => format!(
                "From the spawn of the command to the first byte of the answer to `GET /healthz` on loopback. The same static program of {bytes} bytes (`examples/hello`), the same image; the client is the same for all: it tries to connect every 50 µs. Daemons run, images are loaded, {WARM_ROUNDS} untimed rounds come first."
            ),
            Until::Line => format!(
                "From the spawn of the command to the first byte the program writes. The same static program of {bytes} bytes (`bench/start/line.rs`), the same image."
            ),
        },
        rows,
        missing,
        bars: bars(until),
    })
}

fn bars(until: Until) -> Vec<Bar> {
    let bar = |promise: &str, against: &[&str], at_least: f64| Bar {
        promise: promise.to_owned(),
        against: against.iter().map(|name| (*name).to_owned()).collect(),
        at_least,
    };
    match until {
        Until::Answer => vec![
            bar(
                "first answer: faster than crun's `run`, its fastest form",
                &["crun run", "crun run, socket handed in"],
                3.0,
            ),
            bar(
                "first answer: faster than `docker run`",
                &["docker run"],
                50.0,
            ),
        ],
        Until::Line => vec![
            bar(
                "first line: faster than crun's `run`",
                &["crun run", "crun run, socket handed in"],
                3.0,
            ),
            bar(
                "first line: faster than `docker run`",
                &["docker run"],
                50.0,
            ),
        ],
    }
}

fn ounce_contender<'a>(
    ounce: &'a Path,
    store: &'a Path,
    image: &'a str,
    until: Until,
) -> Contender<'a> {
    Contender {
        name: "ounce run",
        note: "namespaces of its own (network too), read-only root, no capabilities, seccomp list; from the store".into(),
        make: Box::new(move |port, _| {
            let mut run = command(&[ounce]);
            run.arg("--store").arg(store).args(["run", image]);
            if until == Until::Answer {
                run.args(["-p", &format!("127.0.0.1:{port}")]);
            }
            run
        }),
        clear: Box::new(|_| {}),
        handed: false,
        port: None,
    }
}

fn bare(elf: &Path) -> Contender<'_> {
    Contender {
        name: "bare fork and exec",
        note: "no isolation: the floor".into(),
        make: Box::new(move |port, _| {
            let mut run = command(&[elf]);
            run.env("PORT", port.to_string());
            run
        }),
        clear: Box::new(|_| {}),
        handed: false,
        port: None,
    }
}

/// crun and runc, each as it works on this machine.
fn bundles<'a>(
    house: &House,
    scratch: &'a Scratch,
    elf: &Path,
    until: Until,
    missing: &mut Vec<String>,
) -> Result<Vec<Contender<'a>>> {
    let mut found = Vec::new();
    for (runtime, host, handed) in [
        ("crun", "crun run", "crun run, socket handed in"),
        ("runc", "runc run", "runc run, socket handed in"),
    ] {
        if find(runtime).is_none() {
            missing.push(format!("{runtime}: not installed"));
            continue;
        }
        for (name, network) in [(host, Network::Host), (handed, Network::Handed)] {
            // A program that only prints needs no socket: one form, with a network of its own.
            if until == Until::Line && network == Network::Handed {
                continue;
            }
            let network_of_own = network == Network::Handed || until == Until::Line;
            let port = free_port()?;
            let environment = match network {
                Network::Host => vec![format!("PORT={port}")],
                Network::Handed => vec!["LISTEN_FDS=1".to_owned(), "LISTEN_PID=1".to_owned()],
            };
            let folder = scratch.join(&format!("{runtime}-{until:?}-{network:?}"));
            let written = if network_of_own {
                Network::Handed
            } else {
                Network::Host
            };
            bundle::write(house, &folder, elf, written, &environment)?;
            let state = scratch.join(&format!("state-{runtime}"));
            let clear_state = state.clone();
            found.push(Contender {
                name,
                note: format!(
                    "pid, mount, ipc, uts{} namespaces, read-only root, no capabilities, no seccomp; from a ready bundle",
                    if network_of_own { ", network" } else { "; host network;" }
                ),
                make: Box::new(move |_, id| bundle::run(runtime, &state, &folder, id, network)),
                clear: Box::new(move |id| {
                    let _ = read(command(&[runtime]).arg("--root").arg(&clear_state).args(["delete", "--force", id]));
                }),
                handed: network == Network::Handed,
                port: (network == Network::Host).then_some(port),
            });
        }
    }
    Ok(found)
}

fn podman(storage: &Storage, image: String) -> Contender<'_> {
    Contender {
        name: "podman run",
        note: format!(
            "by {}; host network, its default seccomp list",
            storage.runtime()
        ),
        make: Box::new(move |port, id| {
            storage.podman(&[
                "run",
                "--rm",
                "--name",
                id,
                "--network",
                "host",
                "--env",
                &format!("PORT={port}"),
                &image,
            ])
        }),
        clear: Box::new(move |id| {
            let _ = read(&mut storage.podman(&["rm", "--force", "--ignore", "--time", "0", id]));
        }),
        handed: false,
        port: None,
    }
}

fn docker(daemon: &Daemon, image: String) -> Contender<'_> {
    Contender {
        name: "docker run",
        note: "by runc; daemon up, host network, its default seccomp list".into(),
        make: Box::new(move |port, id| {
            daemon.client(&[
                "run",
                "--name",
                id,
                "--network",
                "host",
                "--env",
                &format!("PORT={port}"),
                &image,
            ])
        }),
        clear: Box::new(move |id| {
            let _ = read(&mut daemon.client(&["rm", "--force", id]));
        }),
        handed: false,
        port: None,
    }
}

/// All contenders in turn, each round beginning with the next of them.
fn rounds(
    contenders: &[Contender<'_>],
    until: Until,
    runs: usize,
    missing: &mut Vec<String>,
) -> Vec<Row> {
    let mut rows: Vec<Row> = contenders
        .iter()
        .map(|c| Row {
            name: c.name.to_owned(),
            note: c.note.clone(),
            samples_ms: Vec::new(),
            failures: 0,
        })
        .collect();
    let mut out = vec![false; contenders.len()];
    for round in 0..WARM_ROUNDS + runs {
        for step in 0..contenders.len() {
            let index = (round + step) % contenders.len();
            if out[index] {
                continue;
            }
            let contender = &contenders[index];
            let id = format!("bench-{}-{round}-{index}", std::process::id());
            let result = measure(contender, until, &id);
            (contender.clear)(&id);
            match result {
                Ok(time) if round >= WARM_ROUNDS => {
                    rows[index].samples_ms.push(time.as_secs_f64() * 1e3);
                }
                Ok(_) => {}
                Err(error) if round == 0 => {
                    missing.push(format!("{}: {error:#}", contender.name));
                    out[index] = true;
                }
                Err(_) => rows[index].failures += 1,
            }
        }
    }
    rows
}

/// One start, from spawn to the first byte.
fn measure(contender: &Contender<'_>, until: Until, id: &str) -> Result<Duration> {
    let port = match contender.port {
        Some(port) => port,
        None => free_port()?,
    };
    let mut start = (contender.make)(port, id);
    let slot = if contender.handed {
        Some(Slot::filled(port)?)
    } else {
        None
    };
    start.stderr(Stdio::piped());
    start.stdout(if until == Until::Line {
        Stdio::piped()
    } else {
        Stdio::null()
    });
    let begun = Instant::now();
    let mut running = Started::new(&mut start)?;
    drop(slot);
    let result = match until {
        Until::Answer => first_answer(port, PATIENCE).and_then(|(moment, text)| {
            ensure!(text.starts_with("HTTP/1.1 200"), "the answer is {text:?}");
            Ok(moment - begun)
        }),
        Until::Line => first_byte(&mut running).map(|moment| moment - begun),
    };
    result.map_err(|error| {
        let mut said = String::new();
        if !running.runs()
            && let Some(stderr) = running.child().stderr.as_mut()
        {
            let _ = stderr.read_to_string(&mut said);
        }
        error.context(said.trim().replace('\n', " | "))
    })
}

fn first_byte(running: &mut Started) -> Result<Instant> {
    let stdout = running.child().stdout.as_mut().context("no stdout")?;
    let mut first = [0];
    if stdout.read(&mut first)? == 0 {
        bail!("it ends without a byte");
    }
    Ok(Instant::now())
}

/// Descriptor 3, which a child inherits as a listening socket.
struct Slot {
    // Closed when dropped; the child has its own.
    _three: OwnedFd,
}

impl Slot {
    fn filled(port: u16) -> Result<Self> {
        // The lowest free descriptor is given out: the listener comes to stand
        // at three itself, or above it once three is held.
        let mut three: OwnedFd = File::open("/dev/null")?.into();
        ensure!(
            three.as_raw_fd() == 3,
            "descriptor 3 is taken by whoever started this task"
        );
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        rustix::io::dup2(&listener, &mut three)?;
        Ok(Self { _three: three })
    }
}
