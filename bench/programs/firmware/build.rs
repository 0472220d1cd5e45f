//! Where the parts of the firmware lie: code in flash, the rest in memory.

use std::{env, fs, path::PathBuf};

const LAYOUT: &str = "
ENTRY(_start)
MEMORY {
    FLASH : ORIGIN = 0x42000000, LENGTH = 2M
    RAM : ORIGIN = 0x3fc80000, LENGTH = 256K
}
SECTIONS {
    .text : { KEEP(*(.start)) *(.text .text.*) } > FLASH
    .rodata : { *(.rodata .rodata.*) *(.srodata .srodata.*) } > FLASH
    .data : { *(.data .data.* .sdata .sdata.*) } > RAM AT> FLASH
    .bss (NOLOAD) : { *(.bss .bss.* .sbss .sbss.*) } > RAM
    /DISCARD/ : { *(.eh_frame .eh_frame_hdr .comment .riscv.attributes) }
}
";

fn main() {
    let folder = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    let script = folder.join("layout.ld");
    fs::write(&script, LAYOUT).expect("the folder can be written");
    println!("cargo:rustc-link-arg=-T{}", script.display());
    println!("cargo:rerun-if-changed=build.rs");
}
