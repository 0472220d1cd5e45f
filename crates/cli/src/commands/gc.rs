//! `ounce gc`: frees what no name reaches, in the store and in the cache of
//! unpacked images.

use std::process::ExitCode;

use ounce_oci::ByteSize;
use serde::Serialize;

use super::Context;
use crate::failure::{Failure, Kind};

#[derive(Serialize)]
struct Document {
    schema: &'static str,
    #[serde(flatten)]
    collected: ounce_oci::collect::Collected,
    /// Unpacked images taken from the cache.
    unpacked: u64,
}

/// Collects.
pub(crate) fn run(context: &Context) -> Result<ExitCode, Failure> {
    let store = context.store()?;
    let collected = store.gc()?;
    let mut keep = Vec::new();
    for named in store.names()? {
        keep.extend(
            store
                .images_of(&named.reference)?
                .iter()
                .map(|image| image.digest),
        );
    }
    let unpacked = ounce_rootfs::unpack::collect(&context.unpacked()?, &keep)?.removed;
    let ready = context.ready()?;
    ounce_run::ready::clear(&ready).map_err(|error| {
        let what = format!("removing {}: {error}", ready.display());
        Failure::new(Kind::Host, what)
    })?;
    if let Ok(engine) = crate::wasm::engine() {
        let compiled = context.compiled()?;
        engine.collect(&compiled).map_err(|error| {
            let what = format!("removing from {}: {error}", compiled.display());
            Failure::new(Kind::Host, what)
        })?;
    }
    if context.output.json {
        context.output.document(&Document {
            schema: "ounce.gc/1",
            collected,
            unpacked,
        })?;
    } else {
        context.output.text(&format!(
            "freed {} in {} blobs, and {unpacked} unpacked images\n",
            ByteSize(collected.bytes),
            collected.blobs
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}
