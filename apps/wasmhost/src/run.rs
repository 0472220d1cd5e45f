//! Runs a module to its end: as a command, as a server of what handles
//! requests, or one function of it.

use std::io::Write as _;
use std::net::TcpListener;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use wasmtime::component::{Component, Linker as ComponentLinker};
use wasmtime::{Engine, Error, Linker, Module, Store};
use wasmtime_wasi::I32Exit;
use wasmtime_wasi::p1;
use wasmtime_wasi::p2::bindings::Command;

use crate::arguments::Start;
use crate::failure::{Failure, NOT_EXECUTABLE, Stop, USAGE};
use crate::load::{self, Code, HANDLER, Source};
use crate::settings::Rooms;
use crate::state::{Core, Whole, environment};
use crate::waiting::{runtime, watch};
use crate::{invoke, page, serve};

/// Of WASI preview 1.
const PREVIEW_1: &str = "wasi_snapshot_preview1";
/// What a command exports, in all of its versions.
const RUN: &str = "wasi:cli/run@0.2.";
/// SIGTERM (man 7 signal).
const TERMINATE: i32 = signal_hook::consts::SIGTERM;

/// Runs it.
pub(crate) fn run(mut start: Start) -> Result<ExitCode, Failure> {
    start.environment = environment().collect();
    let source = Source::of(&start.module)?;
    // Who asks meanwhile waits in the kernel's queue and is not turned away. That
    // it cannot be had is told by who needs it.
    let early = match source.seems_handler && start.invoke.is_none() {
        true => serve::listeners(&start).ok(),
        false => None,
    };
    let (engine, code) = source.load(&start)?;
    match code {
        Code::Module(module) => {
            end_when_asked()?;
            run_module(&engine, &module, &start)
        }
        Code::Component(component) => run_component(&engine, &component, start, early),
    }
}

/// The first process of a container gets no signal that it has not asked for.
fn end_when_asked() -> Result<(), Failure> {
    let always = Arc::new(AtomicBool::new(true));
    for signal in [TERMINATE, signal_hook::consts::SIGINT] {
        signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, always.clone())
            .map_err(|error| Failure::new(USAGE, "handling signals").because_of(&error))?;
    }
    Ok(())
}

fn run_module(engine: &Engine, module: &Module, start: &Start) -> Result<ExitCode, Failure> {
    let mut missing: Vec<String> = module
        .imports()
        .filter(|import| import.module() != PREVIEW_1)
        .map(|import| format!("{}.{}", import.module(), import.name()))
        .collect();
    missing.sort();
    missing.dedup();
    if !missing.is_empty() {
        return Err(lacking(&missing));
    }
    let entry = match &start.invoke {
        Some(name) => name.as_str(),
        None => "_start",
    };
    let is_page =
        start.invoke.is_none() && module.get_export(entry).is_none() && page::is_page(module);
    if !is_page
        && module
            .get_export(entry)
            .is_none_or(|kind| kind.func().is_none())
    {
        let mut known: Vec<&str> = module
            .exports()
            .filter(|export| export.ty().func().is_some())
            .map(|export| export.name())
            .collect();
        known.sort_unstable();
        return Err(no_entry(entry, &known));
    }
    let mut linker: Linker<Core> = Linker::new(engine);
    if module.imports().len() > 0 {
        p1::add_to_linker_async(&mut linker, |core| &mut core.wasi)
            .map_err(|error| Failure::new(USAGE, "setting up WASI").because(&error))?;
    }
    let mut store = Store::new(engine, Core::new(start)?);
    store.limiter(|core| &mut core.memory);
    watch(start.timeout);
    let result = runtime()?.block_on(async {
        let before = linker.instantiate_pre(module).map_err(Stop::Link)?;
        let instance = before.instantiate_async(&mut store).await?;
        if let Some(function) = &start.invoke {
            return invoke::of_module(&mut store, &instance, function, &start.arguments).await;
        }
        if is_page {
            let view = page::first_view(&mut store, &instance, &start.arguments).await;
            return view.map(Some);
        }
        let entry = instance.get_typed_func::<(), ()>(&mut store, "_start")?;
        entry.call_async(&mut store, ()).await?;
        Ok(None)
    });
    let memory = &store.data().memory;
    ended(result, memory.denied_bytes, memory.limit())
}

