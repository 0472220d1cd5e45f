//! `ounce ship`: an image on the platforms that people have.
//!
//! What an image says of itself, and what is asked for, become an application;
//! the platform's module of `ounce-ship` makes files of it; here they are
//! printed, written, or applied.

mod application;
mod asking;
mod cluster;
mod device;
pub(super) mod explain;
mod lambda;
mod machine;
mod parcel;
mod resolve;
mod web;
mod write;

pub(super) use write::put;

use std::process::ExitCode;

use ounce_oci::Image;
use ounce_ship::application::Resources;
use ounce_ship::explain::{Estimate, platforms};
use ounce_ship::kubernetes::{self, Egress};
use ounce_ship::{Application, Shipment, Target, compose, ecs, nomad, quadlet, systemd};

use super::Context;
use crate::arguments::ship::{ShipArguments, ShipOptions, ShipVerb};
use crate::failure::{Failure, Kind};

/// Ships it.
pub(crate) fn run(context: &Context, arguments: ShipArguments) -> Result<ExitCode, Failure> {
    if let Some(ShipVerb::Resolve(arguments)) = arguments.verb {
        return resolve::run(context, &arguments);
    }
    let options = arguments.options;
    let (Some(image), Some(target)) = (arguments.image, options.to.clone()) else {
        return Err(Failure::new(
            Kind::Usage,
            "an image and --to PLATFORM are needed",
        ));
    };
    if target == Target::Device {
        return device::run(context, &image.text, &options);
    }
    let image = image.place.ok_or_else(|| {
        Failure::new(
            Kind::Usage,
            format!("{} is a file, not an image", image.text),
        )
        .hint("ounce build FILE makes an image of a program; --to device takes a firmware")
    })?;
    let is_done_here = matches!(target, Target::Kubernetes | Target::Ssh(_) | Target::Lambda);
    if options.apply && !is_done_here {
        return Err(Failure::new(
            Kind::Usage,
            format!("--apply does it for kubernetes, lambda and ssh://HOST, not for {target}"),
        )
        .hint("-o DIR writes the files, and says what comes next"));
    }
    let image = super::reached(image)?;
    if target == Target::Web {
        return web::run(context, &image, &options);
    }
    let shipped = application::of(context, &image, &target, &options)?;
    let shipment = match target {
        Target::Lambda => lambda::shipment(context, &shipped, &options)?,
        _ => shipment(&shipped.application, &target, &options)?,
    };
    for note in shipped.notes.iter().chain(&shipment.notes) {
        context.output.note(&format!("note: {note}"));
    }
    if options.explain {
        explain::out(context, &shipped, &target, &shipment, &options)?;
        return Ok(ExitCode::SUCCESS);
    }
    if !options.apply {
        write::out(context, &shipped, &target, &shipment, &options)?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(folder) = &options.output {
        write::all(context, &shipped, &target, folder, &shipment)?;
    }
    match &target {
        Target::Ssh(host) => {
            let wanted = of_systemd(&options)?;
            machine::apply(context, &shipped, host, &options, &wanted)
        }
        Target::Lambda => lambda::apply(context, &shipped, &shipment, &options),
        _ => {
            let wanted = of_kubernetes(&shipped.application, &options)?;
            cluster::apply(context, &shipped, &options, &wanted)
        }
    }
}

/// What an image that was only weighed is on each platform: its memory estimated,
/// two of it. One whose configuration says no more than files is taken for one that
/// nobody runs as root.
pub(super) fn estimates(
    name: &str,
    image: &Image,
    unpacked_bytes: u64,
    traffic: f64,
) -> Vec<Estimate> {
    let application = Application::of(name, image.digest, &image.config)
        .or_else(|_| Application::of("image", image.digest, &Default::default()));
    let Ok(mut application) = application else {
        return Vec::new();
    };
    application.platforms = vec![image.platform.clone()];
    application.pulled_bytes = image.pulled_bytes();
    application.resources = Resources::estimated(unpacked_bytes);
    platforms(&application, traffic)
}

/// What the platform is told.
fn shipment(
    application: &Application,
    target: &Target,
    options: &ShipOptions,
) -> Result<Shipment, Failure> {
    Ok(match target {
        Target::Kubernetes => {
            let wanted = of_kubernetes(application, options)?;
            kubernetes::ship(application, &wanted)
        }
        Target::Ecs => ecs::ship(application, &options.region)?,
        Target::Systemd | Target::Ssh(_) => systemd::ship(application, &of_systemd(options)?),
        Target::Quadlet => quadlet::ship(application),
        Target::Compose => compose::compose(application),
        Target::Swarm => compose::swarm(application),
        Target::Nomad => nomad::ship(application),
        // They are told more, or other, than an application: see `lambda`, `device` and `web`.
        Target::Lambda | Target::Device | Target::Web => Shipment::default(),
    })
}

/// What systemd is asked for.
fn of_systemd(options: &ShipOptions) -> Result<systemd::Options, Failure> {
    Ok(systemd::Options {
        opens_connections: egress(options)? != Egress::Names,
        root: options.root.clone(),
    })
}

/// What Kubernetes is asked for, checked.
fn of_kubernetes(
    application: &Application,
    options: &ShipOptions,
) -> Result<kubernetes::Options, Failure> {
    let own = &options.kubernetes;
    let wanted = kubernetes::Options {
        namespace: own.namespace.clone(),
        host: own.host.clone(),
        gateway: own.gateway.clone(),
        ingress_class: own.ingress_class.clone(),
        tls_secret: own.tls_secret.clone(),
        runtime_class: own.runtime_class.clone(),
        egress: egress(options)?,
        version: own.kubernetes_version,
        pause_command: own.pause_command.as_ref().map(|words| words.0.clone()),
    };
    wanted.check(application)?;
    Ok(wanted)
}

fn egress(options: &ShipOptions) -> Result<Egress, Failure> {
    let texts = &options.application.egress;
    if texts.iter().any(|text| text == "any") {
        return Ok(Egress::Any);
    }
    let peers = texts.iter().map(|text| text.parse());
    let peers: Vec<_> = peers.collect::<Result<_, kubernetes::OptionsError>>()?;
    Ok(match peers.is_empty() {
        true => Egress::Names,
        false => Egress::To(peers),
    })
}
