//! What the keeper is told: words in a fixed order, by the `ounce` that it is
//! compiled into.

use core::ffi::CStr;

use ounce_linux::descriptor::inherited;
use rustix::fd::OwnedFd;

/// How many control groups a container can have: of version 1, one a controller.
const MOST_GROUPS: usize = 8;

/// All of it.
pub(crate) struct Options {
    /// The container's name, which is its folder's.
    pub(crate) name: &'static CStr,
    /// Its first process, our child.
    pub(crate) pid: u32,
    /// The file for the record of its end.
    pub(crate) exit: OwnedFd,
    /// Its standard output.
    pub(crate) output: Option<OwnedFd>,
    /// Its standard error.
    pub(crate) error: Option<OwnedFd>,
    /// The log.
    pub(crate) log: Option<OwnedFd>,
    /// Most bytes of a log file.
    pub(crate) log_bytes: u32,
    /// `ounce`, to start the container again.
    pub(crate) ounce: Option<OwnedFd>,
    /// Which start this is, from 1 on.
    pub(crate) start: u32,
    /// Most starts after the first.
    pub(crate) most_restarts: u32,
    /// Failures in a row, for the pause between two starts.
    pub(crate) failures: u32,
    /// How long it may take from SIGTERM to its end.
    pub(crate) stop_timeout_ms: u32,
    /// Whether its folder is removed at its end.
    pub(crate) remove: bool,
    /// What `ounce` gets back at a restart, as it is.
    pub(crate) handed: &'static CStr,
    /// Its control groups, to be removed at its end.
    pub(crate) groups: [Option<&'static CStr>; MOST_GROUPS],
}

impl Options {
    /// Nothing if a word is missing or wrong.
    pub(crate) fn of(mut words: impl Iterator<Item = &'static CStr>) -> Option<Self> {
        let name = words.next()?;
        let mut number = || ounce_httpd::number(words.next()?.to_bytes());
        // Standard input is nobody's: 0 is none.
        let file = |number: u32| match number {
            0 => None,
            number => inherited(number),
        };
        let mut options = Self {
            name,
            pid: number()?,
            exit: file(number()?)?,
            output: file(number()?),
            error: file(number()?),
            log: file(number()?),
            log_bytes: number()?,
            ounce: file(number()?),
            start: number()?,
            most_restarts: number()?,
            failures: number()?,
            stop_timeout_ms: number()?,
            remove: number()? != 0,
            handed: c"",
            groups: [None; MOST_GROUPS],
        };
        options.handed = words.next()?;
        for place in &mut options.groups {
            *place = words.next();
        }
        Some(options)
    }
}
