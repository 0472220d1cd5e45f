//! `cargo xtask wasmhost`: the engine of WebAssembly images, built once, in one
//! profile and with one set of features, since its compiler takes minutes.
//!
//! It is a workspace of its own that the stages for the small programs beside
//! the house pass over: they would build it again for a profile, a target or a
//! lint that nobody ships.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};

use crate::dist;
use crate::house::House;
use crate::tally::Tally;
use crate::tool::{command, read, run, watch};

/// Where it stands.
pub(crate) const FOLDER: &str = "apps/wasmhost";

const HELP: &str = "\
cargo xtask wasmhost [--target TRIPLE]

Builds the engine of WebAssembly images (profile release, static, musl), checks
that it is static and within apps/wasmhost/budget.toml, and puts a copy beside
each ounce that is built here, where `ounce run` looks for it.
";

/// Whether a folder is the engine's.
pub(crate) fn is(house: &House, folder: &Path) -> bool {
    folder == house.path(FOLDER)
}

/// The command.
pub(crate) fn task(house: &House, arguments: &[String]) -> Result<()> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let target = match words.as_slice() {
        [] => dist::HOST_TARGET,
        ["--target", target] => target,
        ["-h" | "--help"] => {
            print!("{HELP}");
            return Ok(());
        }
        other => bail!("unknown arguments {other:?}\n\n{HELP}"),
    };
    let program = build(house, target)?;
    let bytes = fs::metadata(&program)?.len();
    println!("{} {bytes} bytes", program.display());
    if target == dist::HOST_TARGET {
        beside(house, &program)?;
    }
    Ok(())
}

/// Builds and checks it; where it stands.
pub(crate) fn build(house: &House, target: &str) -> Result<PathBuf> {
    let folder = house.path(FOLDER);
    let words = ["cargo", "build", "--quiet", "--release", "--locked"];
    run(command(&words)
        .args(["--target", target])
        .env_remove("CARGO_TARGET_DIR")
        .current_dir(&folder))?;
    let program = folder
        .join("target")
        .join(target)
        .join("release/ounce-wasmhost");
    dist::check_static(&program)?;
    dist::check_budget(
        &folder.join("budget.toml"),
        fs::metadata(&program)?.len(),
        "ounce-wasmhost",
    )?;
    Ok(program)
}

/// Puts a copy beside each ounce of this machine that is built.
fn beside(house: &House, program: &Path) -> Result<()> {
    let target = house.target();
    let places = [
        target.join("debug"),
        target.join("release"),
        target.join(dist::HOST_TARGET).join("dist"),
    ];
    for place in places.iter().filter(|place| place.join("ounce").is_file()) {
        let to = place.join("ounce-wasmhost");
        // By another name first: one that runs just now is not written over.
        let aside = place.join("ounce-wasmhost.new");
        fs::copy(program, &aside).with_context(|| format!("writing {}", aside.display()))?;
        fs::rename(&aside, &to)?;
        println!("  beside {}", house.name(&place.join("ounce")));
    }
    Ok(())
}

/// Builds it, and runs its own tests under clippy, which so need no library of
/// it a second time; where it stands.
pub(crate) fn test(house: &House, tally: &mut Tally) -> Result<PathBuf> {
    let program = build(house, dist::HOST_TARGET)?;
    let sysroot = read(&mut command(&["rustc", "--print", "sysroot"]))?;
    let clippy = Path::new(sysroot.trim()).join("bin/clippy-driver");
    let mut cargo = command(&["cargo", "test", "--release", "--locked"]);
    cargo
        .args(["--target", dist::HOST_TARGET])
        .env_remove("CARGO_TARGET_DIR")
        .env("RUSTC_WORKSPACE_WRAPPER", clippy)
        // As cargo-clippy hands it on.
        .env(
            "CLIPPY_ARGS",
            "-D__CLIPPY_HACKERY__warnings__CLIPPY_HACKERY__",
        )
        .current_dir(house.path(FOLDER));
    let good = watch(&mut cargo, &mut |line| tally.see(line))?;
    ensure!(good, "cargo test fails in {FOLDER}");
    Ok(program)
}
