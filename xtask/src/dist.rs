//! `cargo xtask dist`: the `ounce` that is shipped, static, weighed against its budget.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use object::read::elf::{ElfFile64, ProgramHeader as _};

use crate::house::House;
use crate::setup::TARGETS;
use crate::tidy;
use crate::tool::{command, run};

/// Builds for one target with the `dist` profile; the program's path.
pub(crate) fn build(house: &House, target: &str) -> Result<PathBuf> {
    // Both C libraries inside (libdeflate, zstd) need a compiler for the target:
    // musl-gcc for this machine, CC_<target> or <arch>-linux-musl-gcc for another.
    run(command(&[
        "cargo",
        "build",
        "--locked",
        "--profile",
        "dist",
        "--package",
        "ounce-cli",
        "--target",
        target,
    ])
    .current_dir(house.root()))?;
    let program = house.target().join(target).join("dist/ounce");
    if let Some(interpreter) = interpreter(&program)? {
        bail!(
            "{} is not static: it asks for {interpreter}",
            program.display()
        );
    }
    let bytes = fs::metadata(&program)?.len();
    println!("  {}: {bytes} bytes, static", house.name(&program));
    if let Some(budget) = tidy::budget_of(&house.path("crates/cli"))?
        && bytes > budget.elf_bytes
    {
        let parts = tidy::heaviest(&program)?.join("; ");
        bail!(
            "ounce is {} bytes over its budget of {}; heaviest: {parts}",
            bytes - budget.elf_bytes,
            budget.elf_bytes
        );
    }
    Ok(program)
}

/// The target of this machine's own processor.
pub(crate) fn own_target() -> Result<&'static str> {
    let own = TARGETS
        .iter()
        .find(|target| target.starts_with(std::env::consts::ARCH));
    own.copied()
        .with_context(|| format!("no target for {}", std::env::consts::ARCH))
}

/// The interpreter a program asks for: a static one asks for none.
fn interpreter(program: &Path) -> Result<Option<String>> {
    let bytes = fs::read(program).with_context(|| format!("reading {}", program.display()))?;
    let file = ElfFile64::<object::Endianness>::parse(&*bytes)?;
    let endian = file.endian();
    for header in file.elf_program_headers() {
        if let Some(name) = header.interpreter(endian, &*bytes)? {
            return Ok(Some(String::from_utf8_lossy(name).into_owned()));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dynamic_program_is_told_from_a_static_one() {
        let own = std::env::current_exe().unwrap();
        let dynamic = interpreter(&own).unwrap();
        assert_eq!(dynamic.is_some(), cfg!(target_env = "gnu"), "{dynamic:?}");
    }
}
