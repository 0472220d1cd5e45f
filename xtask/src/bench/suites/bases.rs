//! Bases: debian-slim put together from packages that are there already, beside the
//! tool that Debian itself makes such trees with.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::bench::host;
use crate::bench::options::Options;
use crate::bench::report::{Bar, Sense, Sheet, Suite, Table};
use crate::bench::rounds::{Absent, Contender, Marks, Row, mark, measure};
use crate::bench::stage::Stage;
use crate::tool::{command, find, read};

const WHOLE: &str = "whole";

/// The release that is put together.
const SUITE: &str = "bookworm";

/// A round takes half a minute, most of it the peer's.
const MOST_RUNS: usize = 30;

/// What the slim image leaves out of packages, told to the peer's dpkg as well.
const LEFT_OUT: [&str; 6] = ["doc", "info", "lintian", "linda", "locale", "man"];

/// ounce's bar (issue 6, section 6).
const MOST_MS: f64 = 5_000.0;
const MOST_KB: f64 = 300_000.0;

struct Ounce<'a> {
    program: &'a Path,
    folder: PathBuf,
}

impl Ounce<'_> {
    /// On a store of its own; `cache` is everybody's.
    fn command(&self, store: &str) -> Command {
        let mut ounce = Command::new(self.program);
        ounce
            .arg("--store")
            .arg(self.folder.join(store))
            .args(["--json", "base", "debian-slim", "--suite", SUITE, "--lock"])
            .arg(self.folder.join("bases.lock"))
            .env("XDG_CACHE_HOME", self.folder.join("cache"))
            .env_remove("SOURCE_DATE_EPOCH");
        ounce
    }

    fn digest(&self, store: &str) -> Result<String> {
        let text = read(&mut self.command(store))?;
        let document: Value = serde_json::from_str(&text)?;
        let digest = document["digest"].as_str().context("no digest")?;
        Ok(digest.to_owned())
    }

    /// The most memory that it has at once, as the kernel tells it while it runs.
    fn memory_kb(&self) -> Result<f64> {
        let mut run = self.command("memory");
        run.arg("--offline").stdout(Stdio::null());
        let mut child = run.stderr(Stdio::null()).spawn()?;
        let status = format!("/proc/{}/status", child.id());
        let mut most = 0.0_f64;
        while child.try_wait()?.is_none() {
            let text = fs::read_to_string(&status).unwrap_or_default();
            let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
            most = most.max(kib.unwrap_or(0.0) * 1.024);
            std::thread::sleep(Duration::from_millis(1));
        }
        let _ = fs::remove_dir_all(self.folder.join("memory"));
        ensure!(
            child.wait()?.success() && most > 0.0,
            "nothing was measured"
        );
        Ok(most.round())
    }
}

impl Contender for Ounce<'_> {
    fn row(&self) -> Row {
        Row::new(
            "ounce",
            "ounce base debian-slim",
            "an image with one layer, gzip 9, into an empty store; no root, no chroot, nothing of a package is run",
        )
    }

    fn trial(&mut self, number: usize) -> Result<Marks> {
        let store = format!("store-{number}");
        let mut run = self.command(&store);
        let time = timed(run.arg("--offline"))?;
        let _ = fs::remove_dir_all(self.folder.join(store));
        Ok(vec![mark(WHOLE, time)])
    }
}

/// With its packages and its indexes at hand, as its manual has it.
struct Mmdebstrap {
    folder: PathBuf,
}

impl Mmdebstrap {
    fn command(&self, hooks: &[String], skipped: &str, to: &Path) -> Command {
        let mut run = command(&["mmdebstrap", "--quiet", "--variant=minbase"]);
        run.arg("--include=usr-is-merged")
            .arg(format!("--skip=check/empty,essential/unlink{skipped}"));
        for folder in LEFT_OUT {
            run.arg(format!("--dpkgopt=path-exclude=/usr/share/{folder}/*"));
        }
        run.arg("--dpkgopt=path-include=/usr/share/doc/*/copyright");
        run.args(hooks).arg(SUITE).arg(to);
        run.env("SOURCE_DATE_EPOCH", "0");
        run
    }

    /// What comes over the network is fetched once.
    fn prepare(&self) -> Result<()> {
        let (packages, lists) = (self.folder.join("packages"), self.folder.join("lists"));
        fs::create_dir_all(&packages)?;
        fs::create_dir_all(&lists)?;
        let hooks = [
            format!(
                "--customize-hook=sync-out /var/cache/apt/archives {}",
                packages.display()
            ),
            format!(
                "--customize-hook=sync-out /var/lib/apt/lists {}",
                lists.display()
            ),
        ];
        read(&mut self.command(&hooks, "", Path::new("/dev/null"))).map(drop)
    }
}

