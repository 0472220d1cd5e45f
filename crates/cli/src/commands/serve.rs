//! `ounce serve`: services that are started by their first connection.

pub(super) mod images;
mod log;
mod shown;

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ounce_run::publish::Publish;
use ounce_run::serve::{self, CONFIG_LIMIT_BYTES, Config, Service, Setup};

use super::Context;
use crate::arguments::{LogChoice, ServeArguments};
use crate::failure::{Failure, Kind};
use crate::start;
use images::Images;
use log::Log;
use shown::Shown;

/// Serves until it is asked to end.
pub(crate) fn run(context: &Context, arguments: ServeArguments) -> Result<ExitCode, Failure> {
    let file = file_of(&arguments)?;
    let mut config = match &file {
        Some(path) => read(path)?,
        None => of_images(&arguments)?,
    };
    settle(&mut config, &arguments)?;
    let again = file.map(|path| {
        let arguments = arguments.clone();
        move || -> Result<Config, Failure> {
            let mut config = read(&path)?;
            settle(&mut config, &arguments)?;
            Ok(config)
        }
    });
    let mut images = Images::new(context, again)?;
    for service in &config.services {
        images.check(service)?;
    }
    if arguments.check {
        let services = config.services.len();
        if context.output.json {
            context.output.document(&serde_json::json!({
                "schema": "ounce.serve-check/1",
                "services": services,
            }))?;
        } else {
            let count = counted(services, "service");
            let text = format!("{count}, all as it should be\n");
            context.output.text(&text)?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let no_input = start::no_input()?;
    let (stdout, stderr) = (io::stdout(), io::stderr());
    let exe = std::env::current_exe().map_err(|error| Failure::new(Kind::Host, error))?;
    let form = match context.output.json {
        true => LogChoice::Json,
        false => arguments.log,
    };
    let log = Log::new(form, context.output.quiet, config.services.len());
    let stem = Path::new(&arguments.what[0]).file_stem();
    let name = format!(
        "serve-{}",
        plain(&stem.unwrap_or_default().to_string_lossy())
    );
    let mut shown = Shown::new(&context.containers(), &name, &config.services);
    serve::serve(Setup {
        config,
        source: &mut images,
        stdio: [no_input.as_fd(), stdout.as_fd(), stderr.as_fd()],
        proxy: &exe,
        tell: &mut |event| {
            log.tell(event);
            shown.tell(event);
        },
    })?;
    Ok(ExitCode::SUCCESS)
}

/// The file of services, if that is what was named.
fn file_of(arguments: &ServeArguments) -> Result<Option<PathBuf>, Failure> {
    let is_file = |what: &String| what.ends_with(".toml");
    let [only] = &arguments.what[..] else {
        return match arguments.what.iter().find(|what| is_file(what)) {
            None => Ok(None),
            Some(file) => Err(Failure::new(
                Kind::Usage,
                format!("{file} stands beside others: a file of services is served alone"),
            )),
        };
    };
    if !is_file(only) {
        return Ok(None);
    }
    let refused = [
        (!arguments.publish.is_empty(), "--publish"),
        (!arguments.env.is_empty(), "--env"),
        (!arguments.arguments.is_empty(), "arguments after --"),
        (arguments.idle.is_some(), "--idle"),
        (arguments.always, "--always"),
    ];
    match refused.into_iter().find(|(given, _)| *given) {
        Some((_, what)) => Err(Failure::new(
            Kind::Usage,
            format!("{what} is for an image; {only} says it for each of its services"),
        )
        .hint("[defaults] in the file holds for all of them")),
        None => Ok(Some(only.into())),
    }
}

/// The services of a file.
pub(super) fn read(path: &Path) -> Result<Config, Failure> {
    let failed = |error: io::Error| {
        let failure = Failure::new(Kind::Input, format!("{}: {error}", path.display()));
        match error.kind() {
            io::ErrorKind::NotFound => failure.hint("docs/serve.md tells what stands in it"),
            _ => failure,
        }
    };
    let size = std::fs::metadata(path).map_err(failed)?.len();
    if size > CONFIG_LIMIT_BYTES {
        return Err(Failure::new(
            Kind::Input,
            format!(
                "{} is {size} bytes long, more than {CONFIG_LIMIT_BYTES}",
                path.display()
            ),
        ));
    }
    let text = std::fs::read_to_string(path).map_err(failed)?;
    serve::parse(path, &text).map_err(|error| {
        let hints = error.hints();
        let failure = Failure::new(Kind::Input, error);
        hints.into_iter().fold(failure, Failure::hint)
    })
}

/// Services of the images that were named, each with its own port.
fn of_images(arguments: &ServeArguments) -> Result<Config, Failure> {
    if arguments.publish.len() != arguments.what.len() {
        return Err(Failure::new(
            Kind::Usage,
            format!(
                "{} and {}: each image needs its own port",
                counted(arguments.what.len(), "image"),
                counted(arguments.publish.len(), "published port"),
            ),
        )
        .hint("ounce serve hello -p 8080, or a file of services: ounce serve ounce-serve.toml"));
    }
    let mut services: Vec<Service> = Vec::new();
    for (image, port) in arguments.what.iter().zip(&arguments.publish) {
        let listen: Publish = port
            .parse()
            .map_err(|error| Failure::new(Kind::Usage, error))?;
        let mut name = name_of(image);
        if services.iter().any(|other| other.name == name) {
            name = format!("{name}-{}", services.len() + 1);
        }
        let mut service = Service::new(name, image.clone(), listen);
        if let Some(idle) = arguments.idle {
            service.idle = Some(idle);
        }
        service.always = arguments.always;
        service.options.arguments.clone_from(&arguments.arguments);
        service.options.environment = start::environment(&arguments.env)
            .into_iter()
            .map(|variable| variable.to_string_lossy().into_owned())
            .collect();
        services.push(service);
    }
    Ok(Config::of(services))
}

fn counted(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    }
}

/// What of a text may stand in a container's name.
fn plain(text: &str) -> String {
    let letter = |letter: char| match letter {
        letter if letter.is_ascii_alphanumeric() || "_.-".contains(letter) => letter,
        _ => '-',
    };
    text.chars().take(64).map(letter).collect()
}

/// The last part of a path or a name, without its tag.
fn name_of(image: &str) -> String {
    let last = image.rsplit('/').next().unwrap_or(image);
    let name = last.split([':', '@']).next().unwrap_or(last);
    match name.is_empty() {
        true => "service".to_owned(),
        false => name.to_owned(),
    }
}

/// What the flags say beside the file.
fn settle(config: &mut Config, arguments: &ServeArguments) -> Result<(), Failure> {
    if let Some(metrics) = &arguments.metrics {
        let address = metrics.parse::<SocketAddr>().map_err(|_| {
            Failure::new(
                Kind::Usage,
                format!("--metrics {metrics:?} is not ADDRESS:PORT, such as 127.0.0.1:9464"),
            )
        })?;
        config.metrics = Some(address);
    }
    config.max_running = arguments.max_running.or(config.max_running);
    config.start_rate = arguments.start_rate.or(config.start_rate);
    if let Some(pool) = arguments.pool {
        config.pool = pool.into();
    }
    Ok(())
}
