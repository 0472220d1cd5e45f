//! ounce: makes, measures and runs micro-containers.
//!
//! The only crate that prints, reads the environment and picks exit codes.
//! `main` parses, hands over to one file per verb in `commands`, and lets any
//! failure out by the one door in `failure`.
#![forbid(unsafe_code)]

mod arguments;
mod causes;
mod commands;
mod emulate;
mod failure;
mod first_answer;
mod named;
mod network;
mod output;
mod quick;
mod render;
mod session;
mod start;
mod wasm;

use std::alloc::System;
use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, Parser};
use ounce_linux::arena::Arena;

use arguments::{Arguments, Command};
use commands::Context;
use failure::Kind;
use output::warn;

/// Most commands end before they have used half of it.
#[global_allocator]
static MEMORY: Arena<System, { 1 << 20 }> = Arena::new(System);

fn main() -> ExitCode {
    // A panic is our bug, and says so by exit code 70, whatever the profile
    // makes of panics otherwise.
    std::panic::set_hook(Box::new(|panic| {
        warn(&format!("error: a bug in ounce: {panic}"));
        warn("hint: please report it with the command line and the output");
        std::process::exit(Kind::Bug.code().into());
    }));
    let own = commands::runtime::intercept()
        .or_else(commands::keep::intercept)
        .or_else(wasm::intercept);
    if let Some(code) = own {
        return code;
    }
    let arguments = quick::parse(std::env::args_os().skip(1), std::env::var_os("OUNCE_STORE"))
        .unwrap_or_else(|| Arguments::try_parse().unwrap_or_else(|error| wrong_usage(&error)));
    let context = Context::new(arguments.global);
    let result = match arguments.command {
        Command::Up(arguments) => commands::up::run(&context, arguments),
        Command::Build(arguments) => commands::build::run(&context, arguments),
        Command::Base(arguments) => commands::base::run(&context, arguments),
        Command::Update(arguments) => commands::update::run(&context, arguments),
        Command::Run(arguments) => commands::run::run(&context, arguments),
        Command::Logs(arguments) => commands::logs::run(&context, &arguments),
        Command::Exec(arguments) => commands::exec::run(&context, &arguments),
        Command::Stats(arguments) => commands::stats::run(&context, &arguments),
        Command::Debug(arguments) => commands::debug::run(&context, &arguments),
        Command::Stop(arguments) => commands::stop::run(&context, &arguments),
        Command::Kill(arguments) => commands::kill::run(&context, &arguments),
        Command::Wait(arguments) => commands::wait::run(&context, &arguments),
        Command::Ps(arguments) => commands::ps::run(&context, &arguments),
        Command::Serve(arguments) => commands::serve::run(&context, arguments),
        Command::Weigh(arguments) => commands::weigh::run(&context, arguments),
        Command::Trim(arguments) => commands::trim::run(&context, arguments),
        Command::Delta(arguments) => commands::delta::run(&context, arguments),
        Command::Images => commands::images::run(&context),
        Command::Inspect(arguments) => commands::inspect::run(&context, arguments),
        Command::Tag(arguments) => commands::tag::run(&context, arguments),
        Command::Rm(arguments) => commands::rm::run(&context, arguments),
        Command::Copy(arguments) => commands::copy::run(&context, arguments),
        Command::Pull(arguments) => commands::pull::run(&context, arguments),
        Command::Push(arguments) => commands::push::run(&context, arguments),
        Command::Ship(arguments) => commands::ship::run(&context, *arguments),
        Command::Tags(arguments) => commands::tags::run(&context, arguments),
        Command::Login(arguments) => commands::login::run(&context, arguments),
        Command::Logout(arguments) => commands::login::forget(&context, arguments),
        Command::Gc => commands::gc::run(&context),
        Command::Verify(arguments) => commands::verify::run(&context, arguments),
        Command::Sign(arguments) => commands::sign::run(&context, arguments),
        Command::Attach(arguments) => commands::attach::run(&context, arguments),
        Command::Referrers(arguments) => commands::referrers::run(&context, arguments),
        Command::Key(arguments) => commands::key::run(&context, arguments),
        Command::Man(arguments) => commands::man::run(&context, arguments),
        Command::Completions(arguments) => commands::completions::run(&context, arguments),
        Command::Proxy => commands::proxy::run(),
        // Taken before all else, by their own command lines.
        Command::Runtime | Command::Keep => Ok(ExitCode::SUCCESS),
    };
    match result {
        Ok(code) => code,
        Err(failure) => {
            warn(failure.text().trim_end());
            failure.exit_code()
        }
    }
}

/// Tells what clap has against the command line, or the help that was asked for.
fn wrong_usage(error: &clap::Error) -> ! {
    // With OUNCE_STORE set, clap does not take a bare `ounce` for a bare one.
    if error.kind() == ErrorKind::MissingSubcommand {
        warn(&Arguments::command().render_help().to_string());
        std::process::exit(Kind::Usage.code().into());
    }
    let _ = error.print();
    let stray = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(argument)) => !argument.starts_with('-'),
        _ => false,
    };
    let is_run = verb().is_some_and(|verb| verb == "run");
    if error.kind() == ErrorKind::UnknownArgument && stray && is_run {
        warn("hint: what the program is to get stands after --: ounce run IMAGE -- ARGS");
    }
    // `run` keeps the codes below 125 for the program, as docker does.
    let code = match error.exit_code() {
        code if code != 0 && is_run => Kind::Start.code().into(),
        code => code,
    };
    std::process::exit(code);
}

/// The first word of the command line that is no option nor an option's value.
fn verb() -> Option<OsString> {
    let mut words = std::env::args_os().skip(1);
    while let Some(word) = words.next() {
        if word == "--store" || word == "--lock-timeout" {
            words.next();
        } else if !word.as_encoded_bytes().starts_with(b"-") {
            return Some(word);
        }
    }
    None
}