impl Contender for Mmdebstrap {
    fn row(&self) -> Row {
        Row::new(
            "mmdebstrap",
            "mmdebstrap --variant=minbase",
            "a tar that is not compressed; packages and indexes at hand; installs in a chroot, runs all scripts",
        )
    }

    fn trial(&mut self, _: usize) -> Result<Marks> {
        let setup = |from: &str, to: &str| {
            [
                format!("--setup-hook=mkdir -p \"$1{to}\""),
                format!(
                    "--setup-hook=sync-in {} {to}",
                    self.folder.join(from).display()
                ),
            ]
        };
        let hooks = [
            setup("packages", "/var/cache/apt/archives"),
            setup("lists", "/var/lib/apt/lists"),
        ]
        .concat();
        let tar = self.folder.join("tree.tar");
        let time = timed(&mut self.command(&hooks, ",update", &tar))?;
        fs::remove_file(tar)?;
        Ok(vec![mark(WHOLE, time)])
    }
}

/// The whole time of a command that has to succeed.
fn timed(run: &mut Command) -> Result<Duration> {
    run.stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let start = Instant::now();
    let output = run.output()?;
    let time = start.elapsed();
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.trim().lines().next_back().unwrap_or_default();
    ensure!(output.status.success(), "{}: {last}", output.status);
    Ok(time)
}

/// Puts it together, again and again.
pub(crate) fn run(
    options: &Options,
    program: &Path,
    stage: &Stage,
    progress: &mut dyn FnMut(&str, usize, usize),
) -> Result<Suite> {
    let title = "debian-slim, from packages that are there";
    let folder = stage.subfolder("bases")?;
    let mut absent = Vec::new();
    let ounce = || Ounce {
        program,
        folder: folder.clone(),
    };
    // Brings the packages, and writes the lock.
    let one = ounce().digest("one")?;
    let other = ounce().digest("other")?;
    ensure!(one == other, "the same lock gives {one}, then {other}");
    let memory_kb = ounce().memory_kb()?;
    let mut contenders: Vec<Box<dyn Contender>> = vec![Box::new(ounce())];
    let peer = Mmdebstrap {
        folder: stage.subfolder("mmdebstrap")?,
    };
    match find("mmdebstrap") {
        None => absent.push(Absent::new("mmdebstrap", "it is not installed")),
        Some(_) if !options.wants("mmdebstrap") => {}
        Some(_) => match peer.prepare() {
            Ok(()) => contenders.push(Box::new(peer)),
            Err(error) => absent.push(Absent::new("mmdebstrap", format!("{error:#}"))),
        },
    }
    let runs = options.runs.min(MOST_RUNS);
    let taken = measure(contenders, runs, &mut absent, &mut |done, all| {
        progress(title, done, all);
    });
    let table = Table::new("bases-debian-slim", title, "ounce", WHOLE, &taken);
    let own = table.lines.iter().find(|line| line.row.key == "ounce");
    let own_ms = own.map(|line| (line.statistics.p50 / 1e3).round());
    let alone = |goal: &str, sense, wanted, found| Bar {
        goal: goal.to_owned(),
        sense,
        wanted,
        against: None,
        found,
        paired: None,
    };
    let bars = vec![
        alone(
            "debian-slim from cached packages, p50",
            Sense::MillisecondsAtMost,
            MOST_MS,
            own_ms,
        ),
        table.bar("The same, against mmdebstrap", &["mmdebstrap"], 1.0),
        alone(
            "Its memory at most",
            Sense::KilobytesAtMost,
            MOST_KB,
            Some(memory_kb),
        ),
    ];
    let version = find("mmdebstrap").and_then(|peer| host::version(&peer, &["--version"]));
    Ok(Suite {
        key: "bases",
        title: "Bases".to_owned(),
        method: format!(
            "debian-slim of {SUITE} for this machine, from packages that were fetched before: the whole time of the \
             one command. Two stores get the same digest, or the suite ends with an error."
        ),
        tables: vec![Sheet::Times(table)],
        bars,
        absent,
        notes: vec![
            "ounce compresses the layer (gzip, level 9) and writes an image; mmdebstrap writes the plain tree: to its \
             advantage."
                .to_owned(),
            "mmdebstrap copies its packages into the tree first, which its manual recommends in place of a caching \
             proxy, and has no network to wait for."
                .to_owned(),
        ],
        versions: version
            .map(|text| ("mmdebstrap".to_owned(), text))
            .into_iter()
            .collect(),
    })
}
