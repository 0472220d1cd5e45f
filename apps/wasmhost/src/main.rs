//! ounce-wasmhost: runs one WebAssembly module, as the program of a container.
//!
//! `ounce run` starts it inside of the isolation that every container has; this
//! program adds what a module is used to find: WASI, a deadline, a limit on its
//! memory, and a server around what handles HTTP requests. It keeps nothing:
//! what is compiled ahead of time goes to its standard output, and where that
//! is kept, and whether it can be trusted, is `ounce`'s to say.
#![deny(unsafe_code)]

mod arguments;
mod compile;
mod failure;
mod invoke;
#[cfg(feature = "judge")]
mod judge;
mod load;
mod measure;
mod memory;
mod outgoing;
mod page;
mod run;
mod serve;
mod settings;
mod state;
mod trusted;
mod waiting;

use std::process::ExitCode;

use arguments::Task;
use failure::Failure;
use mimalloc::MiMalloc;

#[global_allocator]
static MEMORY: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    std::panic::set_hook(Box::new(|panic| {
        eprintln!("error: a bug in ounce-wasmhost: {panic}");
        std::process::exit(failure::BUG.into());
    }));
    match attempt() {
        Ok(code) => code,
        Err(failure) => {
            eprint!("{failure}");
            ExitCode::from(failure.code)
        }
    }
}

fn attempt() -> Result<ExitCode, Failure> {
    #[cfg(feature = "judge")]
    if let Some(folder) = judge::folder()? {
        return judge::run(&folder);
    }
    match arguments::parse(std::env::args_os().skip(1))? {
        Task::Help => {
            print!("{}", arguments::HELP);
            Ok(ExitCode::SUCCESS)
        }
        Task::Version => {
            println!("{}", settings::version());
            Ok(ExitCode::SUCCESS)
        }
        Task::Run(start) => run::run(start),
        Task::Compile(file) => compile::ahead_of_time(&file),
        Task::Component(file) => compile::component(&file),
        Task::Check(file) => compile::check(&file),
        Task::Measure(measure) => measure::run(&measure),
    }
}
