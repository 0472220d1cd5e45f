//! The examples in other languages than Rust, and one in Rust: built by ounce for many
//! platforms, each within its budget, and each asked, under QEMU where this machine is
//! another.

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
    /// In place of its `ounce.toml`, whose budget then does not count.
    settings: Option<&'static str>,
}

/// With the standard library as rustup has it: for these platforms that is glibc's where
/// there is no musl target, which no budget of musl's could hold.
const AS_INSTALLED: &str = "measure = \"no\"\n[image]\nports = [8080]\n";

const EXAMPLES: &[Example] = &[
    Example {
        name: "go-time",
        needs: &["go"],
        platforms: &["amd64", "arm64", "arm/v7", "arm/v6", "riscv64", "s390x"],
        settings: None,
    },
    Example {
        name: "zig-time",
        needs: &["python3"],
        platforms: &["amd64", "arm64", "arm/v7", "arm/v6", "riscv64", "386"],
        settings: None,
    },
    Example {
        name: "c-time",
        needs: &["make", "musl-gcc", "python3"],
        platforms: &["amd64", "arm64", "arm/v6", "riscv64"],
        settings: None,
    },
    Example {
        name: "std-server",
        needs: &["arm-linux-gnueabihf-gcc", "riscv64-linux-gnu-gcc"],
        platforms: &["arm/v7", "riscv64"],
        settings: Some(AS_INSTALLED),
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
    let mut build = case.ounce(&["build", &folder, "-t", example.name, "--platform"]);
    build
        .arg(&platforms)
        .env("XDG_CACHE_HOME", case.path("cache"));
    if let Some(settings) = example.settings {
        let file = case.path(&format!("{}.toml", example.name));
        std::fs::write(&file, settings)?;
        build.args(["--config", &file]);
    }
    read(&mut build).map(drop)
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
