//! The suites: what is measured, one module each.

pub(crate) mod bases;
pub(crate) mod build;
mod counts;
pub(crate) mod delta;
pub(crate) mod density;
mod held;
pub(crate) mod lambda;
pub(crate) mod registry;
pub(crate) mod serve;
pub(crate) mod start;
pub(crate) mod wasm;
pub(crate) mod web;
pub(crate) mod zero;
