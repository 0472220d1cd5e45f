//! The Linux kernel, typed.
#![no_std]

pub mod descriptor;
pub mod signal;
