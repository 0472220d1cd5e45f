//! ounce: micro-containers.
#![forbid(unsafe_code)]
fn main() {}
