//! The files of an image: merged tree, ELF facts, unpacking.
#![forbid(unsafe_code)]
