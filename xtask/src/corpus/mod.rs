//! `cargo xtask corpus`: real images made of packages, each trimmed by its test
//! and proved, and what came of it, on the page `docs/trim-corpus.md`.
//!
//! Making the images needs mmdebstrap, pip, npm and a registry of packages, and
//! takes minutes: CI trims the smallest one only.

mod image;
mod recipes;
mod report;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::house::House;
use crate::tool::{command, find, read, stage};
use crate::{dist, scratch::Scratch};
use recipes::{ALL, Recipe};

/// Repetitions of what is timed.
const RUNS: usize = 3;

pub(crate) const HELP: &str = "\
cargo xtask corpus [NAME...] [OPTIONS]

Makes real images of packages, trims each by its test and proves it, and writes
their rows of docs/trim-corpus.md; without names, all but the heavy ones.

  --all           the heavy ones as well: java, postgres, numbers, tensorflow
  --ounce FILE    take this ounce in place of building it (cargo xtask dist)
  --no-prove      trim by the trace only
  --time SECONDS  most seconds for a proof [default: 600]
  --check         write no page; fail where a bar is not held
";

/// What `ounce trim` said, and what was measured beside it; kept beside the image.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) name: String,
    pub(crate) bar: Option<(u64, u64)>,
    pub(crate) traced: Value,
    pub(crate) proved: Option<Value>,
    /// Proved with nothing held back: `--also all`.
    pub(crate) bare: Option<Value>,
    /// CPU milliseconds of one run: whole, traced, proved; medians.
    pub(crate) start: [Option<f64>; 3],
    /// In words.
    pub(crate) test: String,
}

struct Options {
    names: Vec<String>,
    all: bool,
    ounce: Option<PathBuf>,
    prove: bool,
    seconds: u64,
    check: bool,
}

/// Runs the task with its own arguments.
pub(crate) fn run(house: &House, arguments: &[String]) -> Result<()> {
    let Some(options) = options(arguments)? else {
        print!("{HELP}");
        return Ok(());
    };
    for program in ["mmdebstrap", "tar", "sha256sum"] {
        if find(program).is_none() {
            bail!("{program} is missing; install by: apt-get install mmdebstrap tar coreutils");
        }
    }
    let ounce = match &options.ounce {
        Some(path) => std::path::absolute(path)?,
        None => dist::build(dist::HOST_TARGET)?,
    };
    let corpus = house.target().join("corpus");
    let wanted: Vec<&Recipe> = match options.names.is_empty() {
        true => ALL.iter().filter(|one| options.all || !one.heavy).collect(),
        false => options
            .names
            .iter()
            .map(|name| {
                let found = ALL.iter().find(|one| one.name == name);
                found.with_context(|| format!("there is no image `{name}`"))
            })
            .collect::<Result<_>>()?,
    };
    let mut outcomes = Vec::new();
    let mut failed = Vec::new();
    for recipe in wanted {
        let done = stage(recipe.name, || {
            let layout = image::ensure(recipe, &corpus)?;
            trim(recipe, &layout, &ounce, &options)
        });
        match done {
            Ok(outcome) => outcomes.push(outcome),
            Err(error) => {
                println!("error: {error:#}");
                failed.push(recipe.name);
            }
        }
    }
    if !options.check {
        for outcome in &outcomes {
            let text = serde_json::to_string(outcome)?;
            fs::write(corpus.join(&outcome.name).join("outcome.json"), text)?;
        }
        // With the rows of earlier runs.
        let known = |recipe: &Recipe| {
            let path = corpus.join(recipe.name).join("outcome.json");
            serde_json::from_str::<Outcome>(&fs::read_to_string(path).ok()?).ok()
        };
        let all: Vec<Outcome> = ALL.iter().filter_map(known).collect();
        fs::write(house.path("docs/trim-corpus.md"), report::page(&all))?;
    }
    println!("{}", report::page(&outcomes));
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    let over = report::over(&outcomes);
    if options.check && !over.is_empty() {
        bail!("over the bar: {}", over.join(", "));
    }
    Ok(())
}

