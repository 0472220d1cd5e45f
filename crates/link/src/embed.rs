//! For build scripts of the tool: programs that are workspaces of their own,
//! compiled to be embedded. What is to happen where one cannot be compiled is
//! left to who embeds it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// What cargo sets for a build script begins with `CARGO_` and one of these.
const OF_CARGO: &[&str] = &[
    "PROFILE_", "CFG_", "FEATURE_", "TARGET_", "BUILD_", "ENCODED_",
];
/// The rest of it, and what clippy sets.
const OTHERS: &[&str] = &[
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

/// A workspace beside the house.
#[derive(Debug)]
pub struct Workspace {
    /// From the root on, as `apps/httpd`: for messages, too.
    name: &'static str,
    root: PathBuf,
    out: PathBuf,
}

impl Workspace {
    /// The one called `name`, seen from a crate in `crates/`; its build
    /// script is to run again when it, or one of `others` (from the root on),
    /// changes.
    ///
    /// # Panics
    /// It is not called by a build script.
    pub fn new(name: &'static str, others: &[&str]) -> Self {
        let workspace = Self {
            name,
            root: PathBuf::from(variable("CARGO_MANIFEST_DIR")).join("../.."),
            out: PathBuf::from(variable("OUT_DIR")),
        };
        let own = ["src", "Cargo.toml", "Cargo.lock", "build.rs", ".cargo"];
        let own = own.map(|part| workspace.root.join(name).join(part));
        let others = others.iter().map(|other| workspace.root.join(other));
        println!("cargo::rerun-if-changed=build.rs");
        for path in own.into_iter().chain(others) {
            // One that does not exist would compile anew every time.
            if path.exists() {
                println!("cargo::rerun-if-changed={}", path.display());
            }
        }
        workspace
    }

    /// Where the build script writes (`OUT_DIR`).
    pub fn out(&self) -> &Path {
        &self.out
    }

    /// Compiles all programs of the workspace for a target and gives the
    /// folder that they are in.
    ///
    /// # Errors
    /// What to do about it: the target is not installed, the folder is not
    /// there, or it does not compile, of which cargo's words become warnings.
    pub fn compile(&self, target: &str) -> Result<PathBuf, String> {
        let Self { name, root, out } = self;
        if !is_installed(target) {
            return Err(format!("rustup target add {target}"));
        }
        let folder = root.join(name);
        if !folder.join("Cargo.toml").exists() {
            return Err(format!("compile ounce from a checkout that has {name}"));
        }
        let target_folder = out.join(name);
        let mut cargo = Command::new(variable("CARGO"));
        cargo
            .current_dir(&folder)
            .args(["build", "--release", "--quiet", "--target", target])
            .arg("--target-dir")
            .arg(&target_folder);
        if folder.join("Cargo.lock").exists() {
            cargo.arg("--locked");
        }
        for (variable, _) in env::vars_os() {
            if is_foreign(&variable.to_string_lossy()) {
                cargo.env_remove(&variable);
            }
        }
        let output = cargo
            .output()
            .map_err(|error| format!("start cargo: {error}"))?;
        if !output.status.success() {
            let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
            for line in stderr.lines() {
                println!("cargo::warning={name} for {target}: {line}");
            }
            let reason = stderr
                .lines()
                .find(|line| line.starts_with("error"))
                .unwrap_or("cargo build failed");
            return Err(format!("mend {name}, which did not compile: {reason}"));
        }
        Ok(target_folder.join(target).join("release"))
    }

    /// Takes a program out of a folder, which cargo may empty, to be kept as `kept`.
    ///
    /// # Errors
    /// What to do about it.
    pub fn keep(&self, folder: &Path, program: &str, kept: &str) -> Result<PathBuf, String> {
        let to = self.out.join(kept);
        fs::copy(folder.join(program), &to)
            .map_err(|error| format!("find {program} in {}: {error}", self.name))?;
        Ok(to)
    }
}

/// Whether the outer cargo, or clippy through it, sets this for the crate it
/// compiles: it is not meant for a program without the standard library.
fn is_foreign(variable: &str) -> bool {
    let of_cargo = variable
        .strip_prefix("CARGO_")
        .is_some_and(|rest| OF_CARGO.iter().any(|prefix| rest.starts_with(prefix)));
    of_cargo || OTHERS.contains(&variable)
}

/// A variable that cargo sets for every build script.
fn variable(name: &str) -> OsString {
    env::var_os(name).unwrap_or_else(|| panic!("cargo sets {name} for build scripts"))
}

fn is_installed(target: &str) -> bool {
    let output = Command::new(variable("RUSTC"))
        .args(["--print", "target-libdir", "--target", target])
        .output();
    output.is_ok_and(|output| Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_for_the_outer_crate_goes_and_what_finds_cargo_stays() {
        for goes in [
            "CARGO_PROFILE_DEV_DEBUG",
            "CARGO_ENCODED_RUSTFLAGS",
            "DEBUG",
            "TARGET",
        ] {
            assert!(is_foreign(goes), "{goes}");
        }
        for stays in [
            "CARGO_HOME",
            "PATH",
            "CARGO",
            "RUSTUP_TOOLCHAIN",
            "CARGO_NET_OFFLINE",
        ] {
            assert!(!is_foreign(stays), "{stays}");
        }
    }
}
