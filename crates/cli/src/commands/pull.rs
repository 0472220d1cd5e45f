//! `ounce pull`: an image from a registry into the store.

use std::process::ExitCode;

use ounce_oci::registry::{Pulled, Remote, Which};
use ounce_oci::{ByteSize, Image, Platform, Reference};
use serde::Serialize;

use super::Context;
use super::verify::demand;
use crate::arguments::registry::PullArguments;
use crate::failure::Failure;
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
    /// What hangs on it, if that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    referrers: Option<usize>,
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
    let pulled = registry.pull(&arguments.from, &store, &first_name, &which, &mut |event| {
        progress.registry(event);
    });
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
            referrers,
        })?;
    } else {
        context
            .output
            .text(&format!("{name}  {}\n", pulled.root.digest()))?;
        context.output.note(&told(&pulled));
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

fn told(pulled: &Pulled) -> String {
    let blobs = |count: usize| match count {
        1 => "1 blob".to_owned(),
        count => format!("{count} blobs"),
    };
    let there = (pulled.present > 0).then(|| {
        format!(
            "{} of {} there already",
            blobs(pulled.present),
            ByteSize(pulled.present_bytes)
        )
    });
    match (pulled.fetched, there) {
        (0, there) => there.unwrap_or_else(|| "it has no blobs".to_owned()),
        (count, there) => {
            let bytes = ByteSize(pulled.fetched_bytes);
            let there = there.map_or(String::new(), |there| format!("; {there}"));
            format!("fetched {} of {bytes}{there}", blobs(count))
        }
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
    let pulled = registry.pull(remote, &store, &name, &which, &mut |event| {
        progress.registry(event);
    });
    drop(progress);
    let pulled = pulled?;
    if pulled.fetched > 0 {
        context.output.note(&format!("{name}: {}", told(&pulled)));
    }
    Ok((name.clone(), store.image(&name, platform)?))
}
