//! `cargo xtask test`: all that must hold before a change lands, with one closing line.

use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::house::House;
use crate::judges;
use crate::tally::Tally;
use crate::tool::{command, find, run, stage, watch};
use crate::{corpus, dist, fleet, licences, setup, tidy, wasmhost, web};

/// Runs every stage; a failing one does not keep the next from being told.
pub(crate) fn test(house: &House) -> Result<()> {
    let mut tally = Tally::default();
    let mut failed: Vec<String> = Vec::new();
    let mut note = |name: &str, result: Result<()>| {
        if let Err(error) = result {
            println!("error: {error:#}");
            failed.push(name.to_owned());
        }
    };
    note("setup", stage("setup", || setup::setup(false)));
    note("format", stage("format", || format(house)));
    note("clippy", stage("clippy", || clippy(house)));
    note("documents", stage("documents", || documents(house)));
    note("licences", stage("licences", || licences_or_deny(house)));
    // Once, for all tests that start modules.
    note(
        "wasmhost",
        stage("wasmhost", || wasmhost::test(house, &mut tally).map(|_| ())),
    );
    note("tests", stage("tests", || tests(house, &mut tally)));
    note(
        "fleet",
        stage("fleet", || fleet::run(house, fleet::DEVICES)),
    );
    note("tidy", stage("tidy", || tidy::run(house, false)));
    let program = stage("dist", shipped);
    match program {
        Ok(program) => {
            let judged = stage("judges", || judges::run(house, &program, &mut tally));
            note("judges", judged);
            let shown = stage("web", || web::check(house, &program, &mut tally));
            note("web", shown);
            note("corpus", stage("corpus", || smallest(house, &program)));
        }
        Err(error) => note("dist", Err(error)),
    }
    let in_ci = std::env::var("CI").is_ok_and(|value| value == "true" || value == "1");
    if in_ci && tally.skipped > 0 {
        failed.push("skipped checks, which CI does not allow".to_owned());
    }
    if !failed.is_empty() {
        println!("failed: {}", failed.join(", "));
    }
    println!("{tally}");
    if !failed.is_empty() || tally.failed > 0 {
        bail!("the tests fail");
    }
    Ok(())
}

/// Builds and weighs what is shipped; where it stands.
fn shipped() -> Result<PathBuf> {
    dist::run(&[])?;
    dist::build(dist::HOST_TARGET)
}

/// The smallest image of the corpus, trimmed and proved.
fn smallest(house: &House, ounce: &std::path::Path) -> Result<()> {
    let ounce = ounce.display().to_string();
    let words = ["busybox", "--check", "--ounce", &ounce].map(str::to_owned);
    corpus::run(house, &words)
}

fn format(house: &House) -> Result<()> {
    run(command(&["cargo", "fmt", "--all", "--check"]).current_dir(house.root()))?;
    for folder in house
        .own_workspaces()?
        .into_iter()
        .chain([house.path("fuzz")])
    {
        run(command(&["cargo", "fmt", "--check"]).current_dir(folder))?;
    }
    Ok(())
}

fn clippy(house: &House) -> Result<()> {
    run(command(&[
        "cargo",
        "clippy",
        "--quiet",
        "--locked",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ])
    .current_dir(house.root()))?;
    for folder in house.own_workspaces()? {
        if wasmhost::is(house, &folder) {
            continue; // Has its own stage.
        }
        // Without --all-targets: a program without the standard library has no test harness.
        run(command(&[
            "cargo",
            "clippy",
            "--quiet",
            "--locked",
            "--release",
            "--target",
            target_of(&folder),
            "--",
            "-D",
            "warnings",
        ])
        .current_dir(folder))?;
    }
    Ok(())
}

/// What an example is for: those of WebAssembly are named so.
fn target_of(folder: &std::path::Path) -> &'static str {
    let name = folder.file_name().unwrap_or_default();
    match name.as_encoded_bytes().starts_with(b"wasm-") {
        true => "wasm32-unknown-unknown",
        false => dist::HOST_TARGET,
    }
}

fn documents(house: &House) -> Result<()> {
    run(command(&[
        "cargo",
        "doc",
        "--quiet",
        "--locked",
        "--workspace",
        "--no-deps",
        "--document-private-items",
    ])
    .env("RUSTDOCFLAGS", "-D warnings")
    .current_dir(house.root()))
}

fn licences_or_deny(house: &House) -> Result<()> {
    if find("cargo-deny").is_some() {
        run(
            command(&["cargo", "deny", "check", "licenses", "bans", "sources"])
                .current_dir(house.root()),
        )?;
    }
    licences::check(house)
}

fn tests(house: &House, tally: &mut Tally) -> Result<()> {
    let mut folders = vec![house.root().to_path_buf()];
    // The engine has its own stage; modules have no harness, and tests of the
    // command line build and run them.
    let is_tested =
        |folder: &PathBuf| !wasmhost::is(house, folder) && target_of(folder) == dist::HOST_TARGET;
    folders.extend(house.own_workspaces()?.into_iter().filter(is_tested));
    let mut broken = Vec::new();
    for folder in folders {
        let mut cargo = command(&["cargo", "test", "--locked", "--no-fail-fast"]);
        if folder == house.root() {
            cargo.arg("--workspace");
        }
        cargo.current_dir(&folder);
        let good = watch(&mut cargo, &mut |line| tally.see(line))?;
        if !good {
            broken.push(house.name(&folder).to_string());
        }
    }
    // The fuzz targets by a plain test: no nightly toolchain, no fuzzing engine.
    let folder = house.path("fuzz");
    let mut cargo = command(&["cargo", "test", "--no-default-features"]);
    if !watch(cargo.current_dir(&folder), &mut |line| tally.see(line))? {
        broken.push(house.name(&folder).to_string());
    }
    if !broken.is_empty() {
        bail!("cargo test fails in: {}", broken.join(", "));
    }
    Ok(())
}
