//! The interpreter that a base brings: where it is, which Python it is, and
//! which C library wheels may be compiled for.

use std::path::{Path, PathBuf};

use ounce_oci::{Image, Platform};
use ounce_rootfs::Tree;
use ounce_rootfs::content::{ContentError, copy_file};
use ounce_rootfs::tree::{NodeKind, TreeError};
use serde::Serialize;

/// A Python in an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Interpreter {
    /// Its absolute path.
    pub path: String,
    /// Major and minor version.
    pub version: (u32, u32),
    /// Its C library.
    pub libc: Libc,
}

/// The C library that an interpreter is linked with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Libc {
    /// glibc, of this version.
    Glibc(u32, u32),
    /// musl.
    Musl,
}

/// No usable Python in an image.
#[derive(Debug, thiserror::Error)]
pub enum InterpreterError {
    /// The image's layers.
    #[error("reading the base")]
    Tree(#[from] TreeError),
    /// A file of it.
    #[error("reading the base")]
    Content(#[from] ContentError),
    /// None is there.
    #[error("the base has no Python: no python3.* in {}", FOLDERS.join(", "))]
    Missing,
    /// Nothing tells which wheels fit.
    #[error("the base has Python {}.{}, but no C library that wheels are made for", .0.0, .0.1)]
    Libc((u32, u32)),
    /// Wheels are not made for it.
    #[error("no Python wheels are made for {0}")]
    Platform(Platform),
}

impl InterpreterError {
    /// What to do about it.
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::Missing | Self::Libc(_) => {
                vec!["take a base with Python: --base distroless-python3".to_owned()]
            }
            _ => Vec::new(),
        }
    }
}

/// Where interpreters lie; the first that has one counts, as on `PATH`.
const FOLDERS: [&str; 2] = ["usr/local/bin", "usr/bin"];
/// Most bytes of a C library that is looked into.
const LIBC_BYTES: u64 = 64 << 20;
/// What glibc says of itself (csu/version.c).
const GLIBC_MARK: &[u8] = b"stable release version ";

impl Interpreter {
    /// The Python of `image`.
    ///
    /// # Errors
    /// It has none, or it cannot be read.
    pub fn of_image(image: &Image) -> Result<Self, InterpreterError> {
        let tree = Tree::of_image(image)?;
        let (path, version) = find(&tree).ok_or(InterpreterError::Missing)?;
        let libc = match libc(&tree).ok_or(InterpreterError::Libc(version))? {
            None => Libc::Musl,
            Some(path) => {
                let mut bytes = Bounded(Vec::new());
                copy_file(image, &tree, &path, &mut bytes)?;
                let (major, minor) =
                    glibc_version(&bytes.0).ok_or(InterpreterError::Libc(version))?;
                Libc::Glibc(major, minor)
            }
        };
        Ok(Self {
            path,
            version,
            libc,
        })
    }

    /// As people write it: `3.11`.
    pub fn version_text(&self) -> String {
        format!("{}.{}", self.version.0, self.version.1)
    }

    /// The tag of its compiled files: `cpython-311`.
    pub(crate) fn tag(&self) -> String {
        format!("cpython-{}{}", self.version.0, self.version.1)
    }

    /// The platforms of wheels that run on it, best first ("Platform
    /// compatibility tags" of the packaging specifications).
    ///
    /// # Errors
    /// The platform has no name among wheels.
    pub(crate) fn platforms(&self, platform: &Platform) -> Result<Vec<String>, InterpreterError> {
        let unknown = || InterpreterError::Platform(platform.clone());
        let variant = platform.variant.as_deref();
        // The oldest glibc that manylinux knows on it.
        let (machine, oldest) = match (platform.os.as_str(), platform.architecture.as_str()) {
            ("linux", "amd64") => ("x86_64", 5),
            ("linux", "386") => ("i686", 5),
            ("linux", "arm64") => ("aarch64", 17),
            ("linux", "arm") if matches!(variant, None | Some("v7")) => ("armv7l", 17),
            ("linux", "ppc64le") => ("ppc64le", 17),
            ("linux", "s390x") => ("s390x", 17),
            ("linux", "riscv64") => ("riscv64", 31),
            _ => return Err(unknown()),
        };
        let Libc::Glibc(2, newest) = self.libc else {
            return match self.libc {
                Libc::Musl => Ok(["1_2", "1_1"]
                    .map(|version| format!("musllinux_{version}_{machine}"))
                    .to_vec()),
                Libc::Glibc(..) => Err(unknown()),
            };
        };
        let mut names: Vec<String> = (oldest..=newest)
            .rev()
            .map(|minor| format!("manylinux_2_{minor}_{machine}"))
            .collect();
        // Their names from before (PEP 600).
        let old = [
            (17, "manylinux2014"),
            (12, "manylinux2010"),
            (5, "manylinux1"),
        ];
        names.extend(
            old.iter()
                .filter(|(minor, _)| (oldest..=newest).contains(minor))
                .map(|(_, name)| format!("{name}_{machine}")),
        );
        Ok(names)
    }
}

