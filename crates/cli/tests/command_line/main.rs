//! The command line as a user sees it: status, stdout and stderr as one picture.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod alpine;
// The archive that the tests make has packages for one architecture.
#[cfg(target_arch = "x86_64")]
mod bases;
mod harness;
mod images;
mod programs;
mod run;
mod screen;
mod serve;
mod site;
mod supply;
mod torture;
mod trim;
mod up;
mod usage;
