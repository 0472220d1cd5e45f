//! The release program, started for real and asked through loopback sockets.
//! Each run builds it first, for the musl target of this machine.

mod cases;
mod client;
mod framing;
mod harness;
mod old;
mod paths;
mod program;
mod semantics;
