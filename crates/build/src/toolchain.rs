//! The compilers: where they are found, and the environment they are given.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The compilers and the environment they are given.
#[derive(Debug, Clone)]
pub struct Toolchain {
    /// `cargo`, a path or a name to look up.
    pub cargo: PathBuf,
    /// `rustc`, likewise.
    pub rustc: PathBuf,
    /// The whole environment of every compiler; nothing is inherited.
    pub environment: BTreeMap<OsString, OsString>,
}

impl Toolchain {
    /// Cargo and rustc by name, with `environment` cleared of what an outer
    /// `cargo run` or `cargo test` leaves for its own children: it would
    /// choose toolchain, flags and folders of the wrong project.
    pub fn new(environment: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let mut environment: BTreeMap<_, _> = environment.into_iter().collect();
        let inside_cargo = environment.contains_key(&OsString::from("CARGO_MANIFEST_DIR"));
        if inside_cargo {
            environment.retain(|name, _| {
                let name = name.to_string_lossy();
                !(name.starts_with("CARGO_PKG_")
                    || name.starts_with("CARGO_MANIFEST_")
                    || name.starts_with("CARGO_BIN_")
                    || name.starts_with("CARGO_PROFILE_")
                    || matches!(
                        name.as_ref(),
                        "CARGO"
                            | "CARGO_ENCODED_RUSTFLAGS"
                            | "CARGO_MAKEFLAGS"
                            | "CARGO_TARGET_DIR"
                            | "CARGO_BUILD_TARGET"
                            | "CARGO_BUILD_TARGET_DIR"
                            | "LD_LIBRARY_PATH"
                            | "MAKEFLAGS"
                            | "MFLAGS"
                            | "RUSTC"
                            | "RUSTC_WRAPPER"
                            | "RUSTC_WORKSPACE_WRAPPER"
                            | "RUSTFLAGS"
                            | "RUSTUP_TOOLCHAIN"
                            | "RUST_RECURSION_COUNT"
                    ))
            });
        }
        Self {
            cargo: PathBuf::from("cargo"),
            rustc: PathBuf::from("rustc"),
            environment,
        }
    }

    /// A variable that is set to something.
    pub(crate) fn get(&self, name: &str) -> Option<&OsStr> {
        self.environment
            .get(OsStr::new(name))
            .filter(|value| !value.is_empty())
            .map(OsString::as_os_str)
    }

    /// Whether a variable is set to something.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Where compilers that have no folder of their own put what they make:
    /// `ounce/build` in the user's cache (XDG base directory specification). A
    /// folder beneath for each project; cargo has `target/`.
    pub(crate) fn work(&self) -> Option<PathBuf> {
        let absolute = |name: &str| {
            self.get(name)
                .map(PathBuf::from)
                .filter(|p| p.is_absolute())
        };
        absolute("XDG_CACHE_HOME")
            .or_else(|| Some(absolute("HOME")?.join(".cache")))
            .map(|cache| cache.join("ounce/build"))
    }

    /// A program of this name along the environment's `PATH`.
    pub(crate) fn find(&self, name: &str) -> Option<PathBuf> {
        let executable = |path: &PathBuf| {
            std::fs::metadata(path)
                .is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
        };
        let folders = std::env::split_paths(self.get("PATH")?).collect::<Vec<_>>();
        let mut found = folders.into_iter().map(|folder| folder.join(name));
        found.find(executable)
    }

    /// A command of the compilers': their environment, no input.
    pub(crate) fn command(&self, program: &Path, folder: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(folder)
            .env_clear()
            .envs(&self.environment)
            .stdin(Stdio::null());
        command
    }

    /// What a program writes when asked so; `None` if it fails.
    pub(crate) fn answer(
        &self,
        program: &Path,
        folder: &Path,
        arguments: &[&str],
    ) -> Option<String> {
        let output = self
            .command(program, folder)
            .args(arguments)
            .stderr(Stdio::null())
            .output()
            .ok()?;
        output
            .status
            .success()
            .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }
}