/// A file in memory that does not grow beyond what a C library has.
struct Bounded(Vec<u8>);

impl std::io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if (self.0.len() + bytes.len()) as u64 > LIBC_BYTES {
            return Err(std::io::Error::other("larger than any C library"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The interpreter with the highest version in the first folder that has one.
fn find(tree: &Tree) -> Option<(String, (u32, u32))> {
    FOLDERS.iter().find_map(|folder| {
        let mut found: Vec<(u32, u32)> = tree
            .names(Path::new(folder))
            .filter_map(|name| {
                let (major, minor) = name.to_str()?.strip_prefix("python")?.split_once('.')?;
                Some((major.parse().ok()?, minor.parse().ok()?))
            })
            .filter(|(major, minor)| {
                let path = PathBuf::from(folder).join(format!("python{major}.{minor}"));
                let there = tree.lookup(&path);
                there.is_ok_and(|(_, node)| matches!(node.kind, NodeKind::File(_)))
            })
            .collect();
        found.sort_unstable();
        let (major, minor) = found.pop()?;
        Some((format!("/{folder}/python{major}.{minor}"), (major, minor)))
    })
}

/// The C library's place; `Some(None)` for musl, whose place tells all.
fn libc(tree: &Tree) -> Option<Option<PathBuf>> {
    let mut musl = false;
    for (path, node) in tree.iter() {
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            continue;
        };
        let below = path.starts_with("lib") || path.starts_with("usr/lib");
        if name == "libc.so.6" && matches!(node.kind, NodeKind::File(_)) {
            return Some(Some(path.to_owned()));
        }
        musl |= below && name.starts_with("ld-musl-") && name.ends_with(".so.1");
    }
    musl.then_some(None)
}

fn glibc_version(bytes: &[u8]) -> Option<(u32, u32)> {
    let at = bytes
        .windows(GLIBC_MARK.len())
        .position(|window| window == GLIBC_MARK)?;
    let text: String = bytes[at + GLIBC_MARK.len()..]
        .iter()
        .take(16)
        .map(|byte| char::from(*byte))
        .take_while(|c| c.is_ascii_digit() || *c == '.')
        .collect();
    let mut numbers = text.trim_end_matches('.').split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn python(libc: Libc) -> Interpreter {
        Interpreter {
            path: "/usr/bin/python3.11".to_owned(),
            version: (3, 11),
            libc,
        }
    }

    #[test]
    fn wheels_of_older_libraries_fit_too() {
        let of = |libc, platform: &str| python(libc).platforms(&platform.parse().unwrap());
        let names = of(Libc::Glibc(2, 36), "linux/amd64").unwrap();
        assert_eq!(names[0], "manylinux_2_36_x86_64");
        assert_eq!(names.last().unwrap(), "manylinux1_x86_64");
        assert_eq!(names.len(), 32 + 3);
        let names = of(Libc::Glibc(2, 36), "linux/arm64").unwrap();
        assert_eq!(names.last().unwrap(), "manylinux2014_aarch64");
        assert_eq!(
            of(Libc::Musl, "linux/arm64").unwrap(),
            ["musllinux_1_2_aarch64", "musllinux_1_1_aarch64"]
        );
        assert!(of(Libc::Musl, "linux/mips").is_err());
    }

    #[test]
    fn glibc_tells_its_version() {
        let text = b"\0GNU C Library (Debian GLIBC 2.36-9) stable release version 2.36.\nCopy";
        assert_eq!(glibc_version(text), Some((2, 36)));
        assert_eq!(glibc_version(b"stable release version x"), None);
        assert_eq!(glibc_version(b""), None);
    }

    #[test]
    fn the_newest_python_of_the_first_folder_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let touch = |path: &str| {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "x").unwrap();
        };
        touch("usr/bin/python3.9");
        touch("usr/bin/python3.11");
        touch("usr/bin/python3.12-config");
        touch("lib/ld-musl-x86_64.so.1");
        let tree = Tree::of_folder(folder.path()).unwrap();
        let (path, version) = find(&tree).unwrap();
        assert_eq!((path.as_str(), version), ("/usr/bin/python3.11", (3, 11)));
        assert_eq!(libc(&tree), Some(None));
        touch("usr/lib/x86_64-linux-gnu/libc.so.6");
        let tree = Tree::of_folder(folder.path()).unwrap();
        let found = libc(&tree).unwrap().unwrap();
        assert!(found.ends_with("usr/lib/x86_64-linux-gnu/libc.so.6"));
    }
}
