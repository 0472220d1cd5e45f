//! The project's own tasks, one module each; this file only picks.
#![forbid(unsafe_code)]

mod bench;
mod dist;
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

use std::process::ExitCode;

use anyhow::{Result, bail};

use house::House;

const USAGE: &str = "\
cargo xtask TASK

  test                         everything that must hold: format, clippy, documents,
                               licences, tests, tidy, dist, judges
  tidy [--quick]               the laws of the house; --quick leaves out size budgets
  setup [--check]              Rust targets and Debian packages; --check only tells
  licences                     the dependency tree against deny.toml
  judges                       skopeo, umoci, podman, docker, runc on the images we write
  dist [TARGET]                the static ounce that is shipped
  bench [start|build|all] [--runs N]
                               ounce against its peers; writes docs/benchmarks.md";

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
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["test"] => test::test(&house),
        ["tidy"] => tidy::run(&house, false),
        ["tidy", "--quick"] => tidy::run(&house, true),
        ["setup"] => setup::setup(false),
        ["setup", "--check"] => setup::setup(true),
        ["licences"] => licences::check(&house),
        ["judges"] => {
            setup::setup(false)?;
            let program = dist::build(&house, dist::own_target()?)?;
            let mut tally = tally::Tally::default();
            let result = judges::run(&house, &program, &mut tally);
            println!("{tally}");
            result
        }
        ["dist"] => dist::build(&house, dist::own_target()?).map(drop),
        ["dist", target] => dist::build(&house, target).map(drop),
        ["bench", rest @ ..] => bench::run(&house, &bench::Wish::read(rest)?),
        [] | ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            Ok(())
        }
        other => bail!("there is no task `{}`\n\n{USAGE}", other.join(" ")),
    }
}
