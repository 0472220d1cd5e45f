//! What instances of a module cost in a process that goes on, for benchmarks:
//! time of each, and memory of many that live at once.

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use wasmtime::{Linker, Store};

use crate::arguments::Measure;
use crate::failure::{Failure, NOT_EXECUTABLE, USAGE};
use crate::load::{self, Code};
use crate::settings::Rooms;

/// Rounds in which a single instance is made and dropped.
const ROUNDS: usize = 2000;

/// Measures, and writes one JSON document.
pub(crate) fn run(measure: &Measure) -> Result<ExitCode, Failure> {
    let count = u32::try_from(measure.instances)
        .map_err(|_| Failure::new(USAGE, "that many instances are not counted"))?;
    let rooms = Rooms::Pool(count.max(1) + 1);
    let began = Instant::now();
    let mapped = measure
        .compiled
        .as_deref()
        .and_then(|file| load::mapped(file, rooms));
    let (engine, code) = match mapped {
        Some(found) => found,
        None => load::quick(&load::read(&measure.module)?, rooms)?,
    };
    let load_ns = began.elapsed().as_nanos();
    let Code::Module(module) = code else {
        return Err(Failure::new(
            NOT_EXECUTABLE,
            "only core modules are measured",
        ));
    };
    let failed = |error: wasmtime::Error| {
        Failure::new(NOT_EXECUTABLE, "the module cannot be instantiated").because(&error)
    };
    let before = Linker::<()>::new(&engine)
        .instantiate_pre(&module)
        .map_err(failed)?;
    let mut rounds = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let began = Instant::now();
        let mut store = Store::new(&engine, ());
        let instance = before.instantiate(&mut store).map_err(failed)?;
        rounds.push(began.elapsed().as_nanos());
        std::hint::black_box(instance);
    }
    rounds.sort_unstable();
    let before_bytes = own_bytes();
    let mut alive = Vec::with_capacity(measure.instances);
    let began = Instant::now();
    for _ in 0..measure.instances {
        let mut store = Store::new(&engine, ());
        let instance = before.instantiate(&mut store).map_err(failed)?;
        alive.push((store, instance));
    }
    let all_ns = began.elapsed().as_nanos();
    let after_bytes = own_bytes();
    println!(
        "{{\"schema\":\"ounce.wasmhost.measure/1\",\"load_ns\":{load_ns},\
         \"instantiate_p50_ns\":{},\"instantiate_p99_ns\":{},\"instances\":{},\
         \"instances_ns\":{all_ns},\"bytes_before\":{before_bytes},\"bytes_after\":{after_bytes}}}",
        rounds[ROUNDS / 2],
        rounds[ROUNDS * 99 / 100],
        alive.len(),
    );
    Ok(ExitCode::SUCCESS)
}

/// This process' proportional share of memory (man 5 proc, smaps_rollup).
fn own_bytes() -> u64 {
    let text = std::fs::read_to_string(Path::new("/proc/self/smaps_rollup")).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("Pss:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}
