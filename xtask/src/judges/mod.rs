//! `cargo xtask judges`: tools that know nothing of ounce read, load and run what it wrote,
//! and ask the server that it ships.
//!
//! Each check has a name and ends as passed, failed with the tool's own words,
//! or skipped with the reason: the tool is missing.

mod archives;
mod bases;
mod device;
mod engines;
mod lambda;
mod languages;
mod manual;
mod registry;
mod runtime;
mod server;
mod ship;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::cycles;
use crate::guest;
use crate::house::House;
use crate::scratch::Scratch;
use crate::tally::Tally;
use crate::tidy;
use crate::tool::{command, find, read};

/// What every judge works on: one image, written in each form.
pub(crate) struct Case<'a> {
    house: &'a House,
    ounce: &'a Path,
    scratch: &'a Scratch,
}

/// The name the image bears in every form.
const NAME: &str = "hello:judged";

impl Case<'_> {
    /// `ounce` on the case's own store.
    fn ounce(&self, arguments: &[&str]) -> Command {
        let mut ounce = command(&[self.ounce]);
        ounce
            .arg("--store")
            .arg(self.scratch.join("store"))
            .args(arguments);
        ounce
    }

    fn path(&self, below: &str) -> String {
        self.scratch.join(below).display().to_string()
    }

    fn program(&self, target: &str) -> Result<PathBuf> {
        tidy::build_own_program(&self.house.path("examples/hello"), target)
    }
}

/// Collects how each check ends.
struct Bench<'a> {
    tally: &'a mut Tally,
}

impl Bench<'_> {
    /// Runs one check; skipped where one of `needs` is not installed.
    fn check(&mut self, name: &str, needs: &[&str], work: impl FnOnce() -> Result<()>) {
        if let Some(missing) = needs.iter().find(|need| find(need).is_none()) {
            self.tally.skipped += 1;
            println!("  skip {name}: {missing} is not installed");
            return;
        }
        match work() {
            Ok(()) => {
                self.tally.passed += 1;
                println!("  ok   {name}");
            }
            Err(error) => {
                self.tally.failed += 1;
                println!("  FAIL {name}: {error:#}");
            }
        }
    }
}

/// Runs every judge with this `ounce`; adds to `tally`.
pub(crate) fn run(house: &House, ounce: &Path, tally: &mut Tally) -> Result<()> {
    let scratch = Scratch::new("judges")?;
    let case = Case {
        house,
        ounce,
        scratch: &scratch,
    };
    let before = tally.failed;
    let mut bench = Bench { tally };
    bench.check("ounce builds and exports the judged image", &[], || {
        prepare(&case)
    });
    archives::judge(&case, &mut bench);
    bases::judge(&case, &mut bench);
    device::judge(&case, &mut bench);
    engines::judge(&case, &mut bench);
    lambda::judge(&case, &mut bench);
    languages::judge(&case, &mut bench);
    manual::judge(&case, &mut bench);
    registry::judge(&case, &mut bench);
    bench.check(
        "ounce keeps its limits where control groups are version 2 only",
        guest::NEEDS,
        || guest::run(house, ounce),
    );
    bench.check("nothing is left of ten thousand starts", &[], || {
        cycles::run(ounce, cycles::COUNT)
    });
    runtime::judge(&case, &mut bench);
    ship::judge(&case, &mut bench);
    server::judge(house, &mut bench);
    let failed = tally.failed - before;
    if failed > 0 {
        bail!("{failed} judges disagree");
    }
    Ok(())
}

/// Runs the judges of firmware alone.
pub(crate) fn run_device(house: &House, ounce: &Path, tally: &mut Tally) -> Result<()> {
    let scratch = Scratch::new("judges")?;
    let case = Case {
        house,
        ounce,
        scratch: &scratch,
    };
    let before = tally.failed;
    device::judge(&case, &mut Bench { tally });
    let failed = tally.failed - before;
    if failed > 0 {
        bail!("{failed} judges disagree");
    }
    Ok(())
}

/// Runs the judges of bases alone.
pub(crate) fn run_bases(house: &House, ounce: &Path, tally: &mut Tally) -> Result<()> {
    let scratch = Scratch::new("judges")?;
    let case = Case {
        house,
        ounce,
        scratch: &scratch,
    };
    let before = tally.failed;
    bases::judge(&case, &mut Bench { tally });
    let failed = tally.failed - before;
    if failed > 0 {
        bail!("{failed} judges disagree");
    }
    Ok(())
}

/// Runs the judges of Lambda alone.
pub(crate) fn run_lambda(house: &House, ounce: &Path, tally: &mut Tally) -> Result<()> {
    let scratch = Scratch::new("judges")?;
    let case = Case {
        house,
        ounce,
        scratch: &scratch,
    };
    let before = tally.failed;
    lambda::judge(&case, &mut Bench { tally });
    let failed = tally.failed - before;
    if failed > 0 {
        bail!("{failed} judges disagree");
    }
    Ok(())
}

/// Runs the judges of the web server alone.
pub(crate) fn run_http(house: &House, tally: &mut Tally) -> Result<()> {
    let before = tally.failed;
    server::judge(house, &mut Bench { tally });
    let failed = tally.failed - before;
    if failed > 0 {
        bail!("{failed} judges disagree");
    }
    Ok(())
}

/// Runs the judges of registries alone.
pub(crate) fn run_registry(house: &House, ounce: &Path, tally: &mut Tally) -> Result<()> {
    let scratch = Scratch::new("judges")?;
    let case = Case {
        house,
        ounce,
        scratch: &scratch,
    };
    let before = tally.failed;
    let mut bench = Bench { tally };
    bench.check("ounce builds and exports the judged image", &[], || {
        prepare(&case)
    });
    registry::judge(&case, &mut bench);
    let failed = tally.failed - before;
    if failed > 0 {
        bail!("{failed} judges disagree");
    }
    Ok(())
}

/// Runs the judges of what is shipped alone.
pub(crate) fn run_ship(house: &House, ounce: &Path, tally: &mut Tally) -> Result<()> {
    let scratch = Scratch::new("judges")?;
    let case = Case {
        house,
        ounce,
        scratch: &scratch,
    };
    let before = tally.failed;
    let mut bench = Bench { tally };
    bench.check("ounce builds and exports the judged image", &[], || {
        prepare(&case)
    });
    ship::judge(&case, &mut bench);
    let failed = tally.failed - before;
    if failed > 0 {
        bail!("{failed} judges disagree");
    }
    Ok(())
}

/// Builds the example for this machine and writes it in every form.
fn prepare(case: &Case<'_>) -> Result<()> {
    let own = crate::dist::HOST_TARGET;
    let elf = case.program(own)?.display().to_string();
    read(&mut case.ounce(&["build", &elf, "-t", NAME]))?;
    for place in [
        format!("oci:{}:judged", case.path("layout")),
        format!("oci-archive:{}", case.path("oci.tar")),
        format!("docker-archive:{}", case.path("docker.tar")),
    ] {
        read(&mut case.ounce(&["copy", NAME, &place]))?;
    }
    // What hangs on an image is in the way of nobody who reads the store.
    read(&mut case.ounce(&["key", "new", &case.path("judged")]))?;
    let key = case.path("judged.key");
    read(&mut case.ounce(&["sign", NAME, "--key", &key]))?;
    read(&mut case.ounce(&["attach", NAME, "--sbom", "spdx"]))?;
    Ok(())
}
