//! Medians and spread of a handful of samples.

/// What is told of a row of samples, in their own unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Summary {
    pub(crate) min: f64,
    pub(crate) p50: f64,
    /// The nearest rank: of fewer than 100 samples, the largest.
    pub(crate) p99: f64,
}

impl Summary {
    /// Of at least one sample.
    pub(crate) fn of(samples: &[f64]) -> Option<Self> {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        let count = sorted.len();
        let last = count.checked_sub(1)?;
        let middle = (sorted[last / 2] + sorted[count / 2]) / 2.0;
        let rank = (count * 99).div_ceil(100) - 1;
        Some(Self {
            min: sorted[0],
            p50: middle,
            p99: sorted[rank],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_and_the_ends_are_found() {
        let one_to = |n: u32| (1..=n).rev().map(f64::from).collect::<Vec<_>>();
        assert_eq!(Summary::of(&[]), None);
        assert_eq!(
            Summary::of(&[4.0]),
            Some(Summary {
                min: 4.0,
                p50: 4.0,
                p99: 4.0
            })
        );
        assert_eq!(
            Summary::of(&one_to(4)),
            Some(Summary {
                min: 1.0,
                p50: 2.5,
                p99: 4.0
            })
        );
        assert_eq!(
            Summary::of(&one_to(200)),
            Some(Summary {
                min: 1.0,
                p50: 100.5,
                p99: 198.0
            })
        );
    }
}
