//! A device in small: what its boot loader and its programs share.
//!
//! The machine is QEMU's `virt` for RISC-V: a serial line, and 32 MB of NOR flash with the commands of
//! Intel's chips. The loader copies the program it chooses from its slot to memory and jumps there.
#![no_std]
#![deny(unsafe_code)]

#[cfg(target_os = "none")]
pub mod board;
#[cfg(target_os = "none")]
pub mod flash;
#[cfg(all(target_os = "none", feature = "vessel"))]
pub mod heap;
#[cfg(target_os = "none")]
pub mod line;
#[cfg(target_os = "none")]
pub mod update;
#[cfg(all(target_os = "none", feature = "vessel"))]
pub mod vessel;

use ounce_ota::{Layout, Region};

/// An erasable sector of the machine's flash: two chips side by side, 128 KB each.
pub const SECTOR: u32 = 256 << 10;

/// Bytes of the flash.
pub const FLASH: u32 = 32 << 20;

/// Two slots of a megabyte, and a journal.
pub const LAYOUT: Layout = Layout {
    journal: Region::new(0, 2 * SECTOR),
    slots: [Region::new(1 << 20, 1 << 20), Region::new(2 << 20, 1 << 20)],
    checkpoint: SECTOR,
    attempts: 3,
};

/// What updates are for.
pub const PRODUCT: &str = "ounce-device";

/// What updates of modules are for.
pub const MODULE: &str = "ounce-module";

/// The revision of the hardware.
pub const HARDWARE: u32 = 1;

/// The key that signs updates: that of RFC 8032 §7.1, test 1, whose secret everybody knows. A device that
/// goes to someone has another.
pub const KEYS: [[u8; 32]; 1] = [[
    0xd7, 0x5a, 0x98, 0x01, 0x82, 0xb1, 0x0a, 0xb7, 0xd5, 0x4b, 0xfe, 0xd3, 0xc9, 0x64, 0x07, 0x3a,
    0x0e, 0xe1, 0x72, 0xf3, 0xda, 0xa6, 0x23, 0x25, 0xaf, 0x02, 0x1a, 0x68, 0xf7, 0x07, 0x51, 0x1a,
]];
