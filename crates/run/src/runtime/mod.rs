//! The OCI runtime face: what podman, conmon, containerd's shim and docker ask
//! of a runtime (runtime.md of the OCI runtime specification 1.2, and the
//! command line that runc has made common).
//!
//! A command is one method of [`Runtime`]; it returns data or does one thing.
//! What a bundle means is in `config`, `mounts`, `process`, `seccomp` and
//! `cgroup`; `plan` makes acts of it, which `ounce-linux` does in the
//! container's first process.

pub mod capability;
pub mod cgroup;
mod check;
pub mod config;
pub mod console;
pub mod create;
pub mod exec;
pub mod fault;
pub mod foreground;
pub mod hooks;
pub mod lifecycle;
pub mod listener;
pub mod mounts;
pub mod pause;
pub mod plan;
pub mod process;
pub mod seal;
pub mod seccomp;
pub mod state;
pub mod stats;
pub mod template;

use std::path::PathBuf;

use config::Linux;
pub use create::Options;
pub use fault::RuntimeError;
pub use state::Status;

/// Version of the specification that is kept to.
pub const SPECIFICATION: &str = "1.2.1";

/// What all commands are told.
#[derive(Debug, Clone)]
pub struct Runtime {
    /// Where the state of containers is.
    pub root: PathBuf,
    /// Whether control groups are systemd's to make.
    pub systemd: bool,
    /// Whether there are to be no control groups.
    pub no_groups: bool,
    /// Whether what only root may is left out without an error; by default,
    /// without root.
    pub rootless: Option<bool>,
}

impl Runtime {
    fn is_rootless(&self) -> bool {
        self.rootless.unwrap_or_else(|| {
            // Root of a user namespace is not the host's.
            let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
            let all = map.split_whitespace().eq(["0", "0", "4294967295"]);
            !all || !rustix::process::geteuid().is_root()
        })
    }

    /// `linux.cgroupsPath`, in the form of a path.
    fn group_path(&self, linux: &Linux) -> Result<Option<String>, RuntimeError> {
        let path = linux.cgroups_path.clone();
        if !self.systemd {
            return Ok(path);
        }
        Err(RuntimeError::Argument(
            "--systemd-cgroup: ounce makes control groups by itself and does not ask \
             systemd for them: leave the option out (podman: --cgroup-manager cgroupfs)"
                .to_owned(),
        ))
    }
}
