//! `cargo xtask dist`: ounce as it is shipped, one static file, within its budget.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

/// The target this machine runs.
#[cfg(target_arch = "aarch64")]
pub(crate) const HOST_TARGET: &str = "aarch64-unknown-linux-musl";
#[cfg(not(target_arch = "aarch64"))]
pub(crate) const HOST_TARGET: &str = "x86_64-unknown-linux-musl";

/// C compilers for the two libraries in C (libdeflate, zstd), best first. Neither
/// calls more than every C library has, so a compiler for glibc does as well.
const COMPILERS: &[(&str, &[&str])] = &[
    (
        "x86_64-unknown-linux-musl",
        &["x86_64-linux-musl-gcc", "musl-gcc", "gcc", "cc"],
    ),
    (
        "aarch64-unknown-linux-musl",
        &[
            "aarch64-linux-musl-gcc",
            "aarch64-linux-gnu-gcc",
            "musl-gcc",
            "gcc",
            "cc",
        ],
    ),
];

/// Compilers for the machine they stand on only.
const NATIVE: [&str; 3] = ["musl-gcc", "gcc", "cc"];

/// At a fixed place in memory. A start then relocates nothing: 24 page faults of
/// 236 fewer for `--version`, 10 % less of every start's processor time, and
/// 100,352 bytes less, measured on one commit. What it gives up is the random
/// place of the program itself (stack, heap and mappings keep theirs): what
/// reads foreign bytes is Rust with its bounds checks, but for libdeflate and zstd.
const FLAGS: &str = "-C relocation-model=static";

const HELP: &str = "\
cargo xtask dist [--target TRIPLE]

Builds the shipped ounce (profile `dist`, static, musl), checks that it is static,
prints its size and refuses more than crates/cli/budget.toml allows.
A C compiler is needed: musl-tools or gcc for this machine, gcc-aarch64-linux-gnu
with libc6-dev-arm64-cross for aarch64; CC_<target> in the environment goes first.
";

/// The command.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let target = match arguments
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .as_slice()
    {
        [] => HOST_TARGET.to_owned(),
        ["--target", target] => (*target).to_owned(),
        ["-h" | "--help"] => {
            print!("{HELP}");
            return Ok(());
        }
        other => bail!("unknown arguments {other:?}\n\n{HELP}"),
    };
    let program = build(&target)?;
    check_static(&program)?;
    let bytes = fs::metadata(&program)?.len();
    println!("{} {bytes} bytes", program.display());
    check_budget(&root().join("crates/cli/budget.toml"), bytes, "ounce")
}

/// Builds it and says where it is.
pub(crate) fn build(target: &str) -> Result<PathBuf> {
    let mut command = Command::new("cargo");
    command
        .args([
            "build",
            "--package",
            "ounce-cli",
            "--profile",
            "dist",
            "--target",
            target,
        ])
        .current_dir(root());
    let variable = target.replace('-', "_");
    if std::env::var_os(format!("CC_{variable}")).is_none()
        && let Some(compiler) = compiler(target)
    {
        command.env(format!("CC_{variable}"), compiler);
    }
    let upper = variable.to_uppercase();
    command.env(format!("CARGO_TARGET_{upper}_RUSTFLAGS"), FLAGS);
    if target != HOST_TARGET {
        // The linker that comes with Rust links for any machine.
        command.env(format!("CARGO_TARGET_{upper}_LINKER"), "rust-lld");
    }
    let status = command.status().context("starting cargo")?;
    ensure!(
        status.success(),
        "cargo did not build ounce for {target}; `cargo xtask dist --help` names what it needs"
    );
    let folder =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    Ok(folder.join(target).join("dist/ounce"))
}

fn compiler(target: &str) -> Option<&'static str> {
    let (_, names) = COMPILERS.iter().find(|(name, _)| *name == target)?;
    let path = std::env::var_os("PATH")?;
    let fits = |name: &&&str| !NATIVE.contains(name) || target == HOST_TARGET;
    let there =
        |name: &&&str| std::env::split_paths(&path).any(|folder| folder.join(name).is_file());
    names.iter().filter(fits).find(there).copied()
}

