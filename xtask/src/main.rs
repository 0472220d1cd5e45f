//! The project's own tasks, one module each; this file only picks.
#![forbid(unsafe_code)]

mod bench;
mod cluster;
mod corpus;
mod cycles;
mod dist;
mod figures;
mod fleet;
mod guest;
mod house;
mod judges;
mod licences;
mod peers;
mod scratch;
mod setup;
mod tally;
mod test;
mod tidy;
mod tokens;
mod tool;
mod wasmhost;
mod web;

use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};

use house::House;

const USAGE: &str = "\
cargo xtask TASK

  test                         everything that must hold: format, clippy, documents,
                               licences, tests, tidy, dist, judges
  tidy [--quick]               the laws of the house; --quick leaves out size budgets
  setup [--check]              Rust targets and Debian packages; --check only tells
  licences                     the dependency tree against deny.toml
  judges [OUNCE]               skopeo, umoci, podman, docker, runc on the images that
                               the shipped ounce, or this one, writes
  guest [OUNCE]                ounce on an emulated machine with control groups of
                               version 2 only
  cycles [COUNT]               containers that come and go, 10,000 unless told, and what
                               is left of them: nothing
  fleet [DEVICES]              devices that are updated over a bad link, 100,000 unless told
  judges device [OUNCE]        esptool on the firmware that this ounce ships
  judges http                  REDbot and slowhttptest on the web server alone
  judges bases [OUNCE]         dpkg, ldconfig, Python and OpenSSL on the bases that are
                               put together from Debian's packages
  judges registry [OUNCE]      docker-registry, skopeo and podman alone
  web [OUNCE]                  the package for pages: types, sizes, tests in node and in
                               Chromium, on pages that this ounce makes
  judges lambda [OUNCE]        AWS's emulator and cargo-lambda's, cfn-lint and moto alone
  judges ship [OUNCE]          Kubernetes' schemas, cfn-lint, moto, podman-compose and
                               systemd on what is shipped
  judges wasm [OUNCE]          the test suites of WASI and of WebAssembly that
                               WASI_TESTSUITE and WASM_TESTSUITE name
  cluster [OUNCE] [ship|pods]  two nodes of Kubernetes, from Debian's sources, that this ounce
                               ships to and runs pods on; the first run compiles them
  corpus [--help]              trims real images, writes docs/trim-corpus.md
  figures                      the README's figures, from sizes and the last bench
  dist [--help]                the static ounce that is shipped
  wasmhost [--help]            the engine of WebAssembly images, shipped beside it
  bench [--help]               ounce against its peers; writes docs/benchmarks.md";

fn main() -> ExitCode {
    match run(&std::env::args().skip(1).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<()> {
    let house = House::here()?;
    match arguments.split_first() {
        // These read their own arguments.
        Some((task, rest)) if task == "bench" => return bench::run(rest),
        Some((task, rest)) if task == "dist" => return dist::run(rest),
        Some((task, rest)) if task == "wasmhost" => return wasmhost::task(&house, rest),
        Some((task, rest)) if task == "corpus" => return corpus::run(&house, rest),
        _ => {}
    }
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["test"] => test::test(&house),
        ["tidy"] => tidy::run(&house, false),
        ["tidy", "--quick"] => tidy::run(&house, true),
        ["setup"] => setup::setup(false),
        ["setup", "--check"] => setup::setup(true),
        ["licences"] => licences::check(&house),
        ["figures"] => figures::fill(&house),
        ["judges"] => judged(&house, &dist::build(dist::HOST_TARGET)?),
        ["guest"] => {
            setup::setup(false)?;
            guest::run(&house, &dist::build(dist::HOST_TARGET)?)
        }
        ["guest", ounce] => guest::run(&house, &std::path::absolute(ounce)?),
        ["cycles"] => cycles::run(&dist::build(dist::HOST_TARGET)?, cycles::COUNT),
        ["cycles", count] => {
            let count = count.parse().context("COUNT is a number")?;
            cycles::run(&dist::build(dist::HOST_TARGET)?, count)
        }
        ["fleet"] => fleet::run(&house, fleet::DEVICES),
        ["fleet", devices] => fleet::run(&house, devices.parse().context("DEVICES is a number")?),
        ["judges", "http"] => {
            setup::setup(false)?;
            let mut tally = tally::Tally::default();
            let result = judges::run_http(&house, &mut tally);
            println!("{tally}");
            result
        }
        ["judges", group] if judges::is_group(group) => {
            judged_group(&house, group, &dist::build(dist::HOST_TARGET)?)
        }
        ["judges", group, ounce] if judges::is_group(group) => {
            judged_group(&house, group, &std::path::absolute(ounce)?)
        }
        ["cluster"] => nodes(&house, &dist::build(dist::HOST_TARGET)?, cluster::Part::All),
        ["cluster", rest @ .., "ship"] if rest.len() < 2 => part(&house, rest, cluster::Part::Ship),
        ["cluster", rest @ .., "pods"] if rest.len() < 2 => part(&house, rest, cluster::Part::Pods),
        ["cluster", ounce] => nodes(&house, &std::path::absolute(ounce)?, cluster::Part::All),
        ["web"] => pages(&house, &tidy::Packer::debug(&house)?.ounce),
        ["web", ounce] => pages(&house, &std::path::absolute(ounce)?),
        ["judges", ounce] => judged(&house, &std::path::absolute(ounce)?),
        [] | ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            Ok(())
        }
        other => bail!("there is no task `{}`\n\n{USAGE}", other.join(" ")),
    }
}

fn judged_group(house: &House, group: &str, ounce: &std::path::Path) -> Result<()> {
    setup::setup(false)?;
    let mut tally = tally::Tally::default();
    let result = judges::run_group(house, group, ounce, &mut tally);
    println!("{tally}");
    result
}

fn part(house: &House, ounce: &[&str], part: cluster::Part) -> Result<()> {
    match ounce {
        [ounce] => nodes(house, &std::path::absolute(ounce)?, part),
        _ => nodes(house, &dist::build(dist::HOST_TARGET)?, part),
    }
}

fn nodes(house: &House, ounce: &std::path::Path, part: cluster::Part) -> Result<()> {
    setup::setup(false)?;
    let mut tally = tally::Tally::default();
    let result = cluster::run(house, ounce, part, &mut tally);
    println!("{tally}");
    result
}

fn pages(house: &House, ounce: &std::path::Path) -> Result<()> {
    setup::setup(false)?;
    let mut tally = tally::Tally::default();
    let result = web::check(house, ounce, &mut tally);
    println!("{tally}");
    result
}

fn judged(house: &House, ounce: &std::path::Path) -> Result<()> {
    setup::setup(false)?;
    let mut tally = tally::Tally::default();
    let result = judges::run(house, ounce, &mut tally);
    println!("{tally}");
    result
}
