//! What belongs to one instance while it answers one request.

use std::sync::Arc;

use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_config::{WasiConfig, WasiConfigVariables};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::keyvalue::View;
use super::keyvalue::store::KeyValues;
use super::log::{GuestLog, Output};
use super::memory::Share;
use crate::outbound::Outbound;

/// Handles (streams, requests, headers, …) that one instance may have open.
const HANDLES: usize = 1024;
/// Bytes of random data that one call may ask for.
const RANDOM_BYTES: u64 = 64 << 10;

/// What a component is granted beside WASI's own.
pub(super) struct Grants {
    /// What `wasi:config` tells it.
    pub(super) config: Arc<WasiConfigVariables>,
    /// What `wasi:keyvalue` keeps for it.
    pub(super) keyvalues: Arc<KeyValues>,
}

/// The data of one store.
pub(crate) struct Guest {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    table: ResourceTable,
    outbound: Outbound,
    grants: Grants,
    /// Its memory.
    pub(crate) memory: Share,
}

impl Guest {
    /// A fresh one: no files, no sockets, no environment; its output is logged.
    pub(super) fn new(memory: Share, outbound: Outbound, log: &GuestLog, grants: Grants) -> Self {
        let mut wasi = WasiCtx::builder();
        wasi.stdout(log.output(Output::Stdout))
            .stderr(log.output(Output::Stderr))
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .max_random_size(RANDOM_BYTES);
        let mut table = ResourceTable::new();
        table.set_max_capacity(HANDLES);
        Self { wasi: wasi.build(), http: WasiHttpCtx::new(), table, outbound, grants, memory }
    }

    pub(super) fn config(&mut self) -> WasiConfig<'_> {
        WasiConfig::from(&*self.grants.config)
    }

    pub(super) fn keyvalues(&mut self) -> View<'_> {
        View { store: &self.grants.keyvalues, table: &mut self.table }
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
