//! Cutting an image down to what its tests use, and proving it.
//!
//! What a test touched ([`witness`]) and what the files themselves name (`reach`)
//! give the kept set ([`keep`]); a smaller set is looked for by trials. Running
//! an image is handed in by the caller: this crate knows no kernel.
#![forbid(unsafe_code)]

pub mod calls;
pub mod certificate;
pub mod classes;
pub mod cut;
pub mod files;
pub mod journal;
pub mod keep;
pub mod reach;
pub mod reduce;
pub mod report;
pub mod scratch;
pub mod strip;
pub mod survey;
pub mod witness;
pub mod working;

pub use files::Files;
pub use keep::{Kept, Reason};
pub use survey::{Survey, survey};
