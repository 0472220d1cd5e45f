//! Cold start: from the start of the command to the first byte of an HTTP answer,
//! and to the first byte printed.

use std::cell::RefCell;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use anyhow::{Result, bail, ensure};

use crate::bench::client::{Socket, first_answer, first_line};
use crate::bench::peers::{Field, Starter};
use crate::bench::programs::Task;
use crate::bench::report::{Bar, Sheet, Suite, Table};
use crate::bench::rounds::{Contender, Marks, Row, Taken, mark, measure};
use crate::bench::stage::Stage;
use crate::bench::suites::counts;

const FIRST_BYTE: &str = "first_byte";
/// To the end of the command; only where the program ends by itself.
const WHOLE: &str = "whole";

/// What the server is asked for: its one small page.
const PATH: &str = "/";

/// One peer with one task.
struct Start<'a> {
    peer: &'a dyn Starter,
    task: Task,
    stage: &'a RefCell<&'a mut Stage>,
}

impl Contender for Start<'_> {
    fn row(&self) -> Row {
        self.peer.row(self.task)
    }

    fn trial(&mut self, number: usize) -> Result<Marks> {
        let name = format!("bench-{number}");
        let marks = match self.task {
            Task::Line => first_line(self.peer.command(self.task, &name, 0))
                .map(|(first_byte, whole)| vec![mark(FIRST_BYTE, first_byte), mark(WHOLE, whole)]),
            Task::Http => {
                let mut stage = self.stage.borrow_mut();
                let command = |port| Ok(self.peer.command(self.task, &name, port));
                let stop = || self.peer.clean(&name);
                first_answer(&mut stage, self.peer.socket(), PATH, &command, &stop)
                    .map(|first_byte| vec![mark(FIRST_BYTE, first_byte)])
            }
        };
        self.peer.clean(&name);
        marks
    }
}

/// One `ounce run --pool` that lives as long as the rounds: from a line that it
/// is given to the first byte that its program prints.
struct Pooled {
    command: Command,
    child: Option<Child>,
}

impl Contender for Pooled {
    fn row(&self) -> Row {
        Row::new(
            "ounce-pool",
            "ounce run --pool 4",
            "a start from a pool of four, of an ounce that runs already; else as ounce run",
        )
    }

    fn trial(&mut self, _: usize) -> Result<Marks> {
        let child = match &mut self.child {
            Some(child) => child,
            None => self.child.insert(
                self.command
                    .stdin(Stdio::piped())
                    .stdout(Stdio::piped())
                    .spawn()?,
            ),
        };
        let (Some(input), Some(output)) = (&mut child.stdin, &mut child.stdout) else {
            bail!("the pool has no input or output");
        };
        let start = Instant::now();
        input.write_all(b"\n")?;
        let mut line = [0; 64];
        ensure!(output.read(&mut line)? > 0, "the pool has ended");
        Ok(vec![mark(FIRST_BYTE, start.elapsed())])
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Without input it ends by itself.
            drop(child.stdin.take());
            let _ = child.wait();
        }
    }
}

