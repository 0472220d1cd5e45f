//! Isolated start of an image, a folder or a program.
#![forbid(unsafe_code)]

pub mod proxy;
pub mod publish;
pub mod terminal;
