//! `--smallest`: the standard library is compiled anew, with the program and
//! for size, and a panic ends the program at once, without a word.
//!
//! Cargo does so on a nightly toolchain, or on a stable one that is told to
//! act like it (`RUSTC_BOOTSTRAP=1`); the sources come with the component
//! `rust-src`. What it gives up stands in docs/rust.md.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::target::Linking;
use crate::flag::{By, Flag};
use crate::toolchain::Toolchain;

/// The first release whose cargo knows `panic = "immediate-abort"` as it is used here.
const OLDEST: (u32, u32) = (1, 95);

/// The flag by which the library is compiled.
const LIBRARY: &str = "build-std";
/// What becomes of a panic.
const IMMEDIATELY: &str = "\"immediate-abort\"";
/// The flag of the program alone.
const PROGRAM: &str = "relocation-model";

/// Tables for unwinding, which nothing reads once a panic aborts. The program's
/// own could be left out by rustc, those of the C library only here.
pub(crate) const LAYOUT: &str = "SECTIONS { /DISCARD/ : { *(.eh_frame*) *(.gcc_except_table*) \
                                 *(.comment) } } INSERT AFTER .text;\n";

/// What cargo and rustc are told beside the profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Smallest {
    /// Whether a stable toolchain is told to act as a nightly one (`RUSTC_BOOTSTRAP=1`).
    pub bootstrap: bool,
    /// rustc's arguments for the program alone.
    pub arguments: Vec<String>,
    /// A linker script with `LAYOUT`, to be written before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layout: Option<PathBuf>,
}

/// The standard library cannot be compiled anew.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SmallestError {
    /// No sources of the standard library.
    #[error(
        "--smallest compiles the standard library anew, and its sources are not there: {}",
        missing.display()
    )]
    NoSource {
        /// Where they would be.
        missing: PathBuf,
        /// The toolchain, as rustup calls it, where its folder tells.
        toolchain: Option<String>,
    },
    /// A toolchain from before.
    #[error("--smallest needs Rust {}.{} or newer, and this is {release}", OLDEST.0, OLDEST.1)]
    Old {
        /// What rustc says it is.
        release: String,
    },
    /// rustc does not answer.
    #[error("--smallest needs to know the compiler, and rustc does not say what it is")]
    NoCompiler,
}

impl SmallestError {
    /// What to do about it.
    pub fn hints(&self) -> Vec<String> {
        vec![match self {
            Self::NoSource { toolchain, .. } => match toolchain {
                Some(name) => format!("rustup component add rust-src --toolchain {name}"),
                None => "rustup component add rust-src, or the distribution's package of the \
                         standard library's sources"
                    .to_owned(),
            },
            Self::Old { .. } => "rustup update".to_owned(),
            Self::NoCompiler => "install Rust from https://rustup.rs".to_owned(),
        }]
    }
}

/// The compiler that is used in a folder.
#[derive(Debug, PartialEq, Eq)]
struct Compiler {
    release: String,
    version: (u32, u32),
    is_nightly: bool,
}

impl Compiler {
    /// From what `rustc -vV` writes.
    fn read(told: &str) -> Option<Self> {
        let release = told
            .lines()
            .find_map(|line| line.strip_prefix("release: "))?
            .trim();
        let mut numbers = release
            .split(['.', '-'])
            .map_while(|part| part.parse().ok());
        Some(Self {
            release: release.to_owned(),
            version: (numbers.next()?, numbers.next()?),
            is_nightly: release.contains("-nightly") || release.contains("-dev"),
        })
    }
}

/// What is to be told for a program linked so.
///
/// # Errors
/// The compiler is too old, or the library's sources are not there.
pub(crate) fn choose(
    toolchain: &Toolchain,
    folder: &Path,
    linking: Linking,
    own_linker: bool,
    auditable: bool,
    target_dir: &Path,
    workspace_root: &Path,
) -> Result<Smallest, SmallestError> {
    let compiler = toolchain
        .told(folder, &["-vV"])
        .and_then(|told| Compiler::read(&told))
        .ok_or(SmallestError::NoCompiler)?;
    if compiler.version < OLDEST {
        return Err(SmallestError::Old {
            release: compiler.release,
        });
    }
    let sysroot = toolchain
        .told(folder, &["--print", "sysroot"])
        .ok_or(SmallestError::NoCompiler)?;
    let sysroot = Path::new(sysroot.trim());
    let source = sysroot.join("lib/rustlib/src/rust/library");
    if !source.join("std/Cargo.toml").is_file() {
        let of_rustup = sysroot.parent().is_some_and(|p| p.ends_with("toolchains"));
        let name = sysroot.file_name().filter(|_| of_rustup);
        return Err(SmallestError::NoSource {
            missing: source,
            toolchain: name.map(|name| name.to_string_lossy().into_owned()),
        });
    }
    // The linker's own arguments are for the linker that ounce chose.
    let by_lld = linking == Linking::Musl && !own_linker;
    let mut arguments = vec!["-Crelocation-model=static".to_owned()];
    let mut layout = None;
    if by_lld {
        let link = [
            "--icf=all",
            "--no-eh-frame-hdr",
            "--build-id=none",
            "-znorelro",
        ];
        // The crate list is found by its section.
        let headers = (!auditable).then_some("-znosectionheader");
        arguments.extend(
            link.into_iter()
                .chain(headers)
                .map(|argument| format!("-Clink-arg={argument}")),
        );
        let script = target_dir.join("smallest.ld");
        // The same argument wherever the project lies: the linker is started at its root.
        let shown = script.strip_prefix(workspace_root).unwrap_or(&script);
        arguments.push(format!("-Clink-arg=-T{}", shown.display()));
        layout = Some(script);
    }
    Ok(Smallest {
        bootstrap: !compiler.is_nightly,
        arguments,
        layout,
    })
}

