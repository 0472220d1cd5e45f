//! Whether a program can stand alone in an image, and what it lacks if not.

use std::fs;
use std::path::{Path, PathBuf};

use ounce_oci::Platform;
use ounce_rootfs::elf::{Elf, ElfError, ElfFacts, Kind};
use ounce_rootfs::wasm;

use crate::go_info::GoInfo;

/// Most bytes of a program.
pub(crate) const PROGRAM_LIMIT_BYTES: u64 = 2 << 30;

/// A file is no program for an image of one file.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// Not readable.
    #[error("reading {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Past the bound.
    #[error("{} has {bytes} bytes, more than {PROGRAM_LIMIT_BYTES}", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its bytes.
        bytes: u64,
    },
    /// Not an ELF file.
    #[error("{} is no program", path.display())]
    Elf {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: ElfError,
    },
    /// A library, an object file, a dump.
    #[error("{} is an ELF file but no program: {kind:?}", path.display())]
    Kind {
        /// The file.
        path: PathBuf,
        /// What it is.
        kind: Kind,
    },
    /// It needs a loader or libraries.
    #[error("{} is dynamically linked: it needs {}", path.display(), needs.join(", "))]
    Dynamic {
        /// The file.
        path: PathBuf,
        /// The interpreter, then the libraries.
        needs: Vec<String>,
    },
    /// For another machine.
    #[error("{} is for {}, and {wanted} was asked for{}", path.display(), found, .why.map(|why| format!(": {why}")).unwrap_or_default())]
    Platform {
        /// The file.
        path: PathBuf,
        /// What it is for.
        found: String,
        /// What was asked.
        wanted: String,
        /// What would happen, where it is not plain.
        why: Option<&'static str>,
    },
    /// For a machine that OCI has no name for.
    #[error("{} is for a machine or a system that images are not made for", .0.display())]
    NoPlatform(PathBuf),
}

impl ProgramError {
    /// What to do about it.
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::Dynamic { .. } => vec![
                "--base distroless brings the loader and what it needs".to_owned(),
                "Rust: give the project's folder instead, ounce links it statically".to_owned(),
                "Go: CGO_ENABLED=0 go build".to_owned(),
                "C: cc -static, or musl-gcc -static, or zig cc -target x86_64-linux-musl"
                    .to_owned(),
            ],
            Self::Platform { why: Some(_), .. } => vec![
                "compile for it: GOARM=6, zig -mcpu=arm1176jzf_s, gcc -march=armv6 -mfpu=vfp"
                    .to_owned(),
                "or ask for the platform that it is for".to_owned(),
            ],
            Self::Platform { .. } => {
                vec!["leave --platform away, or compile for the platform".to_owned()]
            }
            _ => Vec::new(),
        }
    }
}

/// Reads a program whole.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, ProgramError> {
    let failed = |source| ProgramError::Read {
        path: path.to_owned(),
        source,
    };
    let bytes = fs::metadata(path).map_err(failed)?.len();
    if bytes > PROGRAM_LIMIT_BYTES {
        return Err(ProgramError::TooLarge {
            path: path.to_owned(),
            bytes,
        });
    }
    fs::read(path).map_err(failed)
}

/// The first eight bytes of a file, or as many as it has.
pub(crate) fn head(path: &Path) -> Result<Vec<u8>, ProgramError> {
    use std::io::Read as _;
    let mut head = Vec::new();
    let file = fs::File::open(path).and_then(|file| file.take(8).read_to_end(&mut head));
    file.map_err(|source| ProgramError::Read {
        path: path.to_owned(),
        source,
    })?;
    Ok(head)
}

/// Whether a file has the first four bytes of an ELF file.
pub(crate) fn begins_as_elf(path: &Path) -> bool {
    use std::io::Read as _;
    let mut magic = [0; 4];
    fs::File::open(path).is_ok_and(|mut file| file.read_exact(&mut magic).is_ok())
        && magic == *b"\x7fELF"
}

/// Whether a file is an ELF program, static or not, or a WebAssembly module; a
/// library or an object file is none.
pub(crate) fn is_program(path: &Path) -> bool {
    let is_file = fs::symlink_metadata(path).is_ok_and(|data| data.is_file());
    if is_file && head(path).is_ok_and(|head| wasm::is_wasm(&head)) {
        return true;
    }
    is_file
        && begins_as_elf(path)
        && read(path).is_ok_and(|bytes| {
            Elf::read(&bytes).is_ok_and(|facts| {
                matches!(facts.kind, Kind::Static | Kind::StaticPie | Kind::Dynamic)
            })
        })
}

/// Checks that `bytes` start alone, on `wanted` if that is given; gives the
/// facts and the platform.
pub(crate) fn check(
    path: &Path,
    bytes: &[u8],
    wanted: Option<&Platform>,
) -> Result<(ElfFacts, Platform), ProgramError> {
    check_on(path, bytes, wanted, false)
}

