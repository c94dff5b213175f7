//! What belongs to one instance while it answers one request.

use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::log::{GuestLog, Output};
use super::memory::Share;
use crate::outbound::Outbound;

/// Handles (streams, requests, headers, …) that one instance may have open.
const HANDLES: usize = 512;
/// Bytes of one set of headers in the host's memory, some 40 of them for each beside its text.
const HEADER_BYTES: usize = 32 << 10;
/// Bytes that a component may hand to the host in one call.
pub(super) const CALL_BYTES: usize = 1 << 20;
/// Bytes of random data that one call may ask for.
const RANDOM_BYTES: u64 = 64 << 10;

/// The data of one store.
pub(crate) struct Guest {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    table: ResourceTable,
    outbound: Outbound,
    /// Its memory.
    pub(crate) memory: Share,
}

impl Guest {
    /// A fresh one: no files, no sockets, no environment; its output is logged.
    pub(crate) fn new(memory: Share, outbound: Outbound, log: &GuestLog) -> Self {
        let mut wasi = WasiCtx::builder();
        wasi.stdout(log.output(Output::Stdout))
            .stderr(log.output(Output::Stderr))
            .max_random_size(RANDOM_BYTES);
        let mut table = ResourceTable::new();
        table.set_max_capacity(HANDLES);
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(HEADER_BYTES);
        Self { wasi: wasi.build(), http, table, outbound, memory }
    }
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for Guest {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.outbound, table: &mut self.table, ctx: &mut self.http }
    }
}
