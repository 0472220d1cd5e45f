//! Engines that load and start images: podman, docker, runc, crun, QEMU, and ounce.

use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::{Bench, Case, NAME};
use crate::peers::answer::{first_answer, free_port};
use crate::peers::bundle;
use crate::peers::docker::Daemon;
use crate::peers::podman::Storage;
use crate::peers::started::Started;
use crate::tool::{command, find, read};

/// How long a server may take to its first answer here; no measurement.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) fn judge(case: &Case<'_>, bench: &mut Bench<'_>) {
    for form in ["oci.tar", "docker.tar"] {
        bench.check(
            &format!("podman loads {form} and serves from it"),
            &["podman", "runc"],
            || podman(case, form),
        );
    }
    bench.check("buildah takes the layout", &["buildah", "podman"], || {
        let storage = Storage::new()?;
        read(&mut storage.buildah(&[
            "pull",
            "--quiet",
            &format!("oci:{}:judged", case.path("layout")),
        ]))?;
        Ok(())
    });
    bench.check(
        "docker loads the docker archive and serves from it",
        &["dockerd", "docker"],
        || docker(case),
    );
    bench.check(
        "runc serves from the program in a bundle",
        &["runc"],
        || runtime_serves(case, "runc"),
    );
    // Debian's crun refuses every bundle where both versions of cgroups are
    // mounted: it has no say there, and the check is not applicable.
    if hybrid_cgroups() {
        println!("  n/a  crun: this machine has both versions of cgroups mounted");
    } else {
        bench.check(
            "crun serves from the program in a bundle",
            &["crun"],
            || runtime_serves(case, "crun"),
        );
    }
    bench.check("ounce runs its own image and serves from it", &[], || {
        let port = free_port()?;
        let publish = format!("127.0.0.1:{port}");
        let mut run = case.ounce(&["run", NAME, "-p", &publish]);
        serves(&mut run, port)
    });
    bench.check(
        "the aarch64 program answers under QEMU",
        &["qemu-aarch64-static"],
        || {
            let elf = case.program("aarch64-unknown-linux-musl")?;
            let port = free_port()?;
            serves(
                command(&["qemu-aarch64-static"])
                    .arg(elf)
                    .env("PORT", port.to_string()),
                port,
            )
        },
    );
}

/// Starts a command and wants a good answer on `port`; ends it again.
fn serves(start: &mut std::process::Command, port: u16) -> Result<()> {
    let mut running = Started::new(start.stdout(Stdio::null()).stderr(Stdio::piped()))?;
    // In slices, so that a program that ended is not waited for; the one more
    // after its end is for an answer that came just before.
    let deadline = Instant::now() + PATIENCE;
    let answer = loop {
        let ran = running.runs();
        let answer = first_answer(port, Duration::from_millis(500));
        if answer.is_ok() || !ran || Instant::now() > deadline {
            break answer;
        }
    };
    match answer {
        Ok((_, text)) => {
            ensure!(text.starts_with("HTTP/1.1 200"), "the answer is {text:?}");
            Ok(())
        }
        Err(error) => {
            let mut said = String::new();
            if !running.runs()
                && let Some(stderr) = running.child().stderr.as_mut()
            {
                use std::io::Read as _;
                let _ = stderr.read_to_string(&mut said);
            }
            Err(error.context(said.trim().to_owned()))
        }
    }
}

fn podman(case: &Case<'_>, form: &str) -> Result<()> {
    let storage = Storage::new()?;
    let kind = if form == "oci.tar" {
        "oci-archive"
    } else {
        "docker-archive"
    };
    let text =
        read(&mut storage.podman(&["pull", "--quiet", &format!("{kind}:{}", case.path(form))]))?;
    let id = text.trim();
    let port = free_port()?;
    let variable = format!("PORT={port}");
    // Its default raises limits, which not every root may.
    serves(
        &mut storage.podman(&[
            "run",
            "--rm",
            "--ulimit",
            "nofile=1024:1024",
            "--ulimit",
            "nproc=1024:1024",
            "--network",
            "host",
            "--env",
            &variable,
            id,
        ]),
        port,
    )
}

fn docker(case: &Case<'_>) -> Result<()> {
    let daemon = Daemon::start()?;
    let text = read(&mut daemon.client(&["load", "--quiet", "--input", &case.path("docker.tar")]))?;
    let image = text
        .trim()
        .rsplit(": ")
        .next()
        .unwrap_or_default()
        .to_owned();
    let port = free_port()?;
    let variable = format!("PORT={port}");
    let result = serves(
        &mut daemon.client(&[
            "run",
            "--name",
            "judged",
            "--network",
            "host",
            "--env",
            &variable,
            &image,
        ]),
        port,
    );
    let _ = read(&mut daemon.client(&["rm", "--force", "judged"]));
    result
}

fn runtime_serves(case: &Case<'_>, runtime: &str) -> Result<()> {
    let folder = case.scratch.join(&format!("bundle-{runtime}"));
    let port = free_port()?;
    let elf = case.program(crate::dist::HOST_TARGET)?;
    bundle::write(&folder, &elf, &[format!("PORT={port}")])?;
    let id = format!("ounce-judge-{}", std::process::id());
    let state = case.scratch.join(&format!("state-{runtime}"));
    let mut run = bundle::run(runtime, &state, &folder, &id);
    let result = serves(&mut run, port);
    if let Some(runtime) = find(runtime) {
        let _ = read(
            command(&[runtime])
                .arg("--root")
                .arg(&state)
                .args(["delete", "--force", &id]),
        );
    }
    result
}

/// Whether the first version's controllers and the second are mounted together.
fn hybrid_cgroups() -> bool {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let kinds = || mounts.lines().filter_map(|line| line.split(' ').nth(2));
    kinds().any(|kind| kind == "cgroup") && kinds().any(|kind| kind == "cgroup2")
}
