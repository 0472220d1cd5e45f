//! Functions: the start and the answers of one function by two runtimes, under AWS's
//! own emulator of Lambda.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use crate::bench::options::Options;
use crate::bench::programs;
use crate::bench::report::{Bar, Grid, GridLine, Sense, Sheet, Suite, Table};
use crate::bench::rounds::{Absent, Contender, Marks, Row, measure};
use crate::bench::stage::Stage;
use crate::dist::HOST_TARGET;
use crate::peers::lambda::Emulators;
use crate::tidy;
use crate::tool::{command, read};

const INIT: &str = "init";
const WARM: &str = "warm";
/// Answers of each start; the first is not counted.
const ANSWERS: usize = 21;

/// The official runtime's crates. The newest there are.
const OFFICIAL: &str = "\
[package]
name = \"lambda-official\"
edition = \"2024\"
publish = false

[workspace]

[dependencies]
lambda_runtime = \"1\"
serde_json = \"1\"
tokio = { version = \"1\", features = [\"macros\"] }

# As AWS's own guide has it for Rust on Lambda, and as small as it gets.
[profile.release]
opt-level = 3
lto = true
codegen-units = 1
panic = \"abort\"
strip = true
";
const OFFICIAL_SOURCE: &str = include_str!("../../../../bench/programs/lambda_official.rs");

/// One function under the emulator.
struct Started<'a> {
    row: Row,
    program: PathBuf,
    emulators: &'a Emulators,
}

impl Contender for Started<'_> {
    fn row(&self) -> Row {
        self.row.clone()
    }

    fn trial(&mut self, _: usize) -> Result<Marks> {
        let running = self.emulators.aws(&[&self.program], &[])?;
        for _ in 0..ANSWERS {
            let text = running.invoke("{\"name\":\"you\"}")?;
            ensure!(text == "{\"hello\":\"you\"}", "it answers {text}");
        }
        let init = running.told_ms("INIT REPORT(durationMs: ")?;
        let init = init.first().context("the emulator tells no start")?;
        // Behind the first one.
        let mut warm = running.told_ms("produced bytes: 0, duration: ")?;
        ensure!(
            warm.len() == ANSWERS,
            "the emulator tells {} answers",
            warm.len()
        );
        warm.remove(0);
        warm.sort_by(f64::total_cmp);
        Ok(vec![(INIT, init * 1e3), (WARM, warm[warm.len() / 2] * 1e3)])
    }
}

/// Starts and asks both.
pub(crate) fn run(
    options: &Options,
    stage: &Stage,
    progress: &mut dyn FnMut(&str, usize, usize),
) -> Result<Suite> {
    let folder = stage.subfolder("lambda")?;
    let emulators = Emulators::install(folder.join("emulators"))?;
    let root = programs::root();
    let ours = tidy::build_own_program(&root.join("examples/lambda-hello"), HOST_TARGET)?;
    let (official, version) = official(&root.join("target/bench/lambda-official"))?;
    let mut absent: Vec<Absent> = Vec::new();
    let contenders: Vec<Box<dyn Contender>> = vec![
        Box::new(Started {
            row: Row::new("ounce", "examples/lambda-hello", "no libc, no allocation"),
            program: ours.clone(),
            emulators: &emulators,
        }),
        Box::new(Started {
            row: Row::new(
                "official",
                "lambda_runtime",
                "AWS's own runtime for Rust, on tokio",
            ),
            program: official.clone(),
            emulators: &emulators,
        }),
    ];
    let taken = measure(contenders, options.runs, &mut absent, &mut |done, all| {
        progress("Lambda", done, all);
    });
    let init = Table::new(
        "lambda-init",
        "From the program's start until it asks for its first event",
        "ounce",
        INIT,
        &taken,
    );
    let warm = Table::new(
        "lambda-warm",
        "One answer, as the emulator tells it",
        "ounce",
        WARM,
        &taken,
    );
    let own_ms = init
        .lines
        .iter()
        .find(|line| line.row.key == "ounce")
        .map(|line| line.statistics.p50 / 1e3);
    let sizes = [
        ("ounce", "examples/lambda-hello", &ours),
        ("official", "lambda_runtime", &official),
    ];
    let mut lines = Vec::new();
    let mut zip_kb = None;
    for (key, title, program) in sizes {
        let (elf, zip) = sizes_of(program, &folder)?;
        if key == "ounce" {
            zip_kb = Some(zip as f64 / 1e3);
        }
        lines.push(GridLine {
            row: Row::new(key, title, ""),
            is_ours: key == "ounce",
            cells: vec![
                elf.to_string(),
                zip.to_string(),
                "deflated by level 9".to_owned(),
            ],
            repeated: 0,
            samples: serde_json::Value::Null,
        });
    }
    let grid = Grid {
        key: "lambda-size".to_owned(),
        title: "What is sent to Lambda".to_owned(),
        head: ["bytes of ELF", "bytes of zip", "how"]
            .map(str::to_owned)
            .to_vec(),
        lines,
    };
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
            "Start under AWS's emulator, p50",
            Sense::MillisecondsAtMost,
            2.0,
            own_ms,
        ),
        init.bar("Start, against the official runtime's", &["official"], 5.0),
        alone("The zip", Sense::KilobytesAtMost, 6.0, zip_kb),
    ];
    Ok(Suite {
        key: "lambda",
        title: "Functions".to_owned(),
        method: format!(
            "Under AWS's own runtime interface emulator, started anew for each trial with {ANSWERS} events of a few \
             bytes: the start as it reports it (INIT REPORT), and the median of its answers but the first."
        ),
        tables: vec![Sheet::Times(init), Sheet::Times(warm), Sheet::Grid(grid)],
        bars,
        absent,
        notes: vec![
            "Lambda itself adds what fetches the code and starts the machine, which is the same for both but for \
             the code's size."
                .to_owned(),
            "The emulator's own start of a process is in both starts, and most of the shorter one.".to_owned(),
        ],
        versions: vec![("lambda_runtime".to_owned(), version)],
    })
}

/// Builds the peer; its program and its version.
fn official(folder: &Path) -> Result<(PathBuf, String)> {
    fs::create_dir_all(folder.join("src"))?;
    fs::write(folder.join("Cargo.toml"), OFFICIAL)?;
    fs::write(folder.join("src/main.rs"), OFFICIAL_SOURCE)?;
    let words = [
        "cargo",
        "build",
        "--quiet",
        "--release",
        "--target",
        HOST_TARGET,
    ];
    read(
        command(&words)
            .args(["--target-dir", "target"])
            .current_dir(folder),
    )?;
    let tree =
        read(command(&["cargo", "tree", "--depth", "1", "--prefix", "none"]).current_dir(folder))?;
    let line = tree
        .lines()
        .find_map(|line| line.strip_prefix("lambda_runtime "));
    let program = folder
        .join("target")
        .join(HOST_TARGET)
        .join("release/lambda-official");
    Ok((
        program,
        line.unwrap_or("unknown").trim_start_matches('v').to_owned(),
    ))
}

/// Bytes of a program, and of the zip that holds it as `bootstrap`.
fn sizes_of(program: &Path, folder: &Path) -> Result<(u64, u64)> {
    const ZIP: &str = "\
import sys, zipfile
with zipfile.ZipFile(sys.argv[2], 'w', zipfile.ZIP_DEFLATED, compresslevel=9) as out:
    out.write(sys.argv[1], 'bootstrap')
";
    let zip = folder.join("function.zip");
    read(command(&["python3", "-c", ZIP]).arg(program).arg(&zip))?;
    Ok((fs::metadata(program)?.len(), fs::metadata(&zip)?.len()))
}
