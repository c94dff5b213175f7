//! What belongs to one instance.

use core::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

use coreward_wire::WorkerLimits;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_config::{WasiConfig, WasiConfigVariables};
use wasmtime_wasi_http::p2::body::{HostIncomingBody, HostOutgoingBody};
use wasmtime_wasi_http::p2::types::{HostIncomingRequest, HostResponseOutparam};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::keyvalue::View;
use super::keyvalue::store::KeyValues;
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
    /// The request that its lines in the log are of.
    request: Arc<AtomicU64>,
    /// Its memory.
    pub(crate) memory: Share,
}

impl Guest {
    /// A fresh one: no files, no sockets, no environment; its output is logged.
    pub(super) fn new(memory: Share, outbound: Outbound, log: &GuestLog, grants: Grants) -> Self {
        let mut wasi = WasiCtx::builder();
        let request = Arc::new(AtomicU64::new(outbound.request()));
        wasi.stdout(log.output(Output::Stdout, &request))
            .stderr(log.output(Output::Stderr, &request))
            .max_random_size(RANDOM_BYTES);
        let mut table = ResourceTable::new();
        table.set_max_capacity(HANDLES);
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(HEADER_BYTES);
        Self { wasi: wasi.build(), http, table, outbound, grants, request, memory }
    }

    /// Makes it ready for another request; what is granted is the app's and stays.
    pub(super) fn turn_to(&mut self, outbound: Outbound, limits: &WorkerLimits) {
        self.request.store(outbound.request(), Ordering::Relaxed);
        self.outbound = outbound;
        self.memory.turn_to(limits);
    }

    /// Whether nothing is left of the request that it answered: no body, no answer that was not given, no request to others.
    /// The caller, or others, wait as long as it holds one.
    pub(super) fn is_at_rest(&mut self) -> bool {
        let held = self.table.iter_mut().any(|entry| {
            entry.is::<HostIncomingRequest>()
                || entry.is::<HostIncomingBody>()
                || entry.is::<HostOutgoingBody>()
                || entry.is::<HostResponseOutparam>()
        });
        !held && self.outbound.is_at_rest()
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
