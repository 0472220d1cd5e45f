//! OCI bundles for crun and runc, from the container spec in `bench/start/`.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::house::House;
use crate::tool::command;

/// How the container meets the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Network {
    /// The host's: the server binds `PORT` itself.
    Host,
    /// Its own and empty; the listening socket is handed in as descriptor 3.
    Handed,
}

/// Writes a bundle that runs `elf` with this environment.
pub(crate) fn write(
    house: &House,
    bundle: &Path,
    elf: &Path,
    network: Network,
    environment: &[String],
) -> Result<()> {
    let spec = house.path("bench/start/config.json");
    let text = fs::read_to_string(&spec).with_context(|| format!("reading {}", spec.display()))?;
    let mut spec: Value = serde_json::from_str(&text)?;
    spec["process"]["env"] = json!(environment);
    if network == Network::Host {
        let namespaces = spec["linux"]["namespaces"]
            .as_array_mut()
            .context("the spec has no namespaces")?;
        namespaces.retain(|namespace| namespace["type"] != "network");
    }
    fs::create_dir_all(bundle.join("rootfs"))?;
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

/// `RUNTIME run` of a bundle; descriptor 3 is handed on where the bundle expects it.
pub(crate) fn run(
    runtime: &str,
    state: &Path,
    bundle: &Path,
    id: &str,
    network: Network,
) -> Command {
    let mut run = command(&[runtime]);
    run.arg("--root").arg(state).arg("run");
    if network == Network::Handed {
        run.args(["--preserve-fds", "1"]);
    }
    run.arg("--bundle").arg(bundle).arg(id);
    run
}
