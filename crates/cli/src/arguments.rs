//! The command line as data: the one clap definition, from which `--help`,
//! the man pages and the shell completions all come.

pub(crate) mod bases;
pub(crate) mod containers;
pub(crate) mod delta;
pub(crate) mod device;
pub(crate) mod registry;
pub(crate) mod ship;
pub(crate) mod supply;
pub(crate) mod trim;
pub(crate) mod update;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::styling::{AnsiColor, Styles};
use clap::builder::{OsStringValueParser, TypedValueParser as _};
use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use ounce_build::settings::{ExtraFile, Port};
use ounce_oci::ByteSize;
use ounce_oci::{Place, Platform, Reference};
use ounce_run::containers::Restart;
use ounce_run::publish::Publish;

use crate::first_answer::is_path;

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Yellow.on_default().bold())
    .usage(AnsiColor::Yellow.on_default().bold())
    .literal(AnsiColor::Green.on_default())
    .placeholder(AnsiColor::Cyan.on_default());

const AFTER_HELP: &str = "\
Start here:
  ounce up examples/hello        build it, run it isolated, show the figures
  ounce up ./public              the same for a folder of web files
  ounce build . --budget 100KB   an image, or exit code 1 if it grew too big
  ounce run hello -p 8080        start it again
  ounce weigh hello              where its bytes go
  ounce ship hello --to systemd  what a platform is to be told of it

A place is written as skopeo writes it: oci:DIR[:TAG], oci-archive:FILE[:TAG],
docker-archive:FILE[:NAME:TAG], docker-daemon:NAME, podman:NAME, docker://HOST/NAME[:TAG]
in a registry; a bare name is in ounce's own store.

Exit codes: 0 yes; 1 the answer is no (over budget, images differ, trial failed);
2 usage; 3 bad input; 4 the host refuses; 5 network; 70 a bug of ounce;
`run` passes on the program's own, with 125 to 127 as docker has them.";

