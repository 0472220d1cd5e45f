//! How the boot loader and the programs are laid out in memory.

use std::path::PathBuf;

fn main() -> std::io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=DEVICE_VERSION");
    println!("cargo::rerun-if-env-changed=DEVICE_BEHAVIOUR");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("none") {
        return Ok(());
    }
    let out = PathBuf::from(std::env::var_os("OUT_DIR").unwrap_or_default());
    // The loader begins where the machine starts; programs a megabyte behind, where it loads them to.
    for (bin, origin) in [
        ("loader", "0x80000000"),
        ("program", "0x80100000"),
        ("cost", "0x80100000"),
        ("pace", "0x80000000"),
        ("vessel", "0x80000000"),
    ] {
        let script = format!(
            "ENTRY(_start)
SECTIONS {{
  . = {origin};
  .text : {{ *(.text.start) *(.text .text.*) }}
  .rodata : ALIGN(4) {{ *(.rodata .rodata.*) *(.srodata .srodata.*) }}
  .data : ALIGN(4) {{ *(.data .data.*) *(.sdata .sdata.*) . = ALIGN(4); }}
  .bss (NOLOAD) : ALIGN(16) {{
    _bss = .; *(.bss .bss.*) *(.sbss .sbss.*) . = ALIGN(16); _bss_end = .;
  }}
  . = ALIGN(16);
  _stack_end = .;
  . = . + 0x10000;
  _stack = .;
  /DISCARD/ : {{ *(.eh_frame .eh_frame.*) *(.comment) }}
}}
"
        );
        let path = out.join(format!("{bin}.x"));
        std::fs::write(&path, script)?;
        println!("cargo::rustc-link-arg-bin={bin}=-T{}", path.display());
    }
    Ok(())
}
