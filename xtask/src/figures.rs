//! `cargo xtask figures`: fills the README's figures from what was measured.
//!
//! Sizes are built and weighed here; the tables of bars are taken from
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
    if let Some(bars) = bars(&page) {
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
            let elf = tidy::build_program(&folder, target)?;
            let image_bytes = packer.image_bytes(&elf)?;
            let elf_bytes = fs::metadata(&elf)?.len();
            let processor = target.split('-').next().unwrap_or(target);
            writeln!(
                table,
                "| `{}` | {processor} | {elf_bytes} | {image_bytes} |",
                house.name(&folder)
            )?;
        }
    }
    Ok(table)
}

/// The bars of all suites as one table: the page of benchmarks has one a suite.
fn bars(page: &str) -> Option<String> {
    let mut table: Vec<&str> = Vec::new();
    let mut lines = page.lines();
    while let Some(head) = lines.find(|line| line.starts_with("| bar |")) {
        let rows = lines.by_ref().take_while(|line| line.starts_with('|'));
        let skipped = if table.is_empty() {
            table.push(head);
            0
        } else {
            1
        };
        table.extend(rows.skip(skipped));
    }
    (!table.is_empty()).then(|| table.join("\n") + "\n")
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
    fn the_bars_of_all_suites_stand_under_one_head() {
        let page = "# top\n| x |\n\n| bar | a |\n|---|---|\n| 1 | 2 |\n\ntext\n| bar | a |\n|---|---|\n| 3 | 4 |\nend\n";
        assert_eq!(
            bars(page).as_deref(),
            Some("| bar | a |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |\n")
        );
        assert_eq!(bars("| x |\n| y |\n"), None);
    }
}
