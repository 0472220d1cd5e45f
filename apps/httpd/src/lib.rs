//! A runtime for HTTP services without libc: its own `_start`, sockets, event
//! loop, deadlines, signals and graceful stop, in a program of a few kilobytes
//! that allocates nothing.
//!
//! A program is a state, a table of routes to its handlers, and a line that
//! starts it:
//!
//! ```ignore
//! #![no_std]
//! #![no_main]
//! #![forbid(unsafe_code)]
//! use ounce_httpd::{Answer, Program, Request, Response, Route, Service, serve};
//!
//! ounce_httpd::entry!(main);
//!
//! fn main(program: &Program) -> u8 {
//!     serve(program, &mut Counter { calls: 0 })
//! }
//!
//! struct Counter {
//!     calls: u64,
//! }
//!
//! impl Service for Counter {
//!     const ROUTES: &'static [Route<Self>] = &[Route::get("/", Self::index)];
//! }
//!
//! impl Counter {
//!     fn index(&mut self, _: &mut Request, response: &mut Response) -> Answer {
//!         self.calls += 1;
//!         response.text("call ").number(self.calls).text("\n");
//!         Ok(())
//!     }
//! }
//! ```
//!
//! HTTP itself is in `ounce-http`; this package moves the bytes.
#![no_std]

pub mod address;
pub mod engine;
mod entry;
mod help;
mod listen;
pub mod options;
pub mod packed;
pub mod page;
mod program;
mod serve;
mod service;
pub mod site;
pub mod start;
mod streams;

#[doc(hidden)]
pub use entry::Strings;
pub use entry::{Kept, Once, State};
pub use ounce_http as http;
pub use ounce_http::asset::Asset;
pub use ounce_http::etag::Tag;
pub use ounce_http::problem::{Answer, Problem};
pub use ounce_http::request::Request;
pub use ounce_http::response::Response;
pub use ounce_http::route::{Body, Route, Service};
pub use ounce_http::status::Status;
pub use ounce_http::stream::Piece;
pub use ounce_http::text::Text;
pub use program::{Program, number};
pub use serve::serve;
pub use service::MAX_BODY_BYTES;
pub use streams::{MAX_ANSWER_BYTES, MAX_STREAMS};

/// The last word of programs that have none.
#[doc(hidden)]
pub fn say_nothing() {}

/// Defines the program's way in: calls a `fn(&Program) -> u8`, whose result is
/// the exit status. A second one, a `fn()`, is called where the program has
/// panicked, before it ends with status 70.
#[macro_export]
macro_rules! entry {
    ($main:path) => {
        $crate::entry!($main, $crate::say_nothing);
    };
    ($main:path, $panicked:path) => {
        #[unsafe(no_mangle)]
        fn ounce_panicked() {
            $panicked()
        }

        #[unsafe(no_mangle)]
        extern "C" fn ounce_main(arguments: $crate::Strings, environment: $crate::Strings) -> u8 {
            let main: fn(&$crate::Program) -> u8 = $main;
            main(&$crate::Program::new(arguments, environment))
        }
    };
}
