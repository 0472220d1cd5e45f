//! Compiles `apps/httpd`, a workspace of its own, for each architecture whose
//! target is installed, so that `base` can embed it. One that cannot be built
//! is left out with its reason: a folder image then fails with that reason,
//! and everything else works.

use std::env;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// OCI's name of an architecture, and the target that `apps/httpd` configures for it.
const ARCHITECTURES: [(&str, &str); 2] = [
    ("amd64", "x86_64-unknown-linux-musl"),
    ("arm64", "aarch64-unknown-linux-musl"),
];

/// Its programs: the server of folders, and that of packed sites alone.
const PROGRAMS: [&str; 2] = ["httpd", "httpd-packed"];

fn main() {
    let root = PathBuf::from(variable("CARGO_MANIFEST_DIR")).join("../..");
    let out = PathBuf::from(variable("OUT_DIR"));
    println!("cargo::rerun-if-changed=build.rs");
    let httpd = root.join("apps/httpd");
    for path in ["src", "Cargo.toml", "Cargo.lock", "build.rs", ".cargo"] {
        watch(&httpd.join(path));
    }
    for path in ["crates/http/src", "crates/linux/src", "crates/link/src"] {
        watch(&root.join(path));
    }
    let mut table = String::from("&[\n");
    for (architecture, target) in ARCHITECTURES {
        let built = match installed(target) {
            true => build(&httpd, &out, target),
            false => Err(format!("rustup target add {target}")),
        };
        for program in PROGRAMS {
            let kept = built
                .clone()
                .and_then(|folder| keep(&folder, &out, program, architecture));
            let _ = match kept {
                Ok(path) => writeln!(
                    table,
                    "    ({architecture:?}, {program:?}, Ok(include_bytes!({:?}))),",
                    path.display().to_string()
                ),
                Err(reason) => writeln!(
                    table,
                    "    ({architecture:?}, {program:?}, Err({reason:?})),"
                ),
            };
        }
    }
    table.push_str("]\n");
    fs::write(out.join("httpd.rs"), table).expect("OUT_DIR can be written");
}

fn variable(name: &str) -> OsString {
    env::var_os(name).unwrap_or_else(|| panic!("cargo sets {name} for build scripts"))
}

/// Only what exists: a path that does not would compile anew every time.
fn watch(path: &Path) {
    if path.exists() {
        println!("cargo::rerun-if-changed={}", path.display());
    }
}

fn installed(target: &str) -> bool {
    let output = Command::new(variable("RUSTC"))
        .args(["--print", "target-libdir", "--target", target])
        .output();
    output.is_ok_and(|output| Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir())
}

/// Compiles all programs for a target and gives the folder they are in.
fn build(httpd: &Path, out: &Path, target: &str) -> Result<PathBuf, String> {
    if !httpd.join("Cargo.toml").exists() {
        return Err("compile ounce from a checkout that has apps/httpd".to_owned());
    }
    let target_dir = out.join("httpd");
    let mut cargo = Command::new(variable("CARGO"));
    cargo
        .current_dir(httpd)
        .args(["build", "--release", "--quiet", "--target", target])
        .arg("--target-dir")
        .arg(&target_dir);
    if httpd.join("Cargo.lock").exists() {
        cargo.arg("--locked");
    }
    // What the outer cargo, or clippy through it, sets for this crate is not
    // meant for a program without standard library.
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        let foreign = text.starts_with("CARGO_PROFILE_")
            || text.starts_with("CARGO_CFG_")
            || text.starts_with("CARGO_FEATURE_")
            || text.starts_with("CARGO_TARGET_")
            || text.starts_with("CARGO_BUILD_")
            || matches!(
                text.as_ref(),
                "CARGO_ENCODED_RUSTFLAGS"
                    | "RUSTFLAGS"
                    | "RUSTC_WORKSPACE_WRAPPER"
                    | "RUSTC_WRAPPER"
                    | "RUSTC_LINKER"
                    | "CLIPPY_ARGS"
                    | "TARGET"
                    | "HOST"
                    | "PROFILE"
                    | "OPT_LEVEL"
                    | "DEBUG"
            );
        if foreign {
            cargo.env_remove(&name);
        }
    }
    let output = cargo
        .output()
        .map_err(|error| format!("start cargo: {error}"))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        for line in stderr.lines() {
            println!("cargo::warning=httpd for {target}: {line}");
        }
        let reason = stderr
            .lines()
            .find(|line| line.starts_with("error"))
            .unwrap_or("cargo build failed");
        return Err(format!("mend apps/httpd, which did not compile: {reason}"));
    }
    Ok(target_dir.join(target).join("release"))
}

/// Takes a program out of the folder, which cargo may empty.
fn keep(folder: &Path, out: &Path, program: &str, architecture: &str) -> Result<PathBuf, String> {
    let from = folder.join(program);
    let to = out.join(format!("{program}-{architecture}"));
    fs::copy(&from, &to).map_err(|error| format!("find {program} in apps/httpd: {error}"))?;
    Ok(to)
}
