//! `cargo xtask fleet`: the simulation of a fleet that stands in `crates/ota`.

use anyhow::Result;

use crate::house::House;
use crate::tool::{command, run as run_it};

/// How many devices, unless told.
pub(crate) const DEVICES: u64 = 100_000;

/// Runs it; a device that does not start, or an update that does not arrive, is an error.
pub(crate) fn run(house: &House, devices: u64) -> Result<()> {
    run_it(
        command(&[
            "cargo",
            "run",
            "--quiet",
            "--locked",
            "--package",
            "ounce-ota",
            "--example",
            "fleet",
        ])
        .args(["--", &devices.to_string()])
        .current_dir(house.root()),
    )
}
