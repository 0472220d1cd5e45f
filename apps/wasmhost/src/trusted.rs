//! The two things that only the caller can vouch for: that code made ahead of
//! time is ours, and that open files which are said to be handed in are.
#![allow(unsafe_code)]

use std::net::TcpListener;
use std::os::fd::{FromRawFd as _, OwnedFd, RawFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use wasmtime::component::Component;
use wasmtime::{Engine, Module, Result};

/// First of the files that are handed in (man 3 sd_listen_fds).
const FIRST: RawFd = 3;

/// Maps code of a core module that `compile` wrote.
pub(crate) fn module(engine: &Engine, file: &Path) -> Result<Module> {
    // SAFETY: it has to be what this program wrote, unchanged. It is what
    // `--compiled` names: `ounce` names a file that it had made itself, that
    // only its user can write, and that no image can bring; the engine itself
    // refuses code of another version, machine or configuration.
    unsafe { Module::deserialize_file(engine, file) }
}

/// Maps code of a component that `compile` wrote.
pub(crate) fn component(engine: &Engine, file: &Path) -> Result<Component> {
    // SAFETY: as in `module`.
    unsafe { Component::deserialize_file(engine, file) }
}

/// The sockets that were handed in, if the environment says so to this process;
/// asked a second time there are none.
pub(crate) fn sockets() -> Vec<TcpListener> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    let number = |name: &str| std::env::var(name).ok()?.parse::<u32>().ok();
    let ours = number("LISTEN_PID").is_none_or(|pid| pid == std::process::id());
    if !ours || TAKEN.swap(true, Ordering::Relaxed) {
        return Vec::new();
    }
    let count = number("LISTEN_FDS").unwrap_or(0).min(64);
    (0..count)
        .filter_map(|at| RawFd::try_from(at).ok())
        .map(|at| {
            // SAFETY: by the protocol these numbers are open files that nobody
            // else in this process owns, and this is done once.
            let file = unsafe { OwnedFd::from_raw_fd(FIRST + at) };
            TcpListener::from(file)
        })
        .collect()
}