/// Makes, measures and runs micro-containers: OCI images that hold one static program and nothing else
#[derive(Debug, Parser)]
#[command(
    name = "ounce",
    version,
    styles = STYLES,
    after_help = AFTER_HELP,
    infer_subcommands = false,
    subcommand_required = true,
    arg_required_else_help = true,
    max_term_width = 100
)]
pub(crate) struct Arguments {
    /// What all commands take.
    #[command(flatten)]
    pub(crate) global: Global,
    /// The verb.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Everywhere")]
pub(crate) struct Global {
    /// The store: an OCI image layout [default: $XDG_DATA_HOME/ounce]
    #[arg(long, global = true, value_name = "DIR", env = "OUNCE_STORE", hide_env_values = true, value_parser = OsStringValueParser::new().map(PathBuf::from), value_hint = ValueHint::DirPath)]
    pub(crate) store: Option<PathBuf>,
    /// Seconds to wait for another ounce that holds the store's lock
    #[arg(long, global = true, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    pub(crate) lock_timeout: Duration,
    /// Print one JSON document on stdout instead of text
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Print nothing on stderr but errors
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Build, run, ask it something and show the figures: the main job in one command
    Up(UpArguments),
    /// Make an image from source (Rust, Go, Zig, C, Python), a ready program or web files
    Build(BuildArguments),
    /// Put a base together from its distribution's packages, or show what one is made of
    Base(bases::BaseArguments),
    /// Move ounce.lock to the packages that there are now, or the services of a device to the images
    Update(bases::UpdateArguments),
    /// Start an image, a folder or a program, isolated
    Run(RunArguments),
    /// List the containers that have a name
    Ps(containers::PsArguments),
    /// Show what a detached container has said
    Logs(containers::LogsArguments),
    /// Run a further program in a container
    Exec(containers::ExecArguments),
    /// A shell with tools at a container that has none
    Debug(containers::DebugArguments),
    /// Show what containers use
    Stats(containers::StatsArguments),
    /// End containers: by SIGTERM, and by SIGKILL if they take too long
    Stop(containers::StopArguments),
    /// Send a signal to containers
    Kill(containers::KillArguments),
    /// Wait until containers end, and print their exit codes
    Wait(containers::WaitArguments),
    /// Start images by their first connection, and stop them when nobody is connected
    Serve(ServeArguments),
    /// Show what is in an image and where its bytes go
    Weigh(WeighArguments),
    /// Cut an image down to what its tests use, and prove that it still passes them
    Trim(trim::TrimArguments),
    /// Make the smallest update between two images, programs or firmware files, or apply one
    Delta(delta::DeltaArguments),
    /// List the images in the store
    Images,
    /// Show an image's manifest and configuration, or what is known of a container
    Inspect(InspectArguments),
    /// Give an image a further name
    Tag(TagArguments),
    /// Remove containers, or names of images; `gc` then frees the space
    Rm(RmArguments),
    /// Copy an image from one place to another
    Copy(CopyArguments),
    /// Fetch an image from a registry into the store
    Pull(registry::PullArguments),
    /// Send an image to a registry
    Push(registry::PushArguments),
    /// Put an image on Kubernetes, ECS, systemd, podman, docker, Nomad, or a machine by ssh
    Ship(Box<ship::ShipArguments>),
    /// List the tags of a repository in a registry
    Tags(registry::TagsArguments),
    /// Tell a registry who you are, for docker and podman too
    Login(registry::LoginArguments),
    /// Forget who you are to a registry
    Logout(registry::LogoutArguments),
    /// Free what no name in the store reaches
    Gc,
    /// Read and hash everything in the store, or check who has signed an image
    Verify(supply::VerifyArguments),
    /// Sign an image with a key, as cosign does
    Sign(supply::SignArguments),
    /// Hang a bill of materials or another document on an image
    Attach(supply::AttachArguments),
    /// List what hangs on an image: signatures, bills of materials, provenance
    Referrers(supply::ReferrersArguments),
    /// Make a pair of keys to sign with
    Key(supply::KeyArguments),
    /// Print the man page, or write all of them
    Man(ManArguments),
    /// Print the completions for a shell
    Completions(CompletionsArguments),
    /// Run containers from OCI bundles, for podman, containerd and docker: see `ounce runtime --help`
    Runtime,
    /// Carry a container's connections into its network namespace (started by `run -p`)
    #[command(hide = true)]
    Proxy,
    /// Start a detached container and watch it (started by `run -d`)
    #[command(hide = true)]
    Keep,
}

/// Where an image comes from and how it is made.
#[derive(Debug, Clone, Args)]
pub(crate) struct BuildOptions {
    /// A project (Rust, Go, Zig, C) or a source file, a ready static program, or a folder of web files
    #[arg(default_value = ".", value_hint = ValueHint::AnyPath)]
    pub(crate) path: PathBuf,
    /// A ready static program for a platform; several make an image index
    #[arg(long, value_name = "OS/ARCH=FILE", value_parser = program)]
    pub(crate) program: Vec<(Platform, PathBuf)>,
    /// Name of the image [default: the program's name]
    #[arg(long, short, value_name = "NAME[:TAG]")]
    pub(crate) tag: Option<Reference>,
    /// The settings file [default: ounce.toml beside the project]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) config: Option<PathBuf>,
    /// Take a folder for web files even if it has no index.html
    #[arg(long)]
    pub(crate) site: bool,
    /// Keep web files as a folder, in place of one packed file with ready answers
    #[arg(long)]
    pub(crate) plain: bool,
    /// Fail with exit code 1 if the image, as pulled, is larger (100KB, 1 MiB)
    #[arg(long, value_name = "SIZE")]
    pub(crate) budget: Option<ByteSize>,
    /// How the layer is compressed
    #[arg(long, value_enum, value_name = "KIND")]
    pub(crate) compression: Option<Compression>,
    #[command(flatten)]
    pub(crate) base: bases::BaseOptions,
    #[command(flatten)]
    pub(crate) rust: RustOptions,
    #[command(flatten)]
    pub(crate) content: ContentOptions,
}

/// Which program of a project, and how it is compiled.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Projects")]
pub(crate) struct RustOptions {
    /// Rust: the workspace member; Go: the package
    #[arg(long, value_name = "NAME")]
    pub(crate) package: Option<String>,
    /// The program, where there are several
    #[arg(long, value_name = "NAME")]
    pub(crate) bin: Option<String>,
    /// Rust: features to turn on
    #[arg(long, short = 'F', value_name = "FEATURES", value_delimiter = ',')]
    pub(crate) features: Vec<String>,
    /// Rust: leave the default features off
    #[arg(long)]
    pub(crate) no_default_features: bool,
    /// Rust: cargo profile [default: release]
    #[arg(long, value_name = "NAME")]
    pub(crate) profile: Option<String>,
    /// Rust: target triple, in place of the best one that is installed
    #[arg(long, value_name = "TRIPLE")]
    pub(crate) target: Option<String>,
    /// Compile the standard library anew, for size, and let a panic end the program at once
    /// (needs the component rust-src; see docs/rust.md)
    #[arg(long)]
    pub(crate) smallest: bool,
    /// Put the list of crates into the program, for scanners (as cargo-auditable does)
    #[arg(long)]
    pub(crate) auditable: bool,
    /// How much is measured about the size flags [default: auto]
    #[arg(long, value_enum, value_name = "WHAT")]
    pub(crate) measure: Option<MeasureChoice>,
    /// Let compilers use no network
    #[arg(long)]
    pub(crate) offline: bool,
}

/// What goes into the image beside the program.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "What goes into the image")]
pub(crate) struct ContentOptions {
    /// A port the program listens on
    #[arg(long, value_name = "PORT")]
    pub(crate) expose: Vec<Port>,
    /// A file to add
    #[arg(long, value_name = "HOST:PATH", value_parser = extra_file)]
    pub(crate) file: Vec<ExtraFile>,
    /// An argument the program gets when none is given to `run`
    #[arg(long, value_name = "ARG", allow_hyphen_values = true)]
    pub(crate) arg: Vec<String>,
    /// User the program runs as [default: 65532:65532]
    #[arg(long, value_name = "UID[:GID]")]
    pub(crate) user: Option<String>,
    /// An environment variable
    #[arg(long, short, value_name = "NAME=VALUE", value_parser = pair)]
    pub(crate) env: Vec<(String, String)>,
    /// A label
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    pub(crate) label: Vec<(String, String)>,
    /// CA certificates: the host's, or those of FILE
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, value_hint = ValueHint::FilePath)]
    pub(crate) ca_certificates: Option<Option<PathBuf>>,
    /// Time-zone data: all, or the zones named
    #[arg(long, value_name = "ZONE,...", num_args = 0..=1, require_equals = true)]
    pub(crate) time_zones: Option<Option<String>>,
    /// An /etc/passwd and /etc/group that know the user
    #[arg(long)]
    pub(crate) passwd: bool,
    /// A /tmp folder
    #[arg(long)]
    pub(crate) tmp: bool,
    /// What looks like a secret there is none (`*` within a name, `**` across)
    #[arg(long, value_name = "GLOB")]
    pub(crate) allow_secret: Vec<String>,
}

