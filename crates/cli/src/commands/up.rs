//! `ounce up`: the main job in one command. Builds, starts, waits for the
//! first answer, prints the figures, and follows until it is stopped.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use ounce_oci::{ByteSize, Platform};
use ounce_run::image::Overrides;
use ounce_run::lifecycle::Memory;
use ounce_run::publish::{Publish, PublishError};
use ounce_run::{Exit, syscalls};
use ounce_weigh::Weight;
use ounce_weigh::bases::{self, Beside};
use serde::Serialize;

use super::{Context, build};
use crate::arguments::{SocketChoice, UpArguments};
use crate::failure::{Failure, Kind};
use crate::first_answer::{Answer, NoAnswer, first_answer};
use crate::render::table::{Align, Table};
use crate::render::weigh;
use crate::session::Session;
use crate::start::{self, Prepared, Started};

/// How long a program may take to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(10);
/// Where services listen that do not say.
const USUAL_PORT: u16 = 8080;

/// Does it all.
pub(crate) fn run(context: &Context, arguments: UpArguments) -> Result<ExitCode, Failure> {
    let mut request = build::request(&arguments.options, &[])?;
    super::page::instead(context.output, &mut request)?;
    let recipe = build::plan(context.output, &request)?;
    let store = context.store()?;
    let built = build::make(context.output, &recipe, &store)?;
    build::over_budget(&built, &store)?;
    let image = store.image(&built.reference, &Platform::host())?;
    let weight = ounce_weigh::sizes::measure(&image)?;
    let mut prepared = start::of_image(context, &image, Overrides::default())?;
    let label = prepared.label.clone();
    let port = exposed(&image.config);
    publish(&mut prepared, &arguments, port, label.as_deref())?;
    prepared.settled(None)?;
    let address = reachable(prepared.addresses[0]);

    let session = Session::begin(false)?;
    let no_input = start::no_input()?;
    let (stdout, stderr) = (io::stdout(), io::stderr());
    // The document is alone on stdout: what the program prints goes beside it.
    let program_output = if context.output.json {
        stderr.as_fd()
    } else {
        stdout.as_fd()
    };
    let began = Instant::now();
    let beginning = prepared.begin();
    let streams = [no_input.as_fd(), program_output, stderr.as_fd()];
    let mut started = prepared.start(beginning, streams)?;
    let mut stopped = false;
    let answer = first_answer(address, &arguments.get, began, arguments.wait, &mut || {
        stopped = stopped || session.is_asked_to_end();
        !stopped && matches!(started.container.try_wait(), Ok(None))
    });
    let answer = match answer {
        Err(_) if stopped => {
            return Err(Failure::new(
                Kind::No,
                "stopped before there was an answer, and the program with it",
            ));
        }
        answer => answer.map_err(|error| unanswered(error, &mut started))?,
    };
    let memory = match started.container.memory() {
        Ok(memory) => memory,
        Err(error) => return Err(unmeasured(error, &mut started)),
    };

    let figures = Figures {
        schema: "ounce.up/1",
        name: built.reference.to_string(),
        digest: image.digest.to_string(),
        url: format!("http://{address}{}", arguments.get),
        status: answer.status,
        start_to_first_byte_us: answer.elapsed.as_micros(),
        pulled_bytes: weight.pulled_bytes.0,
        unpacked_bytes: weight.unpacked_bytes.0,
        files: weight.files,
        private_dirty_bytes: memory.private_dirty_bytes,
        pss_bytes: memory.pss_bytes,
        system_calls_allowed: syscalls::allowed(),
        bases: bases::beside(&weight),
    };
    if context.output.json {
        context.output.document(&figures)?;
    } else {
        let made = built
            .site
            .iter()
            .map(|summary| build::site(summary, context.output.color));
        let flags = built
            .images
            .iter()
            .map(|image| build::flags(image, context.output.color));
        let made = made.chain(flags).collect::<String>();
        context.output.text(&format!(
            "{made}{}",
            text(&figures, &weight, &answer, &memory, context.output.color)
        ))?;
    }
    if arguments.once {
        started
            .container
            .stop(GRACE)
            .map_err(|error| Failure::new(Kind::Host, error))?;
        return Ok(ExitCode::SUCCESS);
    }
    context.output.note(&format!(
        "{} is up at {}; Ctrl-C stops it",
        figures.name, figures.url
    ));
    let exit = session.follow(&mut started.container, context.output)?;
    Ok(match exit {
        // Stopped as it was asked to.
        Exit::Signal(2 | 15) => ExitCode::SUCCESS,
        exit => ExitCode::from(exit.code()),
    })
}

