//! What the files of a container say: what was wanted (`container.json`,
//! written once), what runs (`running.json`, written at each start) and how it
//! ended (`exit`, one line of a fixed length, written in place by the keeper,
//! which needs no memory and no space on the disk for it).

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::lifecycle::Exit;
use crate::spec::Spec;

/// The form of `container.json`; another one has another number.
pub const SCHEMA: &str = "ounce.container/1";

/// What was wanted of a container.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    /// [`SCHEMA`].
    pub schema: String,
    /// Its name, which is its folder's.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// The image, folder or program, as the user named it.
    pub image: String,
    /// Digest of the image's manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Program and arguments.
    pub command: Vec<String>,
    /// When it was made (RFC 3339).
    pub created: String,
    /// Published ports.
    #[serde(default)]
    pub ports: Vec<Port>,
    /// What the user noted.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Whether it is started again.
    #[serde(default)]
    pub restart: Restart,
    /// How long it may take from SIGTERM to its end.
    pub stop_timeout_ms: u64,
    /// Whether it is removed at its end.
    #[serde(default)]
    pub remove: bool,
    /// Whether its standard input stays open, though nobody writes to it.
    #[serde(default)]
    pub interactive: bool,
    /// Most bytes of each of its two log files; 0 where it has none.
    #[serde(default)]
    pub log_bytes: u64,
    /// All that a start needs; none where others start it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec: Option<Spec>,
}

/// What a folder is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// One container.
    Container,
    /// A service of `ounce serve`, which starts its containers itself.
    Service,
}

/// A published port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// Where this machine listens, such as `127.0.0.1:8080`.
    pub address: String,
    /// The port inside.
    pub container_port: u16,
    /// Whether connections are carried inside, in place of the socket handed in.
    #[serde(default)]
    pub carried: bool,
}

/// Whether a container is started again after its end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Restart {
    /// Never.
    #[default]
    No,
    /// After an end with another code than 0, at most so often; without a
    /// number as often as it takes.
    OnFailure(Option<u32>),
}

impl Restart {
    /// Most starts after the first.
    pub fn most(self) -> u32 {
        match self {
            Self::No => 0,
            Self::OnFailure(most) => most.unwrap_or(u32::MAX),
        }
    }
}

impl std::str::FromStr for Restart {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is neither `no`, `on-failure` nor `on-failure:COUNT`");
        match text.split_once(':') {
            None if text == "no" => Ok(Self::No),
            None if text == "on-failure" => Ok(Self::OnFailure(None)),
            Some(("on-failure", most)) => match most.parse() {
                Ok(most @ 1..) => Ok(Self::OnFailure(Some(most))),
                _ => Err(wrong()),
            },
            _ if matches!(text, "always" | "unless-stopped") => Err(format!(
                "{text:?} needs a daemon that outlives a reboot, which ounce has not: \
                 write `on-failure`, or have systemd start it"
            )),
            _ => Err(wrong()),
        }
    }
}

/// What runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    /// The container's first process, as the host numbers it; 0 where there is
    /// none at present.
    pub pid: i32,
    /// When that began, in ticks since the boot: with the number it is unique.
    pub pid_started: u64,
    /// The process that watches it.
    pub keeper: i32,
    /// When that began.
    pub keeper_started: u64,
    /// When the program was started (RFC 3339).
    pub started: String,
    /// The same, in seconds since 1970.
    pub started_seconds: u64,
    /// Starts so far, from 1 on.
    pub starts: u32,
    /// Its control groups.
    #[serde(default)]
    pub groups: Vec<PathBuf>,
    /// Further processes of ours that go with it, by number and beginning.
    #[serde(default)]
    pub helpers: Vec<(i32, u64)>,
    /// Its address in a network of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// What `ps` shows as its state in place of its own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Of an `ounce serve`: its services by their names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub services: BTreeMap<String, Served>,
}

