//! What stands in an image's files.

/// An executable, as an image or a user may hold it.
pub fn elf(bytes: &[u8]) {
    let _ = ounce_rootfs::Elf::read(bytes);
}
