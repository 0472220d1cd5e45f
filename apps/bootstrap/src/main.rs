//! The adapter: starts any HTTP server, unchanged, as a function on AWS Lambda.
//!
//! `bootstrap PROGRAM [ARGUMENT...]` starts the program, waits until it accepts
//! connections, and from then on makes a request of each event and Lambda's answer
//! of each answer. Without arguments, as Lambda starts it from a zip, the command is
//! read from `bootstrap.args` beside it: each word ends with NUL.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

mod adapter;

ounce_bootstrap::entry!(main);

fn main(program: &ounce_bootstrap::Program) -> u8 {
    adapter::run(program)
}
