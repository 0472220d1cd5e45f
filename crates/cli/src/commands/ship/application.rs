//! From an image, wherever it is, and the command line to the application that
//! is shipped.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsFd as _;
use std::path::{Component, Path};
use std::time::{Duration, Instant};

use memchr::memmem;
use ounce_oci::model::{self, ImageIndex, Role};
use ounce_oci::registry::Remote;
use ounce_oci::{Digest, Image, Place, Platform};
use ounce_rootfs::unpack;
use ounce_run::image::Overrides;
use ounce_run::publish::Publish;
use ounce_ship::application::{Measured, Pinned, Resources, SecretVariable, user_of};
use ounce_ship::{Application, Target};

use crate::arguments::SocketChoice;
use crate::arguments::ship::ShipOptions;
use crate::commands::{Context, push};
use crate::failure::{Failure, Kind};
use crate::first_answer::first_answer;
use crate::render::progress::Progress;
use crate::start;

/// The path that services of ours answer by themselves.
const HEALTH_PATH: &str = "/healthz";
/// The argument by which programs of ours ask themselves.
const HEALTH_ARGUMENT: &str = "--health";
/// How long a first answer is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a program that answers nobody runs before its memory is looked at.
const SETTLE: Duration = Duration::from_millis(500);

/// What is shipped, and the image it was made of.
pub(super) struct Shipped {
    pub(super) application: Application,
    /// For one of its platforms.
    pub(super) image: Image,
    /// All of them, where they are at hand.
    pub(super) images: Vec<Image>,
    pub(super) notes: Vec<String>,
}

/// An image, found.
struct Found {
    /// What it is called.
    name: String,
    /// Of the manifest, or of the index of several.
    digest: Digest,
    image: Image,
    images: Vec<Image>,
    platforms: Vec<Platform>,
    /// Where it is in a registry, if that is known.
    remote: Option<Remote>,
}

/// Finds the image, looks at it, and holds all that is asked for to the rules.
pub(super) fn of(
    context: &Context,
    place: &Place,
    target: &Target,
    options: &ShipOptions,
) -> Result<Shipped, Failure> {
    let found = find(context, place, options)?;
    let mut notes = Vec::new();
    let mut application = Application::of(&found.name, found.digest, &found.image.config)?;
    application.platforms.clone_from(&found.platforms);
    application.pulled_bytes = found.image.pulled_bytes();
    asked_for(&mut application, options)?;
    let held = unpack::hold(&context.unpacked()?, &found.image)?;
    look(&mut application, &found.image, &held.root, options);
    if options.source.measure {
        let measured = measure(context, &found.image, &application)?;
        application.resources = Resources::measured(&measured);
        application.measured = Some(measured);
    }
    application.resources.cpu_millis = options.application.cpu;
    if let Some(memory) = options.application.memory {
        application.resources = application.resources.limited(memory.0);
    }
    // What is no server is a function, and needs none.
    let needs_port = *target != Target::Lambda && !options.application.no_port;
    if application.port.is_none() && needs_port {
        application.needed_port()?;
    }
    application.check(&options.application.allow_secret)?;
    for (variable, what) in application.secrets_in_image() {
        notes.push(format!(
            "the image itself has {what} in {variable}, where everybody who pulls it reads it"
        ));
    }
    if target.pulls() {
        let remote = remote(&found, place, options)?;
        pin(context, place, &found, &remote, options)?;
        application.image = Some(Pinned::new(&remote, found.digest));
        if let Some(tag) = remote.tag().filter(|tag| *tag != "latest") {
            application.version = tag.to_owned();
        }
    }
    Ok(Shipped {
        application,
        image: found.image,
        images: found.images,
        notes,
    })
}