/// What every crate is told for one processor, the standard library too.
///
/// Atomic operations on arm64 are calls that choose at run time between two ways, one of
/// which the first processors lack; what finds out is in every program. In place they
/// are the way that all have: std's hello is 20,968 bytes so, and 27,744 otherwise.
pub(crate) fn of_target(triple: &str) -> Option<String> {
    let has_choice = triple.starts_with("aarch64-unknown-linux-");
    has_choice.then(|| "-Ctarget-feature=-outline-atomics".to_owned())
}

/// The flags of the smallest program, whatever the project chose, and what it chose
/// that is overruled, as `key=value`.
///
/// Here `opt-level` is "z": it saves where the standard library is compiled by it, too.
pub(crate) fn flags(own: &[Flag]) -> (Vec<Flag>, Vec<String>) {
    let flags = [
        ("strip", "true", "no symbols"),
        ("panic", "\"abort\"", "no unwinding"),
        ("lto", "\"fat\"", "all crates as one"),
        ("codegen-units", "1", "each crate in one piece"),
        ("opt-level", "\"z\"", "size before speed, loops not widened"),
        (
            LIBRARY,
            "std",
            "the standard library by these flags, without backtraces",
        ),
        (
            "panic",
            IMMEDIATELY,
            "no message, and none of what makes one",
        ),
        (
            PROGRAM,
            "static",
            "fixed addresses, no tables for unwinding",
        ),
    ];
    let flags: Vec<Flag> = flags
        .into_iter()
        .map(|(key, value, why)| Flag::of_ounce(key, value, why))
        .collect();
    let is_same = |chosen: &Flag| {
        let same = |flag: &Flag| flag.key == chosen.key && flag.value == chosen.value;
        flags.iter().any(same)
    };
    let overruled = own
        .iter()
        .filter(|chosen| chosen.by == By::Project && !is_same(chosen))
        .map(Flag::text)
        .collect();
    (flags, overruled)
}

/// Whether the standard library is compiled by these flags.
pub(crate) fn is_with_library(flags: &[&Flag]) -> bool {
    flags.iter().any(|flag| flag.key == LIBRARY)
}

/// Whether a panic ends at once.
pub(crate) fn is_aborting(flags: &[&Flag]) -> bool {
    flags.iter().any(|flag| flag.value == IMMEDIATELY)
}

/// Whether the program itself is told more.
pub(crate) fn is_of_program(flags: &[&Flag]) -> bool {
    flags.iter().any(|flag| flag.key == PROGRAM)
}

/// Whether a flag is one of the profile's, with these others.
pub(crate) fn is_of_profile(flag: &Flag, flags: &[&Flag]) -> bool {
    match flag.key.as_str() {
        LIBRARY | PROGRAM => false,
        "panic" => flag.value == IMMEDIATELY || !is_aborting(flags),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compilers_are_told_apart_by_their_release() {
        let read = |release: &str| Compiler::read(&format!("rustc\nrelease: {release}\nhost: a"));
        let stable = read("1.95.0").unwrap();
        assert_eq!((stable.version, stable.is_nightly), ((1, 95), false));
        let nightly = read("1.97.0-nightly").unwrap();
        assert_eq!((nightly.version, nightly.is_nightly), ((1, 97), true));
        assert_eq!(read("one"), None);
        assert_eq!(Compiler::read(""), None);
    }

    #[test]
    fn only_arm64_has_a_choice_of_atomic_operations_to_leave_out() {
        assert!(of_target("aarch64-unknown-linux-musl").is_some());
        assert_eq!(of_target("x86_64-unknown-linux-musl"), None);
    }

    #[test]
    fn what_the_project_chose_otherwise_is_named() {
        let (flags, overruled) = flags(&[
            Flag::of_project("panic", "\"unwind\""),
            Flag::of_project("lto", "\"fat\""),
            Flag::of_ounce("opt-level", "\"s\"", ""),
        ]);
        assert_eq!(overruled, ["panic=\"unwind\""]);
        assert!(flags.iter().all(|flag| flag.by == By::Ounce));
    }

    #[test]
    fn missing_sources_are_told_with_the_toolchain_they_belong_to() {
        let error = |toolchain: Option<&str>| SmallestError::NoSource {
            missing: "/rust/library".into(),
            toolchain: toolchain.map(str::to_owned),
        };
        assert_eq!(
            error(Some("nightly")).hints(),
            ["rustup component add rust-src --toolchain nightly"]
        );
        assert!(error(None).hints()[0].starts_with("rustup component add rust-src,"));
    }
}