/// How layers are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Compression {
    /// Every engine reads it
    Gzip,
    /// Smaller and faster; docker 20.10, umoci and Lambda refuse it
    Zstd,
    /// Not at all
    None,
}

impl From<Compression> for ounce_oci::layer::Compression {
    fn from(kind: Compression) -> Self {
        match kind {
            Compression::Gzip => Self::Gzip,
            Compression::Zstd => Self::Zstd,
            Compression::None => Self::None,
        }
    }
}

/// How much is measured about the size flags that ounce adds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum MeasureChoice {
    /// Each flag for projects with few dependencies, else nothing
    Auto,
    /// Before and after all of them: compiles twice
    Total,
    /// Before and after each: compiles once per flag and once more
    EachFlag,
    /// Nothing: compiles once
    No,
}

/// `ounce build`.
#[derive(Debug, Args)]
pub(crate) struct BuildArguments {
    /// Platforms: linux/amd64,linux/arm64; several make an image index [default: this machine's]
    #[arg(long, value_name = "OS/ARCH", value_delimiter = ',')]
    pub(crate) platform: Vec<Platform>,
    /// Write it to this place too: oci:DIR, oci-archive:FILE, docker-archive:FILE,
    /// docker-daemon:NAME, podman:NAME, docker://HOST/NAME:TAG
    #[arg(long, short, value_name = "PLACE")]
    pub(crate) output: Option<Place>,
    /// Show the recipe and make nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Build it a second time, from the sources and elsewhere; exit code 1 with the
    /// first difference if it became another image
    #[arg(long, conflicts_with = "dry_run")]
    pub(crate) check: bool,
    #[command(flatten)]
    pub(crate) supply: supply::SupplyOptions,
    #[command(flatten)]
    pub(crate) options: BuildOptions,
}

