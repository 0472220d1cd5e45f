//! `ounce run`: an image, a folder or a program, started isolated.

use std::ffi::{OsStr, OsString};
use std::io::{self, BufRead};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ounce_oci::store::StoreError;
use ounce_oci::{Place, Platform};
use ounce_run::host::Host;
use ounce_run::image::Overrides;
use ounce_run::pool::Pool;
use ounce_run::publish::Publish;
use ounce_run::ready::Key;
use ounce_run::spec::{Limits, Mount, Network, Spec, Tmpfs, User, Volume};
use ounce_run::{Beginning, Exit};

use super::Context;
use crate::arguments::{NetworkChoice, RunArguments};
use crate::emulate;
use crate::failure::{Failure, Kind};
use crate::named::{self, Named};
use crate::session::Session;
use crate::start::{self, Prepared};
use crate::wasm;

/// Runs it and passes its exit code on. What keeps it from being started is
/// told by 125, as docker does, or 126 and 127.
pub(crate) fn run(context: &Context, arguments: RunArguments) -> Result<ExitCode, Failure> {
    attempt(context, arguments).map_err(|failure| Failure {
        kind: match failure.kind {
            Kind::NotExecutable | Kind::NotFound | Kind::Bug => failure.kind,
            _ => Kind::Start,
        },
        ..failure
    })
}

fn attempt(context: &Context, arguments: RunArguments) -> Result<ExitCode, Failure> {
    let mut arguments = arguments;
    named::read_files(&mut arguments)?;
    let ports = parsed::<Publish>(&arguments.publish)?;
    let (network, limits) = (network(arguments.network), limits(&arguments)?);
    if let Some(size) = arguments.pool {
        let pool = Pool::new(network, limits, size.into())?;
        let mut prepared = prepare(context, &arguments)?;
        prepared.spec.network = network;
        prepared.spec.limits = limits;
        settle(&mut prepared.spec, &arguments)?;
        prepared.settled(arguments.deadline)?;
        prepared.make_ahead();
        return once_a_line(&pool, &prepared, io::stdin().lock());
    }
    // The kernel makes the namespaces while the store is read.
    let beginning =
        (!arguments.dry_run && !arguments.detach).then(|| Beginning::new(network, &limits));
    let mut prepared = prepare(context, &arguments)?;
    let label = prepared.label.clone();
    prepared.spec.network = network;
    prepared.spec.limits = limits;
    settle(&mut prepared.spec, &arguments)?;
    prepared.publish(&ports, arguments.socket, label.as_deref())?;
    prepared.settled(arguments.deadline)?;
    if arguments.detach {
        prepared.make_ahead();
        return named::detach(context, &arguments, &prepared);
    }
    let Some(beginning) = beginning else {
        let plan = ounce_run::plan::plan(&prepared.spec, &Host::probe_for(&limits))?;
        let steps: String = plan.steps.iter().map(|step| format!("{step}\n")).collect();
        context.output.text(&steps)?;
        return Ok(ExitCode::SUCCESS);
    };
    for (port, address) in ports.iter().zip(&prepared.addresses) {
        if port.host_port == 0 {
            context
                .output
                .note(&format!("port {} is at {address}", port.container_port));
        }
    }
    // Blocked before the start, so that no signal is lost between the two.
    let session = Session::begin(arguments.tty)?;
    let no_input = start::no_input()?;
    let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
    let stdio = match session.streams() {
        Some(streams) => streams,
        None if arguments.interactive => [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()],
        None => [no_input.as_fd(), stdout.as_fd(), stderr.as_fd()],
    };
    let named = Named::new(context, &arguments, &prepared)?;
    let mut started = prepared.start(beginning, stdio)?;
    if let Some(named) = &named {
        named.runs(&started.container)?;
    }
    let exit = session.follow(&mut started.container, context.output)?;
    let code = match named {
        Some(named) => named.ended(context.output, exit)?,
        None => exit.code(),
    };
    Ok(ExitCode::from(code))
}

