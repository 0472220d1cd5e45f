//! Serves the files of a folder over HTTP.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

ounce_httpd::entry!(main);

fn main(program: &ounce_httpd::Program) -> u8 {
    ounce_httpd::start::start(program)
}
