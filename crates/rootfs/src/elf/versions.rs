//! Versions of libraries' symbols (`DT_VERNEED`, `DT_VERDEF`): what a program was linked
//! against, as `GLIBC_2.38` of `libc.so.6`, and what a library offers. A loader refuses
//! to start a program one of whose versions the library has not (the Linux Standard
//! Base, "Symbol Versioning"; glibc's `elf/dl-version.c`).

use std::collections::{BTreeMap, BTreeSet};

use object::Endianness;
use object::elf;
use object::read::elf::{Dyn, FileHeader, ProgramHeader};

/// Most entries of a table that are read: glibc itself has about 50.
const ENTRIES: usize = 10_000;
/// Longest name that is read.
const NAME_BYTES: usize = 1024;

/// What a program or a library says of versions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Versions {
    /// By library, those without which it does not start.
    pub needed: BTreeMap<String, BTreeSet<String>>,
    /// Those that it has for others. None at all: then nobody asks.
    pub defined: BTreeSet<String>,
}

impl Versions {
    /// Reads them; a file whose tables lie has as many as could be read.
    pub fn read(data: &[u8]) -> Self {
        let of = match data.get(4) {
            Some(1) => of_file::<elf::FileHeader32<Endianness>>,
            _ => of_file::<elf::FileHeader64<Endianness>>,
        };
        of(data).unwrap_or_default()
    }

    /// Of `needed`, what is not among those defined here, newest last; nothing where
    /// none are defined, as the loader sees it.
    pub fn lacking<'n>(&self, needed: &'n BTreeSet<String>) -> Vec<&'n str> {
        if self.defined.is_empty() {
            return Vec::new();
        }
        let missing = needed.iter().filter(|name| !self.defined.contains(*name));
        let mut missing: Vec<&str> = missing.map(String::as_str).collect();
        missing.sort_by(|one, other| order(one).cmp(&order(other)));
        missing
    }

    /// The newest that is defined of the family of `name`: of `GLIBC_2.38` that may be
    /// `GLIBC_2.36`.
    pub fn newest_like(&self, name: &str) -> Option<&str> {
        let (family, _) = order(name);
        let like = self.defined.iter().map(String::as_str);
        like.filter(|one| order(one).0 == family && one.bytes().any(|byte| byte.is_ascii_digit()))
            .max_by(|one, other| order(one).cmp(&order(other)))
    }
}

/// A version's family and its numbers: `GLIBC_2.38` is GLIBC's 2, 38.
fn order(name: &str) -> (&str, Vec<u64>) {
    let (family, numbers) = name.rsplit_once('_').unwrap_or((name, ""));
    let numbers = numbers.split('.');
    (
        family,
        numbers.map(|part| part.parse().unwrap_or(0)).collect(),
    )
}

/// The parts of a file that are loaded, by their addresses.
struct Loaded<'d> {
    data: &'d [u8],
    /// Address, place in the file, bytes there.
    parts: Vec<(u64, u64, u64)>,
    little: bool,
}

impl<'d> Loaded<'d> {
    /// What is loaded at an address, to the end of its part.
    fn at(&self, address: u64) -> Option<&'d [u8]> {
        let (start, offset, bytes) = self.parts.iter().copied().find(|(start, _, bytes)| {
            address
                .checked_sub(*start)
                .is_some_and(|into| into < *bytes)
        })?;
        let into = address - start;
        let from = usize::try_from(offset.checked_add(into)?).ok()?;
        let to = usize::try_from(offset.checked_add(bytes)?).ok()?;
        self.data.get(from..to)
    }

    fn half(&self, bytes: &[u8], at: usize) -> Option<u16> {
        let two: [u8; 2] = bytes.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(match self.little {
            true => u16::from_le_bytes(two),
            false => u16::from_be_bytes(two),
        })
    }

    fn word(&self, bytes: &[u8], at: usize) -> Option<u32> {
        let four: [u8; 4] = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(match self.little {
            true => u32::from_le_bytes(four),
            false => u32::from_be_bytes(four),
        })
    }
}

fn of_file<H: FileHeader<Endian = Endianness>>(data: &[u8]) -> Option<Versions> {
    let header = H::parse(data).ok()?;
    let endian = header.endian().ok()?;
    let programs = header.program_headers(endian, data).ok()?;
    let loads = programs
        .iter()
        .filter(|program| program.p_type(endian) == elf::PT_LOAD);
    let loaded = Loaded {
        data,
        parts: loads
            .map(|program| {
                (
                    program.p_vaddr(endian).into(),
                    program.p_offset(endian).into(),
                    program.p_filesz(endian).into(),
                )
            })
            .collect(),
        little: endian == Endianness::Little,
    };
    let dynamic = programs
        .iter()
        .find_map(|program| program.dynamic(endian, data).ok().flatten())?;
    let value = |wanted| {
        let mut live = dynamic.iter().map(|one| (one.tag(endian), one.val(endian)));
        let mut live = live
            .by_ref()
            .take_while(|(tag, _)| *tag != elf::DT_NULL)
            .filter(|(tag, _)| *tag == wanted);
        live.next().map(|(_, value)| value)
    };
    let strings = loaded.at(value(elf::DT_STRTAB)?)?;
    let name = |offset: u32| -> Option<String> {
        let rest = strings.get(offset as usize..)?;
        let end = memchr::memchr(0, rest.get(..rest.len().min(NAME_BYTES))?)?;
        Some(String::from_utf8_lossy(&rest[..end]).into_owned())
    };
    let mut versions = Versions::default();
    if let Some(table) = value(elf::DT_VERNEED).and_then(|at| loaded.at(at)) {
        // A fault ends the reading: what stands before it holds.
        let _ = needed(&loaded, table, &name, &mut versions.needed);
    }
    if let Some(table) = value(elf::DT_VERDEF).and_then(|at| loaded.at(at)) {
        let _ = defined(&loaded, table, &name, &mut versions.defined);
    }
    Some(versions)
}

