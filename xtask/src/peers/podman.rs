//! podman and buildah on a storage of our own.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::scratch::Scratch;
use crate::tool::{command, find, read};

/// A storage that podman and buildah share, removed when dropped.
#[derive(Debug)]
pub(crate) struct Storage {
    scratch: Scratch,
    runtime: PathBuf,
}

impl Storage {
    /// A fresh, empty storage. runc is the runtime: Debian's crun refuses hybrid cgroups.
    pub(crate) fn new() -> Result<Self> {
        find("podman").context("podman is not installed")?;
        let runtime = if find("runc").is_some() {
            "runc"
        } else {
            "crun"
        };
        Ok(Self {
            scratch: Scratch::new("podman")?,
            runtime: runtime.into(),
        })
    }

    /// The same with this program as the runtime.
    pub(crate) fn with_runtime(runtime: &Path) -> Result<Self> {
        let mut storage = Self::new()?;
        storage.runtime = runtime.to_owned();
        Ok(storage)
    }

    /// A podman command on this storage.
    pub(crate) fn podman(&self, arguments: &[&str]) -> Command {
        let mut podman = self.with_storage("podman");
        podman
            .arg("--runtime")
            .arg(&self.runtime)
            .args(["--cgroup-manager", "cgroupfs", "--events-backend", "file"])
            .args(arguments);
        podman
    }

    /// A buildah command on this storage.
    pub(crate) fn buildah(&self, arguments: &[&str]) -> Command {
        let mut buildah = self.with_storage("buildah");
        buildah.args(arguments);
        buildah
    }

    fn with_storage(&self, program: &str) -> Command {
        let mut command = command(&[program]);
        command
            .arg("--root")
            .arg(self.scratch.join("root"))
            .arg("--runroot")
            .arg(self.scratch.join("run"));
        command
    }
}

impl Drop for Storage {
    fn drop(&mut self) {
        // What still runs is stopped by name of this storage only.
        let _ = read(&mut self.podman(&["rm", "--all", "--force", "--time", "0"]));
    }
}
