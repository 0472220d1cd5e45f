//! Counting checks: from the lines of `cargo test`, and from judges.

use std::fmt;

/// How many checks passed, failed and were skipped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
    /// Child-process roles seen since the last closing line; not tests.
    roles: u64,
}

impl Tally {
    /// Takes a line of a test run: a closing line, or a test that says it skips.
    ///
    /// A test that skips at run time passes in the harness's eyes; it writes
    /// `skipped: …` past the harness's capture, and is counted as skipped.
    pub(crate) fn see(&mut self, line: &str) {
        if line.starts_with("skipped: ") {
            self.skipped += 1;
            self.passed = self.passed.saturating_sub(1);
        }
        // The other process of a test, not a test: `tidy` allows these reasons alone.
        if line.starts_with("test ")
            && [" ... ignored, a process of ", " ... ignored, is run "]
                .iter()
                .any(|role| line.contains(role))
        {
            self.roles += 1;
        }
        let Some(counts) = line.strip_prefix("test result: ") else {
            return;
        };
        for part in counts.split([';', '.']) {
            let mut words = part.split_whitespace();
            let (Some(Ok(count)), Some(what)) = (words.next().map(str::parse::<u64>), words.next())
            else {
                continue;
            };
            match what {
                "passed" => self.passed += count,
                "failed" => self.failed += count,
                "ignored" => {
                    self.skipped += count.saturating_sub(self.roles);
                    self.roles = 0;
                }
                _ => {}
            }
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "{} passed, {} failed, {} skipped",
            self.passed, self.failed, self.skipped
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines_of_cargo_test_add_up() {
        let mut tally = Tally::default();
        tally.see("test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.10s");
        tally.see("test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.00s");
        tally.see("test a::b ... ok");
        tally.see("test role ... ignored, a process of the other tests");
        tally.see("test result: ok. 0 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out");
        assert_eq!(tally.to_string(), "15 passed, 2 failed, 1 skipped");
    }

    #[test]
    fn a_test_that_says_it_skips_is_not_counted_as_passed() {
        let mut tally = Tally {
            passed: 5,
            ..Tally::default()
        };
        tally.see("skipped: no cgroup to write");
        assert_eq!(tally.to_string(), "4 passed, 0 failed, 1 skipped");
    }
}
