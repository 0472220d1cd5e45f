//! The engine's settings: what the ahead-of-time compiler, the quick one and a
//! start without either have to agree on.

use wasmtime::{
    Config, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig,
    RegallocAlgorithm, Strategy,
};

use crate::failure::{Failure, USAGE};

/// How many requests are handled at the same time by one process.
pub(crate) const REQUESTS: u32 = 128;

/// Who makes code of a module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compiler {
    /// Nobody: it is there.
    None,
    /// Winch, in one pass.
    Quick,
    /// Cranelift without its optimisations: for what Winch has no code for.
    Plain,
    /// Cranelift.
    Best,
}

/// Who the memories and stacks come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rooms {
    /// The kernel, each time.
    Single,
    /// A pool for this many.
    Pool(u32),
}

/// An engine.
///
/// Components may handle requests: they are interrupted now and then, so that one
/// that loops does not keep the others waiting, and that takes a check in each
/// loop. A core module has none: what ends it is the end of its process.
pub(crate) fn engine(
    compiler: Compiler,
    component: bool,
    rooms: Rooms,
    threads: bool,
) -> Result<Engine, Failure> {
    let mut config = Config::new();
    #[cfg(feature = "judge")]
    crate::judge::without(&mut config);
    config.epoch_interruption(component);
    // Names that the modules do not have: they are stripped.
    config.generate_address_map(false);
    config.native_unwind_info(false);
    config.parallel_compilation(threads);
    match compiler {
        Compiler::None => {
            config.enable_compiler(false);
        }
        Compiler::Quick => {
            config.strategy(Strategy::Winch);
            // Of what stands between modules and host, which is Cranelift's.
            config.cranelift_opt_level(OptLevel::None);
            config.cranelift_regalloc_algorithm(RegallocAlgorithm::SinglePass);
        }
        Compiler::Plain => {
            config.cranelift_opt_level(OptLevel::None);
        }
        Compiler::Best => {
            config.cranelift_opt_level(OptLevel::Speed);
        }
    }
    if let Rooms::Pool(count) = rooms {
        let mut pool = PoolingAllocationConfig::new();
        // A component is a few core instances, with a memory for one of them.
        pool.total_component_instances(count);
        pool.total_core_instances(count.saturating_mul(8));
        pool.total_memories(count);
        pool.total_tables(count.saturating_mul(4));
        pool.total_stacks(count.min(REQUESTS));
        pool.max_memories_per_component(4);
        pool.max_core_instances_per_component(64);
        pool.max_unused_warm_slots(count.min(REQUESTS));
        // What a request has touched is wiped by hand up to here, and given
        // back to the kernel beyond: a call of it costs more than the wiping.
        pool.linear_memory_keep_resident(64 << 10);
        pool.table_keep_resident(4 << 10);
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    }
    Engine::new(&config)
        .map_err(|error| Failure::new(USAGE, "the engine cannot be set up").because(&error))
}

/// Of what code made ahead of time depends, beside the module.
pub(crate) fn version() -> String {
    format!(
        "ounce-wasmhost {} (wasmtime {WASMTIME})",
        env!("CARGO_PKG_VERSION")
    )
}

/// As `Cargo.lock` has it; a test compares the two.
pub(crate) const WASMTIME: &str = "48.0.8";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_that_is_told_is_the_one_that_is_linked() {
        let lock = include_str!("../Cargo.lock");
        let expected = format!("name = \"wasmtime\"\nversion = \"{WASMTIME}\"\n");
        assert!(lock.contains(&expected));
    }
}
