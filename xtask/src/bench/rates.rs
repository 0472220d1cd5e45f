//! Tables and bars of servers under load: rates, processor time, latencies.
//! Pure: it measures nothing.

use super::report::{Bar, Grid, GridLine, Sense, three_digits};
use super::rounds::Taken;
use super::sampling::{Series, Statistics};

/// Requests a second.
pub(crate) const RATE: &str = "rate";
/// Processor time a request, in microseconds.
pub(crate) const COST: &str = "cpu_us";
/// How much of a processor the server used.
pub(crate) const BUSY: &str = "busy";
/// Ticks of user time and of the kernel's.
pub(crate) const USER: &str = "user_ticks";
pub(crate) const SYSTEM: &str = "system_ticks";
/// Latencies of an open loop, in microseconds.
pub(crate) const P50: &str = "p50_us";
pub(crate) const P99: &str = "p99_us";

/// The key of our server as it comes: what the others are compared with.
pub(crate) const OURS: &str = "ounce";

/// What a column shows of each contender.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Column {
    /// The median of a mark.
    Median(&'static str, &'static str),
    /// Its least and its most.
    Spread(&'static str),
    /// The median as a percentage.
    Percent(&'static str, &'static str),
    /// Processor time: in the program and in the kernel.
    Split,
    /// How many times as good ours is, as the ratio of medians and paired.
    Against(&'static str, &'static str, Good),
    /// The conditions.
    Remark,
}

/// Which way a figure is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Good {
    High,
    Low,
}

pub(crate) const THROUGHPUT: [Column; 8] = [
    Column::Median("requests/s", RATE),
    Column::Spread(RATE),
    Column::Percent("busy", BUSY),
    Column::Median("CPU µs", COST),
    Column::Split,
    Column::Against("rate", RATE, Good::High),
    Column::Against("CPU", COST, Good::Low),
    Column::Remark,
];

pub(crate) const LATENCY: [Column; 7] = [
    Column::Median("p50 µs", P50),
    Column::Median("p99 µs", P99),
    Column::Spread(P99),
    Column::Median("CPU µs", COST),
    Column::Split,
    Column::Against("p99", P99, Good::Low),
    Column::Remark,
];

impl Column {
    fn heads(self) -> Vec<String> {
        match self {
            Column::Median(name, _) | Column::Percent(name, _) => vec![name.to_owned()],
            Column::Spread(_) => vec!["min – max".to_owned()],
            Column::Split => vec!["user + system".to_owned()],
            Column::Against(name, ..) => vec![format!("ounce × ({name})"), "paired ×".to_owned()],
            Column::Remark => vec!["conditions".to_owned()],
        }
    }

    fn cells(self, one: &Taken, ours: Option<&Taken>) -> Vec<String> {
        match self {
            Column::Median(_, mark) => vec![shown(median(one, mark))],
            Column::Percent(_, mark) => {
                vec![median(one, mark).map_or_else(none, |share| format!("{:.0} %", share * 100.0))]
            }
            Column::Spread(mark) => vec![statistics(one, mark).map_or_else(none, |found| {
                format!("{} – {}", figure(found.min), figure(found.max))
            })],
            Column::Split => vec![split(one).unwrap_or_else(none)],
            Column::Against(_, mark, good) => {
                let found = ours.map(|ours| compare(ours, one, mark, good));
                let (ratio, paired) = found.unwrap_or((None, None));
                [ratio, paired]
                    .map(|ratio| ratio.map_or_else(none, three_digits))
                    .to_vec()
            }
            Column::Remark => vec![one.row.remark.clone()],
        }
    }
}

fn none() -> String {
    "–".to_owned()
}

fn shown(value: Option<f64>) -> String {
    value.map_or_else(none, figure)
}

/// Thousands apart, so that large figures can be read.
pub(crate) fn figure(value: f64) -> String {
    if value < 1_000.0 {
        return three_digits(value);
    }
    // Three digits are all that the spread lets one believe.
    let step = 10_f64.powi(value.log10().floor() as i32 - 2);
    let digits = format!("{:.0}", (value / step).round() * step);
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn series<'t>(one: &'t Taken, mark: &str) -> Option<&'t Series> {
    one.series.get(mark)
}

fn statistics(one: &Taken, mark: &str) -> Option<Statistics> {
    series(one, mark)?.statistics()
}

fn median(one: &Taken, mark: &str) -> Option<f64> {
    Some(statistics(one, mark)?.p50)
}

/// The median cost, parted as all the ticks of all rounds are.
fn split(one: &Taken) -> Option<String> {
    let cost = median(one, COST)?;
    let (user, system) = (series(one, USER)?.sum(), series(one, SYSTEM)?.sum());
    (user + system > 0.0).then(|| {
        let part = |ticks: f64| three_digits(cost * ticks / (user + system));
        format!("{} + {}", part(user), part(system))
    })
}

/// How many times as good `ours` is: the ratio of the medians, and the median of
/// the ratios round by round.
fn compare(ours: &Taken, peer: &Taken, mark: &str, good: Good) -> (Option<f64>, Option<f64>) {
    let (above, below) = match good {
        Good::High => (ours, peer),
        Good::Low => (peer, ours),
    };
    let ratio = median(above, mark)
        .zip(median(below, mark))
        .map(|(above, below)| above / below);
    let paired = series(above, mark)
        .zip(series(below, mark))
        .and_then(|(above, below)| above.paired_ratio(below));
    (ratio, paired)
}

