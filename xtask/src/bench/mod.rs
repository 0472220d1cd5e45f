//! `cargo xtask bench`: ounce beside what a user would pick instead, in one run.
//!
//! A suite is a module that returns [`Table`]s; the page is written from them
//! and from nothing else. Suites' data stand in `bench/`. Every contender of a
//! table gets the same input, is run in turn with the others, warm, with its
//! daemon already up.

mod build;
mod page;
mod start;
mod statistics;

use std::fs;

use anyhow::{Context as _, Result, bail};
use serde::Serialize;

use crate::house::House;
use crate::{dist, setup};
use statistics::Summary;

/// What is asked for on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wish {
    start: bool,
    build: bool,
    runs: usize,
}

/// Fewer runs give no p50 worth printing.
const LEAST_RUNS: usize = 3;

impl Wish {
    /// Reads `[start|build|all] [--runs N]`.
    pub(crate) fn read(words: &[&str]) -> Result<Self> {
        let mut wish = Self {
            start: true,
            build: true,
            runs: 40,
        };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match *word {
                "all" => {}
                "start" => wish.build = false,
                "build" => wish.start = false,
                "--runs" => {
                    let count = words.next().context("--runs wants a number")?;
                    wish.runs = count
                        .parse()
                        .with_context(|| format!("{count} is no number of runs"))?;
                }
                other => bail!("bench knows start, build, all and --runs N, not {other}"),
            }
        }
        if wish.runs < LEAST_RUNS {
            bail!("at least {LEAST_RUNS} runs");
        }
        Ok(wish)
    }

    fn words(self) -> String {
        let suite = match (self.start, self.build) {
            (true, false) => "start",
            (false, true) => "build",
            _ => "all",
        };
        format!("{suite} --runs {}", self.runs)
    }
}

/// One comparison: the first row is ounce.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Table {
    /// The heading.
    title: String,
    /// What was measured, from when to when.
    method: String,
    rows: Vec<Row>,
    /// Peers that were to be measured and why they were not.
    missing: Vec<String>,
    bars: Vec<Bar>,
}

/// One contender.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    name: String,
    /// What it does in this table, where contenders differ.
    note: String,
    samples_ms: Vec<f64>,
    /// Runs that gave no figure.
    failures: usize,
}

/// A ratio that was promised: so many times the first row's median.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Bar {
    promise: String,
    /// Rows, of which the fastest counts.
    against: Vec<String>,
    at_least: f64,
}

impl Table {
    /// The fastest named row's median over the first row's.
    fn ratio(&self, against: &[String]) -> Option<f64> {
        let own = Summary::of(&self.rows.first()?.samples_ms)?;
        let others = self.rows.iter().filter(|row| against.contains(&row.name));
        let fastest = others
            .filter_map(|row| Summary::of(&row.samples_ms))
            .map(|s| s.p50)
            .min_by(f64::total_cmp)?;
        Some(fastest / own.p50)
    }
}

/// Runs the suites and writes `docs/benchmarks.md`, the README's figures and the raw samples.
pub(crate) fn run(house: &House, wish: &Wish) -> Result<()> {
    setup::setup(false)?;
    let ounce = dist::build(house, dist::own_target()?)?;
    let mut tables = Vec::new();
    if wish.start {
        tables.extend(start::suite(house, &ounce, wish.runs)?);
    }
    if wish.build {
        tables.extend(build::suite(house, &ounce, wish.runs)?);
    }
    let raw = house.target().join("benchmarks.json");
    fs::write(&raw, serde_json::to_vec_pretty(&tables)?)?;
    let page = house.path("docs/benchmarks.md");
    fs::create_dir_all(house.path("docs"))?;
    fs::write(&page, page::page(&tables, &wish.words())?)?;
    if wish.start && wish.build {
        page::fill_readme(house, &tables, &ounce)?;
    }
    println!("wrote {} and {}", house.name(&page), house.name(&raw));
    print!("{}", page::bars(&tables));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wish_is_read_and_written_back() {
        let wish = Wish::read(&["start", "--runs", "7"]).unwrap();
        assert_eq!(wish.words(), "start --runs 7");
        assert_eq!(Wish::read(&[]).unwrap().words(), "all --runs 40");
        for bad in [&["x"][..], &["--runs"], &["--runs", "no"], &["--runs", "1"]] {
            assert!(Wish::read(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_fastest_of_the_named_counts_for_a_bar() {
        let row = |name: &str, ms: f64| Row {
            name: name.into(),
            note: String::new(),
            samples_ms: vec![ms; 3],
            failures: 0,
        };
        let table = Table {
            title: String::new(),
            method: String::new(),
            rows: vec![
                row("ounce", 2.0),
                row("a", 20.0),
                row("b", 10.0),
                row("bare", 1.0),
            ],
            missing: Vec::new(),
            bars: Vec::new(),
        };
        assert_eq!(table.ratio(&["a".into(), "b".into()]), Some(5.0));
        assert_eq!(table.ratio(&["gone".into()]), None);
    }
}
