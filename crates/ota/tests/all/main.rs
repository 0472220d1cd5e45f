//! What must hold of updates: through every power cut, with every hostile bundle.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used)]

mod esp_idf;
mod proof;
mod refusals;
mod scenarios;
mod world;