/// `ounce up`.
#[derive(Debug, Args)]
pub(crate) struct UpArguments {
    /// Port of this machine, and of the program if they differ [default: the image's, else any free one]
    #[arg(long, short, value_name = "[HOST:]PORT[:PORT]")]
    pub(crate) publish: Option<Publish>,
    /// Path to ask for
    #[arg(long, value_name = "PATH", default_value = "/", value_parser = path_to_ask_for)]
    pub(crate) get: String,
    /// Seconds to wait for the first answer
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    pub(crate) wait: Duration,
    /// Stop after the table
    #[arg(long)]
    pub(crate) once: bool,
    #[command(flatten)]
    pub(crate) options: BuildOptions,
}

/// `ounce run`.
// `quick` reads the plain ones by hand: what is not given is as `Default` has it.
#[derive(Debug, Default, Args)]
pub(crate) struct RunArguments {
    /// A name in the store, a place, a folder or a static program (with a / in it)
    #[arg(value_name = "IMAGE|DIR|ELF", value_hint = ValueHint::AnyPath)]
    pub(crate) what: String,
    /// Arguments for the program, in place of the image's
    #[arg(last = true, value_name = "ARGS")]
    pub(crate) arguments: Vec<OsString>,
    /// Publish a port; ounce binds it and hands the socket in, or carries connections inside
    #[arg(long, short, value_name = "[HOST:]PORT[:PORT]")]
    pub(crate) publish: Vec<String>,
    /// How published connections get in
    #[arg(long, value_enum, default_value = "auto", value_name = "HOW")]
    pub(crate) socket: SocketChoice,
    /// An environment variable; NAME alone takes this shell's value
    #[arg(long, short, value_name = "NAME[=VALUE]")]
    pub(crate) env: Vec<String>,
    /// Mount a file or folder of this machine
    #[arg(long, short, value_name = "HOST:PATH[:ro]")]
    pub(crate) volume: Vec<String>,
    /// Mount something, by names: type=bind,source=HOST,target=PATH, perhaps with readonly,
    /// or type=tmpfs,target=PATH, perhaps with size=SIZE
    #[arg(long, value_name = "KEY=VALUE,...")]
    pub(crate) mount: Vec<String>,
    /// A writable folder in memory, 64 MiB unless told
    #[arg(long, value_name = "PATH[:size=SIZE,mode=MODE,exec]")]
    pub(crate) tmpfs: Vec<String>,
    /// Working directory
    #[arg(long, short, value_name = "PATH")]
    pub(crate) workdir: Option<String>,
    /// Environment variables, one a line
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) env_file: Vec<PathBuf>,
    /// User, by name or number
    #[arg(long, short, value_name = "USER[:GROUP]")]
    pub(crate) user: Option<String>,
    /// Program to start in place of the image's; of a WebAssembly module the function to call
    #[arg(long, value_name = "PATH")]
    pub(crate) entrypoint: Option<String>,
    /// Host name inside
    #[arg(long, value_name = "NAME")]
    pub(crate) hostname: Option<String>,
    /// Most memory (64MB)
    #[arg(long, value_name = "SIZE")]
    pub(crate) memory: Option<ByteSize>,
    /// WebAssembly: seconds that it may run, or take for a request
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) deadline: Option<Duration>,
    /// Most processors, in parts too (0.5)
    #[arg(long, value_name = "COUNT")]
    pub(crate) cpus: Option<f64>,
    /// Most processes and threads
    // The kernel's own bound, PID_MAX_LIMIT of include/linux/threads.h.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=4_194_304))]
    pub(crate) pids: Option<u32>,
    /// The network it sees
    #[arg(long, value_enum, default_value = "private", value_name = "KIND")]
    pub(crate) network: NetworkChoice,
    /// Let it run on in the background, and print its name
    #[arg(long, short, conflicts_with_all = ["pool", "dry_run"])]
    pub(crate) detach: bool,
    /// A name, by which `ps`, `logs`, `stop` and others know it [default with -d: the image's and a number]
    #[arg(long, value_name = "NAME", conflicts_with_all = ["pool", "dry_run"])]
    pub(crate) name: Option<String>,
    /// Remove it when it has ended
    #[arg(long)]
    pub(crate) rm: bool,
    /// Start it again when it fails: no, on-failure or on-failure:COUNT
    #[arg(long, value_name = "WHEN", requires = "detach")]
    pub(crate) restart: Option<Restart>,
    /// Seconds from `stop` to SIGKILL [default: 10]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) stop_timeout: Option<Duration>,
    /// Note something of it, for `ps --json` and `inspect`
    #[arg(long, short, value_name = "NAME[=VALUE]")]
    pub(crate) label: Vec<String>,
    /// Most bytes of each of the two files of its log [default: 1MiB; 0: no log]
    #[arg(long, value_name = "SIZE", requires = "detach")]
    pub(crate) log_size: Option<ByteSize>,
    /// As it is anyway: the root is read-only
    #[arg(long)]
    pub(crate) read_only: bool,
    /// Give it a terminal
    #[arg(long, short)]
    pub(crate) tty: bool,
    /// Keep stdin open
    #[arg(long, short)]
    pub(crate) interactive: bool,
    /// Platform of the image, where it holds several
    #[arg(long, value_name = "OS/ARCH")]
    pub(crate) platform: Option<Platform>,
    /// Show the steps of the start and start nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Start it once for each line of stdin, with the line's words as further arguments,
    /// and keep this many starts prepared; exit code 1 if a run ended with another than 0
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=1024),
          conflicts_with_all = ["publish", "tty", "interactive", "dry_run"])]
    pub(crate) pool: Option<u16>,
}

