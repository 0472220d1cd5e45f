//! The report: measurements to tables, ratios and bars, as Markdown for people
//! and JSON for machines. Pure: it measures nothing and writes no file.

use std::fmt::Write as _;

use serde::Serialize;

use super::host::Host;
use super::rounds::{Absent, Row, Taken};
use super::sampling::Statistics;

/// Everything one invocation found.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) schema: &'static str,
    pub(crate) command: String,
    pub(crate) host: Host,
    pub(crate) suites: Vec<Suite>,
}

/// One suite's findings.
#[derive(Debug, Serialize)]
pub(crate) struct Suite {
    pub(crate) title: String,
    /// What is measured and how, in a sentence or two.
    pub(crate) method: String,
    pub(crate) tables: Vec<Table>,
    pub(crate) bars: Vec<Bar>,
    pub(crate) absent: Vec<Absent>,
    /// What a careful reader must know to judge the figures.
    pub(crate) notes: Vec<String>,
}

/// Contenders for the same task, compared with the base.
#[derive(Debug, Serialize)]
pub(crate) struct Table {
    pub(crate) key: String,
    pub(crate) title: String,
    /// The key of the row that all ratios refer to.
    pub(crate) base: String,
    /// The mark shown; the JSON holds the others too.
    pub(crate) mark: String,
    pub(crate) lines: Vec<Line>,
}

/// One contender in a table.
#[derive(Debug, Serialize)]
pub(crate) struct Line {
    pub(crate) row: Row,
    pub(crate) statistics: Statistics,
    /// This one's median over the base's.
    pub(crate) ratio: Option<f64>,
    /// Median of the ratios round by round.
    pub(crate) paired_ratio: Option<f64>,
    pub(crate) repeated: usize,
    /// All samples of all marks, in microseconds.
    pub(crate) samples: serde_json::Value,
}

impl Table {
    /// Compares the samples of `mark` with those of `base`, fastest first.
    pub(crate) fn new(
        key: &str,
        title: &str,
        base: &str,
        mark: &'static str,
        taken: &[Taken],
    ) -> Table {
        let reference = taken
            .iter()
            .find(|one| one.row.key == base)
            .and_then(|one| one.series.get(mark));
        let reference_p50 = reference
            .and_then(|series| series.statistics())
            .map(|found| found.p50);
        let mut lines: Vec<Line> = taken
            .iter()
            .filter_map(|one| {
                let series = one.series.get(mark)?;
                let statistics = series.statistics()?;
                Some(Line {
                    row: one.row.clone(),
                    statistics,
                    ratio: reference_p50.map(|base| statistics.p50 / base),
                    paired_ratio: reference.and_then(|base| series.paired_ratio(base)),
                    repeated: one.repeated,
                    samples: serde_json::to_value(&one.series).unwrap_or_default(),
                })
            })
            .collect();
        lines.sort_by(|a, b| a.statistics.p50.total_cmp(&b.statistics.p50));
        Table {
            key: key.into(),
            title: title.into(),
            base: base.into(),
            mark: mark.into(),
            lines,
        }
    }

    fn line(&self, key: &str) -> Option<&Line> {
        self.lines.iter().find(|line| line.row.key == key)
    }

    /// A bar against the fastest of `peers` that took part.
    pub(crate) fn bar(&self, goal: &str, peers: &[&str], wanted: f64) -> Bar {
        let fastest = peers
            .iter()
            .filter_map(|key| self.line(key))
            .min_by(|a, b| a.statistics.p50.total_cmp(&b.statistics.p50));
        Bar {
            goal: goal.into(),
            wanted,
            against: fastest.map(|line| line.row.title.clone()),
            ratio: fastest.and_then(|line| line.ratio),
            paired_ratio: fastest.and_then(|line| line.paired_ratio),
        }
    }

