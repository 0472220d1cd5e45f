//! `cargo xtask tidy`: the laws of the house, each a function that returns what breaks it.
//!
//! A law takes a [`House`] and returns faults; it prints nothing and decides
//! nothing. Each is tested on a small made-up tree that breaks it, since a
//! check that cannot fail is a defect of its own.

mod budgets;
mod circles;
mod documents;
mod floors;
mod modules;
mod unsafety;

use std::fmt;

use anyhow::{Result, bail};

use crate::house::House;

pub(crate) use budgets::{
    Packer, build as build_program, build_own as build_own_program, of_program as budget_of,
    program_name,
};

/// One breach of a law: where, and what is wrong there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The file, with a line where there is one.
    pub(crate) place: String,
    /// What breaks the law, and what to do.
    pub(crate) problem: String,
}

impl Fault {
    fn new(place: impl fmt::Display, problem: impl Into<String>) -> Self {
        Self {
            place: place.to_string(),
            problem: problem.into(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.place, self.problem)
    }
}

type Law = fn(&House) -> Result<Vec<Fault>>;

/// The laws that only read.
const LAWS: &[(&str, Law)] = &[
    (
        "no crate imports upward or sideways",
        floors::imports_go_down,
    ),
    ("no circle between crates", floors::crates_form_no_circle),
    (
        "no circle between the modules of a crate",
        circles::modules_form_no_circle,
    ),
    (
        "unsafe code only where it is allowed",
        unsafety::unsafe_is_fenced,
    ),
    (
        "modules of a readable size that say what they are",
        modules::sizes_and_heads,
    ),
    ("names that say something", modules::names_say_something),
    ("nothing left half done", modules::nothing_left_over),
    (
        "licences and the documents that are promised",
        documents::promised_files,
    ),
    (
        "every relative link leads somewhere",
        documents::links_resolve,
    ),
];

/// Runs every law; builds and packs what has a budget unless `quick`.
pub(crate) fn run(house: &House, quick: bool) -> Result<()> {
    let mut broken = 0;
    for (name, law) in LAWS {
        broken += tell(name, &law(house)?);
    }
    if !quick {
        let packer = Packer::debug(house)?;
        broken += tell(
            "every program and image within its budget",
            &budgets::kept(house, &packer)?,
        );
    }
    if broken > 0 {
        bail!("{broken} faults against the laws of the house");
    }
    Ok(())
}

fn tell(law: &str, faults: &[Fault]) -> usize {
    println!(
        "  {} {law}",
        if faults.is_empty() { "ok  " } else { "FAIL" }
    );
    for fault in faults {
        println!("       {fault}");
    }
    faults.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The laws hold for the repository as it stands: what CI would find, found here.
    #[test]
    fn this_repository_keeps_the_laws_that_only_read() {
        let house = House::here().unwrap();
        let mut faults = Vec::new();
        for (_, law) in LAWS {
            faults.extend(law(&house).unwrap());
        }
        assert!(faults.is_empty(), "{faults:#?}");
    }
}
