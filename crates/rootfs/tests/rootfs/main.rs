//! Images made through the store, read and unpacked.

#![allow(clippy::unwrap_used, reason = "tests end here")]

mod image;
mod rpm;
