//! `ounce_fuzz::oci::documents` under cargo-fuzz.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ounce_fuzz::oci::documents(bytes));
