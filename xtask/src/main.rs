//! The project's own tasks: `cargo xtask bench`, `cargo xtask dist`.
#![forbid(unsafe_code)]

use std::process::ExitCode;

mod bench;
mod dist;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match arguments.split_first() {
        Some((task, rest)) if task == "bench" => bench::run(rest),
        Some((task, rest)) if task == "dist" => dist::run(rest),
        _ => Err(anyhow::anyhow!("usage: cargo xtask bench|dist [--help]")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