fn find(context: &Context, place: &Place, options: &ShipOptions) -> Result<Found, Failure> {
    let store = context.store()?;
    let host = Platform::host();
    if let Place::Registry(remote) = place {
        let registry = context.registry(&options.network);
        let document = registry.manifest(remote)?;
        let pinned = remote.with_digest(document.digest);
        let mut platforms = Vec::new();
        if model::role(document.descriptor.media_type()) == Role::Index {
            let index: ImageIndex = serde_json::from_slice(&document.bytes)
                .map_err(|error| Failure::new(Kind::Input, error))?;
            let all = index.manifests().iter().filter_map(model::platform_in);
            platforms = all.filter(|platform| platform.os != "unknown").collect();
        }
        let wanted = host.best(&platforms).map(|at| platforms[at].clone());
        let wanted = wanted.or_else(|| platforms.first().cloned());
        let mut progress = Progress::new(context.output, "fetching");
        let image = match wanted {
            Some(platform) => registry.image(&pinned, &store, &platform, &mut |event| {
                progress.registry(event);
            })?,
            // One manifest is for whatever it is for.
            None => {
                let image = registry.documents(&pinned, &store, &host)?;
                let platform = image.platform;
                registry.image(&pinned, &store, &platform, &mut |event| {
                    progress.registry(event);
                })?
            }
        };
        if platforms.is_empty() {
            platforms.push(image.platform.clone());
        }
        return Ok(Found {
            name: options
                .application
                .name
                .clone()
                .unwrap_or_else(|| remote.repository().to_owned()),
            digest: document.digest,
            images: vec![image.clone()],
            image,
            platforms,
            remote: Some(remote.clone()),
        });
    }
    let digest = model::digest_of(&place.open(&store)?.root)
        .map_err(|error| Failure::new(Kind::Input, error))?;
    let images = place.images(&store)?;
    let own = images.iter().find(|image| host.accepts(&image.platform));
    let Some(image) = own.or_else(|| images.first()).cloned() else {
        return Err(Failure::new(
            Kind::Input,
            format!("{place} has no image in it"),
        ));
    };
    let mut remote = None;
    let name = match place {
        Place::Store(reference) => {
            if push::has_host(&reference.name) {
                remote = reference.to_string().parse().ok();
            }
            reference.name.clone()
        }
        Place::Engine(_, reference) => reference.name.clone(),
        Place::OciDir(path, _) | Place::OciArchive(path, _) | Place::DockerArchive(path, _) => {
            let stem = path.file_stem().unwrap_or(path.as_os_str());
            stem.to_string_lossy().into_owned()
        }
        Place::Registry(_) => String::new(),
    };
    Ok(Found {
        name: options.application.name.clone().unwrap_or(name),
        digest,
        platforms: images.iter().map(|image| image.platform.clone()).collect(),
        image,
        images,
        remote,
    })
}

/// What the command line says.
fn asked_for(application: &mut Application, options: &ShipOptions) -> Result<(), Failure> {
    let own = &options.application;
    if let Some(name) = &own.name {
        application.name.clone_from(name);
    }
    if let Some(port) = own.port {
        application.port = Some(port);
    }
    if own.no_port {
        application.port = None;
    }
    if let Some(user) = &own.user {
        (application.user, application.group) = user_of(user)?;
    }
    application.environment.clone_from(&own.env);
    application.secrets = own
        .secret
        .iter()
        .map(|(variable, from)| {
            // An ARN has slashes of its own.
            let parts = match from.starts_with("arn:") {
                true => None,
                false => from.split_once('/'),
            };
            let (from, key) = match parts {
                Some((from, key)) => (from, Some(key.to_owned())),
                None => (from.as_str(), None),
            };
            SecretVariable {
                variable: variable.clone(),
                from: from.to_owned(),
                key,
            }
        })
        .collect();
    application.scratch.clone_from(&own.scratch);
    application.replicas = own.replicas;
    application.most_replicas = own.max_replicas.unwrap_or(own.replicas.saturating_mul(3));
    application.stop_seconds = own.stop_seconds;
    application.health_path.clone_from(&own.health);
    Ok(())
}

/// What the program's own file tells: its size, whether it takes a socket, whether
/// it knows the path and the argument by which ours are asked if they are well.
fn look(application: &mut Application, image: &Image, root: &Path, options: &ShipOptions) {
    let path = application.command.first().map(Path::new);
    let path = path.filter(|path| {
        let parts: Vec<_> = path.components().collect();
        path.is_absolute() && !parts.contains(&Component::ParentDir)
    });
    let file = path.and_then(|path| path.strip_prefix("/").ok());
    let bytes = file.and_then(|path| program(root, path));
    let argument = options.application.health_argument.clone();
    let knows = |text: &str| bytes.as_deref().is_some_and(|bytes| contains(bytes, text));
    if application.port.is_some() && application.health_path.is_none() && knows(HEALTH_PATH) {
        application.health_path = Some(HEALTH_PATH.to_owned());
    }
    let argument = argument.or_else(|| knows(HEALTH_ARGUMENT).then(|| HEALTH_ARGUMENT.to_owned()));
    let program = application.command.first().cloned();
    application.health_command = argument
        .zip(program)
        .map(|(word, program)| vec![program, word]);
    let label = start::activation_label(&image.config);
    let inside = file.map(|path| root.join(path));
    application.takes_socket = inside
        .is_some_and(|path| ounce_run::publish::takes_listen_fds(label, &path).unwrap_or(false));
    let unpacked = bytes.as_ref().map_or(0, |bytes| bytes.len() as u64);
    application.resources = Resources::estimated(unpacked.max(image.pulled_bytes()));
}

