//! `--explain`: what would be created, and what it costs.

use ounce_oci::ByteSize;
use ounce_ship::explain::{self, Estimate, Range};
use ounce_ship::shipment::Created;
use ounce_ship::{Shipment, Target};
use serde::Serialize;

use super::application::Shipped;
use crate::arguments::ship::ShipOptions;
use crate::commands::Context;
use crate::failure::Failure;
use crate::render::table::{Align, Table};

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    target: String,
    name: &'a str,
    image: String,
    requests_per_second: f64,
    creates: &'a [Created],
    memory_request_bytes: u64,
    memory_limit_bytes: u64,
    memory_basis: &'static str,
    /// For the target; the others beside it follow.
    estimate: Option<&'a Estimate>,
    platforms: &'a [Estimate],
}

/// Prints it.
pub(super) fn out(
    context: &Context,
    shipped: &Shipped,
    target: &Target,
    shipment: &Shipment,
    options: &ShipOptions,
) -> Result<(), Failure> {
    let application = &shipped.application;
    let estimates = explain::platforms(application, options.traffic);
    let name = match target {
        Target::Ssh(_) => "ssh".to_owned(),
        target => target.to_string(),
    };
    let estimate = explain::of(&name, &estimates);
    if context.output.json {
        return context.output.document(&Document {
            schema: "ounce.ship-explain/1",
            target: target.to_string(),
            name: &application.name,
            image: application.reference(),
            requests_per_second: options.traffic,
            creates: &shipment.creates,
            memory_request_bytes: application.resources.memory_request_bytes,
            memory_limit_bytes: application.resources.memory_limit_bytes,
            memory_basis: explain::memory_basis(application),
            estimate,
            platforms: &estimates,
        });
    }
    let color = context.output.color;
    let mut created = Table::new(&[
        ("WOULD BE CREATED", Align::Left),
        ("NAME", Align::Left),
        ("FOR", Align::Left),
    ]);
    for one in &shipment.creates {
        created.row([&one.kind, &one.name, &one.purpose]);
    }
    let resources = application.resources;
    let mut text = format!(
        "{}\n{} replicas of {}\nmemory of each: {} kept, {} at most ({})\n\n",
        created.text(color),
        application.replicas,
        application.reference(),
        ByteSize(resources.memory_request_bytes),
        ByteSize(resources.memory_limit_bytes),
        explain::memory_basis(application),
    );
    text.push_str(&side_by_side(&estimates, options.traffic, color));
    context.output.text(&text)
}

/// Platforms beside each other, with what the figures are made of.
pub(crate) fn side_by_side(estimates: &[Estimate], traffic: f64, color: bool) -> String {
    let mut table = Table::new(&[
        ("PLATFORM", Align::Left),
        ("DOLLARS A MONTH", Align::Right),
        ("MEMORY", Align::Right),
        ("KWH A MONTH", Align::Right),
        ("FIRST ANSWER", Align::Right),
        ("PAID FOR", Align::Left),
    ]);
    let mut lines = Vec::new();
    for one in estimates {
        if let Some(why) = &one.refused {
            table.row([one.platform, "–", "–", "–", "–", why]);
            continue;
        }
        let start = one
            .start_ms
            .map_or("–".to_owned(), |range| format!("{} ms", figures(range)));
        table.row([
            one.platform.to_owned(),
            figures(one.dollars_month),
            ByteSize(one.memory_bytes).to_string(),
            figures(one.kilowatt_hours_month),
            start,
            one.basis.clone(),
        ]);
        lines.push(format!(
            "{}, first answer: {}",
            one.platform, one.start_basis
        ));
        for source in &one.sources {
            if !lines.contains(source) {
                lines.push(source.clone());
            }
        }
    }
    let mut text = table.text(color);
    text.push_str(&format!(
        "\nfor {traffic} requests a second around the clock; estimates, not offers:\n"
    ));
    for line in lines {
        text.push_str(&format!("- {line}\n"));
    }
    text
}

/// One figure where both ends are one, else both.
fn figures([low, high]: Range) -> String {
    let figure = |value: f64| {
        let digits = match value {
            0.0 => 0,
            100.0.. => 0,
            1.0.. => 1,
            0.01.. => 2,
            _ => 4,
        };
        format!("{value:.digits$}")
    };
    match figure(low) == figure(high) {
        true => figure(low),
        false => format!("{} to {}", figure(low), figure(high)),
    }
}
