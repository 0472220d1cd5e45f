//! The keeper: all that stays of `ounce` while a detached container runs.
//!
//! `ounce` starts the container and executes this in its own place, so that the
//! container stays its child. The keeper writes down what the program says
//! (`log`) and how it ends, starts it again where that is wanted, by executing
//! `ounce` in its own place, and ends. It allocates nothing and stands in a few
//! pages. What it holds open besides (the folder with its lock, listening
//! sockets, the image's lock) it neither knows nor touches.
//!
//! The working directory is the container's folder. It is not told by the
//! environment: there is none.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

mod log;
mod options;
mod text;
mod watch;

use options::Options;
use ounce_httpd::Program;

ounce_httpd::entry!(main);

fn main(program: &Program) -> u8 {
    match Options::of(program.arguments()) {
        Some(options) => {
            // As `ps` shows it, and other `ounce` look for it.
            let _ = rustix::thread::set_name(c"ounce-keeper");
            watch::watch(options)
        }
        None => {
            program.complain(b"the keeper of a container; `ounce run -d` starts it\n");
            2
        }
    }
}
