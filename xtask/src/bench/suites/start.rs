//! Cold start: from the start of the command to the first byte of an HTTP answer,
//! and to the first byte printed.

use std::cell::RefCell;

use anyhow::Result;

use crate::bench::client::{Socket, first_answer, first_line};
use crate::bench::peers::{Field, Starter};
use crate::bench::programs::Task;
use crate::bench::report::{Sheet, Suite, Table};
use crate::bench::rounds::{Contender, Marks, Row, mark, measure};
use crate::bench::stage::Stage;

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
    for (task, title) in [
        (Task::Http, "To the first byte of the HTTP answer"),
        (
            Task::Line,
            "To the first byte printed, by a program that prints a line and exits",
        ),
    ] {
        let contenders: Vec<Box<dyn Contender>> = field
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
        let taken = measure(contenders, runs, &mut absent, &mut |done, all| {
            progress(title, done, all);
        });
        tables.push(Table::new(
            &format!("start-{}", task.name()),
            title,
            "ounce",
            FIRST_BYTE,
            &taken,
        ));
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
    let bars = match tables.as_slice() {
        [http, line, _] => vec![
            http.bar(
                "`ounce run -p` to the first HTTP byte, against crun isolated alike",
                &["crun", "crun-given"],
                3.0,
            ),
            http.bar(
                "the same, against crun without a cgroup, which ounce makes",
                &["crun-no-group", "crun-given-no-group"],
                3.0,
            ),
            http.bar(
                "the same, against crun with the least isolation",
                &["crun-least", "crun-given-least"],
                3.0,
            ),
            http.bar("the same, against `docker run`", &["docker"], 50.0),
            line.bar(
                "`ounce run` to the first byte printed, against crun isolated alike",
                &["crun", "crun-given"],
                3.0,
            ),
            line.bar(
                "the same, against crun without a cgroup, which ounce makes",
                &["crun-no-group", "crun-given-no-group"],
                3.0,
            ),
            line.bar(
                "the same, against crun with the least isolation",
                &["crun-least", "crun-given-least"],
                3.0,
            ),
            line.bar("the same, against `docker run`", &["docker"], 50.0),
        ],
        _ => Vec::new(),
    };
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
            "crun and runc start from an unpacked bundle; ounce, podman and docker from an image by its name. `no cgroup` \
             is `--cgroup-manager=disabled`, which only crun has; ounce always makes a cgroup that limits the number \
             of processes. Where the cgroups are of version 1, joining one by `cgroup.procs`, as crun and runc do, \
             waits for the kernel for milliseconds and is most of their time; ounce joins by `tasks`, which does not. \
             What is left of the ratio without it is in the row without a cgroup. After each trial, 20 ms pass in which the kernel takes down what the trial had, with the client \
             awake, as on a server that has work: after sleep a virtual processor doubles even fork + exec."
                .to_owned(),
            "As root the whole benchmark runs in a mount and process namespace of its own, in which an empty second \
             cgroup hierarchy is unmounted, since crun before 1.9 refuses such hybrid hosts; the same for everybody."
                .to_owned(),
        ],
        versions: field.versions.clone(),
    }
}
