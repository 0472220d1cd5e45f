//! Arguments of `ounce trim`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueHint};
use ounce_oci::{Place, Platform, Reference};
use ounce_trim::classes::Class;
use ounce_trim::strip::Step;
use serde::{Deserialize, Serialize};

use super::{path_to_ask_for, seconds};

/// `ounce trim`.
#[derive(Debug, Args)]
pub(crate) struct TrimArguments {
    /// The image to cut
    pub(crate) image: Place,
    /// Name of what is cut out of it
    #[arg(
        long,
        short,
        value_name = "NAME[:TAG]",
        required_unless_present = "check"
    )]
    pub(crate) output: Option<Reference>,
    /// Platform, where the image holds several
    #[arg(long, value_name = "OS/ARCH")]
    pub(crate) platform: Option<Platform>,
    #[command(flatten)]
    pub(crate) test: TrimTest,
    #[command(flatten)]
    pub(crate) keeping: TrimKeeping,
    #[command(flatten)]
    pub(crate) proof: TrimProof,
}

/// What has to go on working.
#[derive(Debug, Clone, Args, Serialize, Deserialize)]
#[command(next_help_heading = "The test")]
pub(crate) struct TrimTest {
    /// Run this in the image: exit code and output count; can stand several times
    #[arg(long, value_name = "COMMAND")]
    pub(crate) exec: Vec<String>,
    /// Start the image and ask for this path: status and body count; can stand several times
    #[arg(long, value_name = "PATH", value_parser = path_to_ask_for)]
    pub(crate) http: Vec<String>,
    /// Start the image and run this program of the host, which finds OUNCE_URL and
    /// OUNCE_CONTAINER (a process id) in its environment: exit code and output count
    #[arg(long, value_name = "SCRIPT", value_hint = ValueHint::FilePath)]
    pub(crate) test: Option<PathBuf>,
    /// The port that the program listens at [default: the first the image exposes]
    #[arg(long, short, value_name = "PORT")]
    pub(crate) port: Option<u16>,
    /// Seconds that one run of a test may take
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = seconds)]
    pub(crate) timeout: Duration,
    /// Exit codes and statuses count, what is printed and answered does not
    #[arg(long)]
    pub(crate) loose: bool,
    /// Set a variable, or pass one of this environment on
    #[arg(long, short, value_name = "NAME[=VALUE]")]
    pub(crate) env: Vec<String>,
    /// An empty folder in memory that can be written, over what is there
    #[arg(long, value_name = "PATH", value_hint = ValueHint::Other)]
    pub(crate) tmpfs: Vec<String>,
    /// Run as this user
    #[arg(long, short, value_name = "USER[:GROUP]")]
    pub(crate) user: Option<String>,
    /// What the program gets, in place of the image's command
    #[arg(last = true, value_name = "ARGS")]
    pub(crate) arguments: Vec<OsString>,
}

/// What stays besides.
#[derive(Debug, Args)]
#[command(next_help_heading = "What stays")]
pub(crate) struct TrimKeeping {
    /// Keep what this pattern means (`*` within a name, `**` across), and what lies in it
    #[arg(long, value_name = "GLOB")]
    pub(crate) keep: Vec<String>,
    /// Also keep what programs and sources name, without a test's having used it: libraries,
    /// imports, certificates, time zones
    #[arg(long = "static")]
    pub(crate) also_static: bool,
    /// Make what stays smaller, each step only if the tests pass with it: symbols (and debug
    /// sections of ELF files), docstrings (of compiled Python), tests (folders of Python
    /// packages), locales (that the environment does not name), duplicates (become hard links),
    /// or all
    #[arg(
        long,
        value_name = "LIST",
        num_args = 0..=1,
        default_missing_value = "symbols",
        value_delimiter = ',',
        value_parser = step
    )]
    pub(crate) strip: Vec<Vec<Step>>,
    /// Also keep the records of package managers, so that scanners still see packages
    #[arg(long)]
    pub(crate) keep_packages: bool,
    /// Write what stayed and why, and what went, as JSON
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) report: Option<PathBuf>,
    /// Write a bill of materials of the packages of which something stayed: SPDX 2.3, or
    /// CycloneDX 1.6 if the name ends in .cdx.json
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) sbom: Option<PathBuf>,
    /// Let the image make any system call that is allowed by default, not only those it made
    #[arg(long)]
    pub(crate) any_call: bool,
    /// Write the list of system calls as docker and podman read it
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) seccomp: Option<PathBuf>,
}

/// How far it is taken.
#[derive(Debug, Args)]
#[command(next_help_heading = "Proof")]
pub(crate) struct TrimProof {
    /// Take away one thing after the other until nothing more can go
    #[arg(long)]
    pub(crate) prove: bool,
    /// Replay the trials of a certificate that --prove has written
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) check: Option<PathBuf>,
    /// Most trials
    #[arg(long, value_name = "COUNT")]
    pub(crate) trials: Option<u64>,
    /// Most seconds
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) time: Option<Duration>,
    /// The order in which things are tried: there is more than one smallest set
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub(crate) seed: u64,
    /// Begin with all that is in the image, not with what the test was seen to use
    #[arg(long, requires = "prove")]
    pub(crate) untraced: bool,
    /// Also take away what a test may not notice: tls, nss, zones, bytecode, or all
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = class, requires = "prove")]
    pub(crate) also: Vec<Vec<Class>>,
    /// Trials at the same time [default: half the processors]
    #[arg(long, short, value_name = "COUNT")]
    pub(crate) jobs: Option<usize>,
    /// Where the certificate of a proof goes [default: beside --report, else in ounce's cache; the
    /// path is told]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "prove")]
    pub(crate) certificate: Option<PathBuf>,
}

fn step(text: &str) -> Result<Vec<Step>, String> {
    if text == "all" {
        return Ok(Step::ALL.to_vec());
    }
    let step = Step::ALL.into_iter().find(|step| step.name() == text);
    step.map(|step| vec![step]).ok_or_else(|| {
        let names = Step::ALL.map(Step::name).join(", ");
        format!("there are {names}, and all")
    })
}

fn class(text: &str) -> Result<Vec<Class>, String> {
    if text == "all" {
        return Ok(Class::ALL.to_vec());
    }
    let class = Class::ALL.into_iter().find(|class| class.name() == text);
    class.map(|class| vec![class]).ok_or_else(|| {
        let names = Class::ALL.map(Class::name).join(", ");
        format!("there are {names}, and all")
    })
}
