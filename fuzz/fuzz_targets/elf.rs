//! An executable, as an image or a user may hold it.
#![no_main]
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = ounce_rootfs::Elf::read(bytes);
});
