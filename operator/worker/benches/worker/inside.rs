//! What is measured within this process: opening an instance, and what interruption costs.

use std::fs;
use std::hint::black_box;
use std::time::Instant;

use coreward_worker::measure;
use http::{Request, Response};
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{
    Config, Engine, InstanceAllocationStrategy, Module, PoolingAllocationConfig, Store,
};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::p2::bindings::ProxyPre;
use wasmtime_wasi_http::{
    Error, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView,
};

use crate::report::{Report, Row, Sense, median};
use crate::{Bench, TURNS};

/// Instances that one side opens in a turn.
const INSTANCES: usize = 2000;
/// The argument of the guest that only calls: some hundred million calls.
const CALLS: i32 = 38;
/// A guest that does nothing but call itself.
const CALL_HEAVY: &str = r#"(module (func $fib (export "fib") (param i32) (result i32)
    (if (result i32) (i32.lt_u (local.get 0) (i32.const 2))
      (then (local.get 0))
      (else (i32.add
        (call $fib (i32.sub (local.get 0) (i32.const 1)))
        (call $fib (i32.sub (local.get 0) (i32.const 2))))))))"#;

/// The least that a component of `wasi:http` needs.
struct Bare {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    table: ResourceTable,
    outgoing: NoOutgoing,
}

/// Sends nothing.
struct NoOutgoing;

type Done = Box<dyn Future<Output = Result<(), Error>> + Send>;

impl WasiHttpHooks for NoOutgoing {
    fn send_request(
        &mut self,
        _request: Request<WasiBody>,
        _options: Option<RequestOptions>,
        _outcome: Done,
    ) -> Box<dyn Future<Output = Result<(Response<WasiBody>, Done), Error>> + Send> {
        Box::new(async { Err(Error::HttpRequestDenied) })
    }
}

impl Bare {
    fn new() -> Self {
        Self {
            wasi: WasiCtx::builder().build(),
            http: WasiHttpCtx::new(),
            table: ResourceTable::new(),
            outgoing: NoOutgoing,
        }
    }
}

impl WasiView for Bare {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for Bare {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.outgoing, table: &mut self.table, ctx: &mut self.http }
    }
}

fn runtime() -> tokio::runtime::Runtime {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime")
}

/// Store and instance as a request has them, beside a bare store and instance of a pool with defaults; microseconds, p50.
pub(crate) fn instance(bench: &mut Bench, report: &mut Report) {
    let component = fs::read(&bench.hello).expect("the component");
    let turns: Vec<_> = runtime().block_on(async {
        let ours = measure::Instances::of(&component, bench.directory.path()).expect("our host");
        let bare = bare(&component).expect("a pool");
        let mut turns = Vec::new();
        for _ in 0..=TURNS {
            let mut taken = [Vec::new(), Vec::new()];
            for _ in 0..INSTANCES {
                let begun = Instant::now();
                let opened = ours.open().await.expect("an instance");
                taken[0].push(begun.elapsed().as_secs_f64() * 1e6);
                drop(opened);
                let begun = Instant::now();
                let mut store = Store::new(bare.engine(), Bare::new());
                let opened = bare.instantiate_async(&mut store).await.expect("an instance");
                taken[1].push(begun.elapsed().as_secs_f64() * 1e6);
                drop((store, opened));
            }
            turns.push(taken.map(|side| median(&side)));
        }
        turns.split_off(1)
    });
    let ratios = turns.iter().map(|[ours, bare]| ours / bare).collect();
    report.push(Row::new("instance_p50_to_bare_pool", ratios, Sense::AtMost(2.0), None));
    let p50 = |side: usize| median(&turns.iter().map(|turn| turn[side]).collect::<Vec<_>>());
    report.note(format!(
        "store and instance, p50: {:.1} us as the worker opens them (limits, log and outgoing side included), {:.1} us bare",
        p50(0),
        p50(1)
    ));
}

fn bare(component: &[u8]) -> wasmtime::Result<ProxyPre<Bare>> {
    let mut config = Config::new();
    let pool = PoolingAllocationConfig::default();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    let engine = Engine::new(&config)?;
    let mut linker = Linker::new(&engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    ProxyPre::new(linker.instantiate_pre(&Component::new(&engine, component)?)?)
}

/// A guest that only calls, on our engine and on the same without interruption.
pub(crate) fn interruption(_bench: &mut Bench, report: &mut Report) {
    let ratios = runtime().block_on(async {
        let with = measure::engine().expect("our engine");
        let without = measure::engine_without_interruption().expect("our engine");
        let mut ratios = Vec::new();
        for _ in 0..=TURNS {
            let with = calls_seconds(&with, true).await.expect("a guest");
            let without = calls_seconds(&without, false).await.expect("a guest");
            println!("  call-heavy guest: {with:.3} s with interruption, {without:.3} s without");
            ratios.push(without / with);
        }
        ratios.split_off(1)
    });
    report.push(Row::new("interruption_on_to_off", ratios, Sense::AtLeast(0.9), Some(0.95)));
}

async fn calls_seconds(engine: &Engine, is_interrupted: bool) -> wasmtime::Result<f64> {
    let mut store = Store::new(engine, ());
    if is_interrupted {
        store.set_epoch_deadline(1);
        store.epoch_deadline_async_yield_and_update(1);
    }
    let module = Module::new(engine, wat::parse_str(CALL_HEAVY).expect("a guest"))?;
    let instance = wasmtime::Instance::new_async(&mut store, &module, &[]).await?;
    let guest = instance.get_typed_func::<i32, i32>(&mut store, "fib")?;
    let begun = Instant::now();
    black_box(guest.call_async(&mut store, CALLS).await?);
    Ok(begun.elapsed().as_secs_f64())
}
