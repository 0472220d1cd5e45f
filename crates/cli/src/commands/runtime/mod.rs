//! `ounce runtime`: the OCI runtime face.
//!
//! Also reached by the name the program is called by: a link `ounce-runtime`
//! needs no sub-command, as podman's `--runtime` and containerd's `BinaryName`
//! want it.

mod arguments;
mod print;

use std::env;
use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory, Parser};
use ounce_run::runtime::lifecycle::signal_number;
use ounce_run::runtime::{
    Options, Runtime, RuntimeError, SPECIFICATION, config, exec, seal, state, stats, template,
};

use self::arguments::{
    Arguments, CgroupManager, Command, Create, Events, Exec, Global, LogFormat, Rootless, Spec,
    Update,
};
use crate::output::warn;

/// Whether the program was called as a runtime, and what came of it then.
pub(crate) fn intercept() -> Option<ExitCode> {
    let mut words = env::args_os();
    let name = words.next()?;
    let called = Path::new(&name).file_name().unwrap_or_default();
    let rest: Vec<OsString> = if called == "ounce-runtime" {
        words.collect()
    } else {
        if words.next()? != "runtime" {
            return None;
        }
        words.collect()
    };
    Some(run(rest))
}

fn run(words: Vec<OsString>) -> ExitCode {
    let name = OsString::from("ounce-runtime");
    let arguments = match Arguments::try_parse_from([name].into_iter().chain(words)) {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    if arguments.global.version {
        print::version(SPECIFICATION);
        return ExitCode::SUCCESS;
    }
    let Some(command) = arguments.command else {
        warn(&Arguments::command().render_help().to_string());
        return ExitCode::from(2);
    };
    match execute(&arguments.global, command) {
        Ok(code) => code,
        Err(error) => {
            tell(&arguments.global, &error);
            ExitCode::from(1)
        }
    }
}

/// Where the state is, without `--root`.
pub(crate) fn default_root() -> PathBuf {
    let own = env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    match own.filter(|path| path.is_absolute()) {
        Some(path) if !rustix_is_root() => path.join("ounce"),
        _ => "/run/ounce".into(),
    }
}

fn rustix_is_root() -> bool {
    state::owner_of(Path::new("/proc/self")) == 0
}

fn execute(global: &Global, command: Command) -> Result<ExitCode, RuntimeError> {
    let runtime = Runtime {
        root: global.root.clone().unwrap_or_else(default_root),
        systemd: global.systemd_cgroup || global.cgroup_manager == Some(CgroupManager::Systemd),
        no_groups: global.cgroup_manager == Some(CgroupManager::Disabled),
        rootless: match global.rootless {
            Some(Rootless::True) => Some(true),
            Some(Rootless::False) => Some(false),
            Some(Rootless::Auto) | None => None,
        },
    };
    if matches!(
        command,
        Command::Create(_) | Command::Run(_) | Command::Exec(_) | Command::Start(_)
    ) {
        // These have a process of ours in the container.
        seal::seal(env::args_os(), env::vars_os())?;
    }
    match command {
        Command::Create(create) => {
            let (id, options) = options(create);
            runtime.create(&id, &options, &mut tell_warning)?;
        }
        Command::Start(of) => runtime.start(&of.id)?,
        Command::State(of) => print::state(&runtime.state(&of.id)?)?,
        Command::Kill(kill) => {
            runtime.kill(&kill.id, signal_number(&kill.signal)?, kill.all)?;
        }
        Command::Delete(delete) => {
            for warning in runtime.delete(&delete.id, delete.force)? {
                tell_warning(&warning.to_string());
            }
        }
        Command::List(list) => print::list(&runtime.list()?, list.format, list.quiet)?,
        Command::Pause(of) => runtime.freeze(&of.id, true)?,
        Command::Resume(of) => runtime.freeze(&of.id, false)?,
        Command::Run(run) => {
            let (id, options) = options(run.create);
            let code = runtime.run(&id, &options, run.detach, run.keep, &mut tell_warning)?;
            return Ok(ExitCode::from(code));
        }
        Command::Exec(exec) => {
            let id = exec.id.clone();
            return runtime.exec(&id, &exec_options(exec)).map(ExitCode::from);
        }
        Command::Ps(ps) => print::processes(&runtime.processes(&ps.id)?, ps.format, &ps.options)?,
        Command::Update(update) => {
            let id = update.id.clone();
            runtime.update(&id, &resources(update)?)?;
        }
        Command::Events(events) => follow(&runtime, &events)?,
        Command::Features => print::document(&template::features())?,
        Command::Spec(spec) => write_spec(&spec)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The limits that `update` is told.
fn resources(update: Update) -> Result<config::Resources, RuntimeError> {
    if let Some(path) = &update.resources {
        let mut text = Vec::new();
        let read = match path.as_os_str() == "-" {
            true => std::io::stdin().lock().read_to_end(&mut text).map(drop),
            false => std::fs::read(path).map(|read| text = read),
        };
        read.map_err(|source| RuntimeError::File {
            action: "reading",
            path: path.clone(),
            source,
        })?;
        return stats::parse_resources(&text).map_err(|source| RuntimeError::Json {
            path: path.clone(),
            source,
        });
    }
    Ok(config::Resources {
        memory: Some(config::Memory {
            limit: update.memory,
            reservation: update.memory_reservation,
            swap: update.memory_swap,
            ..config::Memory::default()
        }),
        cpu: Some(config::Cpu {
            shares: update.cpu_shares,
            quota: update.cpu_quota,
            burst: update.cpu_burst,
            period: update.cpu_period,
            realtime_runtime: update.cpu_rt_runtime,
            realtime_period: update.cpu_rt_period,
            cpus: update.cpuset_cpus,
            mems: update.cpuset_mems,
            idle: update.cpu_idle,
        }),
        pids: Some(config::Pids {
            limit: update.pids_limit,
        }),
        block_io: Some(config::BlockIo {
            weight: update.blkio_weight,
            ..config::BlockIo::default()
        }),
        ..config::Resources::default()
    })
}

/// Prints what a container uses, until it ends.
fn follow(runtime: &Runtime, events: &Events) -> Result<(), RuntimeError> {
    let pause = interval(&events.interval)?;
    while let Some(event) = runtime.event(&events.id)? {
        print::line(&event)?;
        if events.stats {
            break;
        }
        std::thread::sleep(pause);
    }
    Ok(())
}

/// A time such as `5s`, `500ms` or `1m`.
fn interval(text: &str) -> Result<Duration, RuntimeError> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit = match text.strip_prefix(digits) {
        Some("ms") => 1,
        Some("s" | "") => 1000,
        Some("m") => 60_000,
        _ => 0,
    };
    match digits
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(unit))
    {
        Some(milliseconds @ 1..) => Ok(Duration::from_millis(milliseconds)),
        _ => Err(RuntimeError::Argument(format!(
            "--interval {text:?} is no time such as 5s or 500ms"
        ))),
    }
}

/// Writes a configuration to begin with, where there is none.
fn write_spec(spec: &Spec) -> Result<(), RuntimeError> {
    let path = spec.bundle.join("config.json");
    let ids = spec.rootless.then(|| {
        let own = Path::new("/proc/self");
        (state::owner_of(own), state::group_of(own))
    });
    let mut text =
        serde_json::to_string_pretty(&template::specification(ids)).map_err(|source| {
            RuntimeError::Json {
                path: path.clone(),
                source,
            }
        })?;
    text.push('\n');
    let file = OpenOptions::new().write(true).create_new(true).open(&path);
    file.and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|source| RuntimeError::File {
            action: "writing",
            path,
            source,
        })
}

