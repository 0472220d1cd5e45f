//! What an image carries, in bytes: measured, shared out, compared, judged.
//!
//! Everything here is data; showing it is `cli`'s.
#![forbid(unsafe_code)]

pub mod bases;
pub mod budget;
pub mod calls;
pub mod cost;
pub mod difference;
pub mod inventory;
pub mod kind;
mod pass;
pub mod plain;
pub mod report;
pub mod sbom;
mod shares;
pub mod sizes;
pub mod surface;

pub use inventory::Inventory;
pub use report::compare;
pub use sizes::{Weight, measure, measure_all};
