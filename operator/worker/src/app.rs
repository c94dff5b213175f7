//! A loaded app, and how a component of it answers one request: in an instance that nobody else has, within memory and time.

mod arriving;
mod cpu;
pub(crate) mod engine;
mod failure;
mod files;
mod granted;
mod guest;
mod idle;
pub(crate) mod keyvalue;
mod log;
mod memory;
mod places;
mod site;
mod whole;

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::path::PathBuf;
use std::sync::Arc;

use coreward_wire::WorkerLimits;
use http::{Request, Response};
use hyper::body::Body as _;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::task::AbortOnDropHandle;
use wasmtime::component::Component;
use wasmtime::{Engine, Store, Trap};
use wasmtime_wasi_http::WasiHttpView as _;
use wasmtime_wasi_http::p2::bindings::ProxyPre;
use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode, Scheme};

use arriving::Arrival;
pub(crate) use failure::Failure;
use guest::{Grants, Guest};
use idle::Idle;
pub(crate) use idle::Instance;
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
    /// Which request of this process it is, for the log.
    pub(crate) request: u64,
}

impl Passage {
    /// A request that has just come.
    pub(crate) fn new(origin: Origin, hops: u8) -> Self {
        static REQUESTS: AtomicU64 = AtomicU64::new(1);
        Self { origin, hops, request: REQUESTS.fetch_add(1, Ordering::Relaxed) }
    }
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
    idle: Arc<Idle>,
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
        let site = Site { form, programs, config, files };
        Ok(Arc::new(Self { host, _code: code, site, idle: Arc::default() }))
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
            tracing::warn!(request.id = passage.request, error = %failure, "request was not answered by the component");
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
        let stopped = Stopped::default();
        // On the heap at once: it is large, and moves four times before it runs.
        let work =
            Box::pin(Arc::clone(self).work(component, request, passage, sender, stopped.clone()));
        let bounded = async move {
            let _place = place;
            timeout(limit, work).await
        };
        let Surroundings { tasks, threads, .. } = &*self.host.surroundings;
        let task = AbortOnDropHandle::new(tasks.spawn_on(bounded, &threads.guests));
        let deadline = Instant::now() + limit;
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
                task.detach();
                let metrics = self.host.metrics.clone();
                Ok(response.map(|body| stopped.guard(body, Bounds { deadline, most, metrics })))
            }
            Ok(Err(code)) => Err(Failure::Refused(code.to_string())),
            Err(_) => Err(match task.await {
                Ok(Ok(Ok(()))) => Failure::Silent,
                Ok(Ok(Err(failure))) => failure,
                Ok(Err(_)) => arrival.late(),
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
        let reuses = limits.reuse_instances && self.site.form.reuse;
        let mut instance = None;
        // Gone before the instance, whichever way this ends.
        let running = stopped.unless_it_returns();
        let answering = async {
            let waiting = if reuses { self.idle.take(component) } else { None };
            let instance = instance.insert(match waiting {
                Some(mut waiting) => {
                    let outbound = Outbound::new(&self, passage, &limits.request);
                    waiting.store.data_mut().turn_to(outbound, &limits);
                    waiting
                }
                None => self.open(component, passage, &limits).await?,
            });
            let called = call(instance, request, sender).await;
            let denied = instance.store.data().memory.was_denied();
            called.map_err(|error| failure_of(&error, denied))?;
            Ok(denied)
        };
        let cpu = Duration::from_millis(limits.request.cpu_milliseconds);
        let (result, used) = cpu::within(cpu, answering).await;
        self.host.metrics.cpu_used(used);
        let was_denied = result.unwrap_or(Err(Failure::OutOfCpu))?;
        running.returned();
        if let Some(instance) = instance.filter(|_| reuses && !was_denied) {
            self.idle.keep(instance, &self.host.surroundings.tasks);
        }
        Ok(())
    }

    /// Opens an instance of the component at this place; those that wait give way to it.
    ///
    /// # Errors
    ///
    /// [`Failure`] if there is no room or no memory for it, or it traps at its start.
    pub(crate) async fn open(
        self: &Arc<Self>,
        component: usize,
        passage: Passage,
        limits: &WorkerLimits,
    ) -> Result<Instance, Failure> {
        match self.instantiate(component, passage, limits).await {
            Err(Failure::Busy) if self.idle.give_up() => {
                self.instantiate(component, passage, limits).await
            }
            opened => opened,
        }
    }

    async fn instantiate(
        self: &Arc<Self>,
        component: usize,
        passage: Passage,
        limits: &WorkerLimits,
    ) -> Result<Instance, Failure> {
        let memory = Share::of(&self.host.budget, &self.idle, limits);
        let outbound = Outbound::new(self, passage, &limits.request);
        let grants = Grants {
            config: Arc::clone(&self.site.config),
            keyvalues: Arc::clone(&self.host.keyvalues),
        };
        let guest = Guest::new(memory, outbound, &self.host.log, grants);
        let mut store = Store::new(&self.host.engine, guest);
        store.limiter(|guest| &mut guest.memory);
        // For each call, not for all of them together.
        store.set_hostcall_fuel(guest::CALL_BYTES);
        store.set_epoch_deadline(1);
        store.epoch_deadline_async_yield_and_update(1);
        match self.site.programs[component].instantiate_async(&mut store).await {
            Ok(proxy) => Ok(Instance { store, proxy, component, requests: 1 }),
            Err(error) => Err(failure_of(&error, store.data().memory.was_denied())),
        }
    }

    pub(crate) const fn host(&self) -> &Host {
        &self.host
    }
}

/// Lets an instance answer a request; the head of its answer goes to `sender`.
async fn call(
    Instance { store, proxy, .. }: &mut Instance,
    request: Request<Body>,
    sender: oneshot::Sender<Answer>,
) -> wasmtime::Result<()> {
    let request = store.data_mut().http().new_incoming_request(Scheme::Http, request)?;
    let out = store.data_mut().http().new_response_outparam(sender)?;
    store.set_epoch_deadline(1);
    proxy.wasi_http_incoming_handler().call_handle(store, request, out).await
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
