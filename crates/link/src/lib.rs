//! Says how a program without libc is linked: without start files and libraries,
//! laid out by `link.ld`. It is for build scripts, whose only line it is:
//!
//! ```no_run
//! ounce_link::program_of_zeros().expect("OUT_DIR can be written");
//! ```
//!
//! Libraries and tests of the package are linked as usual. What is chosen for
//! the whole build, the linker and the code model, is for `.cargo/config.toml`.

#![forbid(unsafe_code)]

pub mod embed;

use std::path::PathBuf;
use std::{env, fs, io};

/// The layout; marks in it stand for what differs.
const LAYOUT: &str = include_str!("link.ld");
/// The file's headers as data.
const HEADERS: &str = include_str!("headers.ld");

/// For rust-lld itself.
const OF_LINKER: &[&str] = &[
    "-static",
    "--gc-sections",
    "--icf=all",
    "--no-eh-frame-hdr",
    "--build-id=none",
];
/// For a C compiler that drives a linker.
const OF_DRIVER: &[&str] = &[
    "-static",
    "-no-pie",
    "-nostartfiles",
    "-nostdlib",
    "-Wl,--gc-sections,--no-eh-frame-hdr,--build-id=none",
];

/// With the file's headers as data, what is written stands nowhere.
const CHECKS: &str = r#"ASSERT(SIZEOF(.data) == 0,
    "a static starts as other than zeros: link by ounce_link::program() in build.rs")"#;

/// What a build is like, as cargo tells its scripts.
struct Build {
    /// rust-lld links, without a driver.
    has_linker: bool,
    /// The program is to be debugged, and so keeps its symbols.
    is_debugged: bool,
    /// The processor.
    architecture: String,
    /// No static starts as anything but zeros.
    is_zeroed: bool,
}

/// Has cargo link the package's programs so. To be called by a build script,
/// which cargo gives a folder (`OUT_DIR`) for the linker script.
///
/// # Errors
/// The script cannot be written.
pub fn program() -> io::Result<()> {
    link(false)
}

/// The same for programs in which all that is written to starts as zeros; others
/// are not linked. With rust-lld, a release takes some 200 bytes less.
///
/// # Errors
/// The script cannot be written.
pub fn program_of_zeros() -> io::Result<()> {
    link(true)
}

fn link(is_zeroed: bool) -> io::Result<()> {
    let variable = |name| env::var(name).unwrap_or_default();
    let build = Build {
        has_linker: variable("CARGO_ENCODED_RUSTFLAGS").contains("rust-lld"),
        is_debugged: variable("DEBUG") != "false",
        architecture: variable("CARGO_CFG_TARGET_ARCH"),
        is_zeroed,
    };
    let (script, arguments) = build.plan();
    let file = PathBuf::from(variable("OUT_DIR")).join("link.ld");
    fs::write(&file, script)?;
    for argument in arguments {
        println!("cargo::rustc-link-arg-bins={argument}");
    }
    println!("cargo::rustc-link-arg-bins=-T{}", file.display());
    println!("cargo::rerun-if-changed=build.rs");
    Ok(())
}

impl Build {
    /// The linker script, and the linker's arguments besides.
    fn plan(&self) -> (String, Vec<String>) {
        let mut arguments: Vec<_> = match self.has_linker {
            true => OF_LINKER.iter().copied().map(str::to_owned).collect(),
            false => OF_DRIVER.iter().copied().map(str::to_owned).collect(),
        };
        let mut script = LAYOUT.to_owned();
        match self.machine() {
            // The file as it is in memory: a linker that writes an ELF file leaves
            // some 250 bytes behind its end, for sections that are not told of.
            Some(machine) if self.is_zeroed && self.has_linker && !self.is_debugged => {
                arguments.push("--oformat=binary".to_owned());
                arguments.push(format!("--defsym=machine={machine}"));
                script = script.replace("/*headers*/", HEADERS);
                script = script.replace("/*checks*/", CHECKS);
            }
            _ => {
                if self.has_linker && !self.is_debugged {
                    arguments.push("-znosectionheader".to_owned());
                }
                script = script.replace("/*of headers*/", "FILEHDR PHDRS");
                script = script.replace("/*behind headers*/", "+ SIZEOF_HEADERS");
                script = script.replace("/*as in the file*/", "+ (. & 0xffff)");
            }
        }
        (script, arguments)
    }

    /// The processor's number in `e_machine` (elf(5)), where the headers are told
    /// by `headers.ld`: of 64 bits, little-endian, without flags.
    fn machine(&self) -> Option<u16> {
        match self.architecture.as_str() {
            "x86_64" => Some(62),
            "aarch64" => Some(183),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(has_linker: bool, is_debugged: bool, architecture: &str) -> (String, String) {
        let build = Build {
            has_linker,
            is_debugged,
            architecture: architecture.to_owned(),
            is_zeroed: true,
        };
        let (script, arguments) = build.plan();
        (script, arguments.join(" "))
    }

    #[test]
    fn a_driver_is_not_given_what_only_the_linker_knows() {
        let (script, arguments) = plan(false, false, "x86_64");
        assert!(arguments.contains("-nostdlib") && !arguments.contains("--oformat"));
        assert!(script.contains("code PT_LOAD FILEHDR PHDRS FLAGS(5);"));
        assert!(script.contains("base + SIZEOF_HEADERS;"));
    }

    #[test]
    fn what_is_to_be_debugged_keeps_its_sections() {
        let (script, arguments) = plan(true, true, "aarch64");
        assert!(!arguments.contains("--oformat"));
        assert!(script.contains("FILEHDR") && !script.contains("machine"));
    }

    #[test]
    fn a_release_is_written_with_its_own_headers() {
        for (architecture, machine) in [("x86_64", 62), ("aarch64", 183)] {
            let (script, arguments) = plan(true, false, architecture);
            assert!(arguments.ends_with(&format!("--oformat=binary --defsym=machine={machine}")));
            assert!(script.contains("SHORT(machine)") && !script.contains("FILEHDR"));
            assert!(script.contains("ASSERT(SIZEOF(.data) == 0"));
        }
        let (script, arguments) = plan(true, false, "riscv64");
        assert!(script.contains("FILEHDR") && !arguments.contains("--oformat"));
    }

    #[test]
    fn nothing_is_written_and_run_at_once() {
        for is_debugged in [false, true] {
            let (script, _) = plan(true, is_debugged, "x86_64");
            assert!(script.contains("FLAGS(5);") && script.contains("data PT_LOAD FLAGS(6);"));
            assert!(script.contains("stack PT_GNU_STACK FLAGS(6);"));
            assert!(!script.contains("FLAGS(7)"));
        }
    }
}
