//! How figures are taken and boiled down: the order in which contenders take
//! turns, and statistics over their samples. Pure: it runs and times nothing.

use serde::Serialize;

/// Fewest runs a contender needs for its figures to go into the docs.
pub(crate) const FEWEST_RUNS: usize = 30;

/// What one contender was measured at, one figure a round, in the order taken:
/// times in microseconds, rates, or what the suite says.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub(crate) struct Series(Vec<f64>);

impl Series {
    pub(crate) fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    /// Its statistics, or nothing for an empty series.
    pub(crate) fn statistics(&self) -> Option<Statistics> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        Some(Statistics {
            runs: sorted.len(),
            min,
            p50: quantile(&sorted, 0.50),
            p99: quantile(&sorted, 0.99),
            max,
        })
    }

    /// The sum of its figures.
    pub(crate) fn sum(&self) -> f64 {
        self.0.iter().sum()
    }

    /// Median over the rounds of `self / base`, each round's two samples being
    /// neighbours in time: a slow spell of the machine falls on both.
    pub(crate) fn paired_ratio(&self, base: &Series) -> Option<f64> {
        let mut ratios: Vec<f64> = self
            .0
            .iter()
            .zip(&base.0)
            .filter(|(_, base)| **base > 0.0)
            .map(|(own, base)| own / base)
            .collect();
        ratios.sort_by(f64::total_cmp);
        (!ratios.is_empty()).then(|| quantile(&ratios, 0.50))
    }
}

/// What is told of a series, in its unit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Statistics {
    pub(crate) runs: usize,
    pub(crate) min: f64,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

/// The quantile of a sorted, non-empty slice, interpolated between the two
/// nearest ranks (Hyndman and Fan 1996, type 7). With 30 to 99 samples p99 lies
/// between the two slowest.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let rank = share * (sorted.len() - 1) as f64;
    let below = rank.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (sorted[above] - sorted[below]) * (rank - rank.floor())
}

/// The order of one round: every contender once, each round beginning one
/// further on, and every second turn of the wheel backwards, so that nobody
/// always follows the same neighbour (whose exit the kernel may still be busy with).
pub(crate) fn order(contenders: usize, round: usize) -> Vec<usize> {
    if contenders == 0 {
        return Vec::new();
    }
    let start = round % contenders;
    let backwards = (round / contenders) % 2 == 1;
    (0..contenders)
        .map(|turn| {
            let turn = if backwards { contenders - turn } else { turn };
            (start + turn) % contenders
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(samples: &[f64]) -> Series {
        Series(samples.to_vec())
    }

    #[test]
    fn statistics_of_one_to_a_hundred_are_those_of_the_textbook() {
        let samples: Vec<f64> = (1..=101).rev().map(f64::from).collect();
        let found = series(&samples).statistics().unwrap();
        assert_eq!(
            found,
            Statistics {
                runs: 101,
                min: 1.0,
                p50: 51.0,
                p99: 100.0,
                max: 101.0
            }
        );
    }

    #[test]
    fn median_of_an_even_number_lies_between_the_middle_two() {
        assert_eq!(series(&[4.0, 1.0, 2.0, 3.0]).statistics().unwrap().p50, 2.5);
    }

    #[test]
    fn one_sample_is_all_of_its_statistics() {
        let found = series(&[7.0]).statistics().unwrap();
        assert_eq!(
            (found.min, found.p50, found.p99, found.max),
            (7.0, 7.0, 7.0, 7.0)
        );
    }

    #[test]
    fn an_empty_series_has_no_statistics_and_no_ratio() {
        assert_eq!(series(&[]).statistics(), None);
        assert_eq!(series(&[]).paired_ratio(&series(&[])), None);
    }

    #[test]
    fn p99_of_thirty_samples_lies_between_the_slowest_two() {
        let mut samples = vec![1.0; 28];
        samples.extend([10.0, 20.0]);
        let p99 = series(&samples).statistics().unwrap().p99;
        assert!(p99 > 10.0 && p99 < 20.0, "{p99}");
    }

    #[test]
    fn a_slow_spell_that_hits_both_leaves_the_paired_ratio_alone() {
        let own = series(&[20.0, 20.0, 2000.0]);
        let base = series(&[10.0, 10.0, 1000.0]);
        assert_eq!(own.paired_ratio(&base), Some(2.0));
    }

    #[test]
    fn every_round_holds_everybody_once() {
        for contenders in 1..8 {
            for round in 0..40 {
                let mut seen = order(contenders, round);
                seen.sort_unstable();
                assert_eq!(seen, (0..contenders).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn everybody_begins_a_round_and_neighbours_change() {
        let firsts: Vec<usize> = (0..3).map(|round| order(3, round)[0]).collect();
        assert_eq!(firsts, [0, 1, 2]);
        assert_eq!(order(3, 0), [0, 1, 2]);
        assert_eq!(order(3, 3), [0, 2, 1]);
    }
}
