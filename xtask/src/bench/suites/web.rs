//! Components of web pages in headless Chromium: js-framework-benchmark's keyed operations beside
//! peers, and what loading, further instances and switching cost. What is measured in the browser
//! stands in `web/bench/run.mjs`; here it becomes tables and bars.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use crate::bench::options::Options;
use crate::bench::report::{Bar, Grid, GridLine, Sense, Sheet, Suite, three_digits};
use crate::bench::rounds::Row;
use crate::house::House;
use crate::tidy::Packer;
use crate::tool::{command, run as execute};
use crate::web;

const OURS: &str = "ounce";
const VANILLA: &str = "vanilla";
/// The bars are per median of so many.
const FEWEST: usize = 30;

/// What `run.mjs` writes.
#[derive(Debug, Deserialize)]
struct Taken {
    versions: BTreeMap<String, String>,
    rounds: usize,
    /// Compressed: what a page of each loads.
    sizes: BTreeMap<String, u64>,
    /// The host's own file, compressed.
    host: Packed,
    modules: BTreeMap<String, Packed>,
    /// By operation, by contender.
    samples: BTreeMap<String, BTreeMap<String, Vec<Times>>>,
    load: Vec<BTreeMap<String, f64>>,
    switch: BTreeMap<String, Vec<Times>>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
struct Packed {
    bytes: u64,
    gzip: u64,
    brotli: u64,
}

/// Milliseconds.
#[derive(Debug, Clone, Copy, Deserialize)]
struct Times {
    script: f64,
    total: f64,
}

/// Measures, or reads what was measured.
pub(crate) fn run(options: &Options) -> Result<Suite> {
    let house = House::here()?;
    let file = match options.program("web") {
        Some(file) => file,
        None => measure(&house, options)?,
    };
    let text = fs::read(&file).with_context(|| format!("reading {}", file.display()))?;
    let taken: Taken = serde_json::from_slice(&text)?;
    ensure!(
        taken.rounds > 0 && !taken.load.is_empty(),
        "nothing was measured"
    );
    Ok(suite(&taken))
}

fn measure(house: &House, options: &Options) -> Result<std::path::PathBuf> {
    let folder = web::install(house)?;
    let ounce = match &options.ounce {
        Some(ounce) => ounce.clone(),
        None => Packer::debug(house)?.ounce,
    };
    execute(command(&["npm", "run", "--silent", "build"]).current_dir(&folder))?;
    web::lay_out(&folder, &ounce)?;
    let file = folder.join("target/bench.json");
    let rounds = options.runs.to_string();
    let mut words = [
        "node",
        "bench/run.mjs",
        &file.display().to_string(),
        &rounds,
    ]
    .map(str::to_owned)
    .to_vec();
    for (name, built) in &options.frameworks {
        words.push(format!("{name}={}", built.display()));
    }
    execute(
        command(&words)
            .current_dir(&folder)
            .env("CHROMIUM", web::chromium()?),
    )?;
    Ok(file)
}

fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut all: Vec<f64> = values.collect();
    all.sort_by(f64::total_cmp);
    let middle = all.len() / 2;
    let upper = all.get(middle).copied()?;
    Some(match all.len() % 2 {
        0 => f64::midpoint(all[middle - 1], upper),
        _ => upper,
    })
}

/// The medians of all operations together.
fn sum(taken: &Taken, who: &str) -> Option<f64> {
    let medians = taken.samples.values().map(|by| {
        let times = by.get(who)?;
        median(times.iter().map(|times| times.total))
    });
    medians.sum()
}

/// The median of the ratios round by round, each of all operations together.
fn paired(taken: &Taken, one: &str, other: &str) -> Option<f64> {
    let total = |who: &str, round: usize| -> Option<f64> {
        let times = taken.samples.values();
        times.map(|by| Some(by.get(who)?.get(round)?.total)).sum()
    };
    let ratios =
        (0..taken.rounds).filter_map(|round| Some(total(one, round)? / total(other, round)?));
    median(ratios)
}

