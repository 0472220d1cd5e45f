//! `ounce verify`: reads and hashes everything in the store.

use std::process::ExitCode;

use ounce_oci::ByteSize;
use serde::Serialize;

use super::Context;
use crate::failure::{Failure, Kind};

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    #[serde(flatten)]
    verified: &'a ounce_oci::store::Verified,
}

/// Verifies; exit code 1 if anything is not what its digest says.
pub(crate) fn run(context: &Context) -> Result<ExitCode, Failure> {
    let verified = context.store()?.verify()?;
    if context.output.json {
        context.output.document(&Document {
            schema: "ounce.verify/1",
            verified: &verified,
        })?;
    } else {
        let faults: String = verified
            .faults
            .iter()
            .map(|fault| format!("{fault}\n"))
            .collect();
        let whole = format!(
            "{} blobs, {} verified\n",
            verified.blobs,
            ByteSize(verified.bytes)
        );
        context.output.text(&(faults + &whole))?;
    }
    match verified.faults.len() {
        0 => Ok(ExitCode::SUCCESS),
        count => Err(
            Failure::new(Kind::No, format!("{count} faults in the store"))
                .hint("build or copy the image again: a blob that is not whole is replaced"),
        ),
    }
}