/// `Elf64_Verneed` and, for each, a chain of `Elf64_Vernaux`; in a 32-bit file the same.
fn needed(
    loaded: &Loaded<'_>,
    table: &[u8],
    name: &dyn Fn(u32) -> Option<String>,
    found: &mut BTreeMap<String, BTreeSet<String>>,
) -> Option<()> {
    /// `VER_FLG_WEAK`: without it the loader goes on.
    const WEAK: u16 = 2;
    let mut read = 0;
    let mut rest = table;
    loop {
        let library = name(loaded.word(rest, 4)?)?;
        let mut one = rest.get(loaded.word(rest, 8)? as usize..)?;
        for _ in 0..loaded.half(rest, 2)? {
            read += 1;
            if read > ENTRIES {
                return None;
            }
            if loaded.half(one, 4)? & WEAK == 0 {
                let version = name(loaded.word(one, 8)?)?;
                found.entry(library.clone()).or_default().insert(version);
            }
            match loaded.word(one, 12)? {
                0 => break,
                next => one = one.get(next as usize..)?,
            }
        }
        match loaded.word(rest, 12)? {
            0 => return Some(()),
            next => rest = rest.get(next as usize..)?,
        }
        read += 1;
    }
}

/// `Elf64_Verdef` and the first `Elf64_Verdaux` of each, which has its name.
fn defined(
    loaded: &Loaded<'_>,
    table: &[u8],
    name: &dyn Fn(u32) -> Option<String>,
    found: &mut BTreeSet<String>,
) -> Option<()> {
    /// `VER_FLG_BASE`: the file's own name.
    const BASE: u16 = 1;
    let mut rest = table;
    for _ in 0..ENTRIES {
        let first = rest.get(loaded.word(rest, 12)? as usize..)?;
        if loaded.half(rest, 2)? & BASE == 0 {
            found.insert(name(loaded.word(first, 0)?)?);
        }
        match loaded.word(rest, 16)? {
            0 => break,
            next => rest = rest.get(next as usize..)?,
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    /// This test's own program, which is linked against a C library or is static.
    #[test]
    fn a_library_has_what_programs_that_run_on_it_need() {
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let needed = Versions::read(&own).needed;
        for (library, versions) in &needed {
            assert!(library.contains(".so"), "{library}");
            assert!(!versions.is_empty());
        }
        // Whoever runs it has the library, wherever that is.
        let folders = ["/lib/x86_64-linux-gnu", "/lib/aarch64-linux-gnu", "/lib64"];
        let paths = folders.map(|folder| std::path::Path::new(folder).join("libc.so.6"));
        let libc = paths.iter().find_map(|path| std::fs::read(path).ok());
        if let (Some(libc), Some(versions)) = (libc, needed.get("libc.so.6")) {
            let of_libc = Versions::read(&libc);
            assert!(of_libc.defined.contains("GLIBC_2.17"), "{of_libc:?}");
            assert_eq!(of_libc.lacking(versions), [""; 0]);
            let newer = set(&["GLIBC_2.17", "GLIBC_9.1"]);
            assert_eq!(of_libc.lacking(&newer), ["GLIBC_9.1"]);
        }
    }

    #[test]
    fn versions_are_ordered_by_their_numbers() {
        let versions = Versions {
            needed: BTreeMap::new(),
            defined: set(&["GLIBC_2.9", "GLIBC_2.36", "GLIBC_2.4", "GLIBC_PRIVATE"]),
        };
        assert_eq!(versions.newest_like("GLIBC_2.38"), Some("GLIBC_2.36"));
        assert_eq!(versions.newest_like("GLIBCXX_3.4"), None);
        let needed = set(&["GLIBC_2.38", "GLIBC_2.4", "GLIBC_2.100"]);
        assert_eq!(versions.lacking(&needed), ["GLIBC_2.38", "GLIBC_2.100"]);
        // A library without versions is asked for none.
        assert_eq!(Versions::default().lacking(&needed), [""; 0]);
    }

    #[test]
    fn no_bytes_are_too_strange() {
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        // Headers and the tables of names and versions stand at the front.
        let head = &own[..own.len().min(64 << 10)];
        assert_eq!(Versions::read(&[]), Versions::default());
        for at in 0..256 {
            let mut bytes = head.to_vec();
            for (place, byte) in bytes.iter_mut().enumerate().skip(at * 7).step_by(257) {
                *byte ^= u8::try_from((place + at) % 255).unwrap() | 1;
            }
            let _ = Versions::read(&bytes);
            let _ = Versions::read(&bytes[..at * 17]);
        }
    }
}
