//! `ounce_fuzz::build::debian_index` under cargo-fuzz.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ounce_fuzz::build::debian_index(bytes));
