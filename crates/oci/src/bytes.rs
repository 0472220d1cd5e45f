//! Sizes in bytes for people: `14.2 KB` out, `100KB`, `20 KiB`, `512M` in.
//!
//! Three digits and a unit, kilo is 1000; programs get the exact number, which
//! is what serialisation writes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A size in bytes.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct ByteSize(pub u64);

/// Why a text is no size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a size: {why}; write it as 100KB, 20KiB, 1.5MB or a number of bytes")]
pub struct ByteSizeError {
    /// What was written.
    pub text: String,
    /// What is wrong with it.
    pub why: &'static str,
}

const UNITS: [&str; 7] = ["B", "KB", "MB", "GB", "TB", "PB", "EB"];

impl fmt::Display for ByteSize {
    /// `616 B`, `14.2 KB`, `1.00 MB`: rounded half up, from 1000 of a unit on
    /// in the next one. Width and alignment are kept to.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < 1000 {
            return f.pad(&format!("{} B", self.0));
        }
        let bytes = u128::from(self.0);
        let mut scale = 1000_u128;
        let mut unit = 1;
        // 999.5 of a unit and more round to 1000: one unit up.
        while bytes * 2 >= scale * 1999 {
            scale *= 1000;
            unit += 1;
        }
        let hundredths = (bytes * 200 + scale) / (scale * 2);
        let tenths = (bytes * 20 + scale) / (scale * 2);
        let whole = (bytes * 2 + scale) / (scale * 2);
        let number = if hundredths < 1000 {
            format!("{}.{:02}", hundredths / 100, hundredths % 100)
        } else if tenths < 1000 {
            format!("{}.{}", tenths / 10, tenths % 10)
        } else {
            whole.to_string()
        };
        f.pad(&format!("{number} {}", UNITS[unit]))
    }
}

impl FromStr for ByteSize {
    type Err = ByteSizeError;

    /// A number, which may have a fraction, and a unit in any case: none or
    /// `B`; `K`, `KB` (1000), `Ki`, `KiB` (1024), and so on to `E`. As in
    /// Kubernetes, `M` is 1000 × 1000 and `Mi` 1024 × 1024.
    fn from_str(text: &str) -> Result<Self, ByteSizeError> {
        let fault = |why| ByteSizeError {
            text: text.chars().take(80).collect(),
            why,
        };
        let trimmed = text.trim();
        let end = trimmed
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(trimmed.len());
        let (number, unit) = trimmed.split_at(end);
        let scale = scale(unit.trim_start()).ok_or_else(|| fault("the unit is not known"))?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() && fraction.is_empty() {
            return Err(fault("it has no number"));
        }
        if fraction.contains('.') {
            return Err(fault("it has two points"));
        }
        let too_large = || fault("it is too large");
        let whole: u128 = match whole {
            "" => 0,
            digits => digits.parse().map_err(|_| too_large())?,
        };
        // 18 digits of a fraction are more than the largest unit can show.
        let fraction = &fraction[..fraction.len().min(18)];
        let parts: u128 = match fraction {
            "" => 0,
            digits => digits.parse().map_err(|_| too_large())?,
        };
        let of_fraction = parts * scale / 10_u128.pow(fraction.len() as u32);
        whole
            .checked_mul(scale)
            .and_then(|bytes| bytes.checked_add(of_fraction))
            .and_then(|bytes| u64::try_from(bytes).ok())
            .map(Self)
            .ok_or_else(too_large)
    }
}

fn scale(unit: &str) -> Option<u128> {
    let unit = unit.to_ascii_lowercase();
    if matches!(unit.as_str(), "" | "b") {
        return Some(1);
    }
    let mut letters = unit.chars();
    let power = "kmgtpe".find(letters.next()?)? as u32 + 1;
    match letters.as_str() {
        "" | "b" => Some(1000_u128.pow(power)),
        "i" | "ib" => Some(1024_u128.pow(power)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_shown_with_three_digits_and_a_unit() {
        let shown = |bytes| ByteSize(bytes).to_string();
        assert_eq!(shown(0), "0 B");
        assert_eq!(shown(999), "999 B");
        assert_eq!(shown(1000), "1.00 KB");
        assert_eq!(shown(14_210), "14.2 KB");
        assert_eq!(shown(9_995), "10.0 KB");
        assert_eq!(shown(142_499), "142 KB");
        assert_eq!(shown(999_499), "999 KB");
        assert_eq!(shown(999_500), "1.00 MB");
        assert_eq!(shown(u64::MAX), "18.4 EB");
        assert_eq!(format!("{:>9}", ByteSize(1)), "      1 B");
    }

    #[test]
    fn sizes_are_read_in_both_kinds_of_units() {
        let read = |text: &str| text.parse::<ByteSize>().unwrap().0;
        assert_eq!(read("100KB"), 100_000);
        assert_eq!(read("20 KiB"), 20_480);
        assert_eq!(read("1MB"), 1_000_000);
        assert_eq!(read("512M"), 512_000_000);
        assert_eq!(read("512mi"), 512 << 20);
        assert_eq!(read("1.5kB"), 1500);
        assert_eq!(read(" 7 "), 7);
        assert_eq!(read(".5 KiB"), 512);
        assert_eq!(read("18446744073709551615"), u64::MAX);
    }

    #[test]
    fn texts_that_are_no_size_are_refused_with_the_reason() {
        let why = |text: &str| text.parse::<ByteSize>().unwrap_err().why;
        assert_eq!(why(""), "it has no number");
        assert_eq!(why("KB"), "it has no number");
        assert_eq!(why("1.2.3"), "it has two points");
        assert_eq!(why("-1"), "the unit is not known");
        assert_eq!(why("1 XB"), "the unit is not known");
        assert_eq!(why("1 KBB"), "the unit is not known");
        assert_eq!(why("18446744073709551616"), "it is too large");
        assert_eq!(why("20EB"), "it is too large");
        assert_eq!(why(&"9".repeat(100)), "it is too large");
    }

    #[test]
    fn what_is_shown_reads_back_within_half_of_the_last_digit() {
        let mut bytes = 1_u64;
        while let Some(next) = bytes.checked_mul(7) {
            for exact in [bytes - 1, bytes, bytes + 1] {
                let back = ByteSize(exact).to_string().parse::<ByteSize>().unwrap().0;
                let off = u128::from(exact.abs_diff(back));
                assert!(off * 200 <= u128::from(exact), "{exact} gave {back}");
            }
            bytes = next;
        }
    }
}
