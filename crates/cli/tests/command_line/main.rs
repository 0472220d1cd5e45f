//! The command line as a user sees it: status, stdout and stderr as one picture.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod alpine;
// The archive that the tests make has packages for one architecture.
#[cfg(target_arch = "x86_64")]
mod bases;
mod calls;
#[path = "../../../ship/tests/ship/cluster.rs"]
#[allow(
    dead_code,
    reason = "shared with the tests of ship, which use more of it"
)]
mod cluster;
mod clusters;
mod delta;
mod deltas;
mod device;
mod harness;
#[path = "../../../oci/tests/oci/held.rs"]
#[allow(
    dead_code,
    reason = "shared with the tests of oci, which use more of it"
)]
mod held;
mod huge;
mod images;
mod page;
mod parcels;
mod programs;
mod python;
mod registry;
mod run;
mod rust;
mod screen;
mod serve;
#[path = "../../../oci/tests/oci/server.rs"]
#[allow(
    dead_code,
    reason = "shared with the tests of oci, which use more of it"
)]
mod server;
mod ship;
mod site;
mod sshd;
mod supply;
mod torture;
mod trim;
mod up;
mod update;
mod usage;
mod wasm;
mod wasm_network;
mod wasm_page;
