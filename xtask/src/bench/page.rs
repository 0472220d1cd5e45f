//! The page and the README's figures, from measured tables only.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::statistics::Summary;
use super::{Row, Table};
use crate::house::House;
use crate::setup::TARGETS;
use crate::tidy;
use crate::tool::{command, read, version};

const TOOLS: &[&str] = &[
    "rustc", "crun", "runc", "podman", "buildah", "umoci", "dockerd",
];

/// The whole of `docs/benchmarks.md`.
pub(super) fn page(tables: &[Table], words: &str) -> Result<String> {
    let mut page = String::from(
        "# Benchmarks\n\nEvery figure on this page was measured in one run on one machine, contenders taking turns. Written by:\n\n",
    );
    writeln!(page, "    cargo xtask bench {words}\n")?;
    page.push_str("Milliseconds; less is better. \"ratio\" is a row's median over ounce's. With fewer than 100 runs p99 is the slowest run.\n\n");
    page.push_str(&machine());
    for table in tables {
        write!(
            page,
            "\n## {}\n\n{}\n\n{}",
            table.title,
            table.method,
            rows(table)
        )?;
        for missing in &table.missing {
            write!(page, "\nNot measured: {missing}.\n")?;
        }
    }
    page.push_str("\n## The bars\n\n");
    page.push_str(&bars(tables));
    Ok(page)
}

fn rows(table: &Table) -> String {
    let mut text = String::from(
        "| contender | what it does here | p50 | p99 | min | runs | ratio |\n|---|---|---:|---:|---:|---:|---:|\n",
    );
    for Row {
        name,
        note,
        samples_ms,
        failures,
    } in &table.rows
    {
        let Some(Summary { min, p50, p99 }) = Summary::of(samples_ms) else {
            continue;
        };
        let ratio = table
            .ratio(std::slice::from_ref(name))
            .map_or(String::new(), |ratio| format!("{ratio:.1} ×"));
        let runs = if *failures == 0 {
            samples_ms.len().to_string()
        } else {
            format!("{} ({failures} failed)", samples_ms.len())
        };
        let _ = writeln!(
            text,
            "| {name} | {note} | {p50:.2} | {p99:.2} | {min:.2} | {runs} | {ratio} |"
        );
    }
    text
}

/// Each promise beside what was measured.
pub(super) fn bars(tables: &[Table]) -> String {
    let mut text = String::from("| bar | wanted | measured | met |\n|---|---:|---:|---|\n");
    for table in tables {
        for bar in &table.bars {
            let (measured, met) = match table.ratio(&bar.against) {
                Some(ratio) => (
                    format!("{ratio:.1} ×"),
                    if ratio >= bar.at_least { "yes" } else { "no" },
                ),
                None => ("–".to_owned(), "not measured"),
            };
            let _ = writeln!(
                text,
                "| {} | {:.0} × | {measured} | {met} |",
                bar.promise, bar.at_least
            );
        }
    }
    text
}

/// The machine, in the words of its kernel and tools.
fn machine() -> String {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown", |(_, model)| model);
    let count = cpus
        .lines()
        .filter(|line| line.starts_with("processor"))
        .count();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("unknown").to_owned();
    let date = read(&mut command(&["date", "--utc", "+%Y-%m-%d"])).unwrap_or_default();
    let tools: Vec<_> = TOOLS.iter().filter_map(|tool| version(tool)).collect();
    format!(
        "- {}, Linux {}, {count} × {model}; load when written {load}\n- {}\n",
        date.trim(),
        kernel.trim(),
        tools.join("; ")
    )
}

const BEGIN: &str = "<!-- figures: written by `cargo xtask bench` -->";
const END: &str = "<!-- figures end -->";

/// Replaces what stands between the two marks of the README.
pub(super) fn fill_readme(house: &House, tables: &[Table], ounce: &Path) -> Result<()> {
    let path = house.path("README.md");
    let text = fs::read_to_string(&path)?;
    let mut figures = String::from("| measured | ounce | beside it |\n|---|---:|---|\n");
    for folder in house.own_workspaces()? {
        if tidy::budget_of(&folder)?.is_none() {
            continue;
        }
        let name = folder.strip_prefix(house.root())?.display();
        for target in TARGETS {
            let elf = tidy::build_program(&folder, target)?;
            let image = tidy::Packer {
                ounce: ounce.to_path_buf(),
            }
            .image_bytes(&elf)?;
            let arch = target.split('-').next().unwrap_or(target);
            writeln!(
                figures,
                "| `{name}`, {arch}: image (program) | {image} bytes ({}) | |",
                fs::metadata(&elf)?.len()
            )?;
        }
    }
    for table in tables {
        let Some(own) = table
            .rows
            .first()
            .and_then(|row| Summary::of(&row.samples_ms))
        else {
            continue;
        };
        let others: Vec<String> = table.rows[1..]
            .iter()
            .filter_map(|row| {
                Some(format!(
                    "{} {:.1}",
                    row.name,
                    Summary::of(&row.samples_ms)?.p50
                ))
            })
            .collect();
        writeln!(
            figures,
            "| {}, ms | {:.2} | {} |",
            table.title,
            own.p50,
            others.join(" · ")
        )?;
    }
    fs::write(&path, between(&text, &figures)?)?;
    Ok(())
}

fn between(text: &str, figures: &str) -> Result<String> {
    let (before, rest) = text
        .split_once(BEGIN)
        .context("README.md lacks the mark where figures begin")?;
    let (_, after) = rest
        .split_once(END)
        .context("README.md lacks the mark where figures end")?;
    Ok(format!("{before}{BEGIN}\n{figures}{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::Bar;

    fn table(at_least: f64) -> Table {
        let row = |name: &str, ms: f64| Row {
            name: name.into(),
            note: String::new(),
            samples_ms: vec![ms],
            failures: 0,
        };
        Table {
            title: "T".into(),
            method: "M".into(),
            rows: vec![row("ounce", 2.0), row("peer", 9.0)],
            missing: vec!["gone: not installed".into()],
            bars: vec![Bar {
                promise: "P".into(),
                against: vec!["peer".into()],
                at_least,
            }],
        }
    }

    #[test]
    fn a_bar_is_met_or_not_by_what_was_measured() {
        assert!(bars(&[table(4.0)]).contains("| P | 4 × | 4.5 × | yes |"));
        assert!(bars(&[table(5.0)]).contains("| P | 5 × | 4.5 × | no |"));
        let mut without = table(5.0);
        without.rows.pop();
        assert!(bars(&[without]).contains("not measured"));
    }

    #[test]
    fn the_page_shows_rows_and_what_is_missing() {
        let text = page(&[table(3.0)], "all --runs 1").unwrap();
        assert!(
            text.contains("| peer |  | 9.00 | 9.00 | 9.00 | 1 | 4.5 × |"),
            "{text}"
        );
        assert!(text.contains("Not measured: gone: not installed."));
    }

    #[test]
    fn only_what_stands_between_the_marks_is_replaced() {
        let text = format!("a{BEGIN}old{END}b");
        assert_eq!(
            between(&text, "new\n").unwrap(),
            format!("a{BEGIN}\nnew\n{END}b")
        );
        assert!(between("no marks", "").is_err());
    }
}
