//! A bundle as the OCI runtime specification has it, for crun and runc.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Result;
use serde_json::{Value, json};

use crate::tool::command;

/// The container: read-only, without capabilities, on the host's network.
const SPEC: &str = include_str!("../judges/data/config.json");

/// Writes a bundle that runs `elf` with this environment.
pub(crate) fn write(bundle: &Path, elf: &Path, environment: &[String]) -> Result<()> {
    let mut spec: Value = serde_json::from_str(SPEC)?;
    spec["process"]["env"] = json!(environment);
    for folder in ["proc", "dev"] {
        fs::create_dir_all(bundle.join("rootfs").join(folder))?;
    }
    fs::copy(elf, bundle.join("rootfs/app"))?;
    fs::write(
        bundle.join("config.json"),
        serde_json::to_vec_pretty(&spec)?,
    )?;
    Ok(())
}

/// `RUNTIME run` of a bundle.
pub(crate) fn run(runtime: &str, state: &Path, bundle: &Path, id: &str) -> Command {
    let mut run = command(&[runtime]);
    // Judged is the program, not the machine's cgroups, which Debian's crun
    // refuses where both versions of them are mounted.
    if runtime == "crun" {
        run.arg("--cgroup-manager=disabled");
    }
    run.arg("--root")
        .arg(state)
        .arg("run")
        .arg("--bundle")
        .arg(bundle)
        .arg(id);
    run
}
