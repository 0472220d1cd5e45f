//! `ounce_fuzz::rootfs::rpm_database` under cargo-fuzz.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ounce_fuzz::rootfs::rpm_database(bytes));
