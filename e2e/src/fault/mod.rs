//! Faults between the operator and what it depends on: the chain's endpoint and the API server.
//!
//! The operator is configured as ever and knows nothing of it: on the node that its pods run on, rules of the packet filter
//! lead their new connections through proxies in the control plane's namespace. What is lost on the way (refused
//! connections, a partition) the filter does, with real packets; what a peer does wrong (silence, errors, old blocks) the
//! proxies do. The endpoints of the network that has three, and the sockets by which they tell new heads, are such proxies themselves, and are away
//! without them. Everybody else, the stories' own clients included, speaks to the chain and the API server directly.
//!
//! ```no_run
//! # async fn story(bed: &coreward_e2e::bed::Bed) -> coreward_e2e::world::Result<()> {
//! use coreward_e2e::fault::{Faults, Rpc};
//!
//! let faults = Faults::between(bed)?;
//! faults.rpc(Rpc::Frozen)?;
//! // … the story looks at what the operator does …
//! faults.rpc(Rpc::Well)?;
//! # Ok(())
//! # }
//! ```

mod api;
mod filter;
mod lies;
mod room;
mod rpc;
mod socket;
mod stale;

use std::{
    collections::BTreeMap,
    net::Ipv4Addr,
    sync::{Mutex, MutexGuard, PoisonError, atomic::Ordering},
    time::Duration,
};

use tokio::sync::watch;

use crate::{
    bed::Bed,
    world::{Error, Result},
};
use filter::{Block, Filter};
use room::{Proxies, Thread};

pub use rpc::THREE;

/// What is wrong with the chain's endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rpc {
    /// Nothing.
    Well,
    /// Connections are refused.
    Away,
    /// Connections are taken, and nothing is ever answered.
    Frozen,
    /// Every answer comes this much later.
    Slow(Duration),
    /// Every request is answered by status 429.
    TooManyRequests,
    /// Every call is answered by an error of the node's own.
    Failing,
    /// The node stands at this height: newer blocks, receipts and states do not exist.
    Stale(u64),
    /// The newest block that the node tells of is so many blocks ahead of the chain's, and made up.
    Ahead(u64),
    /// Every block that the node tells of is another one than the chain has at that height.
    Forked,
    /// Beside each log, in answers and in receipts, stand three that nobody wrote: it once more, one of another peer, and one that
    /// says something made up.
    WrongLogs,
    /// Calls return nothing, and there are no logs.
    Empty,
    /// Answers begin and do not end; connections stay.
    HalfOpen,
    /// Transactions are taken, and lost.
    Losing,
}

/// What is wrong with the way to the API server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Api {
    /// Nothing.
    Well,
    /// Connections are refused.
    Away,
    /// No packet passes, in either direction.
    Cut,
    /// Everything comes this much later, in both directions.
    Slow(Duration),
    /// Every request is answered by status 429.
    TooManyRequests,
    /// Every request is answered by status 503.
    Unavailable,
}

/// Proxies that can be told what to do wrong; gone when dropped, with every connection that was led through them.
#[derive(Debug)]
pub struct Faults {
    rpc: BTreeMap<u16, watch::Sender<rpc::State>>,
    sockets: BTreeMap<u16, socket::Controls>,
    api: watch::Sender<BTreeMap<Option<Ipv4Addr>, Api>>,
    filter: Mutex<Filter>,
    _thread: Thread,
}

impl Faults {
    /// Puts proxies between the operator and both of its peers, doing nothing wrong. Connections from before are refused as
    /// soon as something is sent on them.
    ///
    /// # Errors
    /// [`Error::Finding`] with what the machine refused.
    pub fn between(bed: &Bed) -> Result<Self> {
        let ports = THREE.map(|(_, port)| port).into_iter().chain([rpc::PORT]);
        let (mut rpc, mut endpoints) = (BTreeMap::new(), Vec::new());
        for port in ports {
            let (sender, state) = watch::channel(rpc::State::default());
            endpoints.push(rpc::Proxy::new(bed.addresses(), port, state));
            rpc.insert(port, sender);
        }
        let (mut sockets, mut pushing) = (BTreeMap::new(), Vec::new());
        for (_, port) in THREE {
            let controls = socket::Controls::default();
            pushing.push(socket::Proxy::new(bed.addresses(), port, &controls));
            sockets.insert(port, controls);
        }
        let (api, api_state) = watch::channel(BTreeMap::new());
        let api_proxy = api::Proxy::new(bed.addresses(), &bed.paths().certificates(), api_state)?;
        let proxies = Proxies { endpoints, sockets: pushing, api: api_proxy };
        let thread = Thread::start(&bed.paths().control_namespace(), proxies)?;
        let mut filter = Filter::new(bed);
        filter.apply()?;
        Ok(Self { rpc, sockets, api, filter: Mutex::new(filter), _thread: thread })
    }

