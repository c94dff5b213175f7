//! The Wasm engine: one set of rules for the process that compiles and the one that runs.

use core::time::Duration;
use std::io;
use std::path::Path;
use std::thread;

use wasmtime::component::Component;
use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, ProfilingStrategy,
};

/// Requests that can be in work at once, each in an instance; as many may wait for another request.
pub(crate) const INSTANCES: u32 = 256;
/// Core instances per component that the pool has room for: the program, its adapters, and some.
const CORE_INSTANCES_EACH: u32 = 8;
/// Elements of one table: function pointers of the guest. Large interpreters have some ten thousand.
pub(super) const TABLE_ELEMENTS: usize = 100_000;
/// Slots that keep their pages between requests; bounds the memory kept beside the component's own: 32 x 2 MiB.
const WARM_SLOTS: u32 = 32;
/// Linear memory that a warm slot keeps: what fits is zeroed, which is cheaper than mapping it anew.
const KEPT_MEMORY: usize = 2 << 20;
/// The same for tables and stacks.
const KEPT_TABLE: usize = 64 << 10;
/// How often running code is asked to give way; also the grain of the time limit.
const EPOCH: Duration = Duration::from_millis(5);

/// What compiled code depends on.
fn config(interruption: bool) -> Config {
    let mut config = Config::new();
    config.wasm_component_model(true);
    config.epoch_interruption(interruption);
    config.profiler(ProfilingStrategy::None);
    config
}

/// An engine to compile with: no pool, since nothing runs.
pub(crate) fn compiling() -> wasmtime::Result<Engine> {
    let mut config = config(true);
    // Beside what serves, on one core.
    config.parallel_compilation(false);
    Engine::new(&config)
}

/// An engine to run with, and the clock that interrupts what runs on it.
pub(crate) fn running() -> wasmtime::Result<Engine> {
    let engine = pooled(true)?;
    tick(&engine)?;
    Ok(engine)
}

/// An engine with a pool; without interruption only to measure what that costs.
pub(crate) fn pooled(interruption: bool) -> wasmtime::Result<Engine> {
    let mut pool = PoolingAllocationConfig::new();
    // Twice: those that wait for another request are beside those at work.
    pool.total_component_instances(INSTANCES * 2)
        .total_core_instances(INSTANCES * CORE_INSTANCES_EACH)
        .total_memories(INSTANCES * 2)
        .total_tables(INSTANCES * CORE_INSTANCES_EACH)
        .total_stacks(INSTANCES * 2)
        .max_tables_per_module(4)
        .max_memories_per_module(2)
        .table_elements(TABLE_ELEMENTS)
        .max_unused_warm_slots(WARM_SLOTS)
        .linear_memory_keep_resident(KEPT_MEMORY)
        .table_keep_resident(KEPT_TABLE)
        .async_stack_keep_resident(KEPT_TABLE)
        .pagemap_scan(Enabled::Auto);
    let mut config = config(interruption);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    Engine::new(&config)
}

/// Moves the engine's epoch until the engine is gone. A thread of its own: the runtime's threads may all be inside guests,
/// which give way only because the epoch moves.
fn tick(engine: &Engine) -> io::Result<()> {
    let engine = engine.weak();
    let ticks = move || {
        while let Some(engine) = engine.upgrade() {
            engine.increment_epoch();
            drop(engine);
            thread::sleep(EPOCH);
        }
    };
    thread::Builder::new().name("epoch".to_owned()).spawn(ticks).map(drop)
}

/// Loads code that our own child process compiled.
///
/// # Errors
///
/// If the file is not there, or was compiled by another version: then it must be compiled again.
pub(crate) fn load(engine: &Engine, code: &Path) -> wasmtime::Result<Component> {
    // Read, not mapped: a volume may forbid to map executable pages.
    let bytes = std::fs::read(code)?;
    #[expect(
        unsafe_code,
        reason = "running compiled code means trusting it; there is no safe way to load it"
    )]
    // SAFETY: the bytes are an output of `Engine::precompile_component` of this same binary: only our compile process
    // writes to this directory, which is on the pod's own volume and is never given to a guest. The engine refuses code of
    // another version or configuration.
    unsafe {
        Component::deserialize(engine, bytes)
    }
}
