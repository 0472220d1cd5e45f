//! A runtime for HTTP services without libc: its own `_start`, sockets, event
//! loop, deadlines, signals and graceful stop, in a program of a few kilobytes
//! that allocates nothing.
//!
//! A program is a table of routes and a line that starts it:
//!
//! ```ignore
//! #![no_std]
//! #![no_main]
//! #![forbid(unsafe_code)]
//! use ounce_httpd::{Answer, Program, Request, Response, Route, serve};
//!
//! ounce_httpd::entry!(main);
//!
//! fn main(program: &Program) -> u8 {
//!     serve(program, &ROUTES, &mut Counter { calls: 0 })
//! }
//!
//! struct Counter {
//!     calls: u64,
//! }
//!
//! static ROUTES: [Route<Counter>; 1] = [Route::get("/", Counter::index)];
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

mod desk;
mod entry;
mod health;
mod listen;
mod memory;
mod program;
mod server;
mod service;
mod stream;

#[doc(hidden)]
pub use entry::Strings;
pub use entry::State;
pub use ounce_http as http;
pub use ounce_http::problem::{Answer, Problem};
pub use ounce_http::request::Request;
pub use ounce_http::response::Response;
pub use ounce_http::route::Route;
pub use ounce_http::status::Status;
pub use program::{Program, number};
pub use server::serve_on;
use ounce_http::route::App;
pub use service::{File, Service};

/// Defines the program's way in: calls a `fn(&Program) -> u8`, whose result is
/// the exit status.
#[macro_export]
macro_rules! entry {
    ($main:path) => {
        #[unsafe(no_mangle)]
        extern "C" fn ounce_main(arguments: $crate::Strings, environment: $crate::Strings) -> u8 {
            let main: fn(&$crate::Program) -> u8 = $main;
            main(&$crate::Program::new(arguments, environment))
        }
    };
}

/// The port where neither an argument nor `PORT` names one.
pub const DEFAULT_PORT: u16 = 8080;

/// Serves these routes until SIGTERM: on the sockets handed in by `LISTEN_FDS`,
/// else on port `PORT` (8080). `GET /healthz` is answered without the routes,
/// and the single argument `--health` asks a running server for it.
pub fn serve<S>(program: &Program, routes: &'static [Route<S>], state: &mut S) -> u8 {
    let Some(port) = port(program) else {
        program.complain(b"error: PORT is not a port number\nhint: 1 to 65535\n");
        return 2;
    };
    match program.arguments().next() {
        None => serve_on(program, port, &mut App::new(routes, state)),
        Some(argument) if argument.to_bytes() == b"--health" => health(port),
        Some(_) => {
            program.complain(b"usage: [PORT=8080] program [--health]\n");
            2
        }
    }
}

/// `PORT`, or the default; `None` where it is not a port.
pub fn port(program: &Program) -> Option<u16> {
    match program.variable("PORT") {
        None => Some(DEFAULT_PORT),
        Some(text) => u16::try_from(number(text.to_bytes())?)
            .ok()
            .filter(|&port| port > 0),
    }
}

/// Asks the server on this port of the loopback for `/healthz`: 0 if it answers
/// 200, else 1. For health checks where no shell and no curl is.
pub fn health(port: u16) -> u8 {
    u8::from(health::check(port).is_err())
}
