//! `ounce_fuzz::rootfs::system_calls` under cargo-fuzz.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ounce_fuzz::rootfs::system_calls(bytes));