/// Refuses an ELF that asks for an interpreter or a shared library.
pub(crate) fn check_static(program: &Path) -> Result<()> {
    let bytes = fs::read(program).with_context(|| format!("reading {}", program.display()))?;
    match linkage(&bytes) {
        Some(Linkage::Static) => Ok(()),
        Some(Linkage::Dynamic(why)) => bail!("{} is not static: it has {why}", program.display()),
        None => bail!("{} is not a 64-bit little-endian ELF", program.display()),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Linkage {
    Static,
    Dynamic(&'static str),
}

/// Reads the program headers (System V gABI, chapter 5).
fn linkage(elf: &[u8]) -> Option<Linkage> {
    const INTERPRETER: u32 = 3;
    const DYNAMIC: u32 = 2;
    const NEEDED: u64 = 1;
    if elf.get(..6)? != b"\x7fELF\x02\x01" {
        return None;
    }
    let word = |at: usize| {
        Some(u64::from_le_bytes(
            elf.get(at..at.checked_add(8)?)?.try_into().ok()?,
        ))
    };
    let half = |at: usize| {
        Some(usize::from(u16::from_le_bytes(
            elf.get(at..at.checked_add(2)?)?.try_into().ok()?,
        )))
    };
    let table = usize::try_from(word(32)?).ok()?;
    for index in 0..half(56)? {
        let header = table.checked_add(index.checked_mul(half(54)?)?)?;
        let kind = u32::from_le_bytes(elf.get(header..header.checked_add(4)?)?.try_into().ok()?);
        if kind == INTERPRETER {
            return Some(Linkage::Dynamic("an interpreter (PT_INTERP)"));
        }
        if kind == DYNAMIC {
            let start = usize::try_from(word(header + 8)?).ok()?;
            let size = usize::try_from(word(header + 32)?).ok()?;
            let entries = elf.get(start..start.checked_add(size)?)?;
            let needed = |entry: &[u8]| entry.starts_with(&NEEDED.to_le_bytes());
            if entries.chunks_exact(16).any(needed) {
                return Some(Linkage::Dynamic("a shared library it needs (DT_NEEDED)"));
            }
        }
    }
    Some(Linkage::Static)
}

/// Refuses more bytes than the file allows.
pub(crate) fn check_budget(file: &Path, bytes: u64, name: &str) -> Result<()> {
    let text = fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    let budget = budget(&text).with_context(|| format!("reading {}", file.display()))?;
    ensure!(
        bytes <= budget,
        "{name} has {bytes} bytes, {} over its budget of {budget} ({}): find what grew, or raise the budget and say why",
        bytes - budget,
        file.display()
    );
    Ok(())
}

fn budget(text: &str) -> Result<u64> {
    let table: toml::Table = text.parse()?;
    let bytes = table
        .get("elf_bytes")
        .and_then(toml::Value::as_integer)
        .context("it has no number `elf_bytes`")?;
    u64::try_from(bytes).context("`elf_bytes` is negative")
}

fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An ELF head, one program header of `kind` over `content`.
    fn elf(kind: u32, content: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; 120];
        bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
        bytes[32] = 64;
        bytes[54] = 56;
        bytes[56] = 1;
        bytes[64..68].copy_from_slice(&kind.to_le_bytes());
        bytes[72] = 120;
        bytes[96..104].copy_from_slice(&(content.len() as u64).to_le_bytes());
        bytes.extend_from_slice(content);
        bytes
    }

    #[test]
    fn a_program_without_interpreter_is_static() {
        assert_eq!(linkage(&elf(1, b"")), Some(Linkage::Static));
    }

    #[test]
    fn a_static_pie_has_a_dynamic_segment_and_needs_nothing() {
        let mut entries = vec![0; 32];
        entries[0] = 5;
        assert_eq!(linkage(&elf(2, &entries)), Some(Linkage::Static));
        entries[0] = 1;
        assert!(matches!(
            linkage(&elf(2, &entries)),
            Some(Linkage::Dynamic(_))
        ));
    }

    #[test]
    fn an_interpreter_makes_it_dynamic() {
        assert!(matches!(
            linkage(&elf(3, b"/lib/ld.so\0")),
            Some(Linkage::Dynamic(_))
        ));
    }

    #[test]
    fn cut_or_foreign_bytes_are_no_elf_and_no_panic() {
        let whole = elf(2, &[0; 16]);
        for length in 0..whole.len() - 1 {
            assert_eq!(linkage(&whole[..length]), None, "{length}");
        }
        assert_eq!(linkage(b"#!/bin/sh\n"), None);
    }

    #[test]
    fn the_budget_is_read_and_kept() {
        assert_eq!(budget("# why\nelf_bytes = 100\n").unwrap(), 100);
        assert!(budget("image_bytes = 1").is_err() && budget("elf_bytes = -1").is_err());
        let folder = std::env::temp_dir().join(format!("ounce-budget-{}", std::process::id()));
        fs::write(&folder, "elf_bytes = 100").unwrap();
        assert!(check_budget(&folder, 100, "ounce").is_ok());
        let error = format!("{:#}", check_budget(&folder, 130, "ounce").unwrap_err());
        fs::remove_file(&folder).unwrap();
        assert!(error.contains("30 over its budget"), "{error}");
    }
}
