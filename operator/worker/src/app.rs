//! A loaded component, and how it answers one request: in an instance of its own, within memory and time.

mod arriving;
mod cpu;
pub(crate) mod engine;
mod failure;
mod files;
mod granted;
mod guest;
pub(crate) mod keyvalue;
mod log;
mod memory;
mod places;
mod site;
mod whole;

use core::time::Duration;
use std::path::PathBuf;
use std::sync::Arc;

use http::{Request, Response};
use hyper::body::Body as _;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use wasmtime::component::Component;
use wasmtime::{Engine, Store, Trap};
use wasmtime_wasi_http::WasiHttpView as _;
use wasmtime_wasi_http::p2::bindings::ProxyPre;
use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode, Scheme};

use arriving::Arrival;
pub(crate) use failure::Failure;
use guest::{Grants, Guest};
use keyvalue::store::KeyValues;
pub(crate) use log::GuestLog;
pub(crate) use memory::Reserved;
use memory::{Budget, Share};
use places::Places;
use site::{Site, Turn};
use whole::{Bounds, Stopped};

use crate::body::Body;
use crate::form::Form;
use crate::metrics::{Ending, Metrics, Origin};
use crate::orders::Orders;
use crate::outbound::{Outbound, Surroundings};

/// What a request of the component is answered with, or why not.
type Answer = Result<Response<Body>, ErrorCode>;

/// Where a request came from, and over how many members.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Passage {
    pub(crate) origin: Origin,
    pub(crate) hops: u8,
}

/// All that outlives one version of the component.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    pub(crate) orders: Orders,
    pub(crate) surroundings: Arc<Surroundings>,
    pub(crate) metrics: Metrics,
    pub(crate) log: GuestLog,
    keyvalues: Arc<KeyValues>,
    engine: Engine,
    budget: Arc<Budget>,
    places: Places,
}

impl Host {
    /// A host without a component.
    ///
    /// # Errors
    ///
    /// If the machine cannot reserve the address space of the pool.
    pub(crate) fn new(
        orders: Orders,
        surroundings: Arc<Surroundings>,
        metrics: Metrics,
        log: GuestLog,
        keyvalues: Arc<KeyValues>,
    ) -> wasmtime::Result<Self> {
        let engine = engine::running()?;
        let budget = Budget::new(metrics.clone());
        let places = Places::new();
        Ok(Self { orders, surroundings, metrics, log, keyvalues, engine, budget, places })
    }

    pub(crate) const fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Takes so much of the worker's memory, or what is left of it.
    pub(crate) fn reserve(&self, bytes: u64) -> Reserved {
        let limit = self.orders.borrow().limits.memory_mib << 20;
        self.budget.reserve(bytes, limit)
    }
}

/// One version of the app, ready to answer.
pub(crate) struct App {
    host: Host,
    /// Its code's part of the memory.
    _code: Reserved,
    site: Site,
}

impl core::fmt::Debug for App {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.debug_struct("App").finish_non_exhaustive()
    }
}

impl App {
    /// Links the components of `form`, in its order, with what is granted; static files lie in `files`, by CID, and `code` is
    /// the memory that the components' code takes.
    ///
    /// # Errors
    ///
    /// If one imports what is not granted, or exports no `wasi:http/incoming-handler`; the text names it.
    pub(crate) fn link(
        host: Host,
        form: Form,
        components: &[Component],
        files: PathBuf,
        code: Reserved,
    ) -> wasmtime::Result<Arc<Self>> {
        let linker = granted::linker(&host.engine)?;
        let link = |component| ProxyPre::new(linker.instantiate_pre(component)?);
        let programs = components.iter().map(link).collect::<wasmtime::Result<_>>()?;
        let config = Arc::new(form.config.clone().into_iter().collect());
        Ok(Arc::new(Self { host, _code: code, site: Site { form, programs, config, files } }))
    }

    /// What each component is asked first: its name, empty where it has none, and a path that leads to it.
    pub(crate) fn first_requests(&self) -> Vec<(String, String)> {
        self.site.first_requests()
    }

    /// Answers a request, come what may.
    pub(crate) async fn answer(
        self: &Arc<Self>,
        request: Request<Body>,
        passage: Passage,
    ) -> Response<Body> {
        let begun = Instant::now();
        let result = self.ask(request, passage).await;
        let ending = result.as_ref().map_or_else(Failure::ending, |_| Ending::Answered);
        self.host.metrics.ended(passage.origin, ending, begun.elapsed().as_secs_f64());
        result.unwrap_or_else(|failure| {
            tracing::warn!(error = %failure, "request was not answered by the component");
            failure.to_answer()
        })
    }