fn options(arguments: &[String]) -> Result<Option<Options>> {
    let mut options = Options {
        names: Vec::new(),
        all: false,
        ounce: None,
        prove: true,
        seconds: 600,
        check: false,
    };
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--help" | "-h" => return Ok(None),
            "--all" => options.all = true,
            "--no-prove" => options.prove = false,
            "--check" => options.check = true,
            "--ounce" => options.ounce = Some(words.next().context("--ounce FILE")?.into()),
            "--time" => options.seconds = words.next().context("--time SECONDS")?.parse()?,
            other if other.starts_with('-') => bail!("there is no option {other}\n\n{HELP}"),
            name => options.names.push(name.to_owned()),
        }
    }
    Ok(Some(options))
}

fn described(recipe: &Recipe) -> String {
    let asked: Vec<String> = recipe
        .test
        .windows(2)
        .filter(|two| two[0] == "--http")
        .map(|two| format!("GET {}", two[1]))
        .collect();
    match recipe.script {
        _ if !asked.is_empty() => asked.join(", "),
        Some(_) => "a script of the host that sets, gets and lists by its own protocol".to_owned(),
        None => format!("`{}` to its end", recipe.entrypoint.join(" ")),
    }
}

fn trim(recipe: &Recipe, layout: &Path, ounce: &Path, options: &Options) -> Result<Outcome> {
    let scratch = Scratch::new("corpus")?;
    let script = scratch.join("test");
    let mut test: Vec<String> = recipe.test.iter().map(|word| (*word).to_owned()).collect();
    if let Some(text) = recipe.script {
        fs::write(&script, text)?;
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
        test.extend(["--test".to_owned(), script.display().to_string()]);
    }
    let ask = |words: &[String]| -> Result<Value> {
        let mut command = command(&[ounce]);
        // Certificates are written where it stands.
        command.current_dir(scratch.join(""));
        command.env("OUNCE_STORE", scratch.join("store"));
        command.env("XDG_CACHE_HOME", scratch.join("cache"));
        let text = read(command.arg("--json").args(words))?;
        serde_json::from_str(&text).context("reading what ounce printed")
    };
    let source = format!("oci:{}", std::path::absolute(layout)?.display());
    let words = |image: &str, name: &str, more: &[&str]| {
        let mut words = vec!["trim".to_owned(), image.to_owned()];
        words.extend(test.iter().cloned());
        words.extend(["-o".to_owned(), name.to_owned()]);
        words.extend(more.iter().map(|word| (*word).to_owned()));
        words
    };
    // Once for the cache of unpacked images: what a second trim takes is told.
    ask(&words(&source, "warm", &[]))?;
    let traced = ask(&words(&source, "traced", &[]))?;
    let seconds = options.seconds.to_string();
    let proved = match options.prove {
        true => Some(ask(&words(
            &source,
            "proved",
            &["--prove", "--time", &seconds],
        ))?),
        false => None,
    };
    let bare = match options.prove {
        true => {
            let more = ["--prove", "--also", "all", "--time", &seconds];
            Some(ask(&words(&source, "bare", &more))?)
        }
        false => None,
    };
    // The same test on each: what the trial's processes take of the CPU.
    let cpu = |image: &str| -> Result<Option<f64>> {
        let mut all = Vec::new();
        for _ in 0..RUNS {
            let document = ask(&words(image, "measured", &[]))?;
            all.extend(document["processor_ms_before"].as_f64());
        }
        all.sort_by(f64::total_cmp);
        Ok(all.get(all.len() / 2).copied())
    };
    let begun = Instant::now();
    let start = [
        cpu(&source)?,
        cpu("traced")?,
        if proved.is_some() {
            cpu("proved")?
        } else {
            None
        },
    ];
    println!(
        "   start-up measured in {:.1} s",
        begun.elapsed().as_secs_f64()
    );
    Ok(Outcome {
        name: recipe.name.to_owned(),
        bar: recipe.bar,
        traced,
        proved,
        bare,
        start,
        test: described(recipe),
    })
}
