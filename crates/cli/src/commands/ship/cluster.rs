//! `--to kubernetes --apply`: the objects brought onto a cluster, and taken back
//! if they do not come up.

use std::env;
use std::path::PathBuf;
use std::process::ExitCode;

use ounce_ship::kubernetes::api::Api;
use ounce_ship::kubernetes::apply::{ApplyError, Change, Done, Event, Job, undo};
use ounce_ship::kubernetes::{self, kubeconfig};
use serde::Serialize;

use super::application::Shipped;
use super::asking;
use crate::arguments::ship::ShipOptions;
use crate::commands::Context;
use crate::failure::{Failure, Kind};
use crate::network;
use crate::session::Session;

/// How long a server of a cluster is waited for: it is near, or it is not there.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    context: &'a str,
    server: &'a str,
    namespace: &'a str,
    name: &'a str,
    image: String,
    objects: Vec<Applied>,
}

#[derive(Serialize)]
struct Applied {
    kind: String,
    name: String,
    change: Change,
}

/// Applies them, and waits.
pub(super) fn apply(
    context: &Context,
    shipped: &Shipped,
    options: &ShipOptions,
    wanted: &kubernetes::Options,
) -> Result<ExitCode, Failure> {
    let own = &options.kubernetes;
    let access = kubeconfig::access(&paths(own.kubeconfig.as_ref()), own.context.as_deref())?;
    let namespace = wanted
        .namespace
        .clone()
        .or_else(|| access.namespace.clone());
    let namespace = namespace.unwrap_or_else(|| "default".to_owned());
    let place = format!(
        "context {}, {}, namespace {namespace}",
        access.context, access.server
    );
    // How many there are is the same for all versions.
    let count = kubernetes::objects(&shipped.application, wanted).len();
    let question = format!("apply {count} objects to {place}?");
    asking::permission(options.yes, &question)?;
    let mut network = network::fetch_options(&options.network);
    network.connect_timeout = PATIENCE;
    network.answer_timeout = PATIENCE;
    let api = Api::new(access, network);
    let wanted = for_cluster(context, &api, shipped, wanted)?;
    let objects = kubernetes::objects(&shipped.application, &wanted)
        .iter()
        .map(|node| Api::object(node, &namespace))
        .collect::<Result<Vec<_>, _>>()?;
    let job = Job {
        api: &api,
        objects: &objects,
        namespace: &namespace,
        application: &shipped.application,
        wait: own.wait,
    };
    let mut tell = |event: Event| context.output.note(&told(&event));
    job.check(&mut tell)?;
    let session = Session::begin(false)?;
    let outcome = job.run(&mut || !session.is_asked_to_end(), &mut tell);
    if let Err(error) = outcome.result {
        return Err(failed(
            context,
            &api,
            error,
            &outcome.done,
            options,
            &namespace,
        ));
    }
    if context.output.json {
        let objects = outcome.done.iter().map(|one| Applied {
            kind: one.object.kind.clone(),
            name: one.object.name.clone(),
            change: one.change,
        });
        context.output.document(&Document {
            schema: "ounce.ship-apply/1",
            context: &api.access().context,
            server: &api.access().server,
            namespace: &namespace,
            name: &shipped.application.name,
            image: shipped.application.reference(),
            objects: objects.collect(),
        })?;
    } else {
        let image = shipped.application.reference();
        let name = &shipped.application.name;
        let text = format!("{name} is up in {namespace} as {image}\n");
        context.output.text(&text)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What is wanted, as the cluster's own version has it, unless another was told.
fn for_cluster(
    context: &Context,
    api: &Api,
    shipped: &Shipped,
    wanted: &kubernetes::Options,
) -> Result<kubernetes::Options, Failure> {
    let mut wanted = wanted.clone();
    if wanted.version.is_none() {
        wanted.version = api.version().map_err(ApplyError::Api)?;
        for note in kubernetes::notes_of_version(&shipped.application, &wanted) {
            context.output.note(&format!("note: {note}"));
        }
    }
    Ok(wanted)
}

/// `--kubeconfig`, else what the environment says, else kubectl's own place.
fn paths(told: Option<&PathBuf>) -> Vec<PathBuf> {
    if let Some(path) = told {
        return vec![path.clone()];
    }
    match env::var_os("KUBECONFIG").filter(|value| !value.is_empty()) {
        Some(list) => env::split_paths(&list).collect(),
        None => {
            let home = env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
            vec![home.join(".kube/config")]
        }
    }
}

fn told(event: &Event) -> String {
    match event {
        Event::Accepted(count) => format!("the cluster takes all {count} objects"),
        Event::Applied { object, change } => {
            let change = match change {
                Change::Created => "created",
                Change::Changed => "changed",
                Change::Unchanged => "as it was",
            };
            format!("{object}: {change}")
        }
        Event::Waiting { ready, wanted, why } => {
            let why = why.as_ref().map_or(String::new(), |why| format!(": {why}"));
            format!("{ready} of {wanted} new replicas answer{why}")
        }
        Event::Undone(object) => format!("{object}: taken back"),
        Event::Unasked(what) => format!("note: {what}, so it was not checked"),
        _ => String::new(),
    }
}

/// Takes back what was done, or says what there is.
fn failed(
    context: &Context,
    api: &Api,
    error: ApplyError,
    done: &[Done],
    options: &ShipOptions,
    namespace: &str,
) -> Failure {
    let changed: Vec<String> = done
        .iter()
        .filter(|one| one.change != Change::Unchanged)
        .map(|one| one.object.shown())
        .collect();
    let interrupted = matches!(error, ApplyError::Interrupted);
    let mut failure = Failure::from(error);
    if changed.is_empty() {
        return failure.hint("nothing on the cluster has changed");
    }
    let back = match interrupted {
        false => true,
        // Whoever has interrupted it is there, as a rule, and may want it as it is.
        true if !options.yes && asking::somebody() => {
            context
                .output
                .note(&format!("changed so far: {}", changed.join(", ")));
            asking::yes("take that back?")
        }
        true => false,
    };
    if !back {
        failure.kind = Kind::No;
        return failure
            .hint(format!(
                "on the cluster now, in {namespace}: {}",
                changed.join(", ")
            ))
            .hint("the same command goes on from there; `kubectl delete` takes them away");
    }
    let left = undo(api, done, &mut |event| context.output.note(&told(&event)));
    if left.is_empty() {
        return failure.hint("everything on the cluster is as it was before");
    }
    for (object, error) in left {
        failure = failure.hint(format!("not taken back: {object}: {error}"));
    }
    failure
}
