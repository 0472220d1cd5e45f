//! The formats of ESP32, whose own boot loader, ESP-IDF's, is neither ours nor to be replaced: its record
//! of what to start ([`otadata`]), its images ([`image`]), and its partition table (`pack`).

pub mod image;
pub mod otadata;

pub use otadata::Otadata;