/// How connections to a published port get in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum SocketChoice {
    #[default]
    /// Pass it if the program takes `LISTEN_FDS`, else carry
    Auto,
    /// Hand the listening socket in by `LISTEN_FDS`
    Pass,
    /// Carry each connection into the container's network
    Proxy,
}

/// The network a container sees.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum NetworkChoice {
    #[default]
    /// Its own, with a loopback and nothing else
    Private,
    /// This machine's
    Host,
    /// Its own, without even a loopback
    None,
    /// Its own, with a way out: a bridge as root, else pasta or slirp4netns
    Bridge,
}

/// `ounce serve`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ServeArguments {
    /// A file of services (NAME.toml), or an image, folder or program for each --publish
    #[arg(required = true, value_name = "FILE|IMAGE", value_hint = ValueHint::AnyPath)]
    pub(crate) what: Vec<String>,
    /// Arguments for the programs, in place of the images'
    #[arg(last = true, value_name = "ARGS")]
    pub(crate) arguments: Vec<String>,
    /// Where an image is reached, in the order of the images
    #[arg(long, short, value_name = "[HOST:]PORT[:PORT]")]
    pub(crate) publish: Vec<String>,
    /// An environment variable; NAME alone takes this shell's value
    #[arg(long, short, value_name = "NAME[=VALUE]")]
    pub(crate) env: Vec<String>,
    /// Stop after so long without a connection (500ms, 30s, 5m) [default: 30s]
    #[arg(long, value_name = "TIME", value_parser = ounce_run::serve::duration)]
    pub(crate) idle: Option<Duration>,
    /// Start at once and never stop
    #[arg(long)]
    pub(crate) always: bool,
    /// Serve metrics for Prometheus there
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) metrics: Option<String>,
    /// Most containers at once
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_running: Option<u32>,
    /// Most starts a second
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) start_rate: Option<u32>,
    /// Keep this many starts prepared
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(..=1024))]
    pub(crate) pool: Option<u16>,
    /// How events are told
    #[arg(long, value_enum, default_value = "plain", value_name = "FORM")]
    pub(crate) log: LogChoice,
    /// Read the file, look for every image, and serve nothing
    #[arg(long)]
    pub(crate) check: bool,
}