/// The table of one scene: best first.
pub(crate) fn table(key: &str, title: &str, columns: &[Column], taken: &[Taken]) -> Grid {
    let ours = taken.iter().find(|one| one.row.key == OURS);
    let mut sorted: Vec<&Taken> = taken.iter().collect();
    let (mark, sign) = match columns.first() {
        Some(Column::Median(_, mark)) if *mark != RATE => (*mark, 1.0),
        _ => (RATE, -1.0),
    };
    let place = |one: &Taken| median(one, mark).map_or(f64::MAX, |value| value * sign);
    sorted.sort_by(|a, b| place(a).total_cmp(&place(b)));
    Grid {
        key: key.to_owned(),
        title: title.to_owned(),
        head: columns.iter().flat_map(|column| column.heads()).collect(),
        lines: sorted
            .into_iter()
            .map(|one| GridLine {
                row: one.row.clone(),
                is_ours: is_ours(&one.row.key),
                cells: columns
                    .iter()
                    .flat_map(|column| column.cells(one, ours))
                    .collect(),
                repeated: one.repeated,
                samples: serde_json::to_value(&one.series).unwrap_or_default(),
            })
            .collect(),
    }
}

/// Whether a row is one of our own server's.
pub(crate) fn is_ours(key: &str) -> bool {
    key == OURS || key.starts_with("ounce-") || key.starts_with("packed")
}

/// A bar for the row `ours` against the best of `peers`, or of all who are not ours.
pub(crate) fn bar(
    taken: &[Taken],
    goal: &str,
    ours: &str,
    peers: &[&str],
    (mark, good): (&str, Good),
    wanted: f64,
) -> Bar {
    let own = taken.iter().find(|one| one.row.key == ours);
    let sign = if good == Good::High { -1.0 } else { 1.0 };
    let best = taken
        .iter()
        .filter(|one| match peers {
            [] => !is_ours(&one.row.key),
            _ => peers.contains(&one.row.key.as_str()),
        })
        .filter_map(|one| Some((one, median(one, mark)? * sign)))
        .min_by(|a, b| a.1.total_cmp(&b.1))
        .map(|(one, _)| one);
    let (found, paired) = own
        .zip(best)
        .map_or((None, None), |(own, best)| compare(own, best, mark, good));
    Bar {
        goal: goal.to_owned(),
        sense: Sense::TimesAtLeast,
        wanted,
        against: best.map(|one| one.row.title.clone()),
        found,
        paired,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::report::Verdict;
    use super::super::rounds::Row;
    use super::*;

    fn taken(key: &str, rate: f64, cost: f64) -> Taken {
        let marks = [
            (RATE, rate),
            (COST, cost),
            (USER, 1.0),
            (SYSTEM, 3.0),
            (BUSY, 0.9),
        ];
        let mut all = BTreeMap::new();
        for (mark, value) in marks {
            let mut series = Series::default();
            series.push(value);
            all.insert(mark, series);
        }
        Taken {
            row: Row::new(key, format!("{key} server"), "as it comes"),
            series: all,
            repeated: 0,
        }
    }

    fn field() -> [Taken; 4] {
        [
            taken("nginx", 50_000.0, 20.0),
            taken("ounce", 100_000.0, 8.0),
            taken("packed", 150_000.0, 5.0),
            taken("lighttpd", 80_000.0, 10.0),
        ]
    }

    #[test]
    fn the_best_stands_first_and_ours_is_compared_with_each() {
        let grid = table("k", "K", &THROUGHPUT, &field());
        let keys: Vec<&str> = grid
            .lines
            .iter()
            .map(|line| line.row.key.as_str())
            .collect();
        assert_eq!(keys, ["packed", "ounce", "lighttpd", "nginx"]);
        assert_eq!(
            grid.lines[3].cells[..9],
            [
                "50,000",
                "50,000 – 50,000",
                "90 %",
                "20.0",
                "5.00 + 15.0",
                "2.00",
                "2.00",
                "2.50",
                "2.50"
            ]
        );
        assert_eq!(grid.head.len(), grid.lines[0].cells.len());
    }

    #[test]
    fn a_bar_is_judged_against_the_best_of_its_peers_and_never_against_ourselves() {
        let field = field();
        let found = bar(&field, "g", "ounce", &["nginx"], (RATE, Good::High), 1.7);
        assert_eq!((found.found, found.verdict()), (Some(2.0), Verdict::Met));
        let found = bar(&field, "g", "ounce", &[], (RATE, Good::High), 1.7);
        assert_eq!(
            (found.found, found.verdict()),
            (Some(1.25), Verdict::NotMet)
        );
        let found = bar(&field, "g", "packed", &[], (COST, Good::Low), 1.0);
        assert_eq!((found.found, found.verdict()), (Some(2.0), Verdict::Met));
        let found = bar(&field, "g", "missing", &[], (COST, Good::Low), 1.0);
        assert_eq!(found.verdict(), Verdict::NotMeasured);
    }

    #[test]
    fn large_figures_have_three_digits_and_commas() {
        let found = [9.5, 999.0, 1_004.0, 123_456.0, 1_999_999.0].map(figure);
        assert_eq!(found, ["9.50", "999", "1,000", "123,000", "2,000,000"]);
    }
}
