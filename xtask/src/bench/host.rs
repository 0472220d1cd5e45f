//! What the figures were taken on: machine, kernel, versions, date. It only
//! reads; it changes nothing.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

/// The machine a report speaks of.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Host {
    pub(crate) date: String,
    pub(crate) kernel: String,
    pub(crate) system: String,
    pub(crate) processor: String,
    pub(crate) processors: usize,
    pub(crate) memory_mb: u64,
    /// Load averages over 1, 5 and 15 minutes when the run began: who else was busy.
    pub(crate) load: String,
}

impl Host {
    /// Reads the machine. What cannot be read is said to be unknown.
    pub(crate) fn read(load: String) -> Host {
        let unknown = || "unknown".to_owned();
        let seconds = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        Host {
            date: date(seconds),
            kernel: field("/proc/sys/kernel/osrelease", "").unwrap_or_else(unknown),
            system: field("/etc/os-release", "PRETTY_NAME=")
                .map(|name| name.trim_matches('"').to_owned())
                .unwrap_or_else(unknown),
            processor: processor(&fs::read_to_string("/proc/cpuinfo").unwrap_or_default())
                .unwrap_or_else(unknown),
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            memory_mb: field("/proc/meminfo", "MemTotal:")
                .and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok())
                .map_or(0, |kilobytes| kilobytes / 1024),
            load,
        }
    }
}

/// The load averages now.
pub(crate) fn load() -> String {
    let text = field("/proc/loadavg", "").unwrap_or_default();
    text.split_whitespace()
        .take(3)
        .collect::<Vec<_>>()
        .join(" ")
}

/// The rest of the first line that begins with `prefix`.
fn field(path: &str, prefix: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(prefix))?;
    Some(line.trim().to_owned())
}

/// The model's name, or family, model and stepping where a machine hides the name.
fn processor(cpuinfo: &str) -> Option<String> {
    let value = |name: &str| {
        cpuinfo.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            (key.trim() == name).then(|| value.trim().to_owned())
        })
    };
    let named = value("model name").filter(|name| !name.is_empty() && name != "unknown");
    named.or_else(|| {
        let vendor = value("vendor_id").or_else(|| value("CPU implementer"))?;
        let family = value("cpu family").unwrap_or_default();
        let model = value("model")
            .or_else(|| value("CPU part"))
            .unwrap_or_default();
        Some(format!("{vendor} family {family} model {model}"))
    })
}

/// The first line a program answers to `arguments` with, or nothing.
pub(crate) fn version(program: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().find(|line| !line.trim().is_empty())?;
    output.status.success().then(|| line.trim().to_owned())
}

/// The UTC date of a Unix time (the civil-from-days algorithm of Howard Hinnant,
/// "chrono-Compatible Low-Level Date Algorithms").
fn date(seconds: u64) -> String {
    let days = seconds / 86_400 + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(date(951_782_400), "2000-02-29");
        assert_eq!(date(951_868_800), "2000-03-01");
        assert_eq!(date(1_704_067_199), "2023-12-31");
    }

    #[test]
    fn a_processor_without_a_name_is_told_by_family_and_model() {
        let text =
            "vendor_id\t: AuthenticAMD\ncpu family\t: 25\nmodel\t\t: 1\nmodel name\t: unknown\n";
        assert_eq!(
            processor(text).as_deref(),
            Some("AuthenticAMD family 25 model 1")
        );
        assert_eq!(
            processor("model name : Fast 9\n").as_deref(),
            Some("Fast 9")
        );
    }
}
