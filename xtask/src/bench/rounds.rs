//! Lets contenders take turns: warm-up, then round after round, each contender
//! once a round. What a trial does is the suite's affair.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde::Serialize;

use super::sampling::{self, Series};

/// Untimed trials of each contender before the first round: page cache, dentries
/// and the daemons' own caches are warm for everybody.
const WARM_UPS: usize = 3;

/// Untimed pause after each trial. The kernel takes namespaces and cgroups down
/// after their last process, with locks that the next start would wait for:
/// nobody is to pay for the trial before. It is spent awake, since a virtual
/// processor that went to sleep doubles a bare fork + exec (0.33 ms for 0.16),
/// which says more of the host than of any contender.
const SETTLE: Duration = Duration::from_millis(20);

/// What a table says about a contender besides its figures.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    /// Short, stable name: for `--peers`, the bars and the JSON.
    pub(crate) key: String,
    /// What was started or built, as a person would type it.
    pub(crate) title: String,
    /// What it puts around the program, or what it does beyond the task.
    pub(crate) remark: String,
}

impl Row {
    pub(crate) fn new(key: &str, title: impl Into<String>, remark: impl Into<String>) -> Row {
        Row {
            key: key.to_owned(),
            title: title.into(),
            remark: remark.into(),
        }
    }
}

/// A contender that could not be had, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Absent {
    pub(crate) name: String,
    pub(crate) reason: String,
}

impl Absent {
    pub(crate) fn new(name: impl Into<String>, reason: impl std::fmt::Display) -> Absent {
        Absent {
            name: name.into(),
            reason: reason.to_string(),
        }
    }
}

/// What one trial measured: times in microseconds, or whatever the suite says.
pub(crate) type Marks = Vec<(&'static str, f64)>;

/// A time as a mark.
pub(crate) fn mark(name: &'static str, time: Duration) -> (&'static str, f64) {
    (name, time.as_secs_f64() * 1e6)
}

/// Somebody who takes part.
pub(crate) trait Contender {
    fn row(&self) -> Row;

    /// One whole trial. Preparation and cleaning up belong inside, but outside
    /// what its marks count.
    fn trial(&mut self, number: usize) -> Result<Marks>;
}

/// The samples of one contender, by mark.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Taken {
    pub(crate) row: Row,
    pub(crate) series: BTreeMap<&'static str, Series>,
    /// Trials that failed and were repeated.
    pub(crate) repeated: usize,
}

/// Runs `runs` rounds. A trial that fails is repeated once; a contender that
/// fails twice in a row leaves the field and is named in `absent`.
pub(crate) fn measure(
    mut field: Vec<Box<dyn Contender + '_>>,
    runs: usize,
    absent: &mut Vec<Absent>,
    progress: &mut dyn FnMut(usize, usize),
) -> Vec<Taken> {
    let mut number = 0;
    let mut try_once = |contender: &mut Box<dyn Contender + '_>, repeated: &mut usize| {
        number += 1;
        contender.trial(number).or_else(|_| {
            number += 1;
            *repeated += 1;
            contender.trial(number)
        })
    };
    field.retain_mut(|contender| {
        for _ in 0..WARM_UPS {
            if let Err(error) = try_once(contender, &mut 0) {
                let one = Absent::new(contender.row().title, format!("{error:#}"));
                if !absent.contains(&one) {
                    absent.push(one);
                }
                return false;
            }
        }
        true
    });
    let mut taken: Vec<Taken> = field
        .iter()
        .map(|contender| Taken {
            row: contender.row(),
            series: BTreeMap::new(),
            repeated: 0,
        })
        .collect();
    let mut out = vec![false; field.len()];
    for round in 0..runs {
        progress(round, runs);
        for turn in sampling::order(field.len(), round) {
            if out[turn] {
                continue;
            }
            let trial = try_once(&mut field[turn], &mut taken[turn].repeated);
            if !cfg!(test) {
                let end = Instant::now() + SETTLE;
                while Instant::now() < end {
                    std::hint::spin_loop();
                }
            }
            match trial {
                Ok(marks) => {
                    for (mark, value) in marks {
                        taken[turn].series.entry(mark).or_default().push(value);
                    }
                }
                Err(error) => {
                    out[turn] = true;
                    let reason = format!("failed twice in round {}: {error:#}", round + 1);
                    absent.push(Absent::new(taken[turn].row.title.clone(), reason));
                }
            }
        }
    }
    progress(runs, runs);
    let mut out = out.into_iter();
    taken.retain(|_| !out.next().unwrap_or(true));
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes `number` microseconds, and fails in the trials named.
    struct Fake {
        key: &'static str,
        calls: usize,
        fails: fn(usize) -> bool,
    }

    impl Contender for Fake {
        fn row(&self) -> Row {
            Row::new(self.key, self.key, "")
        }

        fn trial(&mut self, _: usize) -> Result<Marks> {
            self.calls += 1;
            anyhow::ensure!(!(self.fails)(self.calls), "call {}", self.calls);
            Ok(vec![("whole", self.calls as f64)])
        }
    }

    fn run(fails: fn(usize) -> bool) -> (Vec<Taken>, Vec<Absent>) {
        let mut absent = Vec::new();
        let field: Vec<Box<dyn Contender>> = vec![
            Box::new(Fake {
                key: "a",
                calls: 0,
                fails,
            }),
            Box::new(Fake {
                key: "b",
                calls: 0,
                fails: |_| false,
            }),
        ];
        let taken = measure(field, 10, &mut absent, &mut |_, _| ());
        (taken, absent)
    }

    #[test]
    fn warm_ups_are_not_counted() {
        let (taken, absent) = run(|_| false);
        assert!(absent.is_empty());
        let found = taken[0].series["whole"].statistics().unwrap();
        assert_eq!((found.runs, found.min, found.max), (10, 4.0, 13.0));
    }

    #[test]
    fn one_failure_is_repeated_and_told() {
        let (taken, absent) = run(|call| call == 7);
        assert!(absent.is_empty());
        assert_eq!(taken[0].repeated, 1);
        assert_eq!(taken[0].series["whole"].statistics().unwrap().runs, 10);
    }

    #[test]
    fn two_failures_running_take_a_contender_out_and_say_why() {
        let (taken, absent) = run(|call| call >= 7);
        assert_eq!(taken.len(), 1);
        assert_eq!(taken[0].row.key, "b");
        assert_eq!(absent[0].name, "a");
        assert_eq!(absent[0].reason, "failed twice in round 4: call 8");
    }

    #[test]
    fn a_contender_that_never_starts_is_named_and_the_others_go_on() {
        let (taken, absent) = run(|_| true);
        assert_eq!(taken.len(), 1);
        assert_eq!(absent[0].reason, "call 2");
    }
}
