//! `/etc/ld.so.cache`, as `ldconfig` writes it: where glibc's loader finds
//! libraries without looking into every folder. The format is glibc's
//! `elf/cache.c` and `dl-cache.h`, the new one alone (`glibc-ld.so.cache1.1`).

use std::cmp::Ordering;
use std::collections::BTreeMap;

use ounce_oci::layer::EntryKind;
use ounce_rootfs::elf::{Elf, Kind};

use crate::distribution::files::{Files, Node};

const MAGIC: &[u8; 20] = b"glibc-ld.so.cache1.1";

/// Bytes before the entries, and of each.
const HEADER: usize = 48;
const ENTRY: usize = 24;

/// A library of glibc 2 (`FLAG_ELF_LIBC6`), by machine: `elf/cache.c`.
fn flags(machine: u16, bits: u8) -> Option<u32> {
    let kind = match (machine, bits) {
        (3, 32) => 0,        // EM_386
        (62, 64) => 0x300,   // EM_X86_64
        (62, 32) => 0x800,   // x32
        (21, 64) => 0x500,   // EM_PPC64
        (22, 64) => 0x400,   // EM_S390
        (40, 32) => 0x900,   // EM_ARM, hard float: what Debian's armhf has
        (183, 64) => 0xa00,  // EM_AARCH64
        (243, 64) => 0x1000, // EM_RISCV, double float
        (258, 64) => 0x1100, // EM_LOONGARCH, double float
        _ => return None,
    };
    Some(kind | 3)
}

/// The cache of what is in `files`, in the folders that `/etc/ld.so.conf` and
/// glibc itself name; `None` where there is no library.
pub(crate) fn cache(files: &Files) -> Option<Vec<u8>> {
    let mut folders = configured(files, "etc/ld.so.conf", 0);
    folders.extend(["lib", "usr/lib"].map(str::to_owned));
    let mut libraries: BTreeMap<(Vec<u8>, u32), String> = BTreeMap::new();
    let mut seen = Vec::new();
    for folder in folders {
        let Some((real, node)) = files.open(&folder) else {
            continue;
        };
        if !node.is_folder() || seen.contains(&real) {
            continue;
        }
        let prefix = format!("{real}/");
        for (path, node) in files.within(&real) {
            let Some(name) = path
                .strip_prefix(&prefix)
                .filter(|name| !name.contains('/'))
            else {
                continue;
            };
            if let Some(flags) = library(files, path, name, node) {
                libraries
                    .entry((name.as_bytes().to_vec(), flags))
                    .or_insert_with(|| format!("/{folder}/{name}"));
            }
        }
        seen.push(real);
    }
    if libraries.is_empty() {
        return None;
    }
    let mut sorted: Vec<_> = libraries.into_iter().collect();
    // The loader searches by halves, from the greatest to the least.
    sorted.sort_by(|((a, flags), _), ((b, other), _)| compare(b, a).then(other.cmp(flags)));
    Some(written(&sorted))
}

/// The flags of a library that the loader would find by this name: its own, or
/// one that a link gives.
fn library(files: &Files, path: &str, name: &str, node: &Node) -> Option<u32> {
    let plain = (name.starts_with("lib") || name.starts_with("ld")) && name.contains(".so");
    if !plain || !matches!(node.kind, EntryKind::File(_) | EntryKind::Symlink(_)) {
        return None;
    }
    let (_, target) = files.open(path)?;
    let facts = Elf::read(target.bytes()?).ok()?;
    let flags = flags(facts.machine, facts.bits)?;
    // The loader itself is named by programs, and looked for by nobody else.
    let shared = matches!(
        facts.kind,
        Kind::SharedLibrary | Kind::StaticPie | Kind::Dynamic
    );
    let by_own_name = facts.soname.as_deref().is_none_or(|soname| soname == name);
    // `libz.so`, for compilers, leads to what says that it is `libz.so.1`.
    let for_compilers = matches!(node.kind, EntryKind::Symlink(_)) && name.ends_with(".so");
    (shared && (by_own_name || for_compilers)).then_some(flags)
}