    /// Asks whom the path leads to; returns with the head of the answer, while the body may still be on its way.
    ///
    /// When this future is dropped before it returns, the instance is stopped.
    ///
    /// # Errors
    ///
    /// [`Failure`]; none of them harms another request.
    pub(crate) async fn ask(
        self: &Arc<Self>,
        request: Request<Body>,
        passage: Passage,
    ) -> Result<Response<Body>, Failure> {
        let (head, body) = request.into_parts();
        let component = match self.site.turn(&head).await {
            Turn::Component(component) => component,
            Turn::Answered(answer) => return Ok(answer),
        };
        let request = Request::from_parts(head, body);
        let limits = self.host.orders.borrow().limits.clone();
        let limit = Duration::from_millis(limits.request_milliseconds);
        let (request, mut arrival) = Arrival::of(request, limits.request.request_bytes)?;
        let place = self.host.places.take(passage, limit).await?;
        let (sender, receiver) = oneshot::channel();
        let abandoned = CancellationToken::new();
        let guard = abandoned.clone().drop_guard();
        let stopped = Stopped::default();
        let work = Arc::clone(self).work(component, request, passage, sender, stopped.clone());
        let Surroundings { tasks, threads, .. } = &*self.host.surroundings;
        let guarded = async move {
            let _place = place;
            abandoned.run_until_cancelled(timeout(limit, work)).await
        };
        let (task, deadline) = (tasks.spawn_on(guarded, &threads.guests), Instant::now() + limit);
        let answered = tokio::select! {
            biased;
            failure = arrival.ended() => return Err(failure),
            // By the clock of this thread: the component's may be held up by the component.
            answered = timeout_at(deadline, receiver) => answered.map_err(|_| arrival.late())?,
        };
        match answered {
            Ok(Ok(response)) => {
                let most = limits.request.answer_bytes;
                if response.body().size_hint().lower() > most {
                    return Err(Failure::AnswerTooLarge);
                }
                guard.disarm();
                let metrics = self.host.metrics.clone();
                Ok(response.map(|body| stopped.guard(body, Bounds { deadline, most, metrics })))
            }
            Ok(Err(code)) => Err(Failure::Refused(code.to_string())),
            Err(_) => Err(match task.await {
                Ok(Some(Ok(Ok(())))) => Failure::Silent,
                Ok(Some(Ok(Err(failure)))) => failure,
                Ok(Some(Err(_)) | None) => arrival.late(),
                Err(panic) => Failure::Trapped(format!("the host failed: {panic}")),
            }),
        }
    }

    async fn work(
        self: Arc<Self>,
        component: usize,
        request: Request<Body>,
        passage: Passage,
        sender: oneshot::Sender<Answer>,
        stopped: Stopped,
    ) -> Result<(), Failure> {
        let limits = self.host.orders.borrow().limits.clone();
        let memory = Share::of(&self.host.budget, &limits);
        let outbound = Outbound::new(Arc::clone(&self), passage, &limits.request);
        let grants = Grants {
            config: Arc::clone(&self.site.config),
            keyvalues: Arc::clone(&self.host.keyvalues),
        };
        let guest = Guest::new(memory, outbound, &self.host.log, grants);
        let mut store = Store::new(&self.host.engine, guest);
        store.limiter(|guest| &mut guest.memory);
        store.set_hostcall_fuel(guest::CALL_BYTES);
        store.set_epoch_deadline(1);
        store.epoch_deadline_async_yield_and_update(1);
        let running = stopped.unless_it_returns();
        let cpu = Duration::from_millis(limits.request.cpu_milliseconds);
        let call = self.call(component, &mut store, request, sender);
        let (result, used) = cpu::within(cpu, call).await;
        self.host.metrics.cpu_used(used);
        let Ok(result) = result else { return Err(Failure::OutOfCpu) };
        if result.is_ok() {
            running.returned();
        } else {
            drop(running);
        }
        let denied = store.data().memory.was_denied();
        result.map_err(|error| failure_of(&error, denied))
    }

    async fn call(
        &self,
        component: usize,
        store: &mut Store<Guest>,
        request: Request<Body>,
        sender: oneshot::Sender<Answer>,
    ) -> wasmtime::Result<()> {
        let request = store.data_mut().http().new_incoming_request(Scheme::Http, request)?;
        let out = store.data_mut().http().new_response_outparam(sender)?;
        let proxy = self.site.programs[component].instantiate_async(&mut *store).await?;
        proxy.wasi_http_incoming_handler().call_handle(&mut *store, request, out).await
    }

    pub(crate) const fn host(&self) -> &Host {
        &self.host
    }
}

fn failure_of(error: &wasmtime::Error, memory_was_denied: bool) -> Failure {
    if error.is::<wasmtime::PoolConcurrencyLimitError>() {
        return Failure::Busy;
    }
    if error.downcast_ref::<Trap>() == Some(&Trap::Interrupt) {
        return Failure::OutOfTime;
    }
    if memory_was_denied {
        Failure::OutOfMemory
    } else {
        Failure::Trapped(error.root_cause().to_string())
    }
}
