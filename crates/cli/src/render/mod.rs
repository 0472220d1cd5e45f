//! Values to text for people.

pub(crate) mod html;
pub(crate) mod progress;
pub(crate) mod screen;
pub(crate) mod table;
pub(crate) mod wasm;
pub(crate) mod weigh;
