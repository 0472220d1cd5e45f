//! The Linux kernel, typed.
#![no_std]

pub mod mask;
