//! What an image carries, in bytes and in surface.
#![forbid(unsafe_code)]
