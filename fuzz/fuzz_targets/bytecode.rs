//! `ounce_fuzz::rootfs::bytecode` under cargo-fuzz.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ounce_fuzz::rootfs::bytecode(bytes));
