//! The runtime face's own command line: the one that runc has made common,
//! with crun's additions, for callers that know no other.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Runs containers from OCI bundles, as podman, containerd and docker ask for it
#[derive(Debug, Parser)]
#[command(
    name = "ounce-runtime",
    disable_version_flag = true,
    args_override_self = true,
    subcommand_required = false,
    max_term_width = 100
)]
pub(super) struct Arguments {
    #[command(flatten)]
    pub(super) global: Global,
    #[command(subcommand)]
    pub(super) command: Option<Command>,
}

/// What all commands take.
#[derive(Debug, Clone, Args)]
pub(super) struct Global {
    /// Where the state of containers is [default: /run/ounce, or $XDG_RUNTIME_DIR/ounce]
    #[arg(long, value_name = "DIR")]
    pub(super) root: Option<PathBuf>,
    /// Write errors to this file as well
    #[arg(long, value_name = "FILE")]
    pub(super) log: Option<PathBuf>,
    /// How they are written there
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(super) log_format: LogFormat,
    /// Least severe kind that is written; errors always are
    #[arg(long, value_name = "LEVEL", hide = true)]
    pub(super) log_level: Option<String>,
    /// Tell more
    #[arg(long)]
    pub(super) debug: bool,
    /// Have systemd make control groups: linux.cgroupsPath is SLICE:PREFIX:NAME
    #[arg(long)]
    pub(super) systemd_cgroup: bool,
    /// Who makes control groups
    #[arg(long, value_name = "WHO")]
    pub(super) cgroup_manager: Option<CgroupManager>,
    /// Leave out what only root may: true, false, or auto
    #[arg(long, value_name = "WHEN", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(super) rootless: Option<Rootless>,
    /// Not used
    #[arg(long, value_name = "PATH", hide = true)]
    pub(super) criu: Option<PathBuf>,
    /// Print the version
    #[arg(long, short = 'v')]
    pub(super) version: bool,
}

/// How errors are written to the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum LogFormat {
    /// `time="…" level=error msg="…"`.
    Text,
    /// A JSON object a line.
    Json,
}

/// Who makes control groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum CgroupManager {
    /// ounce.
    Cgroupfs,
    /// systemd.
    Systemd,
    /// Nobody.
    Disabled,
}

/// When what only root may is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Rootless {
    /// Always.
    True,
    /// Never.
    False,
    /// Without root.
    Auto,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a container; its program waits for `start`
    Create(Create),
    /// Start the program of a container
    Start(Id),
    /// Make a container, start it and wait for its end
    Run(Run),
    /// Print the state of a container
    State(Id),
    /// Send a signal to a container's first process
    Kill(Kill),
    /// Remove a container
    Delete(Delete),
    /// Run a further program in a container
    Exec(Exec),
    /// List the containers
    List(List),
    /// List a container's processes
    Ps(Ps),
    /// Freeze a container's processes
    Pause(Id),
    /// Let them go on
    Resume(Id),
    /// Change a container's limits
    Update(Update),
    /// Print what a container uses, again and again
    Events(Events),
    /// Print what is supported
    Features,
    /// Write a config.json to begin with
    Spec(Spec),
}

/// Of one container.
#[derive(Debug, Args)]
pub(super) struct Id {
    /// The container
    pub(super) id: String,
}

/// Of `create`.
#[derive(Debug, Args)]
pub(super) struct Create {
    /// Folder with config.json
    #[arg(long, short, value_name = "DIR", default_value = ".")]
    pub(super) bundle: PathBuf,
    /// Socket that the terminal is sent over
    #[arg(long, value_name = "SOCKET")]
    pub(super) console_socket: Option<PathBuf>,
    /// File that the process's number is written to
    #[arg(long, value_name = "FILE")]
    pub(super) pid_file: Option<PathBuf>,
    /// Change the root without pivot_root(2), as on a ramdisk
    #[arg(long)]
    pub(super) no_pivot: bool,
    /// Keep the caller's session keyring
    #[arg(long)]
    pub(super) no_new_keyring: bool,
    /// Hand in so many descriptors from 3 on
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(super) preserve_fds: u32,
    /// The container's name
    pub(super) id: String,
}

/// Of `run`.
#[derive(Debug, Args)]
pub(super) struct Run {
    #[command(flatten)]
    pub(super) create: Create,
    /// Do not wait for its end
    #[arg(long, short)]
    pub(super) detach: bool,
    /// Leave it after its end
    #[arg(long)]
    pub(super) keep: bool,
}

/// Of `kill`.
#[derive(Debug, Args)]
pub(super) struct Kill {
    /// Send it to all processes
    #[arg(long, short)]
    pub(super) all: bool,
    /// The container
    pub(super) id: String,
    /// The signal
    #[arg(default_value = "TERM")]
    pub(super) signal: String,
}

/// Of `delete`.
#[derive(Debug, Args)]
pub(super) struct Delete {
    /// Kill it if it runs
    #[arg(long, short)]
    pub(super) force: bool,
    /// The container
    pub(super) id: String,
}

/// How a list is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// In columns.
    Table,
    /// As JSON.
    Json,
}

