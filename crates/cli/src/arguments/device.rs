//! What `ounce ship --to device` is told beside the firmware.

use std::path::PathBuf;

use clap::{Args, ValueHint};

/// Firmware for microcontrollers.
#[derive(Debug, Args)]
#[command(next_help_heading = "Devices")]
pub(crate) struct DeviceOptions {
    /// The product's name, as its devices were built with
    #[arg(long, value_name = "NAME")]
    pub(crate) product: Option<String>,
    /// The firmware's version
    #[arg(long, value_name = "MAJOR.MINOR.PATCH", value_parser = version)]
    pub(crate) firmware_version: Option<ounce_ota::Version>,
    /// The Ed25519 key that signs updates, PEM (ounce key new --algorithm ed25519)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) key: Option<PathBuf>,
    /// A file with the key's password
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) password_file: Option<PathBuf>,
    /// The key's place among those that devices were built with
    #[arg(long, value_name = "NUMBER", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..32))]
    pub(crate) key_number: u8,
    /// What devices run now: a delta is made for each [default: the last four releases
    /// in the folder]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) from: Vec<PathBuf>,
    /// The chip: esp32, esp32s2, esp32s3, esp32c2, esp32c3, esp32c6, esp32h2, or none
    /// for any other, which gets updates but no flash
    #[arg(long, value_name = "CHIP", default_value = "esp32c3")]
    pub(crate) chip: String,
    /// The boot loader, to stand on a new device's flash
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) boot_loader: Option<PathBuf>,
    /// The revisions of the hardware that it is for
    #[arg(long, value_name = "LOWEST[-HIGHEST]", default_value = "0-4294967295", value_parser = range, hide_default_value = true)]
    pub(crate) hardware: (u32, u32),
    /// Anti-rollback: no lower one is taken once this one is confirmed
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub(crate) counter: u32,
    /// Refused after this day, by devices that know the time
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = day)]
    pub(crate) expires: Option<u64>,
    /// A key that devices no longer take once this one is confirmed
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u8).range(0..32))]
    pub(crate) revoke: Vec<u8>,
    /// A root key that signs the record of who may sign updates: its number and file, PEM
    #[arg(long, value_name = "NUMBER=FILE", value_parser = numbered, requires = "keys_version")]
    pub(crate) root: Vec<(u8, PathBuf)>,
    /// A key that the record lets sign updates: its number and its public file, PEM
    #[arg(long, value_name = "NUMBER=FILE", value_parser = numbered, requires = "keys_version")]
    pub(crate) trust: Vec<(u8, PathBuf)>,
    /// The record's version: devices take none that is older than one they took
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..), requires = "keys_made")]
    pub(crate) keys_version: Option<u16>,
    /// The day the record is made; devices without a clock know the time by it
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = day, requires = "keys_version")]
    pub(crate) keys_made: Option<u64>,
    /// The last day the record is good for
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = day, requires = "keys_version")]
    pub(crate) keys_expire: Option<u64>,
    /// The channel it is published in: its index is CHANNEL.json
    #[arg(long, value_name = "NAME", default_value = "stable")]
    pub(crate) channel: String,
    /// How many in a hundred devices are to take it
    #[arg(long, value_name = "PERCENT", default_value = "100", value_parser = share)]
    pub(crate) rollout: u16,
}

fn version(text: &str) -> Result<ounce_ota::Version, String> {
    ounce_ship::channel::version(text)
        .ok_or_else(|| "a version is three numbers, as 1.4.2".to_owned())
}

fn numbered(text: &str) -> Result<(u8, PathBuf), String> {
    let parts = text.split_once('=');
    match parts.map(|(number, file)| (number.parse(), file)) {
        Some((Ok(number @ 0..32), file)) if !file.is_empty() => Ok((number, file.into())),
        _ => Err("a key is its number, 0 to 31, and its file, as 2=root.key".to_owned()),
    }
}

fn range(text: &str) -> Result<(u32, u32), String> {
    let (low, high) = text.split_once('-').unwrap_or((text, text));
    match (low.parse(), high.parse()) {
        (Ok(low), Ok(high)) if low <= high => Ok((low, high)),
        _ => Err("revisions are a number, or two as 1-3, the lower first".to_owned()),
    }
}

fn share(text: &str) -> Result<u16, String> {
    let percent: f64 = text
        .parse()
        .map_err(|_| "percent are a number, as 12.5".to_owned())?;
    match (0.0..=100.0).contains(&percent) {
        true => Ok((percent * 100.0).round() as u16),
        false => Err("percent are between 0 and 100".to_owned()),
    }
}

/// The last second of a day, in seconds since 1970.
fn day(text: &str) -> Result<u64, String> {
    let wrong = || "a day is written as 2027-01-31".to_owned();
    let mut parts = text.splitn(3, '-').map(str::parse::<u64>);
    let mut next = || parts.next().and_then(Result::ok).ok_or_else(wrong);
    let (year, month, day) = (next()?, next()?, next()?);
    let leap = year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    let days = [
        31,
        if leap { 29 } else { 28 },
        31,
        30,
        31,
        30,
        31,
        31,
        30,
        31,
        30,
        31,
    ];
    let length = month
        .checked_sub(1)
        .and_then(|month| days.get(month as usize));
    if !(1970..10_000).contains(&year) || !length.is_some_and(|length| (1..=*length).contains(&day))
    {
        return Err(wrong());
    }
    let leaps = |year: u64| year / 4 - year / 100 + year / 400;
    let before: u64 = days[..month as usize - 1].iter().sum();
    let count = (year - 1970) * 365 + leaps(year - 1) - leaps(1969) + before + day;
    Ok(count * 86_400 - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_end_where_the_calendar_says() {
        assert_eq!(day("1970-01-01"), Ok(86_399));
        assert_eq!(day("2000-02-29"), Ok(951_868_799));
        assert_eq!(day("2027-01-31"), Ok(1_801_439_999));
        for wrong in [
            "",
            "2027",
            "2027-13-01",
            "2027-02-29",
            "2100-02-29",
            "2027-00-10",
            "x-1-1",
        ] {
            assert!(day(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_no_version_range_or_share_is_refused() {
        assert!(
            version("1.2").is_err() && version("1.2.3.4").is_err() && version("1.2.x").is_err()
        );
        assert_eq!(numbered("7=a=b"), Ok((7, "a=b".into())));
        assert!(numbered("32=a").is_err() && numbered("1=").is_err() && numbered("a").is_err());
        assert_eq!(range("3"), Ok((3, 3)));
        assert!(range("3-2").is_err() && range("a").is_err());
        assert_eq!(share("12.5"), Ok(1_250));
        assert!(share("101").is_err() && share("NaN").is_err());
    }
}
