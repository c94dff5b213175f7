//! What the worker counts.

mod store;

use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

pub(crate) use store::StoreMetrics;

/// Where a request to the component came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The public port.
    Public,
    /// A member of the subnet.
    Subnet,
    /// The worker itself, or its host.
    Itself,
}

/// How a request to the component ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Answered,
    Refused,
    Trapped,
    Silent,
    OutOfTime,
    OutOfMemory,
    Busy,
}

/// Where a request of the component went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    Member,
    Itself,
    Host,
    Outside,
    Denied,
}

impl Origin {
    const fn name(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Subnet => "subnet",
            Self::Itself => "self",
        }
    }
}

impl Ending {
    const fn name(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Refused => "refused",
            Self::Trapped => "trapped",
            Self::Silent => "silent",
            Self::OutOfTime => "out_of_time",
            Self::OutOfMemory => "out_of_memory",
            Self::Busy => "busy",
        }
    }
}

impl Route {
    const fn name(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Itself => "self",
            Self::Host => "host",
            Self::Outside => "outside",
            Self::Denied => "denied",
        }
    }
}

/// The worker's metrics; clones count together.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    requests: IntCounterVec,
    seconds: Histogram,
    outbound: IntCounterVec,
    memory: IntGauge,
    members: IntGauge,
    members_block: IntGauge,
    log_lines_dropped: IntCounter,
    /// Of the key-value store.
    pub(crate) store: StoreMetrics,
}

impl Metrics {
    /// # Errors
    ///
    /// [`prometheus::Error`] if a name is taken: a mistake in our wiring.
    pub(crate) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let requests = IntCounterVec::new(
            Opts::new("worker_requests_total", "Requests to the component, by origin and ending"),
            &["origin", "ending"],
        )?;
        let seconds = Histogram::with_opts(HistogramOpts::new(
            "worker_request_seconds",
            "Time from a request's head to the head of the component's answer",
        ))?;
        let outbound = IntCounterVec::new(
            Opts::new(
                "worker_outbound_requests_total",
                "Requests of the component, by where they went",
            ),
            &["route"],
        )?;
        let memory = IntGauge::new(
            "worker_component_memory_bytes",
            "Linear memory of the component's live instances",
        )?;
        let members =
            IntGauge::new("worker_subnet_members", "Workers on the member list of the subnet")?;
        let members_block =
            IntGauge::new("worker_subnet_members_block", "Block that the member list was read at")?;
        let log_lines_dropped = IntCounter::new(
            "worker_log_lines_dropped_total",
            "Lines of the component's output that were over the rate and not logged",
        )?;
        registry.register(Box::new(requests.clone()))?;
        registry.register(Box::new(seconds.clone()))?;
        registry.register(Box::new(outbound.clone()))?;
        registry.register(Box::new(memory.clone()))?;
        registry.register(Box::new(members.clone()))?;
        registry.register(Box::new(members_block.clone()))?;
        registry.register(Box::new(log_lines_dropped.clone()))?;
        let store = StoreMetrics::register(registry)?;
        Ok(Self {
            requests,
            seconds,
            outbound,
            memory,
            members,
            members_block,
            log_lines_dropped,
            store,
        })
    }

    pub(crate) fn ended(&self, origin: Origin, ending: Ending, seconds: f64) {
        self.requests.with_label_values(&[origin.name(), ending.name()]).inc();
        self.seconds.observe(seconds);
    }

    pub(crate) fn sent(&self, route: Route) {
        self.outbound.with_label_values(&[route.name()]).inc();
    }

    pub(crate) fn memory_is(&self, bytes: u64) {
        self.memory.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    pub(crate) fn members_are(&self, count: usize, block: u64) {
        self.members.set(i64::try_from(count).unwrap_or(i64::MAX));
        self.members_block.set(i64::try_from(block).unwrap_or(i64::MAX));
    }

    pub(crate) fn log_line_dropped(&self) {
        self.log_lines_dropped.inc();
    }
}
