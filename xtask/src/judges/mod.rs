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
mod wasm;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

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
pub(crate) struct Bench<'a> {
    tally: &'a mut Tally,
}

impl Bench<'_> {
    /// Counts something as skipped.
    fn skip(&mut self, name: &str, reason: &str) {
        self.tally.skipped += 1;
        println!("  skip {name}: {reason}");
    }

    /// Runs one check; skipped where one of `needs` is not installed.
    pub(crate) fn check(&mut self, name: &str, needs: &[&str], work: impl FnOnce() -> Result<()>) {
        if let Some(missing) = needs.iter().find(|need| find(need).is_none()) {
            return self.skip(name, &format!("{missing} is not installed"));
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

/// The check that all others of the exported image build on.
const PREPARED: &str = "ounce builds and exports the judged image";

/// Runs every judge with this `ounce`; adds to `tally`.
pub(crate) fn run(house: &House, ounce: &Path, tally: &mut Tally) -> Result<()> {
    let scratch = Scratch::new("judges")?;
    let case = Case {
        house,
        ounce,
        scratch: &scratch,
    };
    agreed(tally, |bench| {
        bench.check(PREPARED, &[], || prepare(&case));
        archives::judge(&case, bench);
        bases::judge(&case, bench);
        device::judge(&case, bench);
        engines::judge(&case, bench);
        lambda::judge(&case, bench);
        languages::judge(&case, bench);
        manual::judge(&case, bench);
        registry::judge(&case, bench);
        bench.check(
            "ounce keeps its limits where control groups are version 2 only",
            guest::NEEDS,
            || guest::run(house, ounce),
        );
        bench.check("nothing is left of ten thousand starts", &[], || {
            cycles::run(ounce, cycles::COUNT)
        });
        runtime::judge(&case, bench);
        ship::judge(&case, bench);
        server::judge(house, bench);
    })
}

/// Who judges a group of checks.
type Judge = fn(&Case<'_>, &mut Bench<'_>);

/// Groups that can be run alone: the name, whether it judges the image that
/// [`prepare`] exports, and who judges.
const GROUPS: &[(&str, bool, Judge)] = &[
    ("bases", false, bases::judge),
    ("device", false, device::judge),
    ("lambda", false, lambda::judge),
    ("registry", true, registry::judge),
    ("ship", true, ship::judge),
    ("wasm", false, wasm::judge),
];

/// Whether a group of judges can be run alone.
pub(crate) fn is_group(name: &str) -> bool {
    GROUPS.iter().any(|(own, ..)| *own == name)
}

/// Runs a group of judges alone; adds to `tally`.
pub(crate) fn run_group(house: &House, name: &str, ounce: &Path, tally: &mut Tally) -> Result<()> {
    let (_, is_of_image, judge) = GROUPS
        .iter()
        .find(|(own, ..)| *own == name)
        .with_context(|| format!("no group of judges is called {name}"))?;
    let scratch = Scratch::new("judges")?;
    let case = Case {
        house,
        ounce,
        scratch: &scratch,
    };
    agreed(tally, |bench| {
        if *is_of_image {
            bench.check(PREPARED, &[], || prepare(&case));
        }
        judge(&case, bench);
    })
}

/// Runs the judges of the web server alone.
pub(crate) fn run_http(house: &House, tally: &mut Tally) -> Result<()> {
    agreed(tally, |bench| server::judge(house, bench))
}

/// Runs checks; that one of them fails is an error.
pub(crate) fn agreed(tally: &mut Tally, checks: impl FnOnce(&mut Bench<'_>)) -> Result<()> {
    let before = tally.failed;
    checks(&mut Bench { tally });
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
