//! The report: measurements to tables, ratios and bars, as Markdown for people
//! and JSON for machines. Pure: it measures nothing and writes no file.
//!
//! The page has a section a suite, between marks: a run of one suite replaces
//! that suite's and leaves the others as they are.

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
    /// Its name on the command line.
    pub(crate) key: &'static str,
    pub(crate) title: String,
    /// What is measured and how, in a sentence or two.
    pub(crate) method: String,
    pub(crate) tables: Vec<Sheet>,
    pub(crate) bars: Vec<Bar>,
    pub(crate) absent: Vec<Absent>,
    /// What a careful reader must know to judge the figures.
    pub(crate) notes: Vec<String>,
    /// Name and version of everybody who took part.
    pub(crate) versions: Vec<(String, String)>,
}

/// A table of either kind.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Sheet {
    /// Times of one kind, compared with the base.
    Times(Table),
    /// Cells as the suite has written them.
    Grid(Grid),
}

/// Contenders with several figures each.
#[derive(Debug, Serialize)]
pub(crate) struct Grid {
    pub(crate) key: String,
    pub(crate) title: String,
    /// Above the cells; the contender's own column has no head.
    pub(crate) head: Vec<String>,
    pub(crate) lines: Vec<GridLine>,
}

/// One contender among several figures.
#[derive(Debug, Serialize)]
pub(crate) struct GridLine {
    pub(crate) row: Row,
    pub(crate) is_ours: bool,
    pub(crate) cells: Vec<String>,
    pub(crate) repeated: usize,
    pub(crate) samples: serde_json::Value,
}

impl Grid {
    fn markdown(&self, out: &mut String) {
        let _ = writeln!(
            out,
            "\n### {}\n\n| | {} |",
            self.title,
            self.head.join(" | ")
        );
        // The last column is text.
        let figures = "--:|".repeat(self.head.len().saturating_sub(1));
        let _ = writeln!(out, "|---|{figures}---|");
        for line in &self.lines {
            let bold = if line.is_ours { "**" } else { "" };
            let cells: Vec<String> = line.cells.iter().map(|text| cell(text)).collect();
            let _ = writeln!(
                out,
                "| {bold}{}{bold} | {} |",
                cell(&line.row.title),
                cells.join(" | ")
            );
        }
    }
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
            sense: Sense::TimesAtLeast,
            wanted,
            against: fastest.map(|line| line.row.title.clone()),
            found: fastest.and_then(|line| line.ratio),
            paired: fastest.and_then(|line| line.paired_ratio),
        }
    }

    fn markdown(&self, out: &mut String) {
        let _ = writeln!(out, "\n### {}\n", self.title);
        out.push_str("| | p50 ms | p99 ms | min | max | × ounce | paired × | what it does |\n");
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
    pub(crate) sense: Sense,
    pub(crate) wanted: f64,
    pub(crate) against: Option<String>,
    pub(crate) found: Option<f64>,
    /// The median of the ratios round by round; sizes have none.
    pub(crate) paired: Option<f64>,
}

/// What a bar's number means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) enum Sense {
    /// So many times as good, or better.
    TimesAtLeast,
    /// So many times as much, or less.
    TimesAtMost,
    /// No more than so many kilobytes.
    KilobytesAtMost,
    /// No more than so many milliseconds.
    MillisecondsAtMost,
    /// No fewer than so many.
    AtLeast,
    /// No more than so many percent.
    PercentAtMost,
    /// So many times as much, or more; nothing that could be paired.
    Ratio,
}

impl Sense {
    /// Whether contenders took turns for it.
    fn is_paired(self) -> bool {
        matches!(self, Sense::TimesAtLeast | Sense::TimesAtMost)
    }
}

impl Bar {
    /// Met only if both ratios reach it; a bar that could not be measured is not met.
    pub(crate) fn verdict(&self) -> Verdict {
        let holds = |value: f64| match self.sense {
            Sense::TimesAtLeast | Sense::AtLeast | Sense::Ratio => value >= self.wanted,
            Sense::TimesAtMost
            | Sense::KilobytesAtMost
            | Sense::MillisecondsAtMost
            | Sense::PercentAtMost => value <= self.wanted,
        };
        match (self.found, self.paired) {
            (Some(found), Some(paired)) if holds(found) && holds(paired) => Verdict::Met,
            (Some(found), None) if !self.sense.is_paired() && holds(found) => Verdict::Met,
            (Some(_), Some(_)) => Verdict::NotMet,
            (Some(_), None) if !self.sense.is_paired() => Verdict::NotMet,
            _ => Verdict::NotMeasured,
        }
    }

    fn wanted(&self) -> String {
        match self.sense {
            Sense::TimesAtLeast => format!("≥ {}×", self.wanted),
            Sense::TimesAtMost => format!("≤ {}×", self.wanted),
            Sense::KilobytesAtMost => format!("≤ {} KB", self.wanted),
            Sense::MillisecondsAtMost => format!("≤ {} ms", self.wanted),
            Sense::PercentAtMost => format!("≤ {} %", self.wanted),
            Sense::AtLeast => format!("≥ {}", self.wanted),
            Sense::Ratio => format!("≥ {}×", self.wanted),
        }
    }

