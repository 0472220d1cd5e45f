//! Names that a program carries: libraries and paths among its texts, and the
//! functions that it takes from libraries. What a program opens at run time by
//! name (`dlopen`, `open`) stands in it so, unless it puts the name together.

use std::collections::BTreeSet;

use memchr::{memchr, memchr_iter, memmem};
use object::read::elf::{ElfFile32, ElfFile64};
use object::{Endianness, Object, ObjectSymbol};

/// Longest name looked at: the kernel's `PATH_MAX`.
const NAME_BYTES: usize = 4096;
/// Most names of a kind that are taken from one file.
const NAMES: usize = 100_000;

/// Texts in a file that name a shared library: `libX.so`, `/opt/y.so.1.2`.
/// Patterns with `%` or `*` name none.
pub fn libraries(data: &[u8]) -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    for at in memmem::find_iter(data, b".so") {
        if out.len() >= NAMES {
            break;
        }
        let back = &data[at.saturating_sub(NAME_BYTES)..at];
        let name = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._+-@".contains(byte);
        let begin = at - back.iter().rev().take_while(|byte| name(byte)).count();
        let rest = &data[at + 3..data.len().min(at + 3 + 64)];
        let version = rest
            .iter()
            .take_while(|byte| byte.is_ascii_digit() || **byte == b'.')
            .count();
        // Whole texts only: from zero (or the file's beginning) to zero.
        let begins = begin == 0 || data[begin - 1] == 0;
        let ends = rest.get(version) == Some(&0);
        let text = &data[begin..at + 3 + version];
        if begins && ends && at > begin && !text.ends_with(b".") {
            out.insert(String::from_utf8_lossy(text).into_owned());
        }
    }
    out
}

/// Texts in a file that are absolute paths of at least two letters.
pub fn paths(data: &[u8]) -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    for slash in memmem::find_iter(data, b"\0/") {
        let text = &data[slash + 1..data.len().min(slash + 1 + NAME_BYTES)];
        let Some(end) = memchr(0, text) else { continue };
        let text = &text[..end];
        let plain = |byte: &u8| (b'!'..=b'~').contains(byte) && !b"%*?\"'<>|$".contains(byte);
        if text.len() > 2 && text.iter().all(plain) && out.len() < NAMES {
            out.insert(String::from_utf8_lossy(text).into_owned());
        }
    }
    out
}

/// Every text of the file, from zero to zero, of 1 to 255 bytes of printable ASCII.
pub fn texts(data: &[u8]) -> BTreeSet<&str> {
    let mut out = BTreeSet::new();
    let mut begin = 0;
    for zero in memchr_iter(0, data) {
        let text = &data[begin..zero];
        begin = zero + 1;
        if (1..256).contains(&text.len())
            && text.iter().all(|byte| (b' '..=b'~').contains(byte))
            && out.len() < NAMES
            && let Ok(text) = std::str::from_utf8(text)
        {
            out.insert(text);
        }
    }
    out
}

/// Functions and data that a program takes from libraries; empty for one that
/// has no table of them.
pub fn imports(data: &[u8]) -> BTreeSet<String> {
    match data.get(4) {
        Some(2) => ElfFile64::<Endianness>::parse(data).map(|file| undefined(&file)),
        Some(1) => ElfFile32::<Endianness>::parse(data).map(|file| undefined(&file)),
        _ => return BTreeSet::new(),
    }
    .unwrap_or_default()
}

fn undefined<'data>(file: &impl Object<'data>) -> BTreeSet<String> {
    file.dynamic_symbols()
        .filter(|symbol| symbol.is_undefined())
        .filter_map(|symbol| symbol.name_bytes().ok())
        .filter(|name| !name.is_empty())
        .take(NAMES)
        .map(|name| String::from_utf8_lossy(name).into_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_texts_that_name_libraries_are_found() {
        let data = b"\x7fELF\0libgcc_s.so.1\0%s/libnss_%s.so%s\0/opt/a/b.so\0x.sox\0.so\0\
            libssl.so.1.1 is missing\0libz.so.\0lib-c++.so.6.0\0tail.so";
        let found: Vec<_> = libraries(data).into_iter().collect();
        assert_eq!(found, ["/opt/a/b.so", "lib-c++.so.6.0", "libgcc_s.so.1"]);
    }

    #[test]
    fn absolute_paths_are_found_and_patterns_are_not() {
        let data = b"a\0/etc/ssl/certs\0/\0/%s/x\0/etc/a b\0relative/x\0/tmp/*\0/usr/x\0";
        let found: Vec<_> = paths(data).into_iter().collect();
        assert_eq!(found, ["/etc/ssl/certs", "/usr/x"]);
    }

    #[test]
    fn functions_of_this_tests_own_program_come_from_libraries() {
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let found = imports(&own);
        assert!(found.contains("malloc"), "{found:?}");
        assert!(!found.contains("main"));
        for end in [0, 4, 16, 64, 1000, own.len() / 2] {
            let _ = (
                imports(&own[..end]),
                paths(&own[..end]),
                libraries(&own[..end]),
            );
        }
    }

    #[test]
    fn texts_are_bounded_by_zeros() {
        let found: Vec<_> = texts(b"ab\0\xff\0c d\0open").into_iter().collect();
        assert_eq!(found, ["ab", "c d"]);
    }
}