    fn markdown(&self, out: &mut String) {
        let _ = writeln!(out, "\n### {}\n", self.title);
        out.push_str("| | p50 | p99 | min | max | × ounce | paired × | what it does |\n");
        out.push_str("|---|--:|--:|--:|--:|--:|--:|---|\n");
        for line in &self.lines {
            let found = line.statistics;
            let bold = if line.row.key == self.base { "**" } else { "" };
            let _ = writeln!(
                out,
                "| {bold}{}{bold} | {bold}{}{bold} | {} | {} | {} | {} | {} | {} |",
                cell(&line.row.title),
                milliseconds(found.p50),
                milliseconds(found.p99),
                milliseconds(found.min),
                milliseconds(found.max),
                times(line.ratio),
                times(line.paired_ratio),
                cell(&line.row.remark),
            );
        }
    }
}

/// A promise and what became of it.
#[derive(Debug, Serialize)]
pub(crate) struct Bar {
    pub(crate) goal: String,
    pub(crate) wanted: f64,
    pub(crate) against: Option<String>,
    pub(crate) ratio: Option<f64>,
    pub(crate) paired_ratio: Option<f64>,
}

impl Bar {
    /// Met only if both ratios reach it; a bar that could not be measured is not met.
    pub(crate) fn verdict(&self) -> Verdict {
        match (self.ratio, self.paired_ratio) {
            (Some(ratio), Some(paired)) if ratio >= self.wanted && paired >= self.wanted => {
                Verdict::Met
            }
            (Some(_), Some(_)) => Verdict::NotMet,
            _ => Verdict::NotMeasured,
        }
    }
}

/// What became of a bar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Met,
    NotMet,
    NotMeasured,
}

impl Verdict {
    fn text(self) -> &'static str {
        match self {
            Verdict::Met => "met",
            Verdict::NotMet => "**not met**",
            Verdict::NotMeasured => "**not measured**",
        }
    }
}

/// The whole page.
pub(crate) fn markdown(report: &Report) -> String {
    let host = &report.host;
    let mut out = String::new();
    out.push_str("# Benchmarks\n\n");
    let _ = writeln!(
        out,
        "Measured {} by `{}` on {} ({} processors, {} MB of memory, load {} before), Linux {}, {}. \
         Times in milliseconds; contenders take turns, round by round, after a warm-up. \
         *× ounce*: median over ounce's median; *paired ×*: median of the ratios round by round.\n",
        host.date,
        report.command,
        host.processor,
        host.processors,
        host.memory_mb,
        host.load,
        host.kernel,
        host.system
    );
    out.push_str("| bar | wanted | fastest peer | × | paired × | |\n|---|--:|---|--:|--:|---|\n");
    for bar in report.suites.iter().flat_map(|suite| &suite.bars) {
        let _ = writeln!(
            out,
            "| {} | ≥ {}× | {} | {} | {} | {} |",
            cell(&bar.goal),
            bar.wanted,
            cell(bar.against.as_deref().unwrap_or("none could be measured")),
            times(bar.ratio),
            times(bar.paired_ratio),
            bar.verdict().text()
        );
    }
    for suite in &report.suites {
        let _ = writeln!(out, "\n## {}\n\n{}", suite.title, suite.method);
        for table in &suite.tables {
            table.markdown(&mut out);
        }
        if !suite.absent.is_empty() {
            out.push_str("\nNot measured:\n");
            for absent in &suite.absent {
                let _ = writeln!(out, "- {}: {}", absent.name, one_line(&absent.reason));
            }
        }
        if !suite.notes.is_empty() {
            out.push_str("\nTo judge by:\n");
            for note in &suite.notes {
                let _ = writeln!(out, "- {note}");
            }
        }
    }
    out.push_str("\n## Versions\n\n");
    for (name, version) in &host.versions {
        let _ = writeln!(out, "- {name}: {}", one_line(version));
    }
    let _ = writeln!(
        out,
        "\nRun it again: `{}` (as root on Debian or Ubuntu it installs the peers it needs; \
         all samples are in `target/bench/report.json`).",
        report.command
    );
    out
}

