//! AWS Lambda's Runtime API as a client speaks it, and the events of its HTTP
//! front doors: no allocation, no sockets, no environment.
//!
//! [`exchange`] reads one answer in whatever pieces it comes, [`client`] asks for
//! invocations and answers them through a [`Wire`] that the caller has,
//! [`Invocation`] is what is asked for. [`event`] tells the kinds of events apart
//! and takes them to pieces; [`translate`] makes an HTTP request of one, and the
//! answer that Lambda wants of the server's. Programs without libc have their
//! sockets and their way in from `apps/bootstrap`; ordinary ones, with the feature
//! `std`, call [`run`](host::run).
//!
//! The other side is trusted with nothing: every length is bounded, every wait but
//! that for the next invocation has an end, and what two readers could read in two
//! ways is refused, as everywhere in `ounce-http`.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(any(feature = "std", test))]
extern crate std;

pub mod address;
pub mod answer;
pub mod base64;
pub mod client;
pub mod event;
pub mod exchange;
pub mod fault;
#[cfg(feature = "std")]
pub mod host;
mod invocation;
mod target;
pub mod translate;

pub use client::{Broken, Client, Verdict};
pub use exchange::{Cut, Wire};
pub use fault::{Fault, Outcome};
pub use invocation::{Context, Invocation};
pub use ounce_http as http;

/// The longest event, and the longest answer that is not streamed: what Lambda
/// itself allows, 6 MB and 100 KB of what it wraps a request in
/// (docs.aws.amazon.com/lambda, "Lambda quotas").
pub const MAX_PAYLOAD_BYTES: usize = 6 * 1_024 * 1_024 + 100 * 1_024;
