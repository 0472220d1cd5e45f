//! The command line as a user sees it: status, stdout and stderr as one picture.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod alpine;
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
