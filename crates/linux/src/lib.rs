//! The Linux kernel, typed.
#![no_std]
