//! The device in QEMU, from outside.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used)]

mod machine;
mod module;
mod pace;
mod story;