fn suite(taken: &Taken) -> Suite {
    let load = |key: &str| {
        median(
            taken
                .load
                .iter()
                .filter_map(|times| times.get(key).copied()),
        )
    };
    let table = taken.modules.get("table").copied();
    let sizes = |name: &str| {
        taken
            .modules
            .get(name)
            .map(|module| module.brotli as f64 / 1024.0)
    };
    let switch = taken.switch.get("content-visibility");
    let most = |goal: String, sense, wanted, found: Option<f64>| Bar {
        goal,
        sense,
        wanted,
        against: None,
        found: found
            .filter(|_| taken.rounds >= FEWEST)
            .map(|found| (found * 1000.0).round() / 1000.0),
        paired: None,
    };
    let kilobytes = Sense::KilobytesAtMost;
    let milliseconds = Sense::MillisecondsAtMost;
    let table_kb = table.map_or(0, |table| table.bytes / 1024);
    let mut bars = vec![against(
        taken,
        "all operations",
        Sense::TimesAtMost,
        1.15,
        VANILLA,
    )];
    for peer in taken.sizes.keys() {
        if peer != OURS && peer != VANILLA {
            bars.push(against(
                taken,
                "all operations",
                Sense::TimesAtLeast,
                1.0,
                peer,
            ));
        }
    }
    bars.extend([
        most(
            "the host, by brotli, in KB".to_owned(),
            kilobytes,
            4.0,
            Some(taken.host.brotli as f64 / 1024.0),
        ),
        most(
            "the counter, by brotli, in KB".to_owned(),
            kilobytes,
            0.684,
            sizes("counter"),
        ),
        most(
            "TodoMVC, by brotli, in KB".to_owned(),
            kilobytes,
            12.0,
            sizes("todomvc"),
        ),
        most(
            format!("a module of {table_kb} KB from nothing, on loopback"),
            milliseconds,
            8.0,
            load("nothing"),
        ),
        most(
            format!("a module of {table_kb} KB compiled from bytes at hand"),
            milliseconds,
            2.5,
            load("compile"),
        ),
        most(
            "a further instance".to_owned(),
            milliseconds,
            0.05,
            load("instance"),
        ),
        most(
            "switching, script alone".to_owned(),
            milliseconds,
            0.05,
            switch.and_then(|all| median(all.iter().map(|times| times.script))),
        ),
        most(
            "switching roots of 1,000 rows, with layout".to_owned(),
            milliseconds,
            1.5,
            switch.and_then(|all| median(all.iter().map(|times| times.total))),
        ),
    ]);
    Suite {
        key: "web",
        title: "Components of web pages".to_owned(),
        method: format!(
            "Headless Chromium, {} rounds, contenders in turn, garbage collected before each sample. An operation's \
             time is from the click to the end of the layout it causes; Preact is told to render at once. ounce's \
             table is [examples/table](../examples/table), the peers are written as js-framework-benchmark's keyed \
             entries are ([web/bench](../web/bench)).",
            taken.rounds
        ),
        tables: vec![
            Sheet::Grid(operations(taken)),
            Sheet::Grid(loading(taken, &load)),
            Sheet::Grid(switching(taken)),
        ],
        bars,
        absent: Vec::new(),
        notes: vec![
            "Painting is not measured: it is the same for all. Times on a machine that does other things at once \
             are good as ratios only."
                .to_owned(),
        ],
        versions: taken.versions.clone().into_iter().collect(),
    }
}

fn against(taken: &Taken, what: &str, sense: Sense, wanted: f64, peer: &str) -> Bar {
    // At most so many times the peer's time; or at least so many times as fast.
    let (one, other) = match sense {
        Sense::TimesAtMost => (OURS, peer),
        _ => (peer, OURS),
    };
    let ratio = || Some(sum(taken, one)? / sum(taken, other)?);
    let is_whole = taken.rounds >= FEWEST;
    Bar {
        goal: what.to_owned(),
        sense,
        wanted,
        against: Some(peer.to_owned()),
        found: ratio().filter(|_| is_whole),
        paired: paired(taken, one, other).filter(|_| is_whole),
    }
}

fn operations(taken: &Taken) -> Grid {
    let names: Vec<&String> = taken.sizes.keys().collect();
    let cell = |times: Option<&Vec<Times>>| {
        let total = times.and_then(|all| median(all.iter().map(|times| times.total)));
        total.map_or_else(|| "—".to_owned(), three_digits)
    };
    let mut lines: Vec<GridLine> = taken
        .samples
        .iter()
        .map(|(operation, by)| GridLine {
            row: Row::new(operation, operation.clone(), ""),
            is_ours: false,
            cells: names
                .iter()
                .map(|name| cell(by.get(*name)))
                .chain([script(by)])
                .collect(),
            repeated: 0,
            samples: serde_json::Value::Null,
        })
        .collect();
    let all = |name: &String| sum(taken, name).map_or_else(|| "—".to_owned(), three_digits);
    lines.push(GridLine {
        row: Row::new("all", "all operations", ""),
        is_ours: true,
        cells: names
            .iter()
            .map(|name| all(name))
            .chain([String::new()])
            .collect(),
        repeated: 0,
        samples: serde_json::Value::Null,
    });
    let sizes = taken
        .sizes
        .values()
        .map(|bytes| three_digits(*bytes as f64 / 1024.0));
    lines.push(GridLine {
        row: Row::new("sizes", "what the page loads, by gzip, in KB", ""),
        is_ours: false,
        cells: sizes.chain(["with the framework".to_owned()]).collect(),
        repeated: 0,
        samples: serde_json::Value::Null,
    });
    Grid {
        key: "web-operations".to_owned(),
        title: "Keyed operations, script and layout, p50 in ms".to_owned(),
        head: names
            .into_iter()
            .cloned()
            .chain(["of that script".to_owned()])
            .collect(),
        lines,
    }
}

