//! The release program, started for real and asked through loopback sockets.
//! Each run builds it first, for the musl target of this machine.

mod cases;
mod client;
mod confinement;
mod emulation;
mod framing;
mod harness;
mod listening;
mod log;
mod memory;
mod options;
mod packed;
mod paths;
mod program;
mod representations;
mod requests;
mod semantics;
mod site;
mod stopping;
mod survival;
