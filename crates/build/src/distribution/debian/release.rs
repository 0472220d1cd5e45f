//! `InRelease`: which files make up a suite, by digest, signed.

use std::collections::HashMap;

use ounce_oci::Digest;

use super::control::paragraphs;
use super::openpgp::{self, Keyring, SignatureError};

/// Most bytes of an `InRelease`: Debian's largest has 0.2 MB.
pub(crate) const RELEASE_LIMIT_BYTES: u64 = 16 << 20;

/// What a suite says of itself.
#[derive(Debug, Clone)]
pub(crate) struct Release {
    pub(crate) codename: String,
    pub(crate) suite: String,
    pub(crate) by_hash: bool,
    files: HashMap<String, (Digest, u64)>,
}

/// It cannot be trusted, or read.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    /// The signature.
    #[error("{url} cannot be trusted")]
    Signature {
        /// Which.
        url: String,
        /// Why.
        #[source]
        source: SignatureError,
    },
    /// Nothing like it.
    #[error("{url} is no InRelease file: {why}")]
    Malformed {
        /// Which.
        url: String,
        /// Why.
        why: &'static str,
    },
    /// Past its date.
    #[error("{url} is valid until {until} only")]
    Expired {
        /// Which.
        url: String,
        /// Its `Valid-Until`.
        until: String,
    },
    /// Another suite than was asked for.
    #[error("{url} is of {found}, not of {wanted}")]
    OtherSuite {
        /// Which.
        url: String,
        /// What it says it is.
        found: String,
        /// What was asked.
        wanted: String,
    },
    /// It has no such index.
    #[error("{url} has no {path}")]
    NoIndex {
        /// Which.
        url: String,
        /// What was looked for.
        path: String,
    },
}

impl ReleaseError {
    /// What to do about it.
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::Signature { source, .. } => source.hints(),
            Self::Expired { .. } => vec![
                "the mirror has not been updated, or this machine's clock is wrong: date"
                    .to_owned(),
                "for a snapshot of the past: valid-until = false beneath [base.debian]".to_owned(),
            ],
            Self::NoIndex { .. } => {
                vec!["mend --platform, or `components` beneath [base.debian]".to_owned()]
            }
            _ => Vec::new(),
        }
    }
}

impl Release {
    /// Verifies and reads `bytes`; `now` is in seconds since 1970, or `None`
    /// where neither the release's nor a key's date shall matter.
    pub(crate) fn verified(
        url: &str,
        bytes: &[u8],
        keyring: &Keyring,
        now: Option<u64>,
    ) -> Result<Self, ReleaseError> {
        let text = openpgp::verify_cleartext(bytes, keyring, now).map_err(|source| {
            ReleaseError::Signature {
                url: url.to_owned(),
                source,
            }
        })?;
        Self::read(url, &text, now)
    }

    fn read(url: &str, text: &str, now: Option<u64>) -> Result<Self, ReleaseError> {
        let malformed = |why| ReleaseError::Malformed {
            url: url.to_owned(),
            why,
        };
        let fields = paragraphs(text).next().ok_or(malformed("it is empty"))?;
        if let (Some(now), Some(until)) = (now, fields.get("Valid-Until")) {
            let end = seconds(until).ok_or(malformed("its Valid-Until is no date"))?;
            if now > end {
                return Err(ReleaseError::Expired {
                    url: url.to_owned(),
                    until: until.to_owned(),
                });
            }
        }
        let list = fields.get("SHA256").ok_or(malformed("it has no SHA256"))?;
        let mut files = HashMap::new();
        for line in list.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let mut words = line.split_ascii_whitespace();
            let one = (|| {
                let digest = format!("sha256:{}", words.next()?).parse().ok()?;
                let size = words.next()?.parse().ok()?;
                Some((words.next()?.to_owned(), (digest, size)))
            })();
            let (path, file) = one.ok_or(malformed("a line of its SHA256 is malformed"))?;
            files.insert(path, file);
        }
        Ok(Self {
            codename: fields.get("Codename").unwrap_or("").to_owned(),
            suite: fields.get("Suite").unwrap_or("").to_owned(),
            by_hash: fields.get("Acquire-By-Hash") == Some("yes"),
            files,
        })
    }

    /// Digest and size of one of its files.
    pub(crate) fn file(&self, path: &str) -> Option<(Digest, u64)> {
        self.files.get(path).copied()
    }
}

/// `Sat, 11 Jul 2026 10:16:37 UTC` in seconds since 1970.
fn seconds(date: &str) -> Option<u64> {
    let mut words = date.split_ascii_whitespace();
    words.next()?.strip_suffix(',')?;
    let day: i64 = words.next()?.parse().ok()?;
    let month = words.next()?;
    let months = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let month = months.iter().position(|name| *name == month)? as i64 + 1;
    let year: i64 = words.next()?.parse().ok()?;
    let mut clock = words
        .next()?
        .split(':')
        .map(|part| part.parse::<u64>().ok());
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    if !matches!(words.next()?, "UTC" | "GMT" | "+0000") {
        return None;
    }
    let in_range = (1970..=9999).contains(&year) && (1..=31).contains(&day);
    if !in_range || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    // Days since 1970 of the proleptic Gregorian calendar, years begun in March.
    let (year, month) = match month {
        1 | 2 => (year - 1, month + 9),
        _ => (year, month - 3),
    };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1;
    let days = u64::try_from(days - 719_468).ok()?;
    Some(days * 86_400 + hour * 3600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "Suite: stable\nCodename: bookworm\nAcquire-By-Hash: yes\n\
        Valid-Until: Sat, 11 Jul 2026 10:16:37 UTC\nComponents: main contrib\nSHA256:\n \
        e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 0 main/binary-amd64/Packages\n";

    #[test]
    fn dates_are_seconds() {
        assert_eq!(seconds("Thu, 01 Jan 1970 00:00:00 UTC"), Some(0));
        assert_eq!(
            seconds("Sat, 11 Jul 2026 10:16:37 UTC"),
            Some(1_783_764_997)
        );
        assert_eq!(
            seconds("Thu, 29 Feb 2024 23:59:59 GMT"),
            Some(1_709_251_199)
        );
        for text in [
            "",
            "now",
            "Sat, 11 Jul 2026",
            "Sat, 11 Jux 2026 10:16:37 UTC",
        ] {
            assert_eq!(seconds(text), None);
        }
    }

    #[test]
    fn a_release_lists_its_files() {
        let release = Release::read("u", TEXT, Some(1_783_764_997)).unwrap();
        assert_eq!(release.codename, "bookworm");
        assert!(release.by_hash && release.suite == "stable");
        let (digest, size) = release.file("main/binary-amd64/Packages").unwrap();
        assert_eq!((digest, size), (Digest::of(b""), 0));
    }

    #[test]
    fn an_expired_or_malformed_one_is_refused() {
        let error = Release::read("u", TEXT, Some(1_783_764_998)).unwrap_err();
        assert!(matches!(error, ReleaseError::Expired { .. }));
        assert!(Release::read("u", TEXT, None).is_ok());
        for text in ["", "Suite: a", "SHA256:\n zz 1 a", "SHA256:\n e3b0 1 a"] {
            let error = Release::read("u", text, None).unwrap_err();
            assert!(matches!(error, ReleaseError::Malformed { .. }), "{text}");
        }
    }
}
