//! `ounce_fuzz::oci::keys` under cargo-fuzz.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ounce_fuzz::oci::keys(bytes));
