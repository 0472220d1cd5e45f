//! The command line of `cargo xtask bench`.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use super::sampling::FEWEST_RUNS;

/// Containers of a whole run of `density`.
const COUNT: usize = 10_000;

pub(crate) const HELP: &str = "\
cargo xtask bench [start|build|serve|zero|density|bases|registry|lambda|wasm|delta|web|all] [OPTIONS]

Measures ounce side by side with its peers: start, to the first answer of a
container; build, to an image; serve, files over HTTP; zero, services that run
only when they are wanted; density, many containers at once; bases, debian-slim from
packages; registry, pushing and pulling; lambda, functions under AWS's emulator; wasm, WebAssembly modules and
handlers of requests; delta, the bytes of an update; web, components of pages in a
browser. A whole run of a suite (all
its peers, at least 30 rounds) writes that suite's section of docs/benchmarks.md;
every run writes report.md and report.json in target/bench.

  --runs N         rounds [default: 50]
  --peers A,B      only these peers (bare and ounce always take part):
                   bubblewrap, crun, runc, youki (where it is on the PATH),
                   podman, docker, buildah, umoci, skopeo, mmdebstrap;
                   nginx, lighttpd, busybox, darkhttpd, static-web-server;
                   bsdiff, xdelta3, zstd, detools, hdiffpatch
  --server NAME=FILE  take this program for a peer of `serve`, or for wasmtime;
                   web=FILE: the samples that web/bench/run.mjs wrote
  --framework NAME=DIR  of `web`: a peer that was built elsewhere, such as
                   web/bench/leptos; DIR has index.js, which fills the table
  --tables A,B     of `serve` only these: keep-alive, pipelined, close, large,
                   latency, boot, memory
  --count N        containers of `density` [default: 10000]
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
    Serve,
    Zero,
    Density,
    Bases,
    Registry,
    Lambda,
    Wasm,
    Delta,
    Web,
}

impl SuiteName {
    pub(crate) const ALL: [SuiteName; 11] = [
        SuiteName::Start,
        SuiteName::Build,
        SuiteName::Serve,
        SuiteName::Zero,
        SuiteName::Density,
        SuiteName::Bases,
        SuiteName::Registry,
        SuiteName::Lambda,
        SuiteName::Wasm,
        SuiteName::Delta,
        SuiteName::Web,
    ];

    /// As it is called on the command line and on the page.
    pub(crate) fn key(self) -> &'static str {
        match self {
            SuiteName::Start => "start",
            SuiteName::Build => "build",
            SuiteName::Serve => "serve",
            SuiteName::Zero => "zero",
            SuiteName::Density => "density",
            SuiteName::Bases => "bases",
            SuiteName::Registry => "registry",
            SuiteName::Lambda => "lambda",
            SuiteName::Wasm => "wasm",
            SuiteName::Delta => "delta",
            SuiteName::Web => "web",
        }
    }
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) suites: Vec<SuiteName>,
    pub(crate) runs: usize,
    /// Containers at once.
    pub(crate) count: usize,
    /// Empty: all of them.
    pub(crate) peers: Vec<String>,
    pub(crate) crun: Option<PathBuf>,
    pub(crate) ounce: Option<PathBuf>,
    pub(crate) httpd: Option<PathBuf>,
    /// Tables of `serve`; empty: all of them.
    pub(crate) tables: Vec<String>,
    /// Programs of peers that are not on the path.
    pub(crate) servers: Vec<(String, PathBuf)>,
    /// Folders of peers of `web`.
    pub(crate) frameworks: Vec<(String, PathBuf)>,
    pub(crate) install: bool,
}

impl Options {
    /// Reads the arguments; nothing if help was asked for.
    pub(crate) fn parse(arguments: &[String]) -> Result<Option<Options>> {
        let mut options = Options {
            suites: SuiteName::ALL.to_vec(),
            runs: 50,
            count: COUNT,
            peers: Vec::new(),
            crun: None,
            ounce: None,
            httpd: None,
            servers: Vec::new(),
            frameworks: Vec::new(),
            tables: Vec::new(),
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
                "all" => options.suites = SuiteName::ALL.to_vec(),
                "start" => options.suites = vec![SuiteName::Start],
                "build" => options.suites = vec![SuiteName::Build],
                "serve" => options.suites = vec![SuiteName::Serve],
                "zero" => options.suites = vec![SuiteName::Zero],
                "density" => options.suites = vec![SuiteName::Density],
                "bases" => options.suites = vec![SuiteName::Bases],
                "registry" => options.suites = vec![SuiteName::Registry],
                "lambda" => options.suites = vec![SuiteName::Lambda],
                "wasm" => options.suites = vec![SuiteName::Wasm],
                "delta" => options.suites = vec![SuiteName::Delta],
                "web" => options.suites = vec![SuiteName::Web],
                "--count" => {
                    options.count = value()?.parse().context("--count wants a number")?;
                    anyhow::ensure!(options.count > 0, "--count wants at least 1");
                }
                "--runs" => {
                    options.runs = value()?.parse().context("--runs wants a number")?;
                    anyhow::ensure!(options.runs > 0, "--runs wants at least 1");
                }
                "--peers" => options.peers = value()?.split(',').map(str::to_owned).collect(),
                "--tables" => options.tables = value()?.split(',').map(str::to_owned).collect(),
                "--crun" => options.crun = Some(std::path::absolute(value()?)?),
                "--ounce" => options.ounce = Some(std::path::absolute(value()?)?),
                "--httpd" => options.httpd = Some(std::path::absolute(value()?)?),
                "--server" | "--framework" => {
                    let (name, path) = value()?
                        .split_once('=')
                        .with_context(|| format!("{argument} wants NAME=PATH"))?;
                    let peer = (name.to_owned(), std::path::absolute(path)?);
                    match argument.as_str() {
                        "--server" => options.servers.push(peer),
                        _ => options.frameworks.push(peer),
                    }
                }
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

    /// Whether a table of `serve` is to be made.
    pub(crate) fn wants_table(&self, key: &str) -> bool {
        self.tables.is_empty() || self.tables.iter().any(|table| table == key)
    }

    /// The program given for a peer.
    pub(crate) fn program(&self, key: &str) -> Option<PathBuf> {
        let found = self.servers.iter().find(|(name, _)| name == key);
        found.map(|(_, program)| program.clone())
    }

    pub(crate) fn has(&self, suite: SuiteName) -> bool {
        self.suites.contains(&suite)
    }

    /// Whether containers are started or images made.
    pub(crate) fn has_containers(&self) -> bool {
        {
            let others = [
                SuiteName::Serve,
                SuiteName::Bases,
                SuiteName::Registry,
                SuiteName::Lambda,
                SuiteName::Wasm,
                SuiteName::Delta,
                SuiteName::Web,
            ];
            self.suites.iter().any(|suite| !others.contains(suite))
        }
    }

    /// Whether the outcome is fit for the docs.
    pub(crate) fn is_whole(&self) -> bool {
        // Programs that were given may be anything.
        let own = self.ounce.is_none() && self.httpd.is_none();
        let all = self.peers.is_empty() && self.tables.is_empty();
        own && all && self.runs >= FEWEST_RUNS && self.count >= COUNT
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
        for line in [
            "start --runs 5",
            "all --runs 29",
            "all --peers crun",
            "--ounce true",
            "serve --tables boot",
            "density --count 9999",
        ] {
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
