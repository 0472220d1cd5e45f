//! What happens while services are held, for who tells it.

use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use crate::Exit;

/// One thing that happened.
#[derive(Debug)]
pub struct Event<'a> {
    /// To which service, where it is one's.
    pub service: Option<&'a str>,
    /// What.
    pub what: What<'a>,
    /// How the service is by then.
    pub state: State<'a>,
}

/// How a service is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct State<'a> {
    /// Its image, as it was named.
    pub image: &'a str,
    /// Of what its container is, as [`Prepared`](super::Prepared) names it; while one
    /// replaces another, the older.
    pub runs: Option<&'a str>,
    /// Of what a container did not hold, so that it is not tried again.
    pub refused: Option<&'a str>,
    /// Failures in a row.
    pub failures: u32,
    /// It has failed and waits for its next try.
    pub pausing: bool,
}

/// What happened.
#[derive(Debug)]
pub enum What<'a> {
    /// It can be reached.
    Listening(SocketAddr),
    /// Metrics can be asked for.
    Metrics(SocketAddr),
    /// A container of it was started.
    Started {
        /// Its first process.
        pid: i32,
        /// From the first connection noticed to the program executed.
        took: Duration,
    },
    /// It could not be started; it is tried again.
    StartFailed {
        /// Why.
        error: &'a (dyn Error + 'static),
        /// After so long.
        again: Duration,
    },
    /// Its start waits for a limit.
    Delayed(Limit),
    /// Its container ended when it should not have; it is started again.
    Crashed {
        /// How.
        exit: Exit,
        /// After so long.
        again: Duration,
    },
    /// Its container ended by itself, as it should.
    Ended(Exit),
    /// Its container was asked to end.
    Stopping(Why),
    /// Its container has ended as it was asked to.
    Stopped(Exit),
    /// Its container did not end in time and was killed.
    Killed,
    /// It has accepted no connection for so long and is started anew.
    Stalled(Duration),
    /// Another image's container has taken over.
    Rolled,
    /// Another image's container did not hold; the old one goes on.
    RollFailed(&'a (dyn Error + 'static)),
    /// The file was read again.
    Reloaded {
        /// Services that are new.
        added: usize,
        /// Services that are gone.
        removed: usize,
        /// Services that are otherwise.
        changed: usize,
    },
    /// The file could not be read again, or not all of it be done.
    ReloadFailed(&'a (dyn Error + 'static)),
    /// All is being stopped.
    Ending,
}

/// What a start waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Starts a second.
    Rate,
    /// Containers that run at once.
    Running,
}

/// Why a container was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Nobody was connected.
    Idle,
    /// Another service needs its place.
    Evicted,
    /// Another container has taken over.
    Replaced,
    /// The service is gone.
    Removed,
    /// All is being stopped.
    Ending,
}
