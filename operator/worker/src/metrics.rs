//! What the worker counts.

mod store;

use core::time::Duration;
use std::sync::Arc;

use coreward_wire::ArtifactFault;
use prometheus::core::Collector;
use prometheus::{
    Counter, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
};

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
    OutOfCpu,
    OutOfMemory,
    Busy,
    RequestTooLarge,
    RequestTooSlow,
    AnswerTooLarge,
}

/// Why a connection or a request did not get as far as the component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// As many connections are open as may be.
    Connections,
    HeadTooLarge,
    HeadTooSlow,
    HeadMalformed,
    /// It names no host, or one of the subnet at the public port.
    Host,
    /// Whoever asked is not on the member list any more.
    Stranger,
    /// It came through too many members.
    Loop,
    /// An answer was not taken.
    ReaderTooSlow,
}

/// Why an answer ended before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    Stopped,
    TooLarge,
    Late,
}

/// Where a request of the component went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    Member,
    Itself,
    Host,
    Outside,
    Denied,
    /// It came through too many members already.
    Loop,
    /// As many connections to others are open as may be.
    OverConnections,
    /// More bytes went to and from others than may.
    OverBytes,
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
            Self::OutOfCpu => "out_of_cpu",
            Self::OutOfMemory => "out_of_memory",
            Self::Busy => "busy",
            Self::RequestTooLarge => "request_too_large",
            Self::RequestTooSlow => "request_too_slow",
            Self::AnswerTooLarge => "answer_too_large",
        }
    }
}

impl Refusal {
    const fn name(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::HeadTooLarge => "head_too_large",
            Self::HeadTooSlow => "head_too_slow",
            Self::HeadMalformed => "head_malformed",
            Self::Host => "host",
            Self::Stranger => "stranger",
            Self::Loop => "loop",
            Self::ReaderTooSlow => "reader_too_slow",
        }
    }
}

impl Cut {
    const fn name(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::TooLarge => "too_large",
            Self::Late => "late",
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
            Self::Loop => "loop",
            Self::OverConnections => "over_connections",
            Self::OverBytes => "over_bytes",
        }
    }
}

fn seconds() -> HistogramOpts {
    HistogramOpts::new(
        "worker_request_seconds",
        "Time from a request's head to the head of the component's answer",
    )
}

fn cpu_seconds() -> Opts {
    Opts::new("worker_component_cpu_seconds_total", "CPU time of the component, over all requests")
}

fn lines_dropped() -> Opts {
    Opts::new(
        "worker_log_lines_dropped_total",
        "Lines of the component's output that were over the rate and not logged",
    )
}

fn registered<C: Collector + Clone + 'static>(
    registry: &Registry,
    collector: C,
) -> prometheus::Result<C> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}

const fn name_of(refusal: coreward_overlay::Refusal) -> &'static str {
    use coreward_overlay::Refusal;
    match refusal {
        Refusal::Rate => "rate",
        Refusal::Displaced => "displaced",
        Refusal::Handshake => "handshake",
        Refusal::Unlisted => "unlisted",
        Refusal::Busy => "busy",
        Refusal::Reset => "reset",
    }
}

/// The worker's metrics; clones are cheap and count together.
#[derive(Clone, Debug)]
pub(crate) struct Metrics(Arc<Counters>);

#[derive(Debug)]
struct Counters {
    requests: IntCounterVec,
    rejected: IntCounterVec,
    refused: IntCounterVec,
    cut: IntCounterVec,
    seconds: Histogram,
    outbound: IntCounterVec,
    cpu_seconds: Counter,
    memory: IntGauge,
    overlay_refused: IntCounterVec,
    members: IntGauge,
    members_block: IntGauge,
    members_unusable: IntGauge,
    log_lines_dropped: IntCounter,
    store: StoreMetrics,
}