/// How events are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogChoice {
    /// For people
    Plain,
    /// A JSON object a line
    Json,
}

/// `ounce weigh`.
#[derive(Debug, Args)]
pub(crate) struct WeighArguments {
    /// Images to weigh, side by side; an archive, folder or program by its path
    /// (./NAME): the last two as the image of one layer they would make
    #[arg(required = true, value_name = "IMAGE|PATH")]
    pub(crate) images: Vec<String>,
    /// Platform, where an image holds several
    #[arg(long, value_name = "OS/ARCH")]
    pub(crate) platform: Option<Platform>,
    /// Fail with exit code 1 if one is larger as pulled
    #[arg(long, value_name = "SIZE")]
    pub(crate) budget: Option<ByteSize>,
    /// Fail with exit code 1 if one has more files
    #[arg(long, value_name = "COUNT")]
    pub(crate) max_files: Option<u64>,
    /// Fail with exit code 1 if one has such
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = clap::builder::PossibleValuesParser::new(ounce_weigh::surface::DENIABLE))]
    pub(crate) deny: Vec<String>,
    /// Show this many of the largest files
    #[arg(long, value_name = "COUNT", default_value_t = 10)]
    pub(crate) files: usize,
    /// Show what the second of two images has otherwise than the first
    #[arg(long)]
    pub(crate) diff: bool,
    /// Also write one page with a map of all files, for a browser
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) html: Option<PathBuf>,
    /// Walk through them on the terminal: folders, map, layers, packages
    #[arg(long, conflicts_with_all = ["sbom", "html", "diff"])]
    pub(crate) tui: bool,
    /// Print a bill of materials of one image instead
    #[arg(long, value_name = "FORM")]
    pub(crate) sbom: Option<BillChoice>,
    /// With --json: every file of each image
    #[arg(long)]
    pub(crate) all_files: bool,
    /// Also show what each costs on Lambda, Fargate, Kubernetes and a Raspberry Pi, at so
    /// many requests a second
    #[arg(long, value_name = "REQUESTS", num_args = 0..=1, require_equals = true,
          default_missing_value = "10", value_parser = ship::traffic, conflicts_with_all = ["sbom", "tui"])]
    pub(crate) platforms: Option<f64>,
}

/// Forms of a bill of materials.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum BillChoice {
    /// SPDX 2.3, JSON
    Spdx,
    /// CycloneDX 1.6, JSON
    Cyclonedx,
}

