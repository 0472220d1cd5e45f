//! `cargo xtask bench`: ounce side by side with its peers, in one run, as ratios.
//!
//! `suites` say what is measured, `peers` how each contender is found, prepared,
//! run and cleaned, `rounds` and `sampling` who runs when and what the figures
//! mean, `stage` where it happens, `report` how it reads.

use std::fs;

use anyhow::{Context, Result};

mod account;
mod client;
mod host;
mod load;
mod options;
mod packages;
mod packed;
mod peers;
pub(crate) mod programs;
mod rates;
mod report;
mod rounds;
mod sampling;
mod servers;
mod stage;
mod suites;

use host::Host;
use options::{Options, SuiteName};
use peers::{Field, Ground};
use programs::Programs;
use report::{Report, Verdict};
use stage::Stage;

/// Runs the suites asked for and writes the reports.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let Some(options) = Options::parse(arguments)? else {
        print!("{}", options::HELP);
        return Ok(());
    };
    let mut stage = stage::enter()?;
    if options.install {
        let mut wanted = Vec::new();
        if options.has_containers() {
            wanted.extend(packages::PEERS);
        }
        if options.has(SuiteName::Serve) {
            wanted.extend(packages::SERVERS);
        }
        if options.has(SuiteName::Bases) {
            wanted.extend(packages::BASES);
        }
        if options.has(SuiteName::Registry) {
            wanted.extend(packages::REGISTRIES);
        }
        if options.has(SuiteName::Delta) {
            wanted.extend(packages::DELTAS);
        }
        let missing = packages::ensure_packages(&wanted);
        if !missing.is_empty() {
            eprintln!("not installed, so not measured: {}", missing.join(" "));
        }
    }
    let report = measure(&options, arguments, &mut stage)?;
    write(&report, options.is_whole())
}

fn measure(options: &Options, arguments: &[String], stage: &mut Stage) -> Result<Report> {
    // Before anything is bound to a processor.
    let host = Host::read(host::load());
    let mut suites = Vec::new();
    if options.has_containers() {
        let programs = Programs::make(options, stage)?;
        let mut field = Field::gather(&Ground {
            options,
            stage,
            programs: &programs,
        })?;
        if options.has(SuiteName::Start) {
            let runs = options.runs;
            suites.push(suites::start::run(&mut field, stage, runs, &mut progress));
        }
        if options.has(SuiteName::Build) {
            let runs = options.runs;
            suites.push(suites::build::run(
                &mut field,
                &programs,
                runs,
                &mut progress,
            )?);
        }
        if options.has(SuiteName::Zero) {
            let suite = suites::zero::run(options, &programs, stage, &mut progress)?;
            suites.push(suite);
        }
        if options.has(SuiteName::Density) {
            let field = &mut field;
            let suite = suites::density::run(options, &programs, field, stage, &mut progress)?;
            suites.push(suite);
        }
    }
    if options.has(SuiteName::Serve) {
        let httpd = programs::httpd(options)?;
        suites.push(suites::serve::run(options, &httpd, stage, &mut progress)?);
    }
    if options.has(SuiteName::Bases) {
        let ounce = match &options.ounce {
            Some(path) => path.clone(),
            None => crate::dist::build(crate::dist::HOST_TARGET)?,
        };
        suites.push(suites::bases::run(options, &ounce, stage, &mut progress)?);
    }
    if options.has(SuiteName::Registry) {
        let ounce = match &options.ounce {
            Some(path) => path.clone(),
            None => crate::dist::build(crate::dist::HOST_TARGET)?,
        };
        suites.push(suites::registry::run(
            options,
            &ounce,
            stage,
            &mut progress,
        )?);
    }
    if options.has(SuiteName::Lambda) {
        suites.push(suites::lambda::run(options, stage, &mut progress)?);
    }
    if options.has(SuiteName::Wasm) {
        suites.push(suites::wasm::run(options, stage, &mut progress)?);
    }
    if options.has(SuiteName::Delta) {
        let ounce = match &options.ounce {
            Some(path) => path.clone(),
            None => crate::dist::build(crate::dist::HOST_TARGET)?,
        };
        suites.push(suites::delta::run(options, &ounce, stage, &mut progress)?);
    }
    if options.has(SuiteName::Web) {
        suites.push(suites::web::run(options)?);
    }
    Ok(Report {
        schema: "ounce-bench/2",
        command: command_line(arguments),
        host,
        suites,
    })
}

/// The command as typed, without folders: paths of one machine say nothing to another.
fn command_line(arguments: &[String]) -> String {
    let names = arguments
        .iter()
        .map(|argument| argument.rsplit('/').next().unwrap_or(argument));
    ["cargo xtask bench"]
        .into_iter()
        .chain(names)
        .collect::<Vec<_>>()
        .join(" ")
}

fn progress(what: &str, done: usize, all: usize) {
    if done.is_multiple_of(10) || done == all {
        eprintln!("{what}: {done} of {all} rounds");
    }
}

fn write(report: &Report, whole: bool) -> Result<()> {
    let keys = SuiteName::ALL.map(SuiteName::key);
    let root = programs::root();
    let folder = root.join("target/bench");
    fs::create_dir_all(&folder)?;
    fs::write(
        folder.join("report.json"),
        serde_json::to_vec_pretty(report)?,
    )?;
    let page = report::merge("", report, &keys);
    fs::write(folder.join("report.md"), &page)?;
    print!("{page}");
    if whole {
        let docs = root.join("docs/benchmarks.md");
        fs::create_dir_all(root.join("docs"))?;
        let before = fs::read_to_string(&docs).unwrap_or_default();
        fs::write(&docs, report::merge(&before, report, &keys))
            .with_context(|| format!("writing {}", docs.display()))?;
        eprintln!("written: docs/benchmarks.md");
    } else {
        eprintln!("a part only, so docs/benchmarks.md stays as it is; see target/bench/report.md");
    }
    let bars = report.suites.iter().flat_map(|suite| &suite.bars);
    let short = bars.filter(|bar| bar.verdict() != Verdict::Met).count();
    if short > 0 {
        eprintln!("{short} bars are not met");
    }
    Ok(())
}
