//! The Linux kernel's interfaces, typed: what `rustix` does not have, or not
//! in a form that a child between clone and exec may use.
//!
//! This is the only crate with `unsafe`. It never allocates, so all of it may
//! run in a child that shares its parent's memory, and in programs without
//! the standard library. What a container is, it leaves to `run`.
#![no_std]

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
compile_error!("ounce-linux knows the system calls of x86_64 and aarch64 only");

#[cfg(test)]
extern crate std;

pub mod arena;
pub mod bare;
pub mod bpf;
pub mod capability;
pub mod clock;
mod clone;
pub mod descriptor;
pub mod init;
pub mod janitor;
pub mod landlock;
mod launch;
mod mapping;
pub mod mount;
pub mod namespace;
mod nest;
pub mod process;
pub mod resolve;
pub mod seal;
pub mod seccomp;
pub mod signal;
pub mod step;
mod syscall;
mod take;
pub mod trace;

pub use rustix::io::Errno;