/// The folders of a configuration file and of those it includes, in order.
fn configured(files: &Files, path: &str, depth: u32) -> Vec<String> {
    let text = files.open(path).and_then(|(_, node)| node.bytes());
    let text = text.and_then(|bytes| std::str::from_utf8(bytes).ok());
    let mut folders = Vec::new();
    for line in text.unwrap_or("").lines() {
        let line = line.split('#').next().unwrap_or("").trim();
        match line.strip_prefix("include ") {
            Some(pattern) if depth < 8 => {
                let pattern = pattern.trim().trim_start_matches('/');
                let (folder, name) = pattern.rsplit_once('/').unwrap_or(("etc", pattern));
                let (before, after) = name.split_once('*').unwrap_or((name, ""));
                let found: Vec<String> = files
                    .within(folder)
                    .map(|(path, _)| path)
                    .filter(|path| {
                        let name = &path[folder.len() + 1..];
                        let fits = name.starts_with(before) && name.ends_with(after);
                        fits && !name.contains('/')
                    })
                    .map(str::to_owned)
                    .collect();
                for path in found {
                    folders.extend(configured(files, &path, depth + 1));
                }
            }
            _ if line.starts_with('/') => {
                folders.push(line.trim_matches('/').to_owned());
            }
            _ => {}
        }
    }
    folders
}

/// `_dl_cache_libcmp`: digits count as numbers and come after all else.
fn compare(a: &[u8], b: &[u8]) -> Ordering {
    let (mut a, mut b) = (a, b);
    loop {
        match (a.first(), b.first()) {
            (None, None) => return Ordering::Equal,
            (None, _) => return Ordering::Less,
            (_, None) => return Ordering::Greater,
            (Some(x), Some(y)) => match (x.is_ascii_digit(), y.is_ascii_digit()) {
                (true, true) => {
                    let (one, other) = (number(&mut a), number(&mut b));
                    if one != other {
                        return one.cmp(&other);
                    }
                }
                (true, false) => return Ordering::Greater,
                (false, true) => return Ordering::Less,
                (false, false) if x != y => return x.cmp(y),
                _ => (a, b) = (&a[1..], &b[1..]),
            },
        }
    }
}

fn number(text: &mut &[u8]) -> u64 {
    let digits = text.iter().take_while(|c| c.is_ascii_digit()).count();
    let (run, rest) = text.split_at(digits);
    *text = rest;
    run.iter().fold(0_u64, |sum, digit| {
        sum.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'))
    })
}

fn written(sorted: &[((Vec<u8>, u32), String)]) -> Vec<u8> {
    let base = HEADER + sorted.len() * ENTRY;
    let mut strings = Vec::new();
    let mut entries = Vec::new();
    let mut add = |text: &[u8]| {
        let at = (base + strings.len()) as u32;
        strings.extend(text);
        strings.push(0);
        at
    };
    for ((name, flags), path) in sorted {
        // Folder and file; the name is the end of the path.
        let path_at = add(path.as_bytes());
        let name_at = path_at + (path.len() - name.len()) as u32;
        entries.extend(flags.to_le_bytes());
        entries.extend(name_at.to_le_bytes());
        entries.extend(path_at.to_le_bytes());
        entries.extend([0; 12]);
    }
    let mut bytes = MAGIC.to_vec();
    bytes.extend((sorted.len() as u32).to_le_bytes());
    bytes.extend((strings.len() as u32).to_le_bytes());
    // Little-endian; no extensions.
    bytes.extend([2, 0, 0, 0]);
    bytes.extend([0; 16]);
    bytes.extend(entries);
    bytes.extend(strings);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_in_the_order_that_the_loader_expects() {
        for (less, more) in [
            ("libc.so.6", "libc.so.10"),
            ("liba.so.1", "libb.so.1"),
            ("lib.so", "lib.so.1"),
            ("libab.so", "liba1.so"),
        ] {
            assert_eq!(compare(less.as_bytes(), more.as_bytes()), Ordering::Less);
            assert_eq!(compare(more.as_bytes(), less.as_bytes()), Ordering::Greater);
        }
    }

    #[test]
    fn folders_come_from_the_configuration_and_what_it_includes() {
        let mut files = Files::new();
        for (path, text) in [
            (
                "etc/ld.so.conf",
                "include /etc/ld.so.conf.d/*.conf\n/opt/lib # mine\n",
            ),
            ("etc/ld.so.conf.d/b.conf", "/lib/b\n"),
            ("etc/ld.so.conf.d/a.conf", "# none\n/lib/a\n"),
            ("etc/ld.so.conf.d/c.txt", "/lib/c\n"),
        ] {
            files.add(path, Node::file(0o644, text)).unwrap();
        }
        assert_eq!(
            configured(&files, "etc/ld.so.conf", 0),
            ["lib/a", "lib/b", "opt/lib"]
        );
        assert_eq!(cache(&files), None);
    }
}