/// `ounce inspect`.
#[derive(Debug, Args)]
pub(crate) struct InspectArguments {
    /// The image or the container
    #[arg(value_name = "NAME", value_parser = containers::name_or_place)]
    pub(crate) name: String,
    /// Platform, where an image holds several
    #[arg(long, value_name = "OS/ARCH")]
    pub(crate) platform: Option<Platform>,
    /// Look among the containers alone
    #[arg(long, conflicts_with = "image")]
    pub(crate) container: bool,
    /// Look among the images alone
    #[arg(long)]
    pub(crate) image: bool,
}

/// `ounce tag`.
#[derive(Debug, Args)]
pub(crate) struct TagArguments {
    /// The image
    pub(crate) from: Reference,
    /// Its further name
    pub(crate) to: Reference,
}

/// `ounce rm`.
#[derive(Debug, Args)]
pub(crate) struct RmArguments {
    /// Containers, or names of images; docker://HOST/NAME:TAG deletes in a registry
    #[arg(required = true, value_name = "NAME")]
    pub(crate) names: Vec<String>,
    /// Kill containers that run; remove damaged ones, too
    #[arg(long, short)]
    pub(crate) force: bool,
    /// Look among the containers alone
    #[arg(long, conflicts_with = "image")]
    pub(crate) container: bool,
    /// Look among the images alone
    #[arg(long)]
    pub(crate) image: bool,
}

/// `ounce copy`.
#[derive(Debug, Args)]
pub(crate) struct CopyArguments {
    /// Where it is
    pub(crate) from: Place,
    /// Where it shall be
    pub(crate) to: Place,
    /// With what hangs on it (signatures, bills of materials), which few platforms
    /// expect in a layout or an archive; a registry gets it anyhow
    #[arg(long)]
    pub(crate) referrers: bool,
    #[command(flatten)]
    pub(crate) network: registry::NetworkOptions,
}

/// `ounce man`.
#[derive(Debug, Args)]
pub(crate) struct ManArguments {
    /// Write one page a command into this folder
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) out: Option<PathBuf>,
}

/// `ounce completions`.
#[derive(Debug, Args)]
pub(crate) struct CompletionsArguments {
    /// The shell
    pub(crate) shell: clap_complete::Shell,
}

/// A year: more than that is a slip, and some clocks cannot count it.
const MOST_SECONDS: f64 = 365.0 * 24.0 * 3600.0;

pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    text.parse::<f64>()
        .ok()
        .filter(|seconds| *seconds <= MOST_SECONDS)
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| format!("{text:?} is not a number of seconds"))
}

pub(crate) fn path_to_ask_for(text: &str) -> Result<String, String> {
    match is_path(text) {
        true => Ok(text.to_owned()),
        false => Err("it has to start with / and hold no blanks".to_owned()),
    }
}

pub(crate) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write it as NAME=VALUE".to_owned()),
    }
}

fn program(text: &str) -> Result<(Platform, PathBuf), String> {
    match text.split_once('=') {
        Some((platform, file)) if !file.is_empty() => {
            let platform = platform.parse::<Platform>();
            Ok((platform.map_err(|error| error.to_string())?, file.into()))
        }
        _ => Err("write it as linux/arm64=FILE".to_owned()),
    }
}

fn extra_file(text: &str) -> Result<ExtraFile, String> {
    match text.rsplit_once(':') {
        Some((from, to)) if !from.is_empty() && to.starts_with('/') => Ok(ExtraFile {
            from: from.into(),
            to: to.to_owned(),
            mode: None,
        }),
        _ => Err("write it as HOST:PATH, with PATH starting with /".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definition_has_no_conflict() {
        use clap::CommandFactory;
        Arguments::command().debug_assert();
    }

    #[test]
    fn seconds_refuse_what_is_no_length_of_time() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        for text in ["", "-1", "NaN", "inf", "ten", "1e18"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
