//! Whether a program can stand alone in an image, and what it lacks if not.

use std::fs;
use std::path::{Path, PathBuf};

use ounce_oci::Platform;
use ounce_rootfs::elf::{Elf, ElfError, ElfFacts, Kind};

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
    #[error("{} is for {}, and {wanted} was asked for", path.display(), found)]
    Platform {
        /// The file.
        path: PathBuf,
        /// What it is for.
        found: String,
        /// What was asked.
        wanted: String,
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

/// Whether a file has the first four bytes of an ELF file.
pub(crate) fn begins_as_elf(path: &Path) -> bool {
    use std::io::Read as _;
    let mut magic = [0; 4];
    fs::File::open(path).is_ok_and(|mut file| file.read_exact(&mut magic).is_ok())
        && magic == *b"\x7fELF"
}

/// Whether a file is an ELF program, static or not; a library or an object file is none.
pub(crate) fn is_program(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|data| data.is_file())
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
    let Some(found) = facts.platform.clone() else {
        return Err(ProgramError::NoPlatform(path()));
    };
    match wanted {
        Some(wanted) if !wanted.accepts(&found) => Err(ProgramError::Platform {
            path: path(),
            found: found.to_string(),
            wanted: wanted.to_string(),
        }),
        Some(wanted) => Ok((facts, wanted.clone())),
        None => Ok((facts, found)),
    }
}
