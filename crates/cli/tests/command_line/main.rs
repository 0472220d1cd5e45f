//! The command line as a user sees it: status, stdout and stderr as one picture.

mod harness;
mod images;
mod programs;
mod run;
mod up;
mod usage;