/// Runs it once for each line, one after the other.
fn once_a_line(pool: &Pool, prepared: &Prepared, lines: impl BufRead) -> Result<ExitCode, Failure> {
    let no_input = start::no_input()?;
    let (stdout, stderr) = (io::stdout(), io::stderr());
    let mut code = ExitCode::SUCCESS;
    for line in lines.split(b'\n') {
        let mut spec = prepared.spec.clone();
        let line = line?;
        let words = line.split(u8::is_ascii_whitespace);
        let words = words.filter(|word| !word.is_empty());
        spec.arguments
            .extend(words.map(|word| OsStr::from_bytes(word).to_owned()));
        let mut container =
            pool.start(&spec, [no_input.as_fd(), stdout.as_fd(), stderr.as_fd()])?;
        if container.wait()? != Exit::Code(0) {
            code = Kind::No.code().into();
        }
    }
    Ok(code)
}

/// The start of whatever was named.
fn prepare(context: &Context, arguments: &RunArguments) -> Result<Prepared, Failure> {
    let path = Path::new(&arguments.what);
    let is_path = arguments.what.starts_with(['/', '.']);
    if is_path {
        return of_path(context, path, arguments);
    }
    // Another platform's image is not what the last start has kept.
    let key = match arguments.platform {
        None => Some(Key::new(
            &context.ready()?,
            &context.store_root()?,
            &arguments.what,
        )),
        Some(_) => None,
    };
    if let Some(key) = &key
        && let Some(ready) = start::of_ready(context, key, overrides(arguments))?
    {
        return Ok(ready);
    }
    let since = key.as_ref().map(Key::since);
    let place: Place = arguments
        .what
        .parse()
        .map_err(|error| Failure::new(Kind::Usage, error))?;
    let platform = arguments.platform.clone().unwrap_or_else(Platform::host);
    let image = match &place {
        Place::Registry(_) => context.image(&place, &platform)?,
        place => match place.image(&context.store()?, &platform) {
            // `ounce run target/release/app` is meant as it looks.
            Err(StoreError::NotFound { .. }) if path.exists() => {
                return of_path(context, path, arguments);
            }
            image => image?,
        },
    };
    let prepared = start::of_image(context, &image, overrides(arguments))?;
    if let (Some(key), Some(since), Place::Store(_)) = (&key, &since, &place) {
        start::keep_ready(key, since, &image, &prepared);
    }
    Ok(prepared)
}

fn overrides(arguments: &RunArguments) -> Overrides {
    Overrides {
        entrypoint: arguments
            .entrypoint
            .as_ref()
            .map(|program| vec![program.into()]),
        arguments: arguments.arguments.clone(),
        environment: start::environment(&arguments.env),
        workdir: arguments.workdir.as_ref().map(PathBuf::from),
        user: arguments.user.clone(),
    }
}

fn of_path(context: &Context, path: &Path, arguments: &RunArguments) -> Result<Prepared, Failure> {
    let broken =
        |error: io::Error| Failure::new(Kind::Input, format!("{}: {error}", path.display()));
    let path = path.canonicalize().map_err(broken)?;
    let rest = arguments.arguments.iter().cloned();
    let is_module = path.is_file() && wasm::is_wasm(&path);
    let mut prepared = if is_module {
        let entrypoint = arguments.entrypoint.as_deref();
        start::of_module_file(context, &path, rest.collect(), entrypoint)?
    } else if path.is_dir() {
        let entrypoint = arguments.entrypoint.iter().map(OsString::from);
        let words: Vec<OsString> = entrypoint.chain(rest).collect();
        if words.is_empty() {
            return Err(Failure::new(
                Kind::Usage,
                format!("{} is a folder: which program of it?", path.display()),
            )
            .hint("ounce run DIR -- /program, or for web files: ounce up DIR"));
        }
        Prepared::of_spec(Spec::of_folder(path.clone(), words).map_err(broken)?)
    } else {
        let mut spec = Spec::of_program(path.clone(), rest);
        if let Some(platform) = emulate::foreign_program(&path) {
            emulate::runner(&platform)?.apply(&mut spec)?;
        }
        Prepared::of_spec(spec)
    };
    let spec = &mut prepared.spec;
    for variable in start::environment(&arguments.env) {
        ounce_run::image::set(&mut spec.environment, variable);
    }
    if let Some(workdir) = &arguments.workdir {
        spec.workdir = workdir.into();
    }
    if let Some(user) = &arguments.user {
        spec.user = number_user(user)?;
    }
    Ok(prepared)
}

