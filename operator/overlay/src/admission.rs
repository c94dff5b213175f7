//! The transport's door: a connection passes the gate before its handshake, has a short time for it, and stays if its key is
//! allowed.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{Abortable, BoxFuture};
use libp2p::allow_block_list::{self, AllowedPeers};
use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::{Boxed, DialOpts, ListenerId, TransportError, TransportEvent};
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId, Transport};
use tokio::time::{Instant, timeout};

use crate::gate::{Admitted, Gate};
use crate::serve::Refusal;

/// How long a handshake may take: TCP, Noise and yamux are six round trips at most.
pub(crate) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Connections refused before others get their turn.
const REFUSED_PER_POLL: usize = 32;

type Output = (PeerId, StreamMuxerBox);

/// What the transport and the event loop share.
pub(crate) struct Door {
    gate: Mutex<Gate>,
    refused: Box<dyn Fn(Refusal) + Send + Sync>,
}

impl Door {
    /// A door that nobody is known at yet; tells `refused` whom it kept out.
    pub(crate) fn new(refused: impl Fn(Refusal) + Send + Sync + 'static) -> Arc<Self> {
        let gate = Mutex::new(Gate::new(Instant::now()));
        Arc::new(Self { gate, refused: Box::new(refused) })
    }

    /// Runs something on the gate.
    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut Gate) -> T) -> T {
        act(&mut self.gate.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn admit(self: &Arc<Self>, address: &Multiaddr) -> Option<Place> {
        let admitted =
            ip_of(address).and_then(|ip| self.with(|gate| gate.admit(ip, Instant::now())));
        if admitted.is_none() {
            (self.refused)(Refusal::Rate);
        }
        let Admitted { id, abort } = admitted?;
        Some(Place { door: Arc::clone(self), id, abort: Some(abort) })
    }
}

/// A handshake's place; free again when it goes.
struct Place {
    door: Arc<Door>,
    id: u64,
    abort: Option<futures::future::AbortRegistration>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.door.with(|gate| gate.leave(self.id));
    }
}

impl Place {
    async fn hold(
        mut self,
        handshake: impl Future<Output = io::Result<Output>>,
    ) -> io::Result<Output> {
        let Some(abort) = self.abort.take() else { return handshake.await };
        let refused = |why, error| {
            (self.door.refused)(why);
            Err(error)
        };
        match timeout(HANDSHAKE_TIMEOUT, Abortable::new(handshake, abort)).await {
            Ok(Ok(Ok(output))) => Ok(output),
            Ok(Ok(Err(error))) => refused(Refusal::Handshake, error),
            Ok(Err(_)) => {
                refused(Refusal::Displaced, io::Error::other("newer handshakes took its place"))
            }
            Err(late) => refused(Refusal::Handshake, late.into()),
        }
    }
}

/// A transport behind the door.
pub(crate) struct Guarded {
    pub(crate) inner: Boxed<Output>,
    pub(crate) door: Arc<Door>,
}

impl Transport for Guarded {
    type Output = Output;
    type Error = io::Error;
    type ListenerUpgrade = BoxFuture<'static, io::Result<Output>>;
    type Dial = <Boxed<Output> as Transport>::Dial;

    fn listen_on(
        &mut self,
        id: ListenerId,
        address: Multiaddr,
    ) -> Result<(), TransportError<io::Error>> {
        self.inner.listen_on(id, address)
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.inner.remove_listener(id)
    }

    fn dial(
        &mut self,
        address: Multiaddr,
        options: DialOpts,
    ) -> Result<Self::Dial, TransportError<io::Error>> {
        self.inner.dial(address, options)
    }

    fn poll(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, io::Error>> {
        for _ in 0..REFUSED_PER_POLL {
            let event = ready!(Pin::new(&mut self.inner).poll(context));
            let place = match &event {
                TransportEvent::Incoming { send_back_addr, .. } => {
                    match self.door.admit(send_back_addr) {
                        Some(place) => Some(place),
                        // Dropping the event closes the connection.
                        None => continue,
                    }
                }
                TransportEvent::NewAddress { .. }
                | TransportEvent::AddressExpired { .. }
                | TransportEvent::ListenerClosed { .. }
                | TransportEvent::ListenerError { .. } => None,
            };
            return Poll::Ready(event.map_upgrade(|handshake| match place {
                Some(place) => place.hold(handshake).boxed(),
                None => handshake.boxed(),
            }));
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

/// The IP address that a multiaddr starts with; `None` if that is a gateway's.
pub(crate) fn ip_of(address: &Multiaddr) -> Option<IpAddr> {
    if is_relayed(address) {
        return None;
    }
    let first = address.iter().next()?;
    if let Protocol::Ip4(ip) = first {
        return Some(ip.into());
    }
    if let Protocol::Ip6(ip) = first { Some(ip.into()) } else { None }
}

/// Whether a multiaddr leads through a gateway.
pub(crate) fn is_relayed(address: &Multiaddr) -> bool {
    address.iter().any(|part| part == Protocol::P2pCircuit)
}

/// Lets these in after their handshake, and nobody else; connections of those that are none of these any more are closed.
pub(crate) fn allow_only(
    allowed: &mut allow_block_list::Behaviour<AllowedPeers>,
    wanted: &BTreeSet<PeerId>,
) {
    let gone: Vec<_> =
        allowed.allowed_peers().iter().filter(|peer| !wanted.contains(*peer)).copied().collect();
    for peer in gone {
        allowed.disallow_peer(peer);
    }
    for peer in wanted {
        allowed.allow_peer(*peer);
    }
}
