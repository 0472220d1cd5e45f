//! `ounce_fuzz::http::packed_site` under cargo-fuzz.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ounce_fuzz::http::packed_site(bytes));
