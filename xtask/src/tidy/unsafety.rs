//! Where unsafe code may stand, and that the rest forbids it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::Fault;
use crate::house::House;
use crate::tokens::{Placed, tokens};

/// Files and folders that may hold unsafe code, each with its reason.
const ALLOWED: &[(&str, &str)] = &[
    (
        "crates/linux",
        "the only gate to the kernel's calls that rustix does not make safe",
    ),
    (
        "apps/httpd/src/lib.rs",
        "the macro that exports a program's way in: an unsafe attribute",
    ),
    (
        "apps/httpd/src/main.rs",
        "entry code: `_start` and what the compiler asks of libc",
    ),
    (
        "apps/httpd/src/entry.rs",
        "entry code: `_start` and what the compiler asks of libc",
    ),
    (
        "web/ui/src/entry.rs",
        "entry code of a page's component: exported names, and that a module has one thread",
    ),
    (
        "apps/wasmhost/src/trusted.rs",
        "mapping code that was made ahead of time, and sockets that are handed in",
    ),
    (
        "apps/wasmhost/src/main.rs",
        "its crate root: unsafe code is denied, but for the module above",
    ),
    (
        "examples/wasm-hello",
        "the exports that wit-bindgen writes are unsafe attributes",
    ),
    (
        "examples/wasm-http",
        "the exports that wit-bindgen writes are unsafe attributes",
    ),
    (
        "examples/wasm-relay",
        "the exports that wit-bindgen writes are unsafe attributes",
    ),
    (
        "examples/device-riscv/src/board.rs",
        "entry code and registers of a bare machine",
    ),
    (
        "examples/device-riscv/src/heap.rs",
        "memory that the engine of modules is handed by address",
    ),
    (
        "examples/wasm-device",
        "imports of a module, and the name that its host calls it by",
    ),
    (
        "bench/programs/firmware",
        "registers of a machine: a program that patches are measured on, and never run",
    ),
    (
        "fixtures/torture",
        "a checker of the kernel's answers makes the calls itself, those the library lacks as well",
    ),
    (
        "examples/hello/src/main.rs",
        "entry code of a program without the standard library",
    ),
];

fn allowed(house: &House, file: &Path) -> bool {
    ALLOWED
        .iter()
        .any(|(place, _)| file.starts_with(house.path(place)))
}

/// `#![forbid(unsafe_code)]` in every crate root, and no `unsafe` elsewhere than allowed.
pub(super) fn unsafe_is_fenced(house: &House) -> Result<Vec<Fault>> {
    let mut faults = Vec::new();
    for root in crate_roots(house)? {
        let code = tokens(&fs::read_to_string(&root)?);
        if !allowed(house, &root) && !holds_forbid(&code) && !needs_an_exception(house, &root) {
            faults.push(Fault::new(
                house.name(&root),
                "lacks #![forbid(unsafe_code)]",
            ));
        }
    }
    for file in house.files("rs")? {
        if allowed(house, &file) {
            continue;
        }
        let code = tokens(&fs::read_to_string(&file)?);
        for word in code.iter().filter(|token| token.is_word("unsafe")) {
            faults.push(Fault::new(
                format!("{}:{}", house.name(&file), word.line),
                "unsafe code; it belongs into crates/linux, or into the list in xtask/src/tidy/unsafety.rs with a reason",
            ));
        }
    }
    Ok(faults)
}

/// A crate one of whose other files may be unsafe cannot forbid it at its root;
/// it must `deny` there instead.
fn needs_an_exception(house: &House, root: &Path) -> bool {
    let folder = root.parent().unwrap_or(root);
    let other_file = ALLOWED.iter().any(|(place, _)| {
        let place = house.path(place);
        place.starts_with(folder) && place.is_file() && place != root
    });
    other_file && fs::read_to_string(root).is_ok_and(|text| text.contains("#![deny(unsafe_code)]"))
}

fn holds_forbid(code: &[Placed]) -> bool {
    code.windows(5).any(|five| {
        five[0].is_mark('!')
            && five[1].is_mark('[')
            && five[2].is_word("forbid")
            && five[3].is_mark('(')
            && five[4].is_word("unsafe_code")
    })
}

/// `lib.rs`, `main.rs`, and each file right in `src/bin`, `tests`, `benches`.
fn crate_roots(house: &House) -> Result<Vec<PathBuf>> {
    let mut folders = house.crates()?;
    folders.extend(house.own_workspaces()?);
    folders.push(house.path("xtask"));
    let mut roots = Vec::new();
    for folder in folders {
        for file in ["src/lib.rs", "src/main.rs"] {
            let file = folder.join(file);
            if file.is_file() {
                roots.push(file);
            }
        }
        let bins = folder.join("src/bin");
        if bins.is_dir() {
            roots.extend(
                House::files_in(&bins, "rs")?
                    .into_iter()
                    .filter(|file| file.parent() == Some(&bins)),
            );
        }
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::modules::tests::tree;

    fn faults(files: &[(&str, &str)]) -> String {
        let (_folder, house) = tree(files);
        unsafe_is_fenced(&house)
            .unwrap()
            .iter()
            .map(|fault| format!("{fault}\n"))
            .collect()
    }

    #[test]
    fn a_root_that_does_not_forbid_is_a_fault() {
        let found = faults(&[
            ("crates/a/Cargo.toml", ""),
            ("crates/a/src/lib.rs", "// #![forbid(unsafe_code)]"),
        ]);
        assert_eq!(
            found,
            "crates/a/src/lib.rs: lacks #![forbid(unsafe_code)]\n"
        );
    }

    #[test]
    fn a_deny_is_not_enough_without_an_exception() {
        let found = faults(&[
            ("crates/a/Cargo.toml", ""),
            ("crates/a/src/lib.rs", "#![deny(unsafe_code)]"),
        ]);
        assert!(found.contains("lacks"), "{found}");
    }

    #[test]
    fn unsafe_code_is_named_with_its_line_even_under_tests() {
        let found = faults(&[
            ("crates/a/Cargo.toml", ""),
            ("crates/a/src/lib.rs", "#![forbid(unsafe_code)]\nmod b;"),
            (
                "crates/a/src/b.rs",
                "// unsafe\nconst A: &str = \"unsafe\";\nunsafe fn f() {}",
            ),
            ("crates/a/tests/all.rs", "fn f() { unsafe {} }"),
        ]);
        assert!(
            found.contains("src/b.rs:3: unsafe") && found.contains("tests/all.rs:1"),
            "{found}"
        );
        assert_eq!(found.lines().count(), 2, "{found}");
    }

    #[test]
    fn the_gate_to_the_kernel_may() {
        let found = faults(&[
            ("crates/linux/Cargo.toml", ""),
            ("crates/linux/src/lib.rs", "unsafe fn f() {}"),
        ]);
        assert_eq!(found, "");
    }
}