/// Measures both tasks.
pub(crate) fn run(
    field: &mut Field,
    stage: &mut Stage,
    runs: usize,
    progress: &mut dyn FnMut(&str, usize, usize),
) -> Suite {
    let mut absent = std::mem::take(&mut field.no_starters);
    let stage = RefCell::new(stage);
    let mut tables = Vec::new();
    let (mut bars, mut steadiness) = (Vec::new(), Vec::new());
    for (task, title) in [
        (Task::Http, "To the first byte of the HTTP answer"),
        (
            Task::Line,
            "To the first byte printed, by a program that prints a line and exits",
        ),
    ] {
        let mut contenders: Vec<Box<dyn Contender>> = field
            .starters
            .iter()
            .map(|peer| {
                Box::new(Start {
                    peer: peer.as_ref(),
                    task,
                    stage: &stage,
                }) as Box<dyn Contender>
            })
            .collect();
        if task == Task::Line
            && let Some(command) = field.pool.take()
        {
            contenders.push(Box::new(Pooled {
                command,
                child: None,
            }));
        }
        let taken = measure(contenders, runs, &mut absent, &mut |done, all| {
            progress(title, done, all);
        });
        let table = |base: &str| {
            let key = format!("start-{}", task.name());
            Table::new(&key, title, base, FIRST_BYTE, &taken)
        };
        bars.extend(of_task(task, &table));
        steadiness.extend(taken.iter().filter_map(|one| steady(task, one)));
        tables.push(table("ounce"));
        if task == Task::Line {
            let title = "The same trials, to the end of the command";
            tables.push(Table::new("start-whole", title, "ounce", WHOLE, &taken));
        }
    }
    let handed: Vec<String> = field
        .starters
        .iter()
        .filter(|peer| peer.socket() == Socket::Handed)
        .map(|peer| peer.row(Task::Http).key)
        .collect();
    Suite {
        key: "start",
        title: "Cold start".to_owned(),
        method: "The same two static files for everybody: the project's own server, asked for a small page over loopback, \
             and a program that prints one line. The clock starts before the command is spawned; images are in the \
             stores, caches and daemons are warm; containers are removed between the trials, untimed.".to_owned(),
        tables: tables.into_iter().map(Sheet::Times).collect(),
        bars,
        absent,
        notes: vec![
            "Where the program or the engine binds the port itself the client retries every 50 µs (and the kernel's \
             timer slack), which can add about 0.1 ms; where the socket is handed in, or ounce binds it, it waits in \
             the accept queue."
                .to_owned(),
            format!(
                "Handed in as descriptor 3: {}. podman and docker get the host's network, which spares them the set-up \
                 of one: to their advantage.",
                if handed.is_empty() { "nobody".to_owned() } else { handed.join(", ") }
            ),
            "crun, runc and youki start from an unpacked bundle; ounce, podman and docker from an image by its name. \
             `no cgroup` is `--cgroup-manager=disabled`, which only crun has. `ounce run` limits processes by setrlimit, \
             within the container's own user namespace, and makes a cgroup where a limit is asked for, as by `--pids`. \
             Where the cgroups are of version 1, joining one by `cgroup.procs`, as crun and runc do, waits for the \
             kernel for milliseconds and is most of their time; ounce joins by `tasks`, which does not. After each \
             trial, 20 ms pass in which the kernel takes down what the trial had, with the client awake, as on a \
             server that has work: after sleep a virtual processor doubles even fork + exec."
                .to_owned(),
            format!("p99 over p50, for which 3 is the bar on a quiet machine: {}.", steadiness.join("; ")),
            counts::note(&field.starters),
            "As root the whole benchmark runs in a mount and process namespace of its own, in which an empty second \
             cgroup hierarchy is unmounted, since crun before 1.9 refuses such hybrid hosts; the same for everybody."
                .to_owned(),
        ],
        versions: field.versions.clone(),
    }
}

/// The bars of one task; `table` has the figures beside those of the row that it
/// is given.
fn of_task(task: Task, table: &dyn Fn(&str) -> Table) -> Vec<Bar> {
    let what = match task {
        Task::Http => "to the first HTTP byte",
        Task::Line => "to the first byte printed",
    };
    let [plain, group, pool, within] =
        ["ounce", "ounce-group", "ounce-pool", "podman-ounce"].map(table);
    let alike = ["crun", "crun-given", "runc", "youki"];
    let podman = ["podman-crun", "podman-runc"];
    let mut bars = vec![
        group.bar(
            &format!("`ounce run --pids` {what}, against the fastest OCI runtime isolated alike"),
            &alike,
            5.0,
        ),
        group.bar(
            "the same, against crun's `run`",
            &["crun", "crun-given"],
            3.0,
        ),
        group.bar("the same, against `podman run`", &podman, 60.0),
        group.bar("the same, against `docker run`", &["docker"], 50.0),
        group.bar("the same, at the limit", &["docker"], 100.0),
        plain.bar(
            &format!("`ounce run` {what}, against crun without a cgroup"),
            &["crun-no-group", "crun-given-no-group"],
            3.0,
        ),
        plain.bar(
            "the same, against crun with the least isolation",
            &["crun-least", "crun-given-least"],
            3.0,
        ),
    ];
    bars.push(within.bar(
        &format!("`podman run` with ounce as its runtime, {what}, against podman with another"),
        &podman,
        1.0,
    ));
    if task == Task::Line {
        bars.push(pool.bar(
            &format!("`ounce run --pool` {what}, against the fastest OCI runtime isolated alike"),
            &alike,
            15.0,
        ));
    }
    bars
}

/// How far the slowest starts of ounce lie from the middle.
fn steady(task: Task, taken: &Taken) -> Option<String> {
    let found = taken.series.get(FIRST_BYTE)?.statistics()?;
    taken.row.key.starts_with("ounce").then(|| {
        let ratio = found.p99 / found.p50;
        format!("{} ({}) {ratio:.1}", taken.row.title, task.name())
    })
}