/// As [`check`]; `on_base`: it may need a loader and libraries, which the base has.
pub(crate) fn check_on(
    path: &Path,
    bytes: &[u8],
    wanted: Option<&Platform>,
    on_base: bool,
) -> Result<(ElfFacts, Platform), ProgramError> {
    let path = || path.to_owned();
    let facts = Elf::read(bytes).map_err(|source| ProgramError::Elf {
        path: path(),
        source,
    })?;
    match facts.kind {
        Kind::Static | Kind::StaticPie => {}
        Kind::Dynamic if on_base => {}
        Kind::Dynamic => {
            let needs = facts.interpreter.iter().chain(&facts.needed);
            return Err(ProgramError::Dynamic {
                path: path(),
                needs: needs.cloned().collect(),
            });
        }
        kind => return Err(ProgramError::Kind { path: path(), kind }),
    }
    let Some(mut found) = facts.platform.clone() else {
        return Err(ProgramError::NoPlatform(path()));
    };
    if found.architecture == "arm" && found.variant.is_none() {
        // Go's linker writes no attributes of Arm, but says it elsewhere.
        let level = GoInfo::read(bytes);
        let level = level.as_ref().and_then(|info| info.setting("GOARM"));
        let level = level.and_then(|level| level.split(',').next());
        found.variant = level.map(|level| format!("v{level}"));
    }
    let Some(wanted) = wanted else {
        return Ok((facts, found));
    };
    let why = match wanted.accepts(&found) {
        true => lacks(bytes, &found, wanted),
        false => Some(too_new(&found, wanted)),
    };
    match why {
        None => Ok((facts, wanted.clone())),
        Some(why) => Err(ProgramError::Platform {
            path: path(),
            found: found.to_string(),
            wanted: wanted.to_string(),
            why,
        }),
    }
}

/// What happens to a program on a processor that does not accept it, where that
/// is not plain: it is of the same architecture.
fn too_new(found: &Platform, wanted: &Platform) -> Option<&'static str> {
    let same = found.os == wanted.os && found.architecture == wanted.architecture;
    same.then_some(match wanted.variant.as_deref() {
        Some("v6") => "a processor of that kind, as a Pi Zero's, would end it by SIGILL",
        _ => "a processor of that kind would end it by SIGILL",
    })
}

/// Of a program that names no variant: what its ABI wants that the platform
/// lacks.
fn lacks(bytes: &[u8], found: &Platform, wanted: &Platform) -> Option<Option<&'static str>> {
    /// `EF_ARM_ABI_FLOAT_HARD` (ELF for the Arm Architecture, "e_flags").
    const HARD_FLOAT: u32 = 0x400;
    /// Where `e_flags` stands in a 32-bit header.
    const FLAGS: std::ops::Range<usize> = 36..40;
    let flags = bytes.get(FLAGS)?.try_into().ok().map(u32::from_le_bytes)?;
    let hard = found.architecture == "arm" && flags & HARD_FLOAT != 0;
    let soft_only = wanted.variant.as_deref() == Some("v5");
    (hard && soft_only).then_some(Some(
        "it wants registers for floating point, which ARMv5 lacks",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An Arm program of one segment, with these flags.
    fn arm(flags: u32) -> Vec<u8> {
        let mut bytes = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x28\0\x01\0\0\0".to_vec();
        bytes.extend([0x00, 0, 1, 0, 52, 0, 0, 0, 0, 0, 0, 0]);
        bytes.extend(flags.to_le_bytes());
        bytes.extend([52, 0, 32, 0, 1, 0, 40, 0, 0, 0, 0, 0]);
        for word in [1_u32, 0, 0x1_0000, 0x1_0000, 84, 84, 5, 4] {
            bytes.extend(word.to_le_bytes());
        }
        bytes
    }

    #[test]
    fn hard_float_is_refused_where_there_is_none() {
        let path = Path::new("app");
        let on = |platform: &str, flags| {
            let platform = platform.parse().unwrap();
            check(path, &arm(flags), Some(&platform)).map(|(_, platform)| platform)
        };
        assert!(on("linux/arm/v6", 0x500_0400).is_ok());
        assert!(on("linux/arm/v5", 0x500_0200).is_ok());
        let error = on("linux/arm/v5", 0x500_0400).unwrap_err();
        assert!(error.to_string().contains("which ARMv5 lacks"), "{error}");
        let error = on("linux/amd64", 0).unwrap_err();
        assert_eq!(
            error.to_string(),
            "app is for linux/arm, and linux/amd64 was asked for"
        );
    }

    #[test]
    fn a_program_for_a_later_processor_is_refused_with_what_would_happen() {
        let platform = |text: &str| text.parse::<Platform>().unwrap();
        let why = too_new(&platform("linux/arm/v7"), &platform("linux/arm/v6"));
        assert!(why.unwrap().contains("SIGILL"));
        assert_eq!(
            too_new(&platform("linux/arm/v7"), &platform("linux/amd64")),
            None
        );
    }
}
