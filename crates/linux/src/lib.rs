//! The Linux kernel, typed.
#![no_std]

pub mod clock;
pub mod descriptor;
pub mod signal;
