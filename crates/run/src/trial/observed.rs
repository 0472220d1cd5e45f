//! What a trial showed, to be compared with what another did.

use std::time::Duration;

use ounce_oci::Digest;
use serde::Serialize;

use crate::lifecycle::Exit;

/// Most bytes of output that count; a test that prints more has failed.
pub(super) const MOST_OUTPUT: usize = 16 << 20;

/// What a test showed. Two trials are alike if these are equal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Observed {
    /// It ran to its end.
    Ended(Printed),
    /// It answered.
    Answered(Vec<Answer>),
    /// The script ran to its end.
    Script(Printed),
}

/// An exit code and what was printed to standard output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Printed {
    /// 128 and the signal for one that a signal ended.
    pub code: u8,
    /// Of standard output.
    #[serde(serialize_with = "shown")]
    pub output: Digest,
    /// Its length.
    pub output_bytes: u64,
    /// Its first bytes, to be shown.
    pub begins: String,
    /// Whether it wrote anything to standard error.
    pub complains: bool,
}

fn shown<S: serde::Serializer>(digest: &Digest, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(digest)
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// What was asked for.
    pub path: String,
    /// The status code.
    pub status: u16,
    /// Of the body.
    #[serde(serialize_with = "shown")]
    pub body: Digest,
    /// Its length.
    pub body_bytes: u64,
}

/// Why a test came to no end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// It did not start.
    #[error("it does not start: {0}")]
    Start(String),
    /// Time was up.
    #[error("after {} s: {doing}", waited.as_secs_f32())]
    TimedOut {
        /// What was being waited for.
        doing: String,
        /// How long.
        waited: Duration,
    },
    /// The program ended before the test did.
    #[error("the program ended ({}) before the test did", exit.code())]
    Ended {
        /// How.
        exit: Exit,
    },
    /// The answer is none.
    #[error("{0}")]
    Answer(String),
    /// More output than counts.
    #[error("it prints more than {MOST_OUTPUT} bytes")]
    Output,
}

impl Observed {
    /// In what it differs from `other`, in words; nothing if it does not.
    pub fn difference(&self, other: &Self) -> Option<String> {
        let printed = |one: &Printed, other: &Printed| {
            if one.code != other.code {
                return Some(format!("exit code {} instead of {}", other.code, one.code));
            }
            if one.complains != other.complains {
                let now = match other.complains {
                    true => "it complains on standard error, which it did not",
                    false => "nothing on standard error, where it complained",
                };
                return Some(now.to_owned());
            }
            (one != other).then(|| {
                let before = &one.begins;
                format!("output {:?} instead of {before:?}", other.begins)
            })
        };
        match (self, other) {
            (Self::Ended(one), Self::Ended(other)) | (Self::Script(one), Self::Script(other)) => {
                printed(one, other)
            }
            (Self::Answered(ones), Self::Answered(others)) => {
                let mut pairs = ones.iter().zip(others);
                pairs.find_map(|(one, other)| {
                    let path = &one.path;
                    if one.status != other.status {
                        let (now, before) = (other.status, one.status);
                        return Some(format!("GET {path}: status {now} instead of {before}"));
                    }
                    (one != other).then(|| format!("GET {path}: another body"))
                })
            }
            _ => Some("another kind of test".to_owned()),
        }
    }
}

impl Observed {
    /// Only exit codes and statuses.
    #[must_use]
    pub fn coarse(&self) -> Self {
        let nothing = Digest::of(&[]);
        let code = |printed: &Printed| Printed {
            code: printed.code,
            output: nothing,
            output_bytes: 0,
            begins: String::new(),
            complains: false,
        };
        match self {
            Self::Ended(printed) => Self::Ended(code(printed)),
            Self::Script(printed) => Self::Script(code(printed)),
            Self::Answered(answers) => {
                let coarse = answers.iter().map(|answer| Answer {
                    body: nothing,
                    body_bytes: 0,
                    ..answer.clone()
                });
                Self::Answered(coarse.collect())
            }
        }
    }

    /// Why it shows no success, if so: a test has to pass before anything is cut.
    pub fn failure(&self) -> Option<String> {
        match self {
            Self::Ended(Printed { code: 0, .. }) | Self::Script(Printed { code: 0, .. }) => None,
            Self::Ended(printed) | Self::Script(printed) => {
                Some(format!("exit code {}", printed.code))
            }
            Self::Answered(answers) => {
                let failed = answers.iter().find(|answer| answer.status >= 400);
                failed.map(|answer| format!("GET {}: status {}", answer.path, answer.status))
            }
        }
    }
}
