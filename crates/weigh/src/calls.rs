//! The system calls that an image's program can make, beside what runtimes let
//! it make unless told otherwise: the part of the kernel that can be attacked
//! from within.

use ounce_rootfs::elf::calls::{self, Machine};
use serde::Serialize;

/// Places that are told one by one.
const TOLD: usize = 20;

/// What a static program can ask of the kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProgramCalls {
    /// The machine whose code was read, as OCI names it.
    pub architecture: &'static str,
    /// Names of the calls that its code makes, sorted.
    pub names: Vec<&'static str>,
    /// Places in the code that make one.
    pub sites: u64,
    /// Places of which it could not be told which call they make: there may be
    /// others than those named.
    pub unresolved: u64,
    /// Addresses of the first of them.
    pub unresolved_at: Vec<String>,
    /// What runtimes allow by default on this machine.
    pub defaults: Vec<Allowed>,
}

/// How many calls a runtime's default list allows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Allowed {
    /// Whose list.
    pub by: &'static str,
    /// How many, those with conditions on their arguments included.
    pub calls: u64,
}

/// A list, counted for x86-64 and arm64.
struct Figure {
    by: &'static str,
    calls: [u64; 2],
}

/// Podman's list is `seccomp.json` of Debian 12's golang-github-containers-common
/// 0.50.1, with the capabilities that podman gives, counted 2026-11 among the
/// calls that Linux 6.18 has on each machine. Ounce's is counted by a test.
const DEFAULTS: [Figure; 2] = [
    Figure {
        by: "podman 4.3.1",
        calls: [312, 271],
    },
    Figure {
        by: "ounce",
        calls: [307, 262],
    },
];

/// Reads a static program's code; nothing where it is of another machine than
/// x86-64 and arm64, or larger than can be read.
pub(crate) fn of(program: &[u8]) -> Option<ProgramCalls> {
    let found = calls::system_calls(program)?;
    let column = match found.machine {
        Machine::Amd64 => 0,
        Machine::Arm64 => 1,
    };
    let first = found.unresolved.iter().take(TOLD);
    Some(ProgramCalls {
        architecture: found.machine.name(),
        names: found.names(),
        sites: found.sites as u64,
        unresolved: found.unresolved.len() as u64,
        unresolved_at: first.map(|address| format!("{address:#x}")).collect(),
        defaults: DEFAULTS
            .iter()
            .map(|one| Allowed {
                by: one.by,
                calls: one.calls[column],
            })
            .collect(),
    })
}
