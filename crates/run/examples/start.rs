//! Starts a program, or a program of a folder, isolated: to try the library, and to time it.
//!
//! `start ELF [ARGS]`, or `start -r FOLDER PROGRAM [ARGS]`.

use std::ffi::OsString;
use std::process::ExitCode;

use ounce_run::spec::Root;
use ounce_run::{Spec, follow, start};

fn main() -> ExitCode {
    let mut arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    if arguments.is_empty() {
        eprintln!("usage: start ELF [ARGS] | start -r FOLDER PROGRAM [ARGS]");
        return ExitCode::from(2);
    }
    let spec = if arguments[0] == "-r" && arguments.len() > 2 {
        let rest = arguments.split_off(2);
        Spec::new(Root::Folder(arguments.remove(1).into()), rest)
    } else {
        let rest = arguments.split_off(1);
        Spec::of_program(arguments.remove(0).into(), rest)
    };
    let signals = match follow::signals() {
        Ok(signals) => signals,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(125);
        }
    };
    match start(&spec).map(|mut container| follow::follow(&mut container, &signals, None)) {
        Ok(Ok(exit)) => ExitCode::from(exit.code()),
        Ok(Err(error)) => {
            eprintln!("error: {error}");
            ExitCode::from(125)
        }
        Err(error) => {
            eprintln!("error: {error}");
            if let Some(hint) = error.hint() {
                eprintln!("hint: {hint}");
            }
            ExitCode::from(error.exit_code())
        }
    }
}
