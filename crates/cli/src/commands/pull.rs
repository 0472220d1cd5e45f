//! `ounce pull`: an image from a registry into the store.

use std::process::ExitCode;

use ounce_oci::model::Descriptor;
use ounce_oci::registry::{Patch, Pulled, Remote, Taken, Which};
use ounce_oci::{ByteSize, Image, Platform, Reference};
use serde::Serialize;

use super::Context;
use super::delta::image::make_wanted;
use super::verify::demand;
use crate::arguments::registry::PullArguments;
use crate::failure::{Failure, shown};
use crate::render::progress::Progress;

#[derive(Serialize)]
struct Document {
    schema: &'static str,
    name: String,
    from: String,
    /// Of what is in the store.
    digest: String,
    /// Of what the name means in the registry: an index's, where one image of it
    /// was taken.
    registry_digest: String,
    fetched_blobs: usize,
    fetched_bytes: u64,
    present_blobs: usize,
    present_bytes: u64,
    /// Deltas that were taken in place of blobs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    deltas: Vec<DeltaRow>,
    /// Why others were not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    passed_over: Vec<String>,
    /// What hangs on it, if that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    referrers: Option<usize>,
}

/// A delta that was taken.
#[derive(Serialize)]
pub(super) struct DeltaRow {
    /// The image that it was applied to.
    from: String,
    delta_bytes: u64,
    /// Blobs that came of it, and were not fetched.
    blobs: usize,
    blob_bytes: u64,
}

/// The deltas by which something was pulled.
pub(super) fn rows(pulled: &Pulled) -> Vec<DeltaRow> {
    let row = |taken: &Taken| DeltaRow {
        from: taken.from.to_string(),
        delta_bytes: taken.bytes,
        blobs: taken.blobs,
        blob_bytes: taken.blob_bytes,
    };
    pulled.deltas.iter().map(row).collect()
}

/// How blobs are made by deltas.
pub(super) fn patch(
    old: &Image,
    wanted: &[Descriptor],
    delta: &[u8],
) -> Result<Vec<Vec<u8>>, Box<dyn std::error::Error + Send + Sync>> {
    make_wanted(old, wanted, delta).map_err(Failure::into_error)
}

/// Pulls it.
pub(crate) fn run(context: &Context, arguments: PullArguments) -> Result<ExitCode, Failure> {
    let name = arguments
        .name
        .unwrap_or_else(|| arguments.from.stored_name());
    let which = match arguments.all_platforms {
        true => Which::All,
        false => Which::Platform(arguments.platform.unwrap_or_else(Platform::host)),
    };
    let registry = context.registry(&arguments.network);
    let mut progress = Progress::new(context.output, "pulling");
    let store = context.store()?;
    // What has a policy to satisfy gets its name when it does.
    let is_bound = arguments.policy.is_any();
    let first_name = match is_bound {
        true => unproved(),
        false => name.clone(),
    };
    let mut by_delta = patch;
    let by_delta: Option<&mut Patch<'_>> = match arguments.no_delta {
        true => None,
        false => Some(&mut by_delta),
    };
    let pulled = registry.pull_by(
        &arguments.from,
        &store,
        &first_name,
        &which,
        by_delta,
        &mut |event| progress.registry(event),
    );
    drop(progress);
    let pulled = pulled?;
    let mut referrers = None;
    if arguments.referrers || is_bound {
        let found = registry.pull_hanging(&arguments.from, &store, &pulled.root);
        let verdict = found.map_err(Failure::from).and_then(|count| {
            referrers = Some(count);
            match is_bound {
                true => demand(&store, &first_name, &name, &arguments.policy),
                false => Ok(()),
            }
        });
        if is_bound {
            if verdict.is_ok() {
                store.tag(&first_name, &name)?;
            }
            store.remove(&first_name)?;
        }
        let is_of_index = pulled.digest.to_string() != pulled.root.digest().to_string();
        verdict.map_err(|failure| match is_of_index {
            true => failure
                .hint("one image of an index was pulled; if the index was signed: --all-platforms"),
            false => failure,
        })?;
    }
    if context.output.json {
        context.output.document(&Document {
            schema: "ounce.pull/1",
            name: name.to_string(),
            from: arguments.from.to_string(),
            digest: pulled.root.digest().to_string(),
            registry_digest: pulled.digest.to_string(),
            fetched_blobs: pulled.fetched,
            fetched_bytes: pulled.fetched_bytes,
            present_blobs: pulled.present,
            present_bytes: pulled.present_bytes,
            deltas: rows(&pulled),
            passed_over: pulled.passed_over.clone(),
            referrers,
        })?;
    } else {
        context
            .output
            .text(&format!("{name}  {}\n", pulled.root.digest()))?;
        context.output.note(&told(&pulled));
        passed_over(context, &pulled);
        if let Some(count) = referrers {
            context.output.note(&format!("{count} hang on it"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What an image is called until it is known to be as required.
fn unproved() -> Reference {
    Reference {
        name: format!("unproved-{}", std::process::id()),
        tag: Some("latest".to_owned()),
        digest: None,
    }
}

/// Tells of deltas that were of no use.
pub(super) fn passed_over(context: &Context, pulled: &Pulled) {
    for why in &pulled.passed_over {
        context
            .output
            .note(&format!("note: {}; its blobs were fetched", shown(why)));
    }
}

/// What came over the network, and what did not.
pub(super) fn told(pulled: &Pulled) -> String {
    let blobs = |count: usize| match count {
        1 => "1 blob".to_owned(),
        count => format!("{count} blobs"),
    };
    let mut parts = Vec::new();
    if pulled.fetched > 0 {
        let bytes = ByteSize(pulled.fetched_bytes);
        parts.push(format!("fetched {} of {bytes}", blobs(pulled.fetched)));
    }
    for taken in &pulled.deltas {
        let saved = 100.0 - taken.bytes as f64 * 100.0 / taken.blob_bytes.max(1) as f64;
        parts.push(format!(
            "a delta of {} made {} of {} ({saved:.1} % less)",
            ByteSize(taken.bytes),
            blobs(taken.blobs),
            ByteSize(taken.blob_bytes),
        ));
    }
    if pulled.present > 0 {
        let bytes = ByteSize(pulled.present_bytes);
        parts.push(format!(
            "{} of {bytes} there already",
            blobs(pulled.present)
        ));
    }
    match parts.is_empty() {
        true => "it has no blobs".to_owned(),
        false => parts.join("; "),
    }
}

/// Pulls what another command is to use, as `ounce pull` would.
pub(crate) fn for_use(
    context: &Context,
    remote: &Remote,
    platform: &Platform,
) -> Result<(Reference, Image), Failure> {
    let store = context.store()?;
    let name = remote.stored_name();
    let registry = context.registry(&Default::default());
    let mut progress = Progress::new(context.output, "pulling");
    let which = Which::Platform(platform.clone());
    let by_delta: Option<&mut Patch<'_>> = Some(&mut patch);
    let pulled = registry.pull_by(remote, &store, &name, &which, by_delta, &mut |event| {
        progress.registry(event);
    });
    drop(progress);
    let pulled = pulled?;
    if pulled.fetched > 0 || !pulled.deltas.is_empty() {
        context.output.note(&format!("{name}: {}", told(&pulled)));
        passed_over(context, &pulled);
    }
    Ok((name.clone(), store.image(&name, platform)?))
}
