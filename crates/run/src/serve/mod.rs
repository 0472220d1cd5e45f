//! Services that are started by their first connection and stopped when nobody
//! is connected: scale to zero.
//!
//! One thread holds every listening socket (`engine`). A container is handed
//! its service's socket and accepts by itself, so that nothing stands between
//! it and its clients; the socket stays open here, too, so that a connection
//! that comes while no container runs, or while one ends, waits in the
//! kernel's queue for the next. Nobody is cut off by a stop either: whoever
//! accepts is made to stand still first (`freeze`), the kernel is asked who is
//! connected (`connections`), and goes on if somebody is.
//!
//! Only services that share an address by host or path have their requests
//! read (`web`), by a second thread; it reaches them as any client would.
//!
//! Containers die with the process, whatever ends it.

mod backoff;
mod config;
mod connections;
mod engine;
mod event;
mod freeze;
mod instance;
mod metrics;
mod rehearsal;
mod route;
mod web;

pub use config::{
    CONFIG_LIMIT_BYTES, Config, ConfigError, ConfigFault, DurationError, Options, Service,
    duration, parse,
};
pub use engine::{ServeError, Setup, Source, serve};
pub use event::{Event, Limit, State, What, Why};
pub use instance::{Fault, Prepared};
pub use metrics::{Board, Counters};
pub use rehearsal::rehearse;
pub use route::Place;