/// The program's file, if no link leads to it out of the image.
pub(super) fn program(root: &Path, inside: &Path) -> Option<Vec<u8>> {
    let path = fs::canonicalize(root.join(inside)).ok()?;
    let root = fs::canonicalize(root).ok()?;
    path.starts_with(&root).then(|| fs::read(path).ok())?
}

fn contains(bytes: &[u8], text: &str) -> bool {
    memmem::find(bytes, text.as_bytes()).is_some()
}

/// Starts it, isolated, waits for its first answer, and looks at its memory.
fn measure(
    context: &Context,
    image: &Image,
    application: &Application,
) -> Result<Measured, Failure> {
    let failed = |why: String| {
        Failure::new(Kind::No, format!("measuring the image: {why}"))
            .hint("leave --measure out, or say its memory by --memory")
    };
    let variables = application.environment.iter();
    let overrides = Overrides {
        environment: variables
            .map(|(name, value)| format!("{name}={value}").into())
            .collect(),
        ..Overrides::default()
    };
    let mut prepared = start::of_image(context, image, overrides)?;
    let mut address = None;
    if let Some(port) = application.port {
        let publish = Publish {
            host: None,
            host_port: 0,
            container_port: port,
        };
        let label = start::activation_label(&image.config);
        prepared.publish(&[publish], SocketChoice::Auto, label)?;
        let port = prepared.addresses[0].port();
        address = Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    }
    let quiet = start::no_input()?;
    let began = Instant::now();
    let streams = [quiet.as_fd(), quiet.as_fd(), quiet.as_fd()];
    let beginning = prepared.begin();
    let mut started = prepared.start(beginning, streams)?;
    let container = &mut started.container;
    let mut first_answer_us = None;
    if let Some(address) = address {
        let path = application.health_path.as_deref().unwrap_or("/");
        let answer = first_answer(address, path, began, PATIENCE, &mut || {
            matches!(container.try_wait(), Ok(None))
        });
        let answer = answer.map_err(|error| failed(error.to_string()))?;
        first_answer_us = u64::try_from(answer.elapsed.as_micros()).ok();
    } else {
        std::thread::sleep(SETTLE);
    }
    let memory = container.memory();
    let stopped: io::Result<_> = container.stop(PATIENCE);
    let memory = memory.map_err(|error| failed(format!("its memory cannot be read: {error}")))?;
    stopped.map_err(|error| Failure::new(Kind::Host, error))?;
    Ok(Measured {
        first_answer_us,
        memory_bytes: memory.pss_bytes,
    })
}

/// Where the platform is to pull it from.
fn remote(found: &Found, place: &Place, options: &ShipOptions) -> Result<Remote, Failure> {
    let told = options.source.registry.clone();
    told.or_else(|| found.remote.clone()).ok_or_else(|| {
        let why = format!("{place} is in no registry, and the platform pulls from one");
        Failure::new(Kind::Usage, why).hint(format!(
            "say which: ounce ship {place} --registry HOST/NAME:TAG --push …"
        ))
    })
}

/// Sees to it that the registry has what the platform will ask it for.
fn pin(
    context: &Context,
    place: &Place,
    found: &Found,
    remote: &Remote,
    options: &ShipOptions,
) -> Result<(), Failure> {
    let registry = context.registry(&options.network);
    if options.source.push {
        let source = push::open(context, &registry, place)?;
        push::send(context, &registry, &source, remote)?;
        return Ok(());
    }
    let read_there = matches!(place, Place::Registry(own) if own.name() == remote.name());
    if options.source.unchecked || read_there {
        return Ok(());
    }
    let pinned = remote.with_digest(found.digest);
    match registry.digest(&pinned)? {
        Some(_) => Ok(()),
        None => Err(Failure::new(
            Kind::Input,
            format!("{} has no {}", remote.name(), found.digest),
        )
        .hint("push it first: --push")
        .hint("the platform reads another registry: --registry HOST/NAME, or --unchecked")),
    }
}
