//! How a source file reads: its size, its head, its name, what was left in it.

use std::fs;
use std::path::Path;

use anyhow::Result;

use super::Fault;
use crate::house::House;
use crate::tokens::{Placed, tokens};

/// Lines past which a module must say in its head why it is so long.
const MOST_LINES: usize = 800;

/// The words in a file's head that say why it is long.
const REASON: &str = "long because";

/// How a test function that is another test's child process is marked.
const ROLES: &[&str] = &["#[ignore = \"a process of ", "#[ignore = \"is run "];

/// Names that say nothing about what is inside.
const EMPTY_NAMES: &[&str] = &[
    "util", "utils", "common", "helper", "helpers", "manager", "core", "misc", "error",
];

/// Every module starts with `//!` and is short, or says in its head why not.
pub(super) fn sizes_and_heads(house: &House) -> Result<Vec<Fault>> {
    let mut faults = Vec::new();
    for file in house.files("rs")? {
        let text = fs::read_to_string(&file)?;
        let head: Vec<&str> = text
            .lines()
            .take_while(|line| line.starts_with("//!"))
            .collect();
        if head.is_empty() && is_module(&file) {
            faults.push(Fault::new(
                house.name(&file),
                "the first line is not `//!` and what the module is",
            ));
        }
        let lines = text.lines().count();
        if lines > MOST_LINES && !head.join(" ").to_lowercase().contains(REASON) {
            faults.push(Fault::new(
                house.name(&file),
                format!(
                    "{lines} lines; past {MOST_LINES} the head must say why (\"Long because …\")"
                ),
            ));
        }
    }
    Ok(faults)
}

/// Whether a file is source of ours: not an input of a test, not the tests of
/// the module it stands beneath.
fn is_module(file: &Path) -> bool {
    !file.ends_with("tests.rs") && !file.iter().any(|part| part == "fixtures")
}

/// No module, folder or crate is called by a name that says nothing.
pub(super) fn names_say_something(house: &House) -> Result<Vec<Fault>> {
    let mut faults = Vec::new();
    for file in house.files("rs")? {
        let below = file.strip_prefix(house.root())?;
        for part in below.with_extension("").iter() {
            let part = part.to_string_lossy().to_lowercase();
            if part
                .split(['_', '-'])
                .any(|word| EMPTY_NAMES.contains(&word))
            {
                faults.push(Fault::new(
                    below.display(),
                    format!("`{part}` says nothing about what is inside"),
                ));
            }
        }
    }
    Ok(faults)
}

/// No `todo!`, `unimplemented!`, `dbg!`, no ignored test, no note to self.
pub(super) fn nothing_left_over(house: &House) -> Result<Vec<Fault>> {
    // Put together here, so that this file does not find itself.
    let notes = [
        ["FIX", "ME"].concat(),
        ["TO", "DO"].concat(),
        ["XX", "X:"].concat(),
    ];
    let mut faults = Vec::new();
    for file in house.files("rs")? {
        let text = fs::read_to_string(&file)?;
        let lines: Vec<&str> = text.lines().collect();
        for (line, problem) in leftovers(&tokens(&text)) {
            // Not a test but the other process of one, started by its name.
            if lines
                .get(line - 1)
                .is_some_and(|line| ROLES.iter().any(|role| line.contains(role)))
            {
                continue;
            }
            faults.push(Fault::new(format!("{}:{line}", house.name(&file)), problem));
        }
        for (index, line) in text.lines().enumerate() {
            if let Some(note) = notes.iter().find(|note| line.contains(note.as_str())) {
                faults.push(Fault::new(
                    format!("{}:{}", house.name(&file), index + 1),
                    format!("a {note} left over"),
                ));
            }
        }
    }
    Ok(faults)
}

fn leftovers(code: &[Placed]) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for pair in code.windows(2) {
        let word = pair[0].word().unwrap_or_default();
        if pair[1].is_mark('!') && matches!(word, "todo" | "unimplemented" | "dbg") {
            found.push((pair[0].line, format!("{word}! left over")));
        }
        if pair[0].is_mark('[') && pair[1].is_word("ignore") {
            found.push((
                pair[1].line,
                "an ignored test; say aloud at run time what is missing instead".into(),
            ));
        }
    }
    found
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A made-up house of these files, gone when the first value is dropped.
    pub(in crate::tidy) fn tree(files: &[(&str, &str)]) -> (tempfile::TempDir, House) {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let house = House::at(folder.path());
        (folder, house)
    }

    #[test]
    fn a_module_without_a_head_is_a_fault() {
        let (_folder, house) = tree(&[("a.rs", "fn f() {}"), ("b.rs", "//! B.\n")]);
        let faults = sizes_and_heads(&house).unwrap();
        assert_eq!(faults.len(), 1);
        assert_eq!(faults[0].place, "a.rs");
    }

    #[test]
    fn a_long_module_says_why_or_is_a_fault() {
        let long = "//! A.\n".to_owned() + &"fn f() {}\n".repeat(MOST_LINES);
        let excused =
            "//! B. Long because it is one table.\n".to_owned() + &"// row\n".repeat(MOST_LINES);
        let (_folder, house) = tree(&[("a.rs", &long), ("b.rs", &excused)]);
        let faults = sizes_and_heads(&house).unwrap();
        assert_eq!(faults.len(), 1);
        assert!(
            faults[0].to_string().starts_with("a.rs: 801 lines"),
            "{}",
            faults[0]
        );
    }

    #[test]
    fn an_empty_name_is_a_fault_for_files_and_folders() {
        let (_folder, house) = tree(&[
            ("a/util.rs", ""),
            ("common/b.rs", ""),
            ("x/cache_manager.rs", ""),
            ("utility.rs", ""),
        ]);
        assert_eq!(names_say_something(&house).unwrap().len(), 3);
    }

    #[test]
    fn what_was_left_over_is_found_in_code_and_comments() {
        let text = [
            "fn f() { todo",
            "!() }\n#[ignore]\nfn g() {}\n// FIX",
            "ME later\n",
        ]
        .concat();
        let (_folder, house) = tree(&[("a.rs", &text), ("b.rs", "const A: &str = \"todo!\";")]);
        let places: Vec<_> = nothing_left_over(&house)
            .unwrap()
            .into_iter()
            .map(|f| f.place)
            .collect();
        assert_eq!(places, ["a.rs:1", "a.rs:2", "a.rs:4"]);
    }
}