/// The first TCP port that the image says it listens on.
fn exposed(config: &ounce_oci::model::ImageConfiguration) -> u16 {
    let ports = config
        .config()
        .as_ref()
        .and_then(|config| config.exposed_ports().clone())
        .unwrap_or_default();
    let mut numbers: Vec<u16> = ports
        .iter()
        .filter_map(|port| port.strip_suffix("/tcp").unwrap_or(port).parse().ok())
        .collect();
    numbers.sort_unstable();
    numbers.first().copied().unwrap_or(USUAL_PORT)
}

/// Binds what was asked for; else the image's own port, else any that is free.
fn publish(
    prepared: &mut Prepared,
    arguments: &UpArguments,
    port: u16,
    label: Option<&str>,
) -> Result<(), Failure> {
    let own = Publish {
        host: None,
        host_port: port,
        container_port: port,
    };
    let wanted = arguments
        .publish
        .unwrap_or_else(|| match ounce_run::publish::bind(&own) {
            Err(PublishError::InUse { .. } | PublishError::Privileged { .. }) => Publish {
                host_port: 0,
                ..own
            },
            _ => own,
        });
    prepared.publish(&[wanted], SocketChoice::Auto, label)
}

/// Where to ask for what listens at `address`.
fn reachable(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        ip if !ip.is_unspecified() => address,
        IpAddr::V4(_) => (Ipv4Addr::LOCALHOST, address.port()).into(),
        IpAddr::V6(_) => (Ipv6Addr::LOCALHOST, address.port()).into(),
    }
}

fn unanswered(error: NoAnswer, started: &mut Started) -> Failure {
    match (&error, started.container.try_wait()) {
        (NoAnswer::Path(_), _) => Failure::new(Kind::Usage, error),
        (NoAnswer::Ended, Ok(Some(exit))) => Failure::new(Kind::No, error).hint(how(exit)),
        (NoAnswer::NotHttp { .. }, _) => {
            Failure::new(Kind::No, error).hint("`ounce run` starts what does not speak HTTP")
        }
        _ => Failure::new(Kind::No, error)
            .hint("give it longer with --wait, or its port with --publish"),
    }
}

/// Memory cannot be read of a program that is just ending, which takes a moment to be seen.
fn unmeasured(error: io::Error, started: &mut Started) -> Failure {
    let end = Instant::now() + Duration::from_millis(500);
    while Instant::now() < end {
        if let Ok(Some(exit)) = started.container.try_wait() {
            return Failure::new(Kind::No, "the program ended after its first answer")
                .hint(how(exit));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Failure::new(Kind::Host, error).hint("ounce reads it from /proc/PID/smaps_rollup")
}

fn how(exit: Exit) -> String {
    match exit {
        Exit::Code(code) => format!("it returned code {code}"),
        Exit::Signal(signal) => format!("signal {signal} ended it"),
    }
}

#[derive(Serialize)]
struct Figures {
    schema: &'static str,
    name: String,
    digest: String,
    url: String,
    status: u16,
    start_to_first_byte_us: u128,
    pulled_bytes: u64,
    unpacked_bytes: u64,
    files: u64,
    private_dirty_bytes: u64,
    pss_bytes: u64,
    system_calls_allowed: usize,
    bases: Vec<Beside>,
}

fn text(
    figures: &Figures,
    weight: &Weight,
    answer: &Answer,
    memory: &Memory,
    color: bool,
) -> String {
    let mut own = Table::new(&[
        (figures.name.as_str(), Align::Left),
        ("", Align::Right),
        ("", Align::Left),
    ]);
    let mut row =
        |name: &str, value: String, note: &str| own.row([name.to_owned(), value, note.to_owned()]);
    row("answers at", String::new(), &figures.url);
    row(
        "image, as pulled",
        weight.pulled_bytes.to_string(),
        "manifest, configuration and layers, compressed",
    );
    row("unpacked", weight.unpacked_bytes.to_string(), "");
    row("files", weight.files.to_string(), "");
    let millis = answer.elapsed.as_secs_f64() * 1000.0;
    row(
        "start to first byte",
        format!("{millis:.2} ms"),
        &format!(
            "from starting the container to its first answer, status {}",
            answer.status
        ),
    );
    row(
        "memory of its own",
        ByteSize(memory.private_dirty_bytes).to_string(),
        "written to and shared with nobody; the kernel's own is beside it",
    );
    row(
        "system calls allowed",
        figures.system_calls_allowed.to_string(),
        "by the default list",
    );
    let mut beside = Table::new(&[
        ("BESIDE A BASE ALONE", Align::Left),
        ("UNPACKED", Align::Right),
        ("PULLED (GZIP)", Align::Right),
        ("THIS IMAGE IS", Align::Right),
    ]);
    for base in &figures.bases {
        beside.row([
            base.figure.name.to_owned(),
            base.figure.unpacked_bytes.to_string(),
            base.figure.gzip_bytes.to_string(),
            weigh::smaller(base.times_pulled),
        ]);
    }
    format!("{}\n{}", own.text(color), beside.text(color))
}