    /// From now on this is wrong with the chain's endpoint.
    ///
    /// # Errors
    /// [`Error::Finding`] with the packet filter's words.
    pub fn rpc(&self, fault: Rpc) -> Result<()> {
        self.endpoint(rpc::PORT, fault)
    }

    /// From now on this is wrong with one of [`THREE`], the network's three endpoints, by its place there.
    ///
    /// # Errors
    /// As [`Faults::rpc`].
    pub fn one_of_three(&self, place: usize, fault: Rpc) -> Result<()> {
        self.endpoint(THREE[place].1, fault)
    }

    /// The connections by which one of [`THREE`] tells new heads are dead from now on, and nobody is told; new ones are well.
    pub fn sockets_of_one_of_three_die(&self, place: usize) {
        if let Some(controls) = self.sockets.get(&THREE[place].1) {
            controls.deaths.send_modify(|deaths| *deaths += 1);
        }
    }

    /// How many such connections were taken for one of [`THREE`].
    #[must_use]
    pub fn sockets_taken_for_one_of_three(&self, place: usize) -> u64 {
        let controls = self.sockets.get(&THREE[place].1);
        controls.map_or(0, |controls| controls.taken.load(Ordering::Relaxed))
    }

    /// The address of the WebSocket of the endpoint at `port`, one of [`THREE`].
    #[must_use]
    pub fn socket_of(host: Ipv4Addr, port: u16) -> String {
        format!("ws://{host}:{}", port + socket::BESIDE)
    }

    fn endpoint(&self, port: u16, fault: Rpc) -> Result<()> {
        let mut filter = self.filter();
        if fault == Rpc::Away {
            filter.rpc.insert(port, Block::Refuse);
        } else {
            filter.rpc.remove(&port);
        }
        filter.apply()?;
        drop(filter);
        if let Some(state) = self.rpc.get(&port) {
            state.send_replace(rpc::State::of(fault));
        }
        Ok(())
    }

    /// From now on this is wrong with the API server, for the pod with this address, or for all that have no fault of their
    /// own.
    ///
    /// # Errors
    /// [`Error::Finding`] with the packet filter's words.
    pub fn api(&self, fault: Api, of: Option<Ipv4Addr>) -> Result<()> {
        let block = match fault {
            Api::Away => Some(Block::Refuse),
            Api::Cut => Some(Block::Drop),
            Api::Well | Api::Slow(_) | Api::TooManyRequests | Api::Unavailable => None,
        };
        let mut filter = self.filter();
        filter.api.remove(&of);
        filter.api.extend(block.map(|block| (of, block)));
        filter.apply()?;
        drop(filter);
        self.api.send_modify(|faults| {
            faults.insert(of, fault);
        });
        Ok(())
    }

    /// Requests to the chain's endpoint that were done wrong since the last change; none are counted while it is away.
    #[must_use]
    pub fn spoiled(&self) -> u64 {
        self.spoiled_by(rpc::PORT)
    }

    /// The same of one of [`THREE`].
    #[must_use]
    pub fn spoiled_by_one_of_three(&self, place: usize) -> u64 {
        self.spoiled_by(THREE[place].1)
    }

    fn spoiled_by(&self, port: u16) -> u64 {
        self.rpc.get(&port).map_or(0, |state| state.borrow().spoiled())
    }

    fn filter(&self) -> MutexGuard<'_, Filter> {
        self.filter.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An error of the machine's, as a story's finding.
fn machine(what: &str) -> impl FnOnce(std::io::Error) -> Error {
    move |error| Error::Finding(format!("the faults' {what}: {error}"))
}
