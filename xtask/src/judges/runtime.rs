//! podman with ounce as its OCI runtime.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::{Bench, Case};
use crate::peers::podman::Storage;
use crate::tool::{command, read};

/// What a container of the judged image is started with: podman's own default
/// raises limits, which not every root may.
const LIMITS: [&str; 4] = [
    "--ulimit",
    "nofile=1024:1024",
    "--ulimit",
    "nproc=1024:1024",
];

pub(super) fn judge(case: &Case<'_>, bench: &mut Bench<'_>) {
    bench.check(
        "podman runs, executes, stops and removes with ounce as its runtime",
        &["podman", "busybox"],
        || podman(case),
    );
}

/// ounce under the name that makes it a runtime.
fn runtime(case: &Case<'_>) -> Result<PathBuf> {
    let path = case.scratch.join("ounce-runtime");
    if !path.exists() {
        std::fs::copy(case.ounce, &path).context("copying ounce")?;
    }
    Ok(path)
}

/// A root with a shell in it, as podman imports it.
fn root(case: &Case<'_>) -> Result<PathBuf> {
    let root = case.scratch.join("shell");
    std::fs::create_dir_all(root.join("bin"))?;
    std::fs::copy("/bin/busybox", root.join("bin/busybox"))?;
    for name in ["sh", "sleep", "id", "echo"] {
        std::os::unix::fs::symlink("busybox", root.join("bin").join(name))?;
    }
    let tar = case.scratch.join("shell.tar");
    read(
        command(&["tar"])
            .arg("-cf")
            .arg(&tar)
            .arg("-C")
            .arg(&root)
            .arg("."),
    )?;
    Ok(tar)
}

fn code(command: &mut Command) -> Result<Option<i32>> {
    Ok(command.output()?.status.code())
}

fn podman(case: &Case<'_>) -> Result<()> {
    let storage = Storage::with_runtime(&runtime(case)?)?;
    let tar = root(case)?.display().to_string();
    let text = read(&mut storage.podman(&["import", &tar, "judged:shell"]))?;
    let image = text.lines().last().unwrap_or_default().trim().to_owned();
    let run = |more: &[&str], words: &[&str]| {
        let all: Vec<&str> = ["run", "--network", "none"]
            .iter()
            .chain(&LIMITS)
            .chain(more)
            .chain([&image.as_str()])
            .chain(words)
            .copied()
            .collect();
        storage.podman(&all)
    };
    let said = read(&mut run(&["--rm"], &["sh", "-c", "echo judged"]))?;
    ensure!(said == "judged\n", "the output is {said:?}");
    let ended = code(&mut run(&["--rm"], &["sh", "-c", "exit 7"]))?;
    ensure!(ended == Some(7), "7 became {ended:?}");
    let missing = code(&mut run(&["--rm"], &["no-such-program"]))?;
    ensure!(missing == Some(127), "a missing program gives {missing:?}");
    let script = "trap 'echo ended; exit 4' TERM; while :; do sleep 0.1; done";
    read(&mut run(
        &["--detach", "--name", "judged"],
        &["sh", "-c", script],
    ))?;
    let inside = code(&mut storage.podman(&["exec", "judged", "sh", "-c", "exit 9"]))?;
    ensure!(inside == Some(9), "9 of exec became {inside:?}");
    for words in [
        ["pause", "judged"],
        ["unpause", "judged"],
        ["stop", "judged"],
    ] {
        read(&mut storage.podman(&words))?;
    }
    let log = read(&mut storage.podman(&["logs", "judged"]))?;
    ensure!(log == "ended\n", "the log is {log:?}");
    let code = read(&mut storage.podman(&["wait", "judged"]))?;
    ensure!(code.trim() == "4", "stopped with {code:?}");
    read(&mut storage.podman(&["restart", "--time", "1", "judged"]))?;
    read(&mut storage.podman(&["kill", "judged"]))?;
    read(&mut storage.podman(&["rm", "--force", "judged"]))?;
    Ok(())
}