impl Metrics {
    /// # Errors
    ///
    /// [`prometheus::Error`] if a name is taken: a mistake in our wiring.
    pub(crate) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let counters = |name, help, labels: &[&str]| {
            registered(registry, IntCounterVec::new(Opts::new(name, help), labels)?)
        };
        let gauge = |name, help| registered(registry, IntGauge::new(name, help)?);
        Ok(Self(Arc::new(Counters {
            requests: counters(
                "worker_requests_total",
                "Requests to the component, by origin and ending",
                &["origin", "ending"],
            )?,
            rejected: counters(
                "worker_versions_rejected_total",
                "Attempts at a version that was not put in service, by what was wrong with it",
                &["fault"],
            )?,
            refused: counters(
                "worker_refused_total",
                "Connections and requests that did not get as far as the component, by reason",
                &["reason"],
            )?,
            cut: counters(
                "worker_answers_cut_total",
                "Answers cut after their head, by reason",
                &["reason"],
            )?,
            seconds: registered(registry, Histogram::with_opts(seconds())?)?,
            outbound: counters(
                "worker_outbound_requests_total",
                "Requests of the component, by where they went",
                &["route"],
            )?,
            cpu_seconds: registered(registry, Counter::with_opts(cpu_seconds())?)?,
            memory: gauge(
                "worker_component_memory_bytes",
                "Memories and tables of the component's live instances",
            )?,
            overlay_refused: counters(
                "worker_overlay_refused_total",
                "Connections and streams that the overlay refused, by reason",
                &["reason"],
            )?,
            members: gauge("worker_subnet_members", "Workers on the member list of the subnet")?,
            members_block: gauge(
                "worker_subnet_members_block",
                "Block that the member list was read at",
            )?,
            members_unusable: gauge(
                "worker_subnet_members_unusable",
                "Entries of the member list that were skipped: no key, or one that stands there twice",
            )?,
            log_lines_dropped: registered(registry, IntCounter::with_opts(lines_dropped())?)?,
            store: StoreMetrics::register(registry)?,
        })))
    }

    /// Those of the key-value store.
    pub(crate) fn store(&self) -> &StoreMetrics {
        &self.0.store
    }

    pub(crate) fn ended(&self, origin: Origin, ending: Ending, seconds: f64) {
        self.0.requests.with_label_values(&[origin.name(), ending.name()]).inc();
        self.0.seconds.observe(seconds);
    }

    pub(crate) fn version_rejected(&self, fault: ArtifactFault) {
        self.0.rejected.with_label_values(&[&format!("{fault:?}")]).inc();
    }

    pub(crate) fn refused(&self, reason: Refusal) {
        self.0.refused.with_label_values(&[reason.name()]).inc();
    }

    pub(crate) fn answer_cut(&self, reason: Cut) {
        self.0.cut.with_label_values(&[reason.name()]).inc();
    }

    pub(crate) fn sent(&self, route: Route) {
        self.0.outbound.with_label_values(&[route.name()]).inc();
    }

    pub(crate) fn overlay_refused(&self, why: coreward_overlay::Refusal) {
        self.0.overlay_refused.with_label_values(&[name_of(why)]).inc();
    }

    pub(crate) fn cpu_used(&self, time: Duration) {
        self.0.cpu_seconds.inc_by(time.as_secs_f64());
    }

    pub(crate) fn memory_grows(&self, bytes: u64) {
        self.0.memory.add(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    pub(crate) fn memory_shrinks(&self, bytes: u64) {
        self.0.memory.sub(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    pub(crate) fn members_are(&self, count: usize, unusable: usize, block: u64) {
        self.0.members_unusable.set(i64::try_from(unusable).unwrap_or(i64::MAX));
        self.0.members.set(i64::try_from(count).unwrap_or(i64::MAX));
        self.0.members_block.set(i64::try_from(block).unwrap_or(i64::MAX));
    }

    pub(crate) fn log_line_dropped(&self) {
        self.0.log_lines_dropped.inc();
    }
}