/// Of `list`.
#[derive(Debug, Args)]
pub(super) struct List {
    /// How
    #[arg(long, short, value_name = "FORMAT", default_value = "table")]
    pub(super) format: Format,
    /// Print the names only
    #[arg(long, short)]
    pub(super) quiet: bool,
}

/// Of `ps`.
#[derive(Debug, Args)]
pub(super) struct Ps {
    /// How
    #[arg(long, short, value_name = "FORMAT", default_value = "table")]
    pub(super) format: Format,
    /// The container
    pub(super) id: String,
    /// Options of ps(1)
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(super) options: Vec<String>,
}

/// Of `exec`.
#[derive(Debug, Args)]
pub(super) struct Exec {
    /// JSON file with the process, in place of all below
    #[arg(long, short, value_name = "FILE")]
    pub(super) process: Option<PathBuf>,
    /// Socket that the terminal is sent over
    #[arg(long, value_name = "SOCKET")]
    pub(super) console_socket: Option<PathBuf>,
    /// File that the process's number is written to
    #[arg(long, value_name = "FILE")]
    pub(super) pid_file: Option<PathBuf>,
    /// Do not wait for its end
    #[arg(long, short)]
    pub(super) detach: bool,
    /// Hand in so many descriptors from 3 on
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(super) preserve_fds: u32,
    /// Give it a terminal
    #[arg(long, short)]
    pub(super) tty: bool,
    /// Folder it starts in
    #[arg(long, value_name = "DIR")]
    pub(super) cwd: Option<String>,
    /// A variable
    #[arg(long, short, value_name = "NAME=VALUE")]
    pub(super) env: Vec<String>,
    /// Who runs it
    #[arg(long, short, value_name = "UID[:GID]")]
    pub(super) user: Option<String>,
    /// Further groups
    #[arg(long, short = 'g', value_name = "GID")]
    pub(super) additional_gids: Vec<u32>,
    /// A capability to add
    #[arg(long, short, value_name = "NAME")]
    pub(super) cap: Vec<String>,
    /// Never gain privileges
    #[arg(long)]
    pub(super) no_new_privs: bool,
    /// Profile of AppArmor
    #[arg(long, value_name = "PROFILE")]
    pub(super) apparmor: Option<String>,
    /// Label of SELinux
    #[arg(long, value_name = "LABEL")]
    pub(super) process_label: Option<String>,
    /// Control group below the container's
    #[arg(long, value_name = "PATH")]
    pub(super) cgroup: Option<String>,
    /// Allow it in a container that is paused
    #[arg(long)]
    pub(super) ignore_paused: bool,
    /// The container
    pub(super) id: String,
    /// The program and its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(super) command: Vec<String>,
}

/// Of `update`.
#[derive(Debug, Args)]
pub(super) struct Update {
    /// JSON file with linux.resources, or - for standard input, in place of all below
    #[arg(long, short, value_name = "FILE")]
    pub(super) resources: Option<PathBuf>,
    /// Bytes of memory
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    pub(super) memory: Option<i64>,
    /// Soft limit of memory
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    pub(super) memory_reservation: Option<i64>,
    /// Bytes of memory and swap together, -1 for no limit
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    pub(super) memory_swap: Option<i64>,
    /// Weight of processor time
    #[arg(long, alias = "cpu-share", value_name = "N")]
    pub(super) cpu_shares: Option<u64>,
    /// Microseconds of a period
    #[arg(long, value_name = "US")]
    pub(super) cpu_period: Option<u64>,
    /// Microseconds of processor time in each period
    #[arg(long, value_name = "US", allow_hyphen_values = true)]
    pub(super) cpu_quota: Option<i64>,
    /// Microseconds that may be taken beyond in one period
    #[arg(long, value_name = "US")]
    pub(super) cpu_burst: Option<u64>,
    /// Microseconds of a real-time period
    #[arg(long, value_name = "US")]
    pub(super) cpu_rt_period: Option<u64>,
    /// Microseconds of real-time processor time in each
    #[arg(long, value_name = "US", allow_hyphen_values = true)]
    pub(super) cpu_rt_runtime: Option<i64>,
    /// Whether it runs when nothing else does only
    #[arg(long, value_name = "0|1")]
    pub(super) cpu_idle: Option<i64>,
    /// Processors
    #[arg(long, value_name = "LIST")]
    pub(super) cpuset_cpus: Option<String>,
    /// Memory nodes
    #[arg(long, value_name = "LIST")]
    pub(super) cpuset_mems: Option<String>,
    /// Processes
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(super) pids_limit: Option<i64>,
    /// Weight of disks
    #[arg(long, value_name = "N")]
    pub(super) blkio_weight: Option<u16>,
    /// The container
    pub(super) id: String,
}

/// Of `events`.
#[derive(Debug, Args)]
pub(super) struct Events {
    /// How often, such as 5s or 500ms
    #[arg(long, value_name = "TIME", default_value = "5s")]
    pub(super) interval: String,
    /// Once
    #[arg(long)]
    pub(super) stats: bool,
    /// The container
    pub(super) id: String,
}

/// Of `spec`.
#[derive(Debug, Args)]
pub(super) struct Spec {
    /// Folder that it is written to
    #[arg(long, short, value_name = "DIR", default_value = ".")]
    pub(super) bundle: PathBuf,
    /// For a user without root
    #[arg(long)]
    pub(super) rootless: bool,
}