/// A service of an `ounce serve`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Served {
    /// The image, as the file names it.
    pub image: String,
    /// The digest of what its container is of, or what else tells that; while one
    /// replaces another, the older's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runs: Option<String>,
    /// What did not hold when it was to replace another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// Failures in a row.
    #[serde(default)]
    pub failures: u32,
    /// Whether it has failed and waits for its next try.
    #[serde(default)]
    pub pausing: bool,
}

/// How a start ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// Code or signal.
    pub exit: Exit,
    /// When, in seconds since 1970.
    pub seconds: u64,
    /// Which start it was, from 1 on.
    pub start: u32,
}

/// Bytes of the file `exit`: its line, filled up with blanks.
pub const EXIT_BYTES: usize = 64;

impl Ended {
    /// The file's content.
    pub fn to_bytes(self) -> [u8; EXIT_BYTES] {
        let (kind, number) = match self.exit {
            Exit::Code(code) => ("code", i32::from(code)),
            Exit::Signal(signal) => ("signal", signal),
        };
        let line = format!("{kind} {number} {} {}", self.seconds, self.start);
        let mut bytes = [b' '; EXIT_BYTES];
        for (to, from) in bytes.iter_mut().zip(line.bytes()) {
            *to = from;
        }
        bytes[EXIT_BYTES - 1] = b'\n';
        bytes
    }

    /// Nothing where nothing has ended yet.
    ///
    /// # Errors
    /// The bytes are none that a keeper writes.
    pub(super) fn parse(bytes: &[u8]) -> Result<Option<Self>, ()> {
        if bytes.iter().all(|byte| matches!(byte, b' ' | b'\n')) {
            return Ok(None);
        }
        let text = std::str::from_utf8(bytes).map_err(drop)?;
        let mut words = text.split_ascii_whitespace();
        let kind = words.next().ok_or(())?;
        let mut number = || words.next().and_then(|word| word.parse::<u64>().ok());
        let (value, seconds, start) = (number(), number(), number());
        let (Some(value), Some(seconds), Some(start)) = (value, seconds, start) else {
            return Err(());
        };
        let exit = match (kind, value) {
            ("code", 0..=255) => Exit::Code(value as u8),
            ("signal", 1..=64) => Exit::Signal(value as i32),
            _ => return Err(()),
        };
        let start = start.try_into().map_err(drop)?;
        Ok(Some(Self {
            exit,
            seconds,
            start,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_reads_back_as_it_was_written_and_nothing_else_does() {
        for exit in [
            Exit::Code(0),
            Exit::Code(255),
            Exit::Signal(9),
            Exit::Signal(64),
        ] {
            let ended = Ended {
                exit,
                seconds: 1_800_000_000,
                start: 3,
            };
            assert_eq!(Ended::parse(&ended.to_bytes()), Ok(Some(ended)));
        }
        assert_eq!(Ended::parse(&[b' '; EXIT_BYTES]), Ok(None));
        assert_eq!(Ended::parse(b""), Ok(None));
        for wrong in [
            &b"code 256 1 1"[..],
            b"signal 0 1 1",
            b"code x 1 1",
            b"code 1 1",
            b"\xff",
            b"{}",
        ] {
            assert_eq!(Ended::parse(wrong), Err(()), "{wrong:?}");
        }
    }

    #[test]
    fn restarts_are_read_and_those_that_need_a_daemon_refused() {
        assert_eq!("no".parse(), Ok(Restart::No));
        assert_eq!("on-failure".parse(), Ok(Restart::OnFailure(None)));
        assert_eq!("on-failure:3".parse(), Ok(Restart::OnFailure(Some(3))));
        for wrong in ["", "on-failure:", "on-failure:0", "on-failure:x", "yes"] {
            assert!(wrong.parse::<Restart>().is_err(), "{wrong}");
        }
        let error = "always".parse::<Restart>().unwrap_err();
        assert!(error.contains("systemd"), "{error}");
    }
}
