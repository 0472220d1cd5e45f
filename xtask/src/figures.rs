//! `cargo xtask figures`: fills the README's figures from what was measured.
//!
//! Sizes are built and weighed here; the table of bars is taken from
//! `docs/benchmarks.md`, which `cargo xtask bench` writes. Nothing else stands
//! between the two marks.

use std::fmt::Write as _;
use std::fs;

use anyhow::{Context as _, Result};

use crate::house::House;
use crate::setup::TARGETS;
use crate::tidy;

const BEGIN: &str = "<!-- figures: written by `cargo xtask figures` -->";
const END: &str = "<!-- figures end -->";

/// Replaces what stands between the README's two marks.
pub(crate) fn fill(house: &House) -> Result<()> {
    let path = house.path("README.md");
    let text = fs::read_to_string(&path)?;
    let mut figures = sizes(house)?;
    let page = fs::read_to_string(house.path("docs/benchmarks.md")).unwrap_or_default();
    if let Some(bars) = first_table(&page) {
        write!(figures, "\n{bars}")?;
    }
    fs::write(&path, between(&text, &figures)?)?;
    Ok(())
}

/// Every program with a budget, for every target: its bytes and its image's.
fn sizes(house: &House) -> Result<String> {
    let packer = tidy::Packer::debug(house)?;
    let mut table =
        String::from("| program | processor | ELF bytes | image bytes |\n|---|---|---:|---:|\n");
    for folder in house.own_workspaces()? {
        if tidy::budget_of(&folder)?.is_none() {
            continue;
        }
        for target in TARGETS {
            for elf in tidy::build_program(&folder, target)? {
                let image_bytes = packer.image_bytes(&elf)?;
                let elf_bytes = fs::metadata(&elf)?.len();
                let processor = target.split('-').next().unwrap_or(target);
                let name = tidy::program_name(house, &folder, &elf);
                writeln!(
                    table,
                    "| `{name}` | {processor} | {elf_bytes} | {image_bytes} |"
                )?;
            }
        }
    }
    Ok(table)
}

/// The first table of a page: on the page of benchmarks, the bars.
fn first_table(page: &str) -> Option<String> {
    let lines: Vec<&str> = page.lines().collect();
    let start = lines.iter().position(|line| line.starts_with('|'))?;
    let table: Vec<&str> = lines[start..]
        .iter()
        .copied()
        .take_while(|line| line.starts_with('|'))
        .collect();
    Some(table.join("\n") + "\n")
}

fn between(text: &str, figures: &str) -> Result<String> {
    let (before, rest) = text
        .split_once(BEGIN)
        .context("README.md lacks the mark where figures begin")?;
    let (_, after) = rest
        .split_once(END)
        .context("README.md lacks the mark where figures end")?;
    Ok(format!("{before}{BEGIN}\n\n{figures}\n{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stands_between_the_marks_is_replaced() {
        let text = format!("a{BEGIN}old{END}b");
        assert_eq!(
            between(&text, "new\n").unwrap(),
            format!("a{BEGIN}\n\nnew\n\n{END}b")
        );
        assert!(between("no marks", "").is_err());
    }

    #[test]
    fn the_first_table_is_taken_whole() {
        assert_eq!(
            first_table("top\n| a |\n| b |\n\n| c |\nend\n").as_deref(),
            Some("| a |\n| b |\n")
        );
        assert_eq!(first_table("| a |").as_deref(), Some("| a |\n"));
        assert_eq!(first_table("none"), None);
    }
}