/// What `create` is told, by its arguments and by the environment.
fn options(create: Create) -> (String, Options) {
    let own = std::process::id().to_string();
    let ours = env::var("LISTEN_PID").is_ok_and(|pid| pid == own);
    let listen = env::var("LISTEN_FDS")
        .ok()
        .filter(|_| ours)
        .and_then(|count| count.parse().ok());
    let options = Options {
        bundle: create.bundle,
        console_socket: create.console_socket,
        pid_file: create.pid_file,
        preserve_fds: create.preserve_fds,
        no_pivot: create.no_pivot,
        no_new_keyring: create.no_new_keyring,
        listen_fds: listen.unwrap_or(0),
        listen_fd_names: env::var("LISTEN_FDNAMES").ok().filter(|_| listen.is_some()),
        notify_socket: env::var_os("NOTIFY_SOCKET")
            .map(PathBuf::from)
            .filter(|path| path.is_absolute()),
        environment: env::vars_os()
            .filter_map(|(name, value)| Some(format!("{}={}", name.to_str()?, value.to_str()?)))
            .collect(),
    };
    (create.id, options)
}

fn exec_options(exec: Exec) -> exec::Options {
    exec::Options {
        process: exec.process,
        console_socket: exec.console_socket,
        pid_file: exec.pid_file,
        detach: exec.detach,
        preserve_fds: exec.preserve_fds,
        ignore_paused: exec.ignore_paused,
        group: exec.cgroup,
        changes: exec::Changes {
            args: exec.command,
            terminal: exec.tty,
            cwd: exec.cwd,
            env: exec.env,
            user: exec.user,
            additional_gids: exec.additional_gids,
            capabilities: exec.cap,
            no_new_privileges: exec.no_new_privs,
            apparmor: exec.apparmor,
            label: exec.process_label,
        },
    }
}

/// Warnings are for people only: podman takes the log for one document.
fn tell_warning(warning: &str) {
    warn(&format!("warning: {}", crate::failure::shown(warning)));
}

/// Tells an error on stderr and, for those who read it there, in the log.
fn tell(global: &Global, error: &RuntimeError) {
    let text = crate::failure::shown(&error.to_string());
    warn(&format!("error: {text}"));
    let Some(path) = &global.log else {
        return;
    };
    let time = state::now();
    let line = match global.log_format {
        LogFormat::Json => serde_json::json!({
            "level": "error",
            "msg": error.to_string(),
            "time": time,
        })
        .to_string(),
        LogFormat::Text => format!("time=\"{time}\" level=error msg={text:?}"),
    };
    let file = OpenOptions::new().create(true).append(true).open(path);
    let written = file.and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()));
    if let Err(error) = written {
        warn(&format!(
            "error: writing the log {}: {error}",
            path.display()
        ));
    }
}
