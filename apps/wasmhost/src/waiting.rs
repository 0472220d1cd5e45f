//! What waits: the runtime of WASI's calls, and the end of the time that a
//! module has.

use std::time::Duration;

use tokio::runtime::Runtime;

use crate::failure::{Failure, OUT_OF_TIME, USAGE};

/// Ends the process when its time is up; what was written before stands.
pub(crate) fn watch(timeout: Option<Duration>) {
    let Some(timeout) = timeout else {
        return;
    };
    std::thread::spawn(move || {
        std::thread::sleep(timeout);
        eprint!("{}", out_of_time(timeout));
        std::process::exit(OUT_OF_TIME.into());
    });
}

/// It took longer than it may.
pub(crate) fn out_of_time(timeout: Duration) -> Failure {
    let text = format!(
        "the module ran for {} ms, which is all it may",
        timeout.as_millis()
    );
    Failure::new(OUT_OF_TIME, text).hint("ounce run --deadline gives it more time")
}

/// The runtime that WASI's calls wait in.
pub(crate) fn runtime() -> Result<Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .map_err(|error| Failure::new(USAGE, "setting up input and output").because_of(&error))
}
