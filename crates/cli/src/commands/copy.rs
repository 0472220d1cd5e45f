//! `ounce copy`: an image from one place to another, digests kept.

use std::process::ExitCode;

use ounce_oci::Place;

use super::Context;
use crate::arguments::CopyArguments;
use crate::failure::{Failure, Kind};

/// Copies it; one side has to be the store.
pub(crate) fn run(context: &Context, arguments: CopyArguments) -> Result<ExitCode, Failure> {
    let store = context.store()?;
    let (from, to) = (
        super::reached(arguments.from)?,
        super::reached(arguments.to)?,
    );
    match (&from, &to) {
        (Place::Store(from), Place::Store(to)) => store.tag(from, to)?,
        (from, Place::Store(name)) => from.import(&store, name)?,
        (Place::Store(_), to) if arguments.referrers && !to.takes_artifacts() => {
            return Err(Failure::new(
                Kind::Usage,
                format!("nothing but the image can be copied to {to}"),
            )
            .hint("oci:DIR and oci-archive:FILE hold artifacts, too"));
        }
        (Place::Store(name), to) => to.export_with(&store, name, arguments.referrers)?,
        _ => {
            return Err(Failure::new(Kind::Usage, "neither of the two places is ounce's store")
                .hint("copy to a name first: ounce copy oci:DIR NAME, then ounce copy NAME oci-archive:FILE"));
        }
    }
    Ok(ExitCode::SUCCESS)
}
