//! `ounce ship`: an image on the platforms that people have.
//!
//! What an image says of itself, and what is asked for, become an application;
//! the platform's module of `ounce-ship` makes files of it; here they are
//! printed, written, or applied.

mod application;
mod web;
mod write;

pub(super) use write::put;

use std::process::ExitCode;

use ounce_ship::kubernetes::{self, Egress};
use ounce_ship::{Application, Shipment, Target, compose, ecs, nomad, quadlet, systemd};

use super::Context;
use crate::arguments::ship::{ShipArguments, ShipOptions, ShipVerb};
use crate::failure::{Failure, Kind};

/// Ships it.
pub(crate) fn run(context: &Context, arguments: ShipArguments) -> Result<ExitCode, Failure> {
    if let Some(ShipVerb::Resolve(_)) = arguments.verb {
        return Err(Failure::new(Kind::Usage, "resolve is not there yet"));
    }
    let options = arguments.options;
    let (Some(image), Some(target)) = (arguments.image, options.to.clone()) else {
        return Err(Failure::new(
            Kind::Usage,
            "an image and --to PLATFORM are needed",
        ));
    };
    let image = super::reached(image)?;
    if target == Target::Web {
        return web::run(context, &image, &options);
    }
    let shipped = application::of(context, &image, &target, &options)?;
    let shipment = shipment(&shipped.application, &target, &options)?;
    for note in shipped.notes.iter().chain(&shipment.notes) {
        context.output.note(&format!("note: {note}"));
    }
    write::out(context, &shipped, &target, &shipment, &options)?;
    Ok(ExitCode::SUCCESS)
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
        Target::Systemd | Target::Ssh(_) => {
            let wanted = systemd::Options {
                opens_connections: egress(options)? != Egress::Names,
                root: options.root.clone(),
            };
            systemd::ship(application, &wanted)
        }
        Target::Quadlet => quadlet::ship(application),
        Target::Compose => compose::compose(application),
        Target::Swarm => compose::swarm(application),
        Target::Nomad => nomad::ship(application),
        // It has no application: `web` deals with it before.
        Target::Web => Shipment::default(),
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
