//! What the worker counts.

use core::time::Duration;

use prometheus::{Counter, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

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
            Self::OverConnections => "over_connections",
            Self::OverBytes => "over_bytes",
        }
    }
}

/// The worker's metrics; clones count together.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    requests: IntCounterVec,
    refused: IntCounterVec,
    cut: IntCounterVec,
    seconds: Histogram,
    outbound: IntCounterVec,
    cpu_seconds: Counter,
    memory: IntGauge,
    members: IntGauge,
    members_block: IntGauge,
    log_lines_dropped: IntCounter,
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
        let refused = IntCounterVec::new(
            Opts::new(
                "worker_refused_total",
                "Connections and requests that did not get as far as the component, by reason",
            ),
            &["reason"],
        )?;
        let cut = IntCounterVec::new(
            Opts::new("worker_answers_cut_total", "Answers cut after their head, by reason"),
            &["reason"],
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
        let cpu_seconds = Counter::new(
            "worker_component_cpu_seconds_total",
            "CPU time of the component, over all requests",
        )?;
        let memory = IntGauge::new(
            "worker_component_memory_bytes",
            "Memories and tables of the component's live instances",
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
        registry.register(Box::new(refused.clone()))?;
        registry.register(Box::new(cut.clone()))?;
        registry.register(Box::new(seconds.clone()))?;
        registry.register(Box::new(outbound.clone()))?;
        registry.register(Box::new(cpu_seconds.clone()))?;
        registry.register(Box::new(memory.clone()))?;
        registry.register(Box::new(members.clone()))?;
        registry.register(Box::new(members_block.clone()))?;
        registry.register(Box::new(log_lines_dropped.clone()))?;
        Ok(Self {
            requests,
            refused,
            cut,
            seconds,
            outbound,
            cpu_seconds,
            memory,
            members,
            members_block,
            log_lines_dropped,
        })
    }

    pub(crate) fn ended(&self, origin: Origin, ending: Ending, seconds: f64) {
        self.requests.with_label_values(&[origin.name(), ending.name()]).inc();
        self.seconds.observe(seconds);
    }

    pub(crate) fn refused(&self, reason: Refusal) {
        self.refused.with_label_values(&[reason.name()]).inc();
    }

    pub(crate) fn answer_cut(&self, reason: Cut) {
        self.cut.with_label_values(&[reason.name()]).inc();
    }

    pub(crate) fn sent(&self, route: Route) {
        self.outbound.with_label_values(&[route.name()]).inc();
    }

    pub(crate) fn cpu_used(&self, time: Duration) {
        self.cpu_seconds.inc_by(time.as_secs_f64());
    }

    pub(crate) fn memory_grows(&self, bytes: u64) {
        self.memory.add(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    pub(crate) fn memory_shrinks(&self, bytes: u64) {
        self.memory.sub(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    pub(crate) fn members_are(&self, count: usize, block: u64) {
        self.members.set(i64::try_from(count).unwrap_or(i64::MAX));
        self.members_block.set(i64::try_from(block).unwrap_or(i64::MAX));
    }

    pub(crate) fn log_line_dropped(&self) {
        self.log_lines_dropped.inc();
    }
}
