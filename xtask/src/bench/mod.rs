//! `cargo xtask bench`: ounce side by side with its peers, in one run, as ratios.
//!
//! `suites` say what is measured, `peers` how each contender is found, prepared,
//! run and cleaned, `rounds` and `sampling` who runs when and what the figures
//! mean, `stage` where it happens, `report` how it reads.

use std::fs;

use anyhow::{Context, Result};

mod client;
mod host;
mod options;
mod packages;
mod peers;
mod programs;
mod report;
mod rounds;
mod sampling;
mod stage;
mod suites;

use host::Host;
use options::{Options, SuiteName};
use peers::{Field, Ground};
use programs::Programs;
use report::{Report, Suite, Verdict};
use stage::Stage;

/// Runs the suites asked for and writes the reports.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let Some(options) = Options::parse(arguments)? else {
        print!("{}", options::HELP);
        return Ok(());
    };
    let mut stage = stage::enter()?;
    if options.install {
        let missing = packages::ensure_packages(packages::PEERS);
        if !missing.is_empty() {
            eprintln!("not installed, so not measured: {}", missing.join(" "));
        }
    }
    let report = measure(&options, arguments, &mut stage)?;
    write(&report, options.is_whole())
}

fn measure(options: &Options, arguments: &[String], stage: &mut Stage) -> Result<Report> {
    let programs = Programs::make(options, stage)?;
    let load = host::load();
    let mut field = Field::gather(&Ground {
        options,
        stage,
        programs: &programs,
    })?;
    let suites = options
        .suites
        .iter()
        .map(|suite| match suite {
            SuiteName::Start => Ok(suites::start::run(
                &mut field,
                stage,
                options.runs,
                &mut progress,
            )),
            SuiteName::Build => {
                suites::build::run(&mut field, &programs, options.runs, &mut progress)
            }
        })
        .collect::<Result<Vec<Suite>>>()?;
    Ok(Report {
        schema: "ounce-bench/1",
        command: command_line(arguments),
        host: Host::read(load, field.versions),
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
    let page = report::markdown(report);
    let root = programs::root();
    let folder = root.join("target/bench");
    fs::create_dir_all(&folder)?;
    fs::write(
        folder.join("report.json"),
        serde_json::to_vec_pretty(report)?,
    )?;
    fs::write(folder.join("report.md"), &page)?;
    print!("{page}");
    if whole {
        let docs = root.join("docs/benchmarks.md");
        fs::create_dir_all(root.join("docs"))?;
        fs::write(&docs, &page).with_context(|| format!("writing {}", docs.display()))?;
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
