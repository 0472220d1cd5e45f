//! Says how programs are linked: without start files and libraries, laid out by
//! `link.ld`. Libraries and tests are not touched.

use std::env;

fn main() {
    let folder = env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    let flags = env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    // With rust-lld as linker (.cargo/config.toml) options are the linker's own;
    // else a C compiler drives it.
    let arguments: &[&str] = if flags.contains("rust-lld") {
        &[
            "-static",
            "--gc-sections",
            "--icf=all",
            "--no-eh-frame-hdr",
            "--build-id=none",
            "-znosectionheader",
        ]
    } else {
        &[
            "-static",
            "-no-pie",
            "-nostartfiles",
            "-nostdlib",
            "-Wl,--gc-sections,--no-eh-frame-hdr,--build-id=none",
        ]
    };
    for argument in arguments {
        println!("cargo::rustc-link-arg-bins={argument}");
    }
    println!("cargo::rustc-link-arg-bins=-T{folder}/link.ld");
    println!("cargo::rerun-if-changed=link.ld");
    println!("cargo::rerun-if-changed=build.rs");
}
