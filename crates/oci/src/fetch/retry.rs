//! When to try again: pauses that grow and differ from client to client, and
//! what the server asks for.

use std::hash::{BuildHasher as _, RandomState};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ureq::http::HeaderMap;
use ureq::http::header::RETRY_AFTER;

use super::{FetchError, Options};

/// Counts tries in a row that brought nothing.
pub(crate) struct Tries<'a> {
    options: &'a Options,
    failed: u32,
    /// However much each brings: a line that breaks every few bytes is no line.
    all: u32,
}

/// Most tries of one thing, with progress or without.
const MOST_TRIES: u32 = 100;

impl<'a> Tries<'a> {
    pub(crate) fn new(options: &'a Options) -> Self {
        Self {
            options,
            failed: 0,
            all: 0,
        }
    }

    /// There was progress: the next failure is the first again.
    pub(crate) fn progress(&mut self) {
        self.failed = 0;
    }

    /// How long to pause before the next try.
    ///
    /// # Errors
    /// The error itself, where another try would be of no use.
    pub(crate) fn after(
        &mut self,
        error: FetchError,
    ) -> Result<(Duration, FetchError), FetchError> {
        self.failed += 1;
        self.all += 1;
        if !error.is_transient() || self.failed >= self.options.tries || self.all >= MOST_TRIES {
            return Err(error);
        }
        if let FetchError::Status {
            url,
            status,
            retry_after: Some(wait),
            ..
        } = &error
        {
            if *wait > self.options.longest_wait {
                return Err(FetchError::Throttled {
                    url: url.clone(),
                    status: *status,
                    wait: *wait,
                });
            }
            // Not all at the same moment that it named to all.
            return Ok((*wait + self.options.first_pause.mul_f64(chance()), error));
        }
        let doubled = self.options.first_pause * 2_u32.saturating_pow(self.failed - 1).min(1 << 16);
        let pause = doubled.min(self.options.longest_pause);
        Ok((pause.mul_f64(0.5 + chance() / 2.0), error))
    }
}

/// From 0 to 1; otherwise at each call and in each process. The standard library
/// seeds its hash maps from the kernel.
fn chance() -> f64 {
    let bits = RandomState::new().hash_one(0_u8) >> 11;
    bits as f64 / (1_u64 << 53) as f64
}

/// `Retry-After`: seconds, or a date (RFC 9110, section 10.2.3).
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds.min(1 << 32)));
    }
    let at = http_date(text)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs();
    Some(Duration::from_secs(at.saturating_sub(now)))
}

/// Seconds since 1970 of `Sun, 06 Nov 1994 08:49:37 GMT`; the two older forms
/// are not sent any more (RFC 9110, section 5.6.7).
fn http_date(text: &str) -> Option<u64> {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let mut words = text.split_once(", ")?.1.split(' ');
    let day: u64 = words
        .next()?
        .parse()
        .ok()
        .filter(|day| (1..=31).contains(day))?;
    let month = words.next()?;
    let month = MONTHS.iter().position(|name| *name == month)? as u64 + 1;
    let year: u64 = words
        .next()?
        .parse()
        .ok()
        .filter(|year| (1970..10_000).contains(year))?;
    let mut clock = words
        .next()?
        .split(':')
        .map(|part| part.parse::<u64>().ok());
    let (hours, minutes, seconds) = (clock.next()??, clock.next()??, clock.next()??);
    if words.next()? != "GMT" || hours > 23 || minutes > 59 || seconds > 60 {
        return None;
    }
    // Days from the civil calendar, years beginning in March (Howard Hinnant,
    // "chrono-Compatible Low-Level Date Algorithms").
    let shifted_year = if month <= 2 { year - 1 } else { year };
    let shifted_month = (month + 9) % 12;
    let of_year = (153 * shifted_month + 2) / 5 + day - 1;
    let days =
        shifted_year * 365 + shifted_year / 4 - shifted_year / 100 + shifted_year / 400 + of_year
            - 719_468;
    Some(((days * 24 + hours) * 60 + minutes) * 60 + seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dropped() -> FetchError {
        FetchError::Connection {
            url: "http://a.example/".to_owned(),
            doing: "receiving",
            source: std::io::ErrorKind::ConnectionReset.into(),
        }
    }

    fn status(status: u16, retry_after: Option<u64>) -> FetchError {
        FetchError::Status {
            url: "http://a.example/".to_owned(),
            status,
            said: String::new(),
            retry_after: retry_after.map(Duration::from_secs),
        }
    }

    #[test]
    fn pauses_grow_up_to_the_longest_and_tries_end() {
        let options = Options {
            tries: 6,
            first_pause: Duration::from_millis(100),
            longest_pause: Duration::from_millis(500),
            ..Options::default()
        };
        let mut tries = Tries::new(&options);
        for most in [100, 200, 400, 500, 500] {
            let (pause, _) = tries.after(dropped()).unwrap();
            let most = Duration::from_millis(most);
            assert!(pause <= most && pause >= most / 2, "{pause:?} of {most:?}");
        }
        assert!(tries.after(dropped()).is_err());
        tries.progress();
        assert!(tries.after(dropped()).is_ok());
    }

    #[test]
    fn what_cannot_get_better_is_not_tried_again() {
        let options = Options::default();
        for (code, again) in [
            (404, false),
            (401, false),
            (429, true),
            (503, true),
            (501, false),
        ] {
            let mut tries = Tries::new(&options);
            assert_eq!(tries.after(status(code, None)).is_ok(), again, "{code}");
        }
    }

    #[test]
    fn a_server_that_asks_for_a_pause_gets_it_unless_it_is_too_long() {
        let options = Options::default();
        let (pause, _) = Tries::new(&options).after(status(429, Some(3))).unwrap();
        assert!(pause >= Duration::from_secs(3) && pause < Duration::from_secs(4));
        let error = Tries::new(&options)
            .after(status(429, Some(86_400)))
            .unwrap_err();
        assert!(matches!(error, FetchError::Throttled { .. }));
    }

    #[test]
    fn dates_are_read_as_rfc_9110_writes_them() {
        assert_eq!(
            http_date("Sun, 06 Nov 1994 08:49:37 GMT"),
            Some(784_111_777)
        );
        assert_eq!(http_date("Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
        assert_eq!(
            http_date("Tue, 29 Feb 2000 12:00:00 GMT"),
            Some(951_825_600)
        );
        for text in [
            "",
            "soon",
            "Sun, 06 Foo 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 8 GMT",
        ] {
            assert_eq!(http_date(text), None, "{text}");
        }
    }
}
