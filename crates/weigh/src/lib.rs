//! What an image carries, in bytes: measured, shared out, compared, judged.
//!
//! Everything here is data; showing it is `cli`'s.
#![forbid(unsafe_code)]

pub mod bases;
pub mod budget;
mod deflated;
pub mod report;
pub mod sizes;

pub use report::compare;
pub use sizes::{Weight, measure};
