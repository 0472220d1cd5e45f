//! The loads that servers are put under, and a server's turn under each.

use std::cell::RefCell;
use std::time::Duration;

use anyhow::Result;

use super::place::{LARGE, Place, Running, SMALL};
use crate::bench::account::{self, Used};
use crate::bench::client::{Socket, first_answer};
use crate::bench::load::{self, Load};
use crate::bench::rates;
use crate::bench::rounds::{Contender, Marks, Row, mark};
use crate::bench::servers::Server;
use crate::bench::stage::Stage;

/// How long each trial's answers are counted.
pub(super) const TIME: Duration = Duration::from_millis(200);
/// Connections of every load that names no other number.
pub(super) const CONNECTIONS: usize = 64;
/// Requests a second where latencies are compared: what the slowest server that
/// keeps connections open answers with its processor half idle.
const RATE: f64 = 10_000.0;

/// A load that every server is put under in turn.
pub(super) struct Scene {
    pub(super) key: &'static str,
    pub(super) title: &'static str,
    pub(super) file: (&'static str, usize),
    pub(super) depth: usize,
    pub(super) closes: bool,
    pub(super) rate: Option<f64>,
    /// Whether settings beside the first are measured, too.
    pub(super) has_variants: bool,
}

pub(super) const SCENES: [Scene; 5] = [
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
pub(super) struct Turn<'a> {
    pub(super) server: &'a Server,
    pub(super) scene: &'a Scene,
    pub(super) running: Running,
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
pub(super) struct Boot<'a> {
    pub(super) server: &'a Server,
    pub(super) stage: &'a RefCell<&'a mut Stage>,
    pub(super) place: &'a Place,
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

pub(super) const FIRST_BYTE: &str = "first_byte";