fn cell(text: &str) -> String {
    one_line(text).replace('|', "\\|")
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Microseconds as milliseconds with three digits.
fn milliseconds(microseconds: f64) -> String {
    three_digits(microseconds / 1000.0)
}

fn times(ratio: Option<f64>) -> String {
    ratio.map_or_else(|| "–".to_owned(), three_digits)
}

fn three_digits(value: f64) -> String {
    let decimals = if value < 9.995 {
        2
    } else if value < 99.95 {
        1
    } else {
        0
    };
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::sampling::Series;
    use super::*;

    fn taken(key: &str, samples: &[f64]) -> Taken {
        let mut series = Series::default();
        for sample in samples {
            series.push(*sample);
        }
        Taken {
            row: Row::new(key, format!("{key} run"), "a|b"),
            series: BTreeMap::from([("first byte", series)]),
            repeated: 0,
        }
    }

    fn table() -> Table {
        let field = [
            taken("slow", &[5000.0, 5000.0]),
            taken("ounce", &[1000.0, 1000.0]),
            taken("quick", &[2000.0, 2000.0]),
        ];
        Table::new("start", "Start", "ounce", "first byte", &field)
    }

    fn report(bars: Vec<Bar>) -> Report {
        Report {
            schema: "ounce-bench/1",
            command: "cargo xtask bench".into(),
            host: Host {
                date: "2026-01-01".into(),
                kernel: "6.1".into(),
                system: "Debian".into(),
                processor: "CPU".into(),
                processors: 2,
                memory_mb: 100,
                load: "0.1 0.2 0.3".into(),
                versions: vec![("crun".into(), "crun version 1\nmore".into())],
            },
            suites: vec![Suite {
                title: "Cold start".into(),
                method: "How.".into(),
                tables: vec![table()],
                bars,
                absent: vec![Absent::new("docker", "no daemon")],
                notes: vec!["A note.".into()],
            }],
        }
    }

    #[test]
    fn lines_are_sorted_and_compared_with_the_base() {
        let table = table();
        let found: Vec<_> = table
            .lines
            .iter()
            .map(|line| (line.row.key.as_str(), line.ratio))
            .collect();
        assert_eq!(
            found,
            [
                ("ounce", Some(1.0)),
                ("quick", Some(2.0)),
                ("slow", Some(5.0))
            ]
        );
    }

    #[test]
    fn a_bar_is_judged_against_the_fastest_peer() {
        let bar = table().bar("faster", &["slow", "quick", "missing"], 3.0);
        assert_eq!(bar.against.as_deref(), Some("quick run"));
        assert_eq!(bar.verdict(), Verdict::NotMet);
        assert_eq!(
            table().bar("faster", &["slow"], 3.0).verdict(),
            Verdict::Met
        );
    }

    #[test]
    fn a_bar_without_its_peer_is_not_met_but_not_measured() {
        assert_eq!(
            table().bar("faster", &["missing"], 3.0).verdict(),
            Verdict::NotMeasured
        );
    }

    #[test]
    fn a_bar_needs_both_ratios() {
        let bar = Bar {
            goal: "x".into(),
            wanted: 3.0,
            against: None,
            ratio: Some(3.1),
            paired_ratio: Some(2.9),
        };
        assert_eq!(bar.verdict(), Verdict::NotMet);
    }

    #[test]
    fn the_page_tells_bars_first_then_tables_then_who_was_missing() {
        let page = markdown(&report(vec![table().bar("start", &["quick"], 3.0)]));
        let places: Vec<usize> = [
            "**not met**",
            "## Cold start",
            "| **ounce run**",
            "- docker: no daemon",
            "crun version 1 more",
        ]
        .iter()
        .map(|text| {
            page.find(text)
                .unwrap_or_else(|| panic!("{text} is not in:\n{page}"))
        })
        .collect();
        assert!(places.is_sorted(), "{page}");
        assert!(page.contains("a\\|b"), "{page}");
    }

    #[test]
    fn numbers_have_three_digits() {
        let found: Vec<String> = [0.1234, 1.005, 9.999, 12.34, 99.96, 1234.5]
            .map(three_digits)
            .to_vec();
        assert_eq!(found, ["0.12", "1.00", "10.0", "12.3", "100", "1234"]);
    }
}
