//! The languages that are known, and the files that tell them.

use std::fmt;
use std::path::Path;

use serde::Serialize;

use crate::program;

/// The names under which make looks for its rules, in its order.
pub(crate) const MAKEFILES: [&str; 3] = ["GNUmakefile", "makefile", "Makefile"];

/// A language that ounce compiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Language {
    /// Rust, by cargo.
    Rust,
    /// Go, by go.
    Go,
    /// Python, by pip; the interpreter is the base's.
    Python,
    /// Zig, by zig.
    Zig,
    /// C and C++, by make, CMake, Meson or the compiler alone.
    C,
}

impl Language {
    /// All, in the order in which they are looked for.
    pub const ALL: [Self; 5] = [Self::Rust, Self::Go, Self::Zig, Self::Python, Self::C];

    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rust => "Rust",
            Self::Go => "Go",
            Self::Python => "Python",
            Self::Zig => "Zig",
            Self::C => "C",
        }
    }

    /// What it is called in `ounce.toml`.
    pub fn key(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::Go => "go",
            Self::Python => "python",
            Self::Zig => "zig",
            Self::C => "c",
        }
    }

    /// Files that only a project in this language has at its top.
    fn marks(self) -> &'static [&'static str] {
        match self {
            Self::Rust => &["Cargo.toml"],
            Self::Go => &["go.mod"],
            Self::Python => &[
                "pyproject.toml",
                "requirements.txt",
                "uv.lock",
                "pylock.toml",
            ],
            Self::Zig => &["build.zig"],
            Self::C => &["CMakeLists.txt", "meson.build"],
        }
    }

    /// How its source files end, where one alone can be compiled.
    pub(crate) fn endings(self) -> &'static [&'static str] {
        match self {
            Self::Rust => &[],
            Self::Go => &["go"],
            Self::Python => &[],
            Self::Zig => &["zig"],
            Self::C => &["c", "cc", "cpp", "cxx"],
        }
    }

    /// The language of a folder, by its surest files.
    pub(crate) fn of_folder(folder: &Path) -> Option<Self> {
        let has = |language: &Self| {
            let mut marks = language.marks().iter();
            marks.any(|mark| folder.join(mark).is_file())
        };
        Self::ALL.into_iter().find(has)
    }

    /// The language of a folder that has none of the surest files.
    pub(crate) fn guessed(folder: &Path) -> Option<Self> {
        let mut names = MAKEFILES.iter().chain(&["configure"]);
        let made = names.any(|name| folder.join(name).is_file());
        let sources = || {
            let entries = std::fs::read_dir(folder).ok()?;
            let mut paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
            paths.find(|path| {
                let ending = path.extension().and_then(|ending| ending.to_str());
                ending.is_some_and(|ending| Self::C.endings().contains(&ending)) && path.is_file()
            })
        };
        (made || sources().is_some()).then_some(Self::C)
    }

    /// The language of a source file; a program may have any name.
    pub(crate) fn of_file(path: &Path) -> Option<Self> {
        let ending = path.extension()?.to_str()?;
        let language = Self::ALL
            .into_iter()
            .find(|language| language.endings().contains(&ending))?;
        (!program::begins_as_elf(path)).then_some(language)
    }

    /// The files that are looked for, in words.
    pub(crate) fn all_marks() -> String {
        let marks: Vec<&str> = Self::ALL
            .iter()
            .flat_map(|one| one.marks())
            .copied()
            .collect();
        format!("{}, Makefile, index.html", marks.join(", "))
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
