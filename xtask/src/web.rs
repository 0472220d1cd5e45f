//! `cargo xtask web`: the package for pages: its types, its files, its sizes, its tests in node
//! and in the system's Chromium, on pages that this ounce makes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;

use crate::house::House;
use crate::tally::Tally;
use crate::tool::{command, find, read, run};

/// The oldest node that the tools run on.
const NODE: u32 = 20;

/// What vitest writes, as far as it is used.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Told {
    num_passed_tests: u64,
    num_failed_tests: u64,
    num_failed_test_suites: u64,
    num_pending_tests: u64,
}

/// All of it; adds to `tally`.
pub(crate) fn check(house: &House, ounce: &Path, tally: &mut Tally) -> Result<()> {
    let folder = install(house)?;
    run(command(&["npm", "run", "--silent", "check"]).current_dir(&folder))?;
    lay_out(&folder, ounce)?;
    let report = folder.join("target/tests.json");
    let result = run(npx(&folder, &["vitest", "run", "--reporter=default"])
        .arg("--reporter=json")
        .arg(format!("--outputFile.json={}", report.display()))
        .env("OUNCE", ounce)
        .env("CHROMIUM", chromium()?));
    let told = fs::read(&report).with_context(|| format!("reading {}", report.display()));
    let told: Told = serde_json::from_slice(&told?)?;
    tally.passed += told.num_passed_tests;
    tally.failed += told.num_failed_tests;
    tally.skipped += told.num_pending_tests;
    // A file that cannot be loaded has no test that fails.
    ensure!(
        told.num_failed_test_suites == 0 || told.num_failed_tests > 0,
        "{} test files cannot be run",
        told.num_failed_test_suites
    );
    result
}

/// Brings the packages that the lock names; where the package stands.
pub(crate) fn install(house: &House) -> Result<PathBuf> {
    let folder = house.path("web");
    let version = read(&mut command(&["node", "--version"])).context("node is needed")?;
    let major = version.trim().trim_start_matches('v').split('.').next();
    let major: u32 = major.and_then(|text| text.parse().ok()).unwrap_or(0);
    if major < NODE {
        bail!(
            "node {NODE} or newer is needed, and {} is here",
            version.trim()
        );
    }
    // npm notes there what it has installed.
    let have = fs::metadata(folder.join("node_modules/.package-lock.json"));
    let wanted = fs::metadata(folder.join("package-lock.json"))?;
    let is_new = have.is_ok_and(|have| {
        have.modified()
            .is_ok_and(|have| wanted.modified().is_ok_and(|wanted| have >= wanted))
    });
    if !is_new {
        let words = ["npm", "ci", "--no-audit", "--no-fund", "--loglevel=error"];
        run(command(&words).current_dir(&folder))?;
    }
    Ok(folder)
}

/// Has this ounce make the pages of the examples.
pub(crate) fn lay_out(folder: &Path, ounce: &Path) -> Result<()> {
    run(command(&["node", "components.mjs"])
        .current_dir(folder)
        .env("OUNCE", ounce))
}

/// A tool of the package's own.
pub(crate) fn npx(folder: &Path, words: &[&str]) -> Command {
    let mut npx = command(&["npx", "--no-install"]);
    npx.args(words).current_dir(folder);
    npx
}

/// The system's browser.
pub(crate) fn chromium() -> Result<PathBuf> {
    ["chromium", "chromium-browser", "google-chrome"]
        .iter()
        .find_map(|name| find(name))
        .context("chromium is not installed")
}
