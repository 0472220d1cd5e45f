//! Source or a ready binary to an image.
#![forbid(unsafe_code)]
