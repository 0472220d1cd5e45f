//! The command line of `ounce ship`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueHint};
use ounce_oci::place::PlaceError;
use ounce_oci::registry::Remote;
use ounce_oci::{ByteSize, Place, Platform};
use ounce_ship::Target;

use super::device::DeviceOptions;
use super::registry::NetworkOptions;
use super::{pair, path_to_ask_for, seconds};

const AFTER_HELP: &str = "\
Platforms: kubernetes, ecs, lambda, systemd, quadlet, compose, swarm, nomad, ssh://[USER@]HOST[:PORT],
device, web

  ounce ship registry.example/shop:1.4 --to kubernetes | kubectl apply --server-side -f -
  ounce ship shop --registry registry.example/shop:1.4 --push --to kubernetes -o deploy
  ounce ship registry.example/shop:1.4 --to kubernetes --explain
  ounce ship counter --to web --first-view -o public
  ounce ship shop --to ssh://pi@raspberrypi.local --apply
  ounce ship shop --to lambda -o deploy && cd deploy && sam deploy --guided
  ounce ship firmware.elf --to device --product lamp --firmware-version 1.0.1 \\
             --key updates.key --from firmware-1.0.0.elf -o release
  ounce ship resolve config/*.yaml --registry registry.example/team | kubectl apply -f -

Without --output the main files go to stdout. Images are named by their digests.";

/// `ounce ship`.
#[derive(Debug, Args)]
#[command(
    after_help = AFTER_HELP,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    arg_required_else_help = true
)]
pub(crate) struct ShipArguments {
    #[command(subcommand)]
    pub(crate) verb: Option<ShipVerb>,
    /// The image: a name in the store, or a place; for a device the firmware's file
    #[arg(value_name = "IMAGE", required = true, value_parser = source)]
    pub(crate) image: Option<Source>,
    #[command(flatten)]
    pub(crate) options: ShipOptions,
}

/// What is shipped, as it was written: what the target is decides what it is.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) text: String,
    /// Where an image would be, if it can be one.
    pub(crate) place: Option<Place>,
}

fn source(text: &str) -> Result<Source, String> {
    let place = text.parse();
    let is_file = || std::path::Path::new(text).is_file();
    if let Err(error) = &place
        && !is_file()
    {
        return Err(PlaceError::to_string(error));
    }
    Ok(Source {
        text: text.to_owned(),
        place: place.ok(),
    })
}

/// What else `ship` does.
#[derive(Debug, Subcommand)]
pub(crate) enum ShipVerb {
    /// Replace every ounce://PATH in YAML files by the digest of what is built there and pushed
    Resolve(Box<ResolveArguments>),
}

/// `ounce ship resolve`.
#[derive(Debug, Args)]
pub(crate) struct ResolveArguments {
    /// YAML files, in the order of their output; - is stdin
    #[arg(required = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) files: Vec<PathBuf>,
    /// Where images are pushed to: HOST/REPOSITORY; each below it by its own name
    #[arg(long, value_name = "HOST/REPOSITORY")]
    pub(crate) registry: Remote,
    /// Platforms to build for [default: this machine's]
    #[arg(long, value_name = "OS/ARCH", value_delimiter = ',')]
    pub(crate) platform: Vec<Platform>,
    #[command(flatten)]
    pub(crate) network: NetworkOptions,
}

/// What is shipped, where to, and how.
#[derive(Debug, Args)]
pub(crate) struct ShipOptions {
    /// The platform: kubernetes, ecs, lambda, systemd, quadlet, compose, swarm, nomad, ssh://HOST device or web
    #[arg(long, value_name = "PLATFORM", required = true)]
    pub(crate) to: Option<Target>,
    /// Write all files into this folder, in place of the main ones to stdout
    #[arg(long, short, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) output: Option<PathBuf>,
    /// Do it: on the cluster, the machine, or by the AWS CLI
    #[arg(long)]
    pub(crate) apply: bool,
    /// Ask nothing
    #[arg(long, short)]
    pub(crate) yes: bool,
    /// Show what would be created, and what it costs in money, memory, time and energy
    #[arg(long, conflicts_with = "apply")]
    pub(crate) explain: bool,
    /// Requests a second, around the clock, that --explain reckons with
    #[arg(long, value_name = "NUMBER", default_value = "10", value_parser = traffic)]
    pub(crate) traffic: f64,
    #[command(flatten)]
    pub(crate) source: SourceOptions,
    #[command(flatten)]
    pub(crate) application: ApplicationOptions,
    #[command(flatten)]
    pub(crate) kubernetes: KubernetesOptions,
    #[command(flatten)]
    pub(crate) lambda: LambdaOptions,
    #[command(flatten)]
    pub(crate) device: DeviceOptions,
    /// ECS: the region of the log in the bare task definition
    #[arg(long, value_name = "REGION", default_value = "us-east-1", value_parser = region, help_heading = "Other platforms")]
    pub(crate) region: String,
    /// systemd, ssh: where its files lie there [default: /opt/NAME]
    #[arg(long, value_name = "PATH", value_parser = path_to_ask_for, help_heading = "Other platforms")]
    pub(crate) root: Option<String>,
    /// web: draw the component's first view into the page, so that it is seen before its script has run
    #[arg(long, help_heading = "Other platforms")]
    pub(crate) first_view: bool,
    /// ssh: its configuration [default: ssh's own]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Other platforms")]
    pub(crate) ssh_config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) network: NetworkOptions,
}

/// Where the image is, and where the platform finds it.
#[derive(Debug, Args)]
#[command(next_help_heading = "The image")]
pub(crate) struct SourceOptions {
    /// Where the platform pulls it from [default: the image's own name, if it has a host]
    #[arg(long, value_name = "HOST/NAME[:TAG]")]
    pub(crate) registry: Option<Remote>,
    /// Push it there first
    #[arg(long, conflicts_with = "unchecked")]
    pub(crate) push: bool,
    /// Don't ask the registry whether it has the image
    #[arg(long)]
    pub(crate) unchecked: bool,
    /// Start it once, isolated, to see its memory and its first answer
    #[arg(long)]
    pub(crate) measure: bool,
}

/// What the platform is told of the application.
#[derive(Debug, Args)]
#[command(next_help_heading = "The application")]
pub(crate) struct ApplicationOptions {
    /// Its name there [default: the image's]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// The port it listens on [default: the image's]
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) port: Option<u16>,
    /// It listens on none
    #[arg(long, conflicts_with = "port")]
    pub(crate) no_port: bool,
    /// The path that answers 200 if it is well [default: /healthz, if the program knows it]
    #[arg(long, value_name = "PATH", value_parser = path_to_ask_for)]
    pub(crate) health: Option<String>,
    /// The argument by which the program asks itself if it is well [default: --health, if it knows that]
    #[arg(long, value_name = "ARG", allow_hyphen_values = true)]
    pub(crate) health_argument: Option<String>,
    /// An environment variable
    #[arg(long, short, value_name = "NAME=VALUE", value_parser = pair)]
    pub(crate) env: Vec<(String, String)>,
    /// A variable whose value the platform keeps
    #[arg(long, value_name = "NAME=SECRET[/KEY]", value_parser = pair)]
    pub(crate) secret: Vec<(String, String)>,
    /// The value of this variable only looks like a secret
    #[arg(long, value_name = "NAME")]
    pub(crate) allow_secret: Vec<String>,
    /// A folder that it may write to, in memory
    #[arg(long, value_name = "PATH")]
    pub(crate) scratch: Vec<String>,
    /// User it runs as [default: the image's]
    #[arg(long, value_name = "UID[:GID]")]
    pub(crate) user: Option<String>,
    /// How many of it there are at least
    #[arg(long, value_name = "COUNT", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) replicas: u32,
    /// How many of it there are at most, under load [default: three times as many]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) max_replicas: Option<u32>,
    /// The most memory it may have [default: by what is measured, or the image's size]
    #[arg(long, value_name = "SIZE")]
    pub(crate) memory: Option<ByteSize>,
    /// Thousandths of a processor that are kept for it
    #[arg(long, value_name = "COUNT", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) cpu: u32,
    /// How long it may take from SIGTERM to its end
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub(crate) stop_seconds: u32,
    /// Whom it may open connections to, beside name servers: networks, or `any`
    #[arg(long, value_name = "NETWORK[:PORT]|any")]
    pub(crate) egress: Vec<String>,
}

/// What only Kubernetes asks about.
#[derive(Debug, Args)]
#[command(next_help_heading = "Kubernetes")]
pub(crate) struct KubernetesOptions {
    /// The namespace [default: the context's]
    #[arg(long, short, value_name = "NAME")]
    pub(crate) namespace: Option<String>,
    /// The host name under which the world asks for it
    #[arg(long, value_name = "HOST")]
    pub(crate) host: Option<String>,
    /// The Gateway that leads to it: an HTTPRoute in place of an Ingress
    #[arg(long, value_name = "[NAMESPACE/]NAME")]
    pub(crate) gateway: Option<String>,
    /// Whose Ingress it is
    #[arg(long, value_name = "NAME")]
    pub(crate) ingress_class: Option<String>,
    /// The Secret with the host's certificate
    #[arg(long, value_name = "NAME")]
    pub(crate) tls_secret: Option<String>,
    /// The runtime that runs it, such as ounce
    #[arg(long, value_name = "NAME")]
    pub(crate) runtime_class: Option<String>,
    /// Which Kubernetes it is for, from 1.20 on [default: with --apply the cluster's, else the newest]
    #[arg(long, value_name = "VERSION")]
    pub(crate) kubernetes_version: Option<ounce_ship::kubernetes::Version>,
    /// What waits in the image before a replica is told to end, before Kubernetes 1.30: words
    #[arg(long, value_name = "COMMAND", value_parser = words)]
    pub(crate) pause_command: Option<Words>,
    /// The kubeconfig [default: $KUBECONFIG, ~/.kube/config]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// The context of it [default: its current one]
    #[arg(long, value_name = "NAME")]
    pub(crate) context: Option<String>,
    /// Seconds to wait for the new replicas
    #[arg(long, value_name = "SECONDS", default_value = "180", value_parser = seconds)]
    pub(crate) wait: Duration,
}

/// A command, split at blanks.
#[derive(Debug, Clone)]
pub(crate) struct Words(pub(crate) Vec<String>);

fn words(text: &str) -> Result<Words, String> {
    let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
    match words.first() {
        Some(program) if program.starts_with('/') => Ok(Words(words)),
        Some(program) => Err(format!(
            "{program:?} is no path: there is no shell that would look for it"
        )),
        None => Err("it is empty".to_owned()),
    }
}

/// What only Lambda asks about.
#[derive(Debug, Args)]
#[command(next_help_heading = "Lambda")]
pub(crate) struct LambdaOptions {
    /// How the code is packed [default: zip, or image where there is more than a program]
    #[arg(long, value_name = "KIND")]
    pub(crate) package: Option<PackageChoice>,
    /// Who may call the function by an address of its own [default: iam, none without a port]
    #[arg(long, value_name = "WHO")]
    pub(crate) url: Option<AccessChoice>,
    /// Seconds that an answer may take
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=900))]
    pub(crate) timeout: u32,
    /// Send answers on piece by piece
    #[arg(long)]
    pub(crate) stream: bool,
    /// Freeze it once it is ready, and start from there
    #[arg(long)]
    pub(crate) snap_start: bool,
    /// With --apply, the role that a new function has
    #[arg(long, value_name = "ARN")]
    pub(crate) role: Option<String>,
}

/// How a function's code is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum PackageChoice {
    /// The program alone
    Zip,
    /// All that is in the image, from the account's ECR
    Image,
}

/// Who may call a function by an address of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum AccessChoice {
    /// There is none
    None,
    /// Who signs as somebody that IAM knows
    Iam,
    /// Everybody
    Open,
}

pub(super) fn traffic(text: &str) -> Result<f64, String> {
    text.parse::<f64>()
        .ok()
        .filter(|number| number.is_finite() && (0.0..=1e9).contains(number))
        .ok_or_else(|| format!("{text:?} is no number of requests a second"))
}

fn region(text: &str) -> Result<String, String> {
    let own = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    match !text.is_empty() && text.len() < 32 && text.bytes().all(own) {
        true => Ok(text.to_owned()),
        false => Err("a region is like eu-west-1".to_owned()),
    }
}
