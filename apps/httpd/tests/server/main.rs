//! The release program, started for real and asked through loopback sockets.
//! Each run builds it first, for the musl target of this machine.

mod cases;
mod client;
mod framing;
mod harness;
mod log;
mod old;
mod options;
mod paths;
mod program;
mod semantics;
mod site;
