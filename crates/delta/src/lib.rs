//! Updates between two programs, two firmware images, two files: a patch that is
//! a hundredth of the new one, and is applied in a few kilobytes of memory.
//!
//! [`apply`] is the patcher: `no_std`, no allocation, no input or output of its
//! own. Patch bytes are pushed in pieces of any length, the old image is read
//! where the patcher asks, and the new one comes out once and in order. With the
//! feature `pack`, the module `pack` makes patches.
//!
//! A patch is a list of stretches of the old image that stand in the new one (the
//! *map*), and what differs. Since code that moves has all its references
//! changed, a copied stretch is not sent byte by byte: the patcher finds the
//! references in it (`machine`), asks the map where their targets have gone,
//! and writes them anew. Only where that guess is wrong does the patch say
//! something, so that a wrong guess costs bytes and never correctness.
//!
//! What is transmitted how is told in docs/delta.md. Signatures belong to `ota`,
//! images and registries to the caller.
#![cfg_attr(not(any(feature = "pack", test)), no_std)]
#![forbid(unsafe_code)]

pub mod apply;
mod fault;
pub mod format;
mod guess;
mod machine;
mod map;
pub mod memory;
mod old;
#[cfg(feature = "pack")]
pub mod pack;
mod range;
mod symbol;
