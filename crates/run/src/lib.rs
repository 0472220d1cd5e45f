//! Isolated start of an image, a folder or a program.
//!
//! A [`Spec`] says what is wanted, [`plan()`](plan::plan) turns it into steps without touching
//! anything, and [`start`] takes them. Unpacking images is `rootfs`' work, the
//! steps themselves are `linux`'.
#![forbid(unsafe_code)]

pub mod containers;
pub mod failure;
pub mod host;
pub mod image;
pub mod lifecycle;
pub mod network;
pub mod plan;
pub mod pool;
pub mod proxy;
pub mod publish;
pub mod ready;
pub mod runtime;
pub mod serve;
pub mod spec;
pub mod syscalls;
pub mod terminal;
pub mod trial;
pub mod wasm;

mod ground;
mod groups;
mod room;

pub use failure::StartError;
pub use lifecycle::{Beginning, Container, Exit, Threads, start, start_with};
pub use ounce_linux::Errno;
pub use spec::Spec;
