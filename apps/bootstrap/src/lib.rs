//! Functions on AWS Lambda without libc: a program of a few kilobytes that is ready
//! for its first event a fraction of a millisecond after it is started.
//!
//! A program is a state, what it does with an event, and a line that starts it:
//!
//! ```ignore
//! #![no_std]
//! #![no_main]
//! #![forbid(unsafe_code)]
//! use ounce_bootstrap::{Function, Invocation, Outcome, Program, Reply, run};
//!
//! ounce_bootstrap::entry!(main);
//!
//! fn main(program: &Program) -> u8 {
//!     run(program, &mut Counter { calls: 0 })
//! }
//!
//! struct Counter {
//!     calls: u64,
//! }
//!
//! impl Function for Counter {
//!     fn call(&mut self, _: &mut Invocation, reply: &mut Reply) -> Outcome {
//!         self.calls += 1;
//!         reply.json().object().key("calls").number(self.calls).end_object();
//!         Ok(())
//!     }
//! }
//! ```
//!
//! The Runtime API itself is in `ounce-lambda`; this package moves the bytes. Its
//! program, `bootstrap`, is the adapter: see `main.rs`.
#![no_std]
#![forbid(unsafe_code)]

mod last_word;
mod reply;
mod run;
mod socket;

#[doc(hidden)]
pub use last_word::panicked;
#[doc(hidden)]
pub use ounce_httpd as httpd;
pub use ounce_httpd::{Program, State};
pub use ounce_lambda as lambda;
pub use ounce_lambda::event::{Message, messages};
pub use ounce_lambda::http::json::{Json, Reader};
pub use ounce_lambda::{Context, Fault, Invocation, Outcome};
pub use reply::Reply;
pub use run::{Function, Start, lost, now_ms, run};
pub use socket::Socket;

/// Defines the program's way in: calls a `fn(&Program) -> u8`, whose result is
/// the exit status. Should it panic, Lambda is told so as an error of the function.
#[macro_export]
macro_rules! entry {
    ($main:path) => {
        $crate::httpd::entry!($main, $crate::panicked);
    };
}
