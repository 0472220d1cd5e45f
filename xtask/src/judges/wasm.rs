//! WebAssembly: WASI's own test suite, run through ounce and through the engine
//! with code made ahead of time, and the specification's, in each compiler. By
//! hand: both are checkouts, which the environment names.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use super::{Bench, Case};
use crate::tool::command;
use crate::{dist, wasmhost};

/// A checkout of WebAssembly/wasi-testsuite, branch prod/testsuite-base.
const WASI: &str = "WASI_TESTSUITE";
/// A checkout of WebAssembly/testsuite.
const SPECIFICATION: &str = "WASM_TESTSUITE";
/// Where a test finds its files.
const FILES: &str = "/files";

/// What stands beside a test.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Expected {
    args: Vec<String>,
    env: BTreeMap<String, String>,
    /// A folder, which the test may write to.
    root: Option<String>,
    exit_code: i32,
    stdout: Option<String>,
}

pub(super) fn judge(case: &Case<'_>, bench: &mut Bench<'_>) {
    let engine = wasmhost::build(case.house, dist::HOST_TARGET);
    let engine = match &engine {
        Ok(engine) => engine,
        Err(error) => {
            bench.check("the engine is built", &[], || anyhow::bail!("{error:#}"));
            return;
        }
    };
    match named(WASI) {
        Some(suite) => {
            bench.check("WASI's test suite has tests", &[], || {
                ensure!(!tests(&suite)?.is_empty(), "none in {}", suite.display());
                Ok(())
            });
            for test in tests(&suite).unwrap_or_default() {
                let name = test.strip_prefix(&suite).unwrap_or(&test).display();
                bench.check(&format!("ounce run: {name}"), &[], || {
                    in_container(case, engine, &test)
                });
                bench.check(&format!("ahead of time: {name}"), &[], || {
                    ahead(case, engine, &test)
                });
            }
        }
        None => bench.skip(
            "WASI's test suite",
            &format!("{WASI} names no checkout of it"),
        ),
    }
    match named(SPECIFICATION) {
        Some(suite) => bench.check("the specification's test suite", &[], || {
            let mut cargo = command(&["cargo", "run", "--quiet", "--release", "--locked"]);
            cargo
                .args(["--features", "judge", "--target", dist::HOST_TARGET])
                .args(["--", "judge"])
                .arg(&suite)
                .env_remove("CARGO_TARGET_DIR")
                .current_dir(case.house.path(wasmhost::FOLDER));
            // Which files are to pass stands in docs/conformance.md.
            crate::tool::run(&mut cargo)
        }),
        None => bench.skip(
            "the specification's test suite",
            &format!("{SPECIFICATION} names no checkout of it"),
        ),
    }
}

fn named(variable: &str) -> Option<PathBuf> {
    let folder = std::env::var_os(variable).filter(|folder| !folder.is_empty())?;
    std::path::absolute(folder).ok()
}

/// All modules of the suite for preview 1, in an order.
fn tests(suite: &Path) -> Result<Vec<PathBuf>> {
    let mut tests = Vec::new();
    for language in ["assemblyscript", "c", "rust"] {
        let folder = suite
            .join("tests")
            .join(language)
            .join("testsuite/wasm32-wasip1");
        let entries = fs::read_dir(&folder);
        for entry in entries.with_context(|| format!("reading {}", folder.display()))? {
            let path = entry?.path();
            if path.extension().is_some_and(|ending| ending == "wasm") {
                tests.push(path);
            }
        }
    }
    tests.sort();
    Ok(tests)
}

/// What is expected of a test, and a copy of its files.
fn prepare(case: &Case<'_>, test: &Path) -> Result<(Expected, Option<PathBuf>)> {
    let beside = test.with_extension("json");
    let expected: Expected = match fs::read(&beside) {
        Ok(text) => serde_json::from_slice(&text)
            .with_context(|| format!("reading {}", beside.display()))?,
        Err(_) => Expected::default(),
    };
    let Some(root) = &expected.root else {
        return Ok((expected, None));
    };
    let from = test.parent().context("a test lies in a folder")?.join(root);
    let to = case.scratch.join("files");
    if to.exists() {
        fs::remove_dir_all(&to)?;
    }
    fs::create_dir(&to)?;
    if from.is_dir() {
        let words = ["cp", "-a", "--no-preserve=ownership"];
        crate::tool::run(command(&words).arg(from.join(".")).arg(&to))?;
    }
    Ok((expected, Some(to)))
}

/// In a container, with the code that a first start gets.
fn in_container(case: &Case<'_>, engine: &Path, test: &Path) -> Result<()> {
    let (expected, files) = prepare(case, test)?;
    let mut ounce = case.ounce(&["run"]);
    // No code is kept: each start is a first one.
    ounce
        .env("OUNCE_WASMHOST", engine)
        .env("XDG_CACHE_HOME", case.scratch.join("none"));
    if let Some(files) = &files {
        ounce
            .arg("--volume")
            .arg(format!("{}:{FILES}", files.display()))
            .args(["--workdir", FILES]);
    }
    for (name, value) in &expected.env {
        ounce.arg("--env").arg(format!("{name}={value}"));
    }
    ounce.arg(test).arg("--").args(&expected.args);
    let output = ounce.output()?;
    let _ = fs::remove_dir_all(case.scratch.join("none"));
    agrees(&expected, &output)
}

/// The engine alone, with code that its better compiler has made.
fn ahead(case: &Case<'_>, engine: &Path, test: &Path) -> Result<()> {
    let (expected, files) = prepare(case, test)?;
    let code = case.scratch.join("test.code");
    let made = Command::new(engine)
        .arg("compile")
        .arg(test)
        .stdout(fs::File::create(&code)?)
        .status()?;
    ensure!(made.success(), "it is not compiled");
    let mut engine = Command::new(engine);
    engine.arg("run").arg("--compiled").arg(&code).env_clear();
    if let Some(files) = &files {
        engine.arg("--dir").arg(files).arg("--cwd").arg(files);
    }
    engine.envs(&expected.env);
    engine.arg(test).arg("--").args(&expected.args);
    agrees(&expected, &engine.output()?)
}

fn agrees(expected: &Expected, output: &Output) -> Result<()> {
    let said = String::from_utf8_lossy(&output.stdout);
    let told = String::from_utf8_lossy(&output.stderr);
    let code = output.status.code();
    ensure!(
        code == Some(expected.exit_code),
        "ended with {code:?}, not {}: {}",
        expected.exit_code,
        told.trim()
    );
    if let Some(text) = &expected.stdout {
        ensure!(said == *text, "said {said:?}, not {text:?}");
    }
    Ok(())
}
