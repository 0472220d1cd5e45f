//! `cargo xtask figures`: fills the figures of the README and of the server's
//! page from what was measured.
//!
//! Sizes are built and weighed here; the tables are taken from
//! `docs/benchmarks.md`, which `cargo xtask bench` writes. Nothing else stands
//! between the two marks of a page.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use anyhow::{Context as _, Result};

use crate::house::House;
use crate::setup::TARGETS;
use crate::tidy;

const BEGIN: &str = "<!-- figures: written by `cargo xtask figures` -->";
const END: &str = "<!-- figures end -->";

/// The tables of the server's page, by what their headings begin with.
const TABLES: [&str; 3] = [
    "1 KB, keep-alive",
    "1 KB, a connection",
    "Private dirty memory",
];

/// Replaces what stands between the marks of both pages.
pub(crate) fn fill(house: &House) -> Result<()> {
    let page = fs::read_to_string(house.path("docs/benchmarks.md")).unwrap_or_default();
    let sizes = sizes(house)?;
    let mut figures = sizes.clone();
    if let Some(summary) = summary(&page) {
        write!(figures, "\n{summary}")?;
    }
    replace(house, "README.md", &figures)?;

    let is_own = |line: &&str| !line.contains("examples/");
    let mut figures: String = sizes.split_inclusive('\n').filter(is_own).collect();
    let serving = page
        .split_once("## Serving files")
        .map_or("", |(_, rest)| rest.split("\n## ").next().unwrap_or(rest));
    if let Some(bars) = bars(serving) {
        write!(figures, "\n{bars}")?;
    }
    for title in TABLES {
        if let Some(table) = table(serving, title) {
            write!(figures, "\n{table}")?;
        }
    }
    replace(house, "docs/httpd.md", &figures)
}

fn replace(house: &House, name: &str, figures: &str) -> Result<()> {
    let path = house.path(name);
    let text = fs::read_to_string(&path)?;
    let filled = between(&text, figures).with_context(|| format!("filling {name}"))?;
    Ok(fs::write(&path, filled)?)
}

/// A line a program with a budget: for every target its bytes and its image's.
fn sizes(house: &House) -> Result<String> {
    let packer = tidy::Packer::debug(house)?;
    let mut rows: BTreeMap<String, String> = BTreeMap::new();
    for folder in house.own_workspaces()? {
        if crate::wasmhost::is(house, &folder) {
            continue;
        }
        let Some(budgets) = tidy::budget_of(&folder)? else {
            continue;
        };
        if budgets.is_by_ounce() {
            let mut row = String::new();
            for platform in ["linux/amd64", "linux/arm64"] {
                let (elf_bytes, image_bytes) = packer.project_bytes(&folder, platform)?;
                write!(row, " {elf_bytes} | {image_bytes} |")?;
            }
            rows.insert(house.name(&folder).to_string(), row);
            continue;
        }
        for target in TARGETS {
            for elf in tidy::build_program(&folder, target)? {
                let image_bytes = packer.image_bytes(&elf)?;
                let elf_bytes = fs::metadata(&elf)?.len();
                let row = rows.entry(tidy::program_name(house, &folder, &elf));
                write!(row.or_default(), " {elf_bytes} | {image_bytes} |")?;
            }
        }
    }
    let mut table = String::from("| program |");
    for target in TARGETS {
        let processor = target.split('-').next().unwrap_or(target);
        write!(table, " {processor}: ELF bytes | image bytes |")?;
    }
    writeln!(table, "\n|---|{}", "---:|---:|".repeat(TARGETS.len()))?;
    for (name, row) in rows {
        writeln!(table, "| `{name}` |{row}")?;
    }
    Ok(table)
}

/// A row for each suite that has bars: the first of them, and how many of all are met.
fn summary(page: &str) -> Option<String> {
    let mut rows = String::new();
    let (mut met_of_all, mut all) = (0, 0);
    for section in page.split("\n## ").skip(1) {
        let Some(table) = bars(section) else {
            continue;
        };
        let bars: Vec<&str> = table.lines().skip(2).collect();
        let met = bars.iter().filter(|row| row.ends_with("| met |")).count();
        met_of_all += met;
        all += bars.len();
        let heading = section.lines().next().unwrap_or_default();
        let first = bars.first().unwrap_or(&"");
        rows.push_str(&format!("| {heading} {first} {met} of {} |\n", bars.len()));
    }
    let head = "| | the first bar | wanted | best peer | found | paired | | met |\n|---|---|--:|---|--:|--:|---|--:|\n";
    let text = format!(
        "Of the {all} bars that the project set itself {met_of_all} are met; each is in \
         [docs/benchmarks.md](docs/benchmarks.md):\n\n{head}{rows}"
    );
    (all > 0).then_some(text)
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

/// The table under a heading that begins with `title`, the heading above its
/// first column, and without its last column, which tells the conditions.
fn table(page: &str, title: &str) -> Option<String> {
    let mut lines = page.lines();
    let heading = lines.find_map(|line| {
        let heading = line.strip_prefix("### ")?;
        heading.starts_with(title).then_some(heading)
    })?;
    let mut out = String::new();
    let rows = lines.skip_while(|line| !line.starts_with('|'));
    for (number, row) in rows.take_while(|line| line.starts_with('|')).enumerate() {
        let (front, _) = row.trim_end_matches('|').rsplit_once('|')?;
        let front = match number {
            0 => front.replacen("| |", &format!("| {heading} |"), 1),
            _ => front.to_owned(),
        };
        out.push_str(&front);
        out.push_str("|\n");
    }
    (!out.is_empty()).then_some(out)
}

fn between(text: &str, figures: &str) -> Result<String> {
    let (before, rest) = text
        .split_once(BEGIN)
        .context("the mark where figures begin is missing")?;
    let (_, after) = rest
        .split_once(END)
        .context("the mark where figures end is missing")?;
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

    #[test]
    fn a_summary_has_the_first_bar_of_each_suite_and_counts_all() {
        let head = "| bar | found | |\n|---|--:|---|\n";
        let page = format!(
            "# top\n\n## Starts\n\n{head}| a | 1 | met |\n| b | 2 | **not met** |\n\ntext\n\
             ## Without\n\n| x |\n## Serving\n\n{head}| c | 3 | **not met** |\n"
        );
        let text = summary(&page).unwrap();
        assert!(text.starts_with("Of the 3 bars"), "{text}");
        assert!(text.contains("itself 1 are met"), "{text}");
        let rows =
            "| Starts | a | 1 | met | 1 of 2 |\n| Serving | c | 3 | **not met** | 0 of 1 |\n";
        assert!(text.ends_with(rows), "{text}");
        assert_eq!(summary("## Without\n| x |\n"), None);
    }

    #[test]
    fn a_table_is_taken_by_its_heading_without_the_conditions() {
        let page = "### 1 KB, other\n\n| | a |\n|---|---|\n\n### 1 KB, keep-alive, 64\n\n| | rate | how |\n|---|--:|---|\n| x | 1 | so |\n\nend\n";
        assert_eq!(
            table(page, "1 KB, keep-alive").as_deref(),
            Some("| 1 KB, keep-alive, 64 | rate |\n|---|--:|\n| x | 1 |\n")
        );
        assert_eq!(table(page, "100 KB"), None);
    }
}
