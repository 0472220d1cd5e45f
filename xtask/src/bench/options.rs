//! The command line of `cargo xtask bench`.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use super::sampling::FEWEST_RUNS;

pub(crate) const HELP: &str = "\
cargo xtask bench [start|build|all] [OPTIONS]

Measures ounce side by side with its peers. A whole run (all suites, all peers,
at least 30 rounds) writes docs/benchmarks.md; every run writes report.md and
report.json in target/bench.

  --runs N         rounds [default: 50]
  --peers A,B      only these peers (bare and ounce always take part):
                   bubblewrap, crun, runc, youki (where it is on the PATH),
                   podman, docker, buildah, umoci
  --crun FILE      measure this crun, too, beside the one installed
  --ounce FILE     take this ounce in place of building it (cargo xtask dist)
  --httpd FILE     take this server in place of building apps/httpd
  --no-install     install no packages
";

/// The suites there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SuiteName {
    Start,
    Build,
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) suites: Vec<SuiteName>,
    pub(crate) runs: usize,
    /// Empty: all of them.
    pub(crate) peers: Vec<String>,
    pub(crate) crun: Option<PathBuf>,
    pub(crate) ounce: Option<PathBuf>,
    pub(crate) httpd: Option<PathBuf>,
    pub(crate) install: bool,
}

impl Options {
    /// Reads the arguments; nothing if help was asked for.
    pub(crate) fn parse(arguments: &[String]) -> Result<Option<Options>> {
        let mut options = Options {
            suites: vec![SuiteName::Start, SuiteName::Build],
            runs: 50,
            peers: Vec::new(),
            crun: None,
            ounce: None,
            httpd: None,
            install: true,
        };
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let mut value = || {
                rest.next()
                    .with_context(|| format!("{argument} wants a value"))
            };
            match argument.as_str() {
                "-h" | "--help" => return Ok(None),
                "all" => options.suites = vec![SuiteName::Start, SuiteName::Build],
                "start" => options.suites = vec![SuiteName::Start],
                "build" => options.suites = vec![SuiteName::Build],
                "--runs" => {
                    options.runs = value()?.parse().context("--runs wants a number")?;
                    anyhow::ensure!(options.runs > 0, "--runs wants at least 1");
                }
                "--peers" => options.peers = value()?.split(',').map(str::to_owned).collect(),
                "--crun" => options.crun = Some(std::path::absolute(value()?)?),
                "--ounce" => options.ounce = Some(std::path::absolute(value()?)?),
                "--httpd" => options.httpd = Some(std::path::absolute(value()?)?),
                "--no-install" => options.install = false,
                other => bail!("unknown argument {other:?}\n\n{HELP}"),
            }
        }
        Ok(Some(options))
    }

    /// Whether a peer takes part. `crun` stands for all of crun's rows.
    pub(crate) fn wants(&self, key: &str) -> bool {
        let family = key.split('-').next().unwrap_or(key);
        self.peers.is_empty() || self.peers.iter().any(|peer| peer == key || peer == family)
    }

    /// Whether the outcome is fit for the docs.
    pub(crate) fn is_whole(&self) -> bool {
        // Programs that were given may be anything.
        let own = self.ounce.is_none() && self.httpd.is_none();
        own && self.suites.len() == 2 && self.peers.is_empty() && self.runs >= FEWEST_RUNS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Option<Options>> {
        Options::parse(
            &line
                .split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>(),
        )
    }

    #[test]
    fn no_arguments_mean_a_whole_run() {
        let options = parse("").unwrap().unwrap();
        assert!(options.is_whole() && options.wants("docker"));
    }

    #[test]
    fn a_part_is_not_fit_for_the_docs() {
        for line in ["start", "all --runs 29", "all --peers crun", "--ounce true"] {
            assert!(!parse(line).unwrap().unwrap().is_whole(), "{line}");
        }
    }

    #[test]
    fn a_family_stands_for_all_its_rows() {
        let options = parse("--peers crun,docker-classic").unwrap().unwrap();
        assert!(options.wants("crun-least") && options.wants("docker-classic"));
        assert!(!options.wants("docker-buildkit") && !options.wants("runc"));
    }

    #[test]
    fn wrong_arguments_are_refused_by_name() {
        for (line, part) in [
            ("--runs", "--runs wants a value"),
            ("--runs x", "number"),
            ("strat", "\"strat\""),
        ] {
            let error = format!("{:#}", parse(line).unwrap_err());
            assert!(error.contains(part), "{error}");
        }
    }
}
