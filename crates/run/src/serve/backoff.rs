//! How long to wait after a failure, and how many starts a second there are.

use std::time::{Duration, Instant};

/// After the first failure.
const FIRST: Duration = Duration::from_millis(100);
/// After many.
const LONGEST: Duration = Duration::from_secs(30);

/// The pause after so many failures in a row, at least one: doubled each time.
pub(super) fn pause(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    FIRST.saturating_mul(1 << doublings).min(LONGEST)
}

/// So many a second, and that many at once after a quiet second.
#[derive(Debug)]
pub(super) struct Rate {
    per_second: f64,
    left: f64,
    since: Instant,
}

impl Rate {
    /// A full one.
    pub(super) fn new(per_second: u32, now: Instant) -> Self {
        let per_second = f64::from(per_second.max(1));
        Self {
            per_second,
            left: per_second,
            since: now,
        }
    }

    /// Takes one, or tells when there is one again.
    pub(super) fn take(&mut self, now: Instant) -> Result<(), Instant> {
        let passed = now.saturating_duration_since(self.since).as_secs_f64();
        self.left = (self.left + passed * self.per_second).min(self.per_second);
        self.since = now;
        if self.left >= 1.0 {
            self.left -= 1.0;
            return Ok(());
        }
        let missing = (1.0 - self.left) / self.per_second;
        Err(now + Duration::from_secs_f64(missing).max(Duration::from_millis(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_half_a_minute() {
        let seconds: Vec<_> = (1..=4).map(|count| pause(count).as_millis()).collect();
        assert_eq!(seconds, [100, 200, 400, 800]);
        assert_eq!(pause(9), Duration::from_millis(25_600));
        assert_eq!((pause(10), pause(u32::MAX)), (LONGEST, LONGEST));
    }

    #[test]
    fn a_rate_is_used_up_and_fills_again() {
        let start = Instant::now();
        let mut rate = Rate::new(2, start);
        assert!(rate.take(start).is_ok() && rate.take(start).is_ok());
        let again = rate.take(start).unwrap_err();
        assert!(again > start && again <= start + Duration::from_millis(501));
        assert!(rate.take(again + Duration::from_millis(1)).is_ok());
        let later = start + Duration::from_secs(3600);
        let taken = (0..10).filter(|_| rate.take(later).is_ok()).count();
        assert_eq!(taken, 2, "no more than a second's worth is saved up");
    }
}
