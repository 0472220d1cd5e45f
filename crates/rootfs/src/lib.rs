//! The files of an image: merged tree, ELF facts, scripts, unpacking.
//!
//! Everything here reads what others wrote and trusts none of it: an image is
//! data from outside. Hashing, archives and names belong to `oci`.
#![forbid(unsafe_code)]

pub mod content;
pub mod elf;
pub mod loader;
pub mod name;
pub mod node;
pub mod package;
pub mod pattern;
pub mod python;
pub mod script;
pub mod secret;
pub mod services;
pub mod tree;
pub mod unpack;
pub mod wasm;

pub use elf::{Elf, ElfFacts};
pub use script::Script;
pub use tree::Tree;
pub use wasm::WasmFacts;
