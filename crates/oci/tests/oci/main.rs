//! The crate from outside: the store, its death at any moment, places, and
//! hostile input. None of it needs another tool.

// Helpers of tests unwrap as tests do; the exception in clippy.toml knows only the latter.
#![allow(clippy::unwrap_used)]

mod artifacts;
mod crash;
mod fetch;
mod hanging;
mod held;
mod hostile;
mod place;
mod registry;
mod rogue;
mod server;
mod store;
