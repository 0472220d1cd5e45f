//! The examples in other languages than Rust: built by ounce for many platforms,
//! each within its budget, and each asked, under QEMU where this machine is another.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::{Bench, Case};
use crate::peers::answer::{first_answer, free_port};
use crate::peers::started::Started;
use crate::tool::read;

/// How long a server may take to its first answer here; no measurement.
const PATIENCE: Duration = Duration::from_secs(60);

/// An example, what builds it, and for which platforms.
struct Example {
    name: &'static str,
    needs: &'static [&'static str],
    platforms: &'static [&'static str],
}

const EXAMPLES: &[Example] = &[
    Example {
        name: "go-time",
        needs: &["go"],
        platforms: &["amd64", "arm64", "arm/v7", "arm/v6", "riscv64", "s390x"],
    },
    Example {
        name: "zig-time",
        needs: &["python3"],
        platforms: &["amd64", "arm64", "arm/v7", "arm/v6", "riscv64", "386"],
    },
    Example {
        name: "c-time",
        needs: &["make", "musl-gcc", "python3"],
        platforms: &["amd64", "arm64", "arm/v6", "riscv64"],
    },
];

pub(super) fn judge(case: &Case<'_>, bench: &mut Bench<'_>) {
    for example in EXAMPLES {
        let built = format!("{} is built for {}", example.name, list(example));
        let mut good = false;
        bench.check(&built, example.needs, || {
            build(case, example)?;
            good = true;
            Ok(())
        });
        // What was not built is told once.
        for platform in example.platforms.iter().filter(|_| good) {
            bench.check(
                &format!("{} answers on linux/{platform}", example.name),
                &["qemu-aarch64-static"],
                || answers(case, example.name, platform),
            );
        }
    }
}

fn list(example: &Example) -> String {
    let names: Vec<String> = example
        .platforms
        .iter()
        .map(|platform| format!("linux/{platform}"))
        .collect();
    names.join(",")
}

/// A byte over the budget in its `ounce.toml` fails.
fn build(case: &Case<'_>, example: &Example) -> Result<()> {
    let folder = case.house.path("examples").join(example.name);
    let folder = folder.display().to_string();
    let platforms = list(example);
    read(
        case.ounce(&["build", &folder, "-t", example.name, "--platform"])
            .arg(&platforms)
            .env("XDG_CACHE_HOME", case.path("cache")),
    )?;
    Ok(())
}

fn answers(case: &Case<'_>, name: &str, platform: &str) -> Result<()> {
    let port = free_port()?;
    let publish = format!("127.0.0.1:{port}:8080");
    let platform = format!("linux/{platform}");
    let mut run = case.ounce(&["run", "--platform", &platform, name, "-p", &publish]);
    let mut running = Started::new(&mut run)?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let ran = running.runs();
        match first_answer(port, Duration::from_millis(500)) {
            Ok((_, text)) => {
                ensure!(text.starts_with("HTTP/1.1 200"), "the answer is {text:?}");
                return Ok(());
            }
            Err(error) if !ran || Instant::now() > deadline => {
                return Err(error).context("the program ended, or never answered");
            }
            Err(_) => {}
        }
    }
}