    fn shown(&self, value: Option<f64>) -> String {
        match (value, self.sense) {
            (Some(value), Sense::KilobytesAtMost) => format!("{value} KB"),
            (Some(value), Sense::MillisecondsAtMost) => format!("{value} ms"),
            (Some(value), Sense::PercentAtMost) => format!("{value} %"),
            (Some(value), Sense::AtLeast) => format!("{value}"),
            (value, _) => times(value),
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

/// What stands above the sections.
const HEAD: &str = "# Benchmarks\n\n\
    Each section was measured in one run on one machine, side by side with what a user would take instead; \
    contenders take turns, round by round, after a warm-up. *×*: a ratio of the medians; *paired ×*: the median \
    of the ratios round by round. A bar is met only if both reach it, against the best of the peers.\n";

fn marks(key: &str) -> (String, String) {
    (
        format!("<!-- suite {key}: written by `cargo xtask bench` -->\n"),
        format!("<!-- suite {key} ends -->\n"),
    )
}

/// The page with the report's suites, and the other suites as `page` has them.
/// `keys` are all suites there are, in the order of the page.
pub(crate) fn merge(page: &str, report: &Report, keys: &[&str]) -> String {
    let mut out = String::from(HEAD);
    for key in keys {
        let (begin, end) = marks(key);
        let fresh = report.suites.iter().find(|suite| suite.key == *key);
        let kept = || {
            let (_, rest) = page.split_once(&begin)?;
            Some(rest.split_once(&end)?.0.to_owned())
        };
        let section = match fresh {
            Some(suite) => Some(section(report, suite)),
            None => kept(),
        };
        if let Some(section) = section {
            let _ = write!(out, "\n{begin}{section}{end}");
        }
    }
    out
}

/// A suite's section.
fn section(report: &Report, suite: &Suite) -> String {
    let host = &report.host;
    let mut out = String::new();
    let _ = writeln!(
        out,
        "## {}\n\nMeasured {} by `{}` on {} ({} processors, {} MB of memory, load {} before), Linux {}, {}. {}\n",
        suite.title,
        host.date,
        report.command,
        host.processor,
        host.processors,
        host.memory_mb,
        host.load,
        host.kernel,
        host.system,
        suite.method
    );
    out.push_str("| bar | wanted | best peer | found | paired | |\n|---|--:|---|--:|--:|---|\n");
    for bar in &suite.bars {
        let none = match bar.sense {
            Sense::KilobytesAtMost
            | Sense::MillisecondsAtMost
            | Sense::PercentAtMost
            | Sense::AtLeast => "–",
            _ => "none could be measured",
        };
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} |",
            cell(&bar.goal),
            bar.wanted(),
            cell(bar.against.as_deref().unwrap_or(none)),
            bar.shown(bar.found),
            bar.shown(bar.paired),
            bar.verdict().text()
        );
    }
    for table in &suite.tables {
        match table {
            Sheet::Times(table) => table.markdown(&mut out),
            Sheet::Grid(grid) => grid.markdown(&mut out),
        }
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
    out.push_str("\nVersions:\n");
    for (name, version) in &suite.versions {
        let _ = writeln!(out, "- {name}: {}", one_line(version));
    }
    let _ = writeln!(
        out,
        "\nRun it again: `cargo xtask bench {}` (as root on Debian or Ubuntu it installs the peers it can; \
         all samples are in `target/bench/report.json`).",
        suite.key
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

/// Three digits, but no fewer than a whole number has.
pub(crate) fn three_digits(value: f64) -> String {
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
            },
            suites: vec![Suite {
                key: "start",
                title: "Cold start".into(),
                method: "How.".into(),
                tables: vec![Sheet::Times(table())],
                bars,
                absent: vec![Absent::new("docker", "no daemon")],
                notes: vec!["A note.".into()],
                versions: vec![("crun".into(), "crun version 1\nmore".into())],
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
        let mut bar = Bar {
            goal: "x".into(),
            sense: Sense::TimesAtLeast,
            wanted: 3.0,
            against: None,
            found: Some(3.1),
            paired: Some(2.9),
        };
        assert_eq!(bar.verdict(), Verdict::NotMet);
        bar.sense = Sense::TimesAtMost;
        assert_eq!(bar.verdict(), Verdict::NotMet);
        bar.found = Some(2.0);
        assert_eq!(bar.verdict(), Verdict::Met);
    }

    #[test]
    fn a_size_is_judged_alone_and_by_its_number() {
        let mut bar = Bar {
            goal: "x".into(),
            sense: Sense::KilobytesAtMost,
            wanted: 4.0,
            against: None,
            found: Some(4.0),
            paired: None,
        };
        assert_eq!(bar.verdict(), Verdict::Met);
        bar.found = Some(8.0);
        assert_eq!(bar.verdict(), Verdict::NotMet);
        bar.found = None;
        assert_eq!(bar.verdict(), Verdict::NotMeasured);
    }

    #[test]
    fn a_run_of_one_suite_leaves_the_others_as_they_are() {
        let (begin, end) = marks("build");
        let page = format!("old head\n{begin}old build\n{end}");
        let merged = merge(&page, &report(Vec::new()), &["start", "build", "serve"]);
        assert!(
            merged.contains(&format!("{begin}old build\n{end}")),
            "{merged}"
        );
        assert!(merged.contains("## Cold start") && !merged.contains("old head"));
        assert!(!merged.contains("suite serve"), "{merged}");
        let again = merge(&merged, &report(Vec::new()), &["start", "build", "serve"]);
        assert_eq!(again, merged);
    }

    #[test]
    fn the_page_tells_bars_first_then_tables_then_who_was_missing() {
        let report = report(vec![table().bar("start", &["quick"], 3.0)]);
        let page = merge("", &report, &["start"]);
        let places: Vec<usize> = [
            "## Cold start",
            "**not met**",
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