fn run_component(
    engine: &Engine,
    component: &Component,
    start: Start,
    early: Option<Vec<TcpListener>>,
) -> Result<ExitCode, Failure> {
    let kind = component.component_type();
    let imports: Vec<&str> = kind.imports(engine).map(|(name, _)| name).collect();
    let missing: Vec<String> = imports
        .iter()
        .filter(|name| !name.starts_with("wasi:"))
        .map(|name| (*name).to_owned())
        .collect();
    if !missing.is_empty() {
        return Err(lacking(&missing));
    }
    let exports: Vec<&str> = kind.exports(engine).map(|(name, _)| name).collect();
    let has = |prefix: &str| exports.iter().any(|name| name.starts_with(prefix));
    if start.invoke.is_none() && !has(RUN) && page::is_page_component(&exports) {
        return run_page_component(&start);
    }
    let linker = linker(engine, &imports)?;
    if start.invoke.is_none() && has(HANDLER) {
        let listeners = match early {
            Some(listeners) => listeners,
            None => serve::listeners(&start)?,
        };
        return serve::serve(&linker, component, start, listeners);
    }
    if start.invoke.is_none() && !has(RUN) {
        return Err(no_entry(
            "wasi:cli/run or wasi:http/incoming-handler",
            &exports,
        ));
    }
    end_when_asked()?;
    let mut store = Store::new(engine, Whole::new(&start)?);
    store.limiter(|whole| &mut whole.memory);
    // Nothing else runs beside it: it is never interrupted.
    store.set_epoch_deadline(u64::MAX / 2);
    watch(start.timeout);
    let result = runtime()?.block_on(async {
        let before = linker.instantiate_pre(component).map_err(Stop::Link)?;
        if let Some(function) = &start.invoke {
            let instance = before.instantiate_async(&mut store).await?;
            let words = &start.arguments;
            return invoke::of_component(&mut store, &instance, function, words).await;
        }
        let instance = before.instantiate_async(&mut store).await?;
        let command = Command::new(&mut store, &instance)?;
        match command.wasi_cli_run().call_run(&mut store).await? {
            Ok(()) => Ok(None),
            Err(()) => Err(Stop::Guest(Error::new(I32Exit(1)))),
        }
    });
    let memory = &store.data().memory;
    ended(result, memory.denied_bytes, memory.limit())
}

/// The core module of a component of web pages, as a browser takes it out.
fn run_page_component(start: &Start) -> Result<ExitCode, Failure> {
    let bytes = load::read(&start.module)?;
    let core = page::core_module(&bytes)
        .ok_or_else(|| Failure::new(NOT_EXECUTABLE, "the component has no core module in it"))?;
    let (engine, code) = load::quick(core, Rooms::Single)?;
    let Code::Module(module) = code else {
        return Err(no_entry("event", &[]));
    };
    end_when_asked()?;
    run_module(&engine, &module, start)
}

/// All of WASI preview 2 that the imports ask for.
fn linker(engine: &Engine, imports: &[&str]) -> Result<ComponentLinker<Whole>, Failure> {
    let mut linker = ComponentLinker::new(engine);
    let http = imports.iter().any(|name| name.starts_with("wasi:http/"));
    // Setting up what nobody asks for would take time of every start.
    let commands = ["wasi:cli/", "wasi:filesystem/", "wasi:sockets/"];
    let more = imports
        .iter()
        .any(|name| commands.iter().any(|prefix| name.starts_with(prefix)) && !is_proxy(name));
    let set_up = |error: Error| Failure::new(USAGE, "setting up WASI").because(&error);
    if more {
        wasmtime_wasi::p2::add_to_linker_async(&mut linker).map_err(set_up)?;
    } else if imports.iter().any(|name| name.starts_with("wasi:")) {
        wasmtime_wasi::p2::add_to_linker_proxy_interfaces_async(&mut linker).map_err(set_up)?;
    }
    if http {
        wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker).map_err(set_up)?;
    }
    Ok(linker)
}

/// What the world `wasi:http/proxy` has of `wasi:cli`.
fn is_proxy(name: &str) -> bool {
    ["wasi:cli/stdin@", "wasi:cli/stdout@", "wasi:cli/stderr@"]
        .iter()
        .any(|prefix| name.starts_with(prefix))
}

fn ended(
    result: Result<Option<String>, Stop>,
    denied: Option<usize>,
    limit: usize,
) -> Result<ExitCode, Failure> {
    let error = match result {
        Ok(None) => return Ok(ExitCode::SUCCESS),
        Ok(Some(text)) => {
            // Who has gone away wants to hear nothing.
            let _ = writeln!(std::io::stdout(), "{text}");
            return Ok(ExitCode::SUCCESS);
        }
        Err(Stop::Asked(failure)) => return Err(failure),
        Err(Stop::Link(error)) => {
            let what = "the module asks for what this engine does not have";
            return Err(Failure::new(NOT_EXECUTABLE, what).because(&error));
        }
        Err(Stop::Guest(error)) => error,
    };
    if let Some(exit) = error.downcast_ref::<I32Exit>() {
        // As the kernel has it: eight bits.
        return Ok(ExitCode::from((exit.0 & 0xff) as u8));
    }
    Err(Failure::of_guest(&error, denied, limit))
}

fn lacking(missing: &[String]) -> Failure {
    let text = format!(
        "the module imports what is not there: {}",
        missing.join(", ")
    );
    Failure::new(NOT_EXECUTABLE, text).hint(
        "a module can import WASI preview 1 or 2 and nothing else: ounce weigh shows what it imports",
    )
}

fn no_entry(entry: &str, known: &[&str]) -> Failure {
    let known = match known {
        [] => "it exports no function".to_owned(),
        known => format!("it exports {}", known.join(", ")),
    };
    Failure::new(
        NOT_EXECUTABLE,
        format!("the module has no {entry} to be started by: {known}"),
    )
    .hint("a function of it is called by ounce run --entrypoint NAME IMAGE -- ARGUMENTS")
}