/// The script's share, for each contender.
fn script(by: &BTreeMap<String, Vec<Times>>) -> String {
    let parts = by.iter().filter_map(|(name, all)| {
        let script = median(all.iter().map(|times| times.script))?;
        Some(format!("{name} {}", three_digits(script)))
    });
    parts.collect::<Vec<_>>().join(", ")
}

fn loading(taken: &Taken, load: &dyn Fn(&str) -> Option<f64>) -> Grid {
    let rows = [
        (
            "nothing",
            "from nothing, on loopback",
            "manifest, module, digest, compile, first view",
        ),
        (
            "cached",
            "once more, compiled already",
            "the manifest is asked for again",
        ),
        ("compile", "compile, from bytes at hand", ""),
        (
            "instance",
            "a further instance",
            "each with a memory of its own",
        ),
        (
            "wake",
            "sleep, wake, one event",
            "the memory is saved and restored",
        ),
    ];
    Grid {
        key: "web-loading".to_owned(),
        title: format!(
            "A module of {} KB, p50 in ms",
            taken
                .modules
                .get("table")
                .map_or(0, |table| table.bytes / 1024)
        ),
        head: ["p50", "what it takes in"].map(str::to_owned).to_vec(),
        lines: rows
            .into_iter()
            .map(|(key, title, remark)| GridLine {
                row: Row::new(key, title, remark),
                is_ours: false,
                cells: vec![
                    load(key).map_or_else(|| "—".to_owned(), |found| format!("{found:.3}")),
                    remark.to_owned(),
                ],
                repeated: 0,
                samples: serde_json::Value::Null,
            })
            .collect(),
    }
}

fn switching(taken: &Taken) -> Grid {
    let figure = |all: &[Times], of: fn(&Times) -> f64| {
        median(all.iter().map(of)).map_or_else(|| "—".to_owned(), |found| format!("{found:.2}"))
    };
    let mut lines: Vec<GridLine> = taken
        .switch
        .iter()
        .map(|(way, all)| GridLine {
            row: Row::new(way, way.clone(), ""),
            is_ours: way == "content-visibility",
            cells: vec![
                figure(all, |times| times.script),
                figure(all, |times| times.total),
                match way.as_str() {
                    "content-visibility" => "what the shell does",
                    _ => "",
                }
                .to_owned(),
            ],
            repeated: 0,
            samples: serde_json::Value::Null,
        })
        .collect();
    let sizes = [("the host", Some(taken.host))].into_iter().chain(
        taken
            .modules
            .iter()
            .map(|(name, module)| (name.as_str(), Some(*module))),
    );
    for (name, packed) in sizes {
        let Some(packed) = packed else { continue };
        lines.push(GridLine {
            row: Row::new(name, format!("{name}, bytes"), ""),
            is_ours: false,
            cells: vec![
                packed.bytes.to_string(),
                packed.gzip.to_string(),
                format!("{} by brotli", packed.brotli),
            ],
            repeated: 0,
            samples: serde_json::Value::Null,
        });
    }
    Grid {
        key: "web-switching".to_owned(),
        title: "Switching roots of 1,000 rows, p50 in ms; and sizes".to_owned(),
        head: ["script; plain", "with layout; gzip", ""]
            .map(str::to_owned)
            .to_vec(),
        lines,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(ours: f64, vanilla: f64) -> Taken {
        let times = |total: f64| {
            vec![
                Times {
                    script: total,
                    total
                };
                FEWEST
            ]
        };
        let by: BTreeMap<_, _> = [(OURS, ours), (VANILLA, vanilla), ("lit", 3.0)]
            .map(|(name, total)| (name.to_owned(), times(total)))
            .into();
        let packed = Packed {
            bytes: 2048,
            gzip: 1500,
            brotli: 1024,
        };
        Taken {
            versions: BTreeMap::new(),
            rounds: FEWEST,
            sizes: by.keys().map(|name| (name.clone(), 1024)).collect(),
            host: packed,
            modules: [("table".to_owned(), packed)].into(),
            samples: [("create".to_owned(), by.clone()), ("clear".to_owned(), by)].into(),
            load: vec![[("nothing".to_owned(), 9.0)].into()],
            switch: BTreeMap::new(),
        }
    }

    #[test]
    fn bars_hold_the_operations_to_vanilla_and_to_every_peer() {
        let verdicts = |taken: &Taken| -> Vec<Option<f64>> {
            let suite = suite(taken);
            suite.bars.iter().take(2).map(|bar| bar.paired).collect()
        };
        assert_eq!(verdicts(&taken(2.0, 1.0)), [Some(2.0), Some(1.5)]);
        let few = Taken {
            rounds: 3,
            ..taken(2.0, 1.0)
        };
        assert_eq!(verdicts(&few), [None, None]);
    }

    #[test]
    fn an_even_number_of_samples_has_its_median_between_two() {
        assert_eq!(median([4.0, 1.0, 2.0, 3.0].into_iter()), Some(2.5));
        assert_eq!(median(std::iter::empty()), None);
    }
}