/// There is no `/etc/passwd` to look a name up in.
pub(crate) fn number_user(text: &str) -> Result<User, Failure> {
    let (uid, gid) = text.split_once(':').unwrap_or((text, text));
    match (uid.parse(), gid.parse()) {
        (Ok(uid), Ok(gid)) => Ok(User { uid, gid }),
        _ => Err(Failure::new(
            Kind::Usage,
            format!("--user {text:?} is not UID or UID:GID, in numbers"),
        )),
    }
}

fn limits(arguments: &RunArguments) -> Result<Limits, Failure> {
    Ok(Limits {
        memory_bytes: arguments.memory.map(|memory| memory.0),
        cpu_milli: arguments.cpus.map(processors).transpose()?,
        pids: arguments.pids,
    })
}

fn network(choice: NetworkChoice) -> Network {
    match choice {
        NetworkChoice::Private => Network::Private,
        NetworkChoice::Host => Network::Host,
        NetworkChoice::None => Network::None,
        NetworkChoice::Bridge => Network::Bridge,
    }
}

/// What the flags say beside the image.
fn settle(spec: &mut Spec, arguments: &RunArguments) -> Result<(), Failure> {
    if let Some(hostname) = &arguments.hostname {
        spec.hostname.clone_from(hostname);
    }
    spec.tmpfs.extend(parsed::<Tmpfs>(&arguments.tmpfs)?);
    let mut volumes = parsed::<Volume>(&arguments.volume)?;
    for mount in parsed::<Mount>(&arguments.mount)? {
        match mount {
            Mount::Volume(volume) => volumes.push(volume),
            Mount::Tmpfs(tmpfs) => spec.tmpfs.push(tmpfs),
        }
    }
    for mut volume in volumes {
        volume.host = volume.host.canonicalize().map_err(|error| {
            Failure::new(
                Kind::Input,
                format!("--volume {}: {error}", volume.host.display()),
            )
        })?;
        spec.volumes.push(volume);
    }
    if spec.network == Network::Bridge
        && let Some(host) = name_servers()
    {
        let target = PathBuf::from("/etc/resolv.conf");
        if !spec.volumes.iter().any(|volume| volume.target == target) {
            spec.volumes.push(Volume {
                host,
                target,
                read_only: true,
            });
        }
    }
    spec.terminal = arguments.tty;
    // Only where there is a name can `exec` come.
    spec.terminals = arguments.detach || arguments.name.is_some();
    Ok(())
}

/// The host's list of name servers: of two, the one without a server on the
/// host's own loopback, which a container does not reach.
fn name_servers() -> Option<PathBuf> {
    let places = ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"];
    let found = places
        .iter()
        .filter_map(|place| Path::new(place).canonicalize().ok());
    let reaches = |path: &PathBuf| {
        std::fs::read_to_string(path).is_ok_and(|text| {
            !text
                .lines()
                .any(|line| line.starts_with("nameserver 127.") || line == "nameserver ::1")
        })
    };
    found.into_iter().find(reaches)
}

fn processors(count: f64) -> Result<u32, Failure> {
    let milli = (count * 1000.0).round();
    match milli {
        1.0..=4_294_967_295.0 => Ok(milli as u32),
        _ => Err(Failure::new(
            Kind::Usage,
            format!("--cpus {count} is no number of processors"),
        )),
    }
}

fn parsed<T>(texts: &[String]) -> Result<Vec<T>, Failure>
where
    T: std::str::FromStr,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    texts
        .iter()
        .map(|text| {
            text.parse()
                .map_err(|error| Failure::new(Kind::Usage, error))
        })
        .collect()
}
