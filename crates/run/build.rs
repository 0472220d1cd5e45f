//! Compiles `apps/keeper`, a workspace of its own, for the machine that ounce
//! is compiled for, so that `containers::keep` can embed it. Where it cannot be
//! built its place holds the reason: a detached start then fails with that, and
//! everything else works.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    let root = PathBuf::from(variable("CARGO_MANIFEST_DIR")).join("../..");
    let out = PathBuf::from(variable("OUT_DIR"));
    println!("cargo::rerun-if-changed=build.rs");
    let keeper = root.join("apps/keeper");
    let own = ["src", "Cargo.toml", "Cargo.lock", "build.rs", ".cargo"];
    let watched = own.map(|name| keeper.join(name));
    let others = ["apps/httpd/src", "crates/linux/src", "crates/link/src"];
    let others = others.map(|name| root.join(name));
    for path in watched.iter().chain(&others) {
        // One that does not exist would compile anew every time.
        if path.exists() {
            println!("cargo::rerun-if-changed={}", path.display());
        }
    }
    let architecture = variable("CARGO_CFG_TARGET_ARCH");
    let target = format!("{}-unknown-linux-musl", architecture.to_string_lossy());
    let built = match installed(&target) {
        true => build(&keeper, &out, &target),
        false => Err(format!(
            "compile ounce where `rustup target add {target}` was done"
        )),
    };
    let text = match built {
        Ok(path) => format!("Ok(include_bytes!({:?}))", path.display().to_string()),
        Err(reason) => {
            println!("cargo::warning=no detached containers: {reason}");
            // What hindered it may be gone the next time: a file that never is
            // there has this run anew.
            println!("cargo::rerun-if-changed=tried-again-each-time");
            format!("Err({reason:?})")
        }
    };
    fs::write(out.join("keeper.rs"), text).expect("OUT_DIR can be written");
}

fn variable(name: &str) -> OsString {
    env::var_os(name).unwrap_or_else(|| panic!("cargo sets {name} for build scripts"))
}

fn installed(target: &str) -> bool {
    let output = Command::new(variable("RUSTC"))
        .args(["--print", "target-libdir", "--target", target])
        .output();
    output.is_ok_and(|output| Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir())
}

fn build(keeper: &Path, out: &Path, target: &str) -> Result<PathBuf, String> {
    if !keeper.join("Cargo.toml").exists() {
        return Err("compile ounce from a checkout that has apps/keeper".to_owned());
    }
    let folder = out.join("keeper");
    let mut cargo = Command::new(variable("CARGO"));
    cargo
        .current_dir(keeper)
        .args([
            "build",
            "--release",
            "--quiet",
            "--locked",
            "--target",
            target,
        ])
        .arg("--target-dir")
        .arg(&folder);
    // What the outer cargo, or clippy through it, sets for this crate is not
    // meant for a program without standard library.
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        let prefixes = [
            "PROFILE_", "CFG_", "FEATURE_", "TARGET_", "BUILD_", "ENCODED_",
        ];
        let of_cargo = text
            .strip_prefix("CARGO_")
            .is_some_and(|rest| prefixes.iter().any(|prefix| rest.starts_with(prefix)));
        let other = [
            "RUSTFLAGS",
            "RUSTC_WORKSPACE_WRAPPER",
            "RUSTC_WRAPPER",
            "RUSTC_LINKER",
            "CLIPPY_ARGS",
            "TARGET",
            "HOST",
            "PROFILE",
            "OPT_LEVEL",
            "DEBUG",
        ];
        if of_cargo || other.contains(&text.as_ref()) {
            cargo.env_remove(&name);
        }
    }
    let output = cargo
        .output()
        .map_err(|error| format!("start cargo: {error}"))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        for line in stderr.lines() {
            println!("cargo::warning=keeper for {target}: {line}");
        }
        return Err("mend apps/keeper, which did not compile".to_owned());
    }
    let kept = out.join("keeper.elf");
    fs::copy(folder.join(target).join("release/keeper"), &kept)
        .map_err(|error| format!("find keeper in apps/keeper: {error}"))?;
    Ok(kept)
}
