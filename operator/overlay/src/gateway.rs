//! A gateway's relay: circuit relay v2 for the members of the subnets of one cluster, and for nobody else.
//!
//! [`start`] gives a cheap [`Gateway`] and a [`Relay`] that owns the swarm; the caller runs the relay. A key that is not on
//! the list is cut after its handshake. Of those on it only the cluster's own members get a reservation, and every one may
//! open circuits to them. What a circuit carries is encrypted between its ends: the gateway reads nothing of it.

mod figures;
mod limits;

use std::collections::BTreeSet;
use std::fmt;
use std::num::NonZeroU32;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use futures::StreamExt;
use libp2p::allow_block_list::{self, AllowedPeers};
use libp2p::swarm::{ListenError, NetworkBehaviour, Swarm, SwarmEvent};
use libp2p::{Multiaddr, PeerId, connection_limits, identify, identity, ping, relay};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::admission::{Door, allow_only, ip_of};
use crate::event_loop::StartError;
use crate::member::{Key, key_of, peer_of};
use crate::serve;
use crate::transport::guarded;
pub use figures::{Ending, Figures, Refusal};
pub use limits::{Limits, MOST_CIRCUITS_PER_MEMBER};

/// Connections of one member.
const CONNECTIONS_PER_MEMBER: u32 = 4;
/// A reservation stands this long unless it is renewed. Long, since the connection's end ends it anyway.
const RESERVATION: Duration = Duration::from_hours(24);
/// Reservations that one member may ask for at once, and how long it takes to earn one more.
const RESERVATION_RATE: (NonZeroU32, Duration) =
    (NonZeroU32::MIN.saturating_add(7), Duration::from_secs(10));
/// The same for circuits.
const CIRCUIT_RATE: (NonZeroU32, Duration) =
    (NonZeroU32::MIN.saturating_add(255), Duration::from_millis(250));

/// How to run a gateway.
#[derive(Clone)]
pub struct Config {
    /// Seed of its ed25519 key.
    pub seed: [u8; 32],
    /// Where to listen, multiaddrs such as `/ip4/0.0.0.0/tcp/4001`.
    pub listen: Vec<String>,
    /// Where it is reached from outside, multiaddrs without its key; at least one.
    pub outside: Vec<String>,
    /// Its bounds.
    pub limits: Limits,
}

impl fmt::Debug for Config {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Config")
            .field("listen", &self.listen)
            .field("outside", &self.outside)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// Who may use a gateway; keys that are no valid points are skipped alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Guests {
    /// Workers of this cluster: they get reservations.
    pub own: Vec<Key>,
    /// Workers elsewhere, of the deals that the own ones belong to: they may open circuits.
    pub others: Vec<Key>,
}

/// A cheap handle of a running relay.
#[derive(Clone, Debug)]
pub struct Gateway {
    guests: watch::Sender<Guests>,
    listening: watch::Receiver<Vec<String>>,
    figures: watch::Receiver<Figures>,
}

impl Gateway {
    /// Replaces the list of guests; whoever is no longer on it is cut at once, with all its circuits.
    pub fn set_guests(&self, guests: Guests) {
        self.guests.send_replace(guests);
    }

    /// Multiaddrs that it listens on; grows as the listeners come up.
    #[must_use]
    pub fn listening(&self) -> watch::Receiver<Vec<String>> {
        self.listening.clone()
    }

    /// What it does and refuses.
    #[must_use]
    pub fn figures(&self) -> watch::Receiver<Figures> {
        self.figures.clone()
    }
}

/// The public half of a seed; `None` if the seed makes no key.
#[must_use]
pub fn key_of_seed(seed: [u8; 32]) -> Option<Key> {
    let keypair = identity::Keypair::ed25519_from_bytes(seed).ok()?;
    key_of(keypair.public().to_peer_id())
}

/// The text that a multiaddr of this gateway ends with: `/p2p/<key>`; `None` if the key is not valid.
#[must_use]
pub fn suffix(key: &Key) -> Option<String> {
    peer_of(key).map(|peer| format!("/p2p/{peer}"))
}

#[derive(NetworkBehaviour)]
struct Behaviour {
    limits: connection_limits::Behaviour,
    guests: allow_block_list::Behaviour<AllowedPeers>,
    identify: identify::Behaviour,
    ping: ping::Behaviour,
    relay: relay::Behaviour,
}

type Peers = BTreeSet<PeerId>;

/// Owns the swarm of a gateway; run it until shutdown.
pub struct Relay {
    swarm: Swarm<Behaviour>,
    guests: watch::Receiver<Guests>,
    own: Arc<RwLock<Peers>>,
    door: Arc<Door>,
    listening: watch::Sender<Vec<String>>,
    figures: watch::Sender<Figures>,
}

impl fmt::Debug for Relay {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Relay").finish_non_exhaustive()
    }
}

/// Sets up a gateway; nobody is accepted before [`Relay::run`], and no key before [`Gateway::set_guests`].
///
/// # Errors
///
/// [`StartError`] if an address is none or cannot be listened on, or the seed makes no key: a matter of configuration.
pub fn start(config: &Config) -> Result<(Gateway, Relay), StartError> {
    let address = |text: &String| text.parse().map_err(|_| StartError::ListenAddress(text.clone()));
    let listen: Vec<Multiaddr> = config.listen.iter().map(address).collect::<Result<_, _>>()?;
    let outside: Vec<Multiaddr> = config.outside.iter().map(address).collect::<Result<_, _>>()?;
    if outside.is_empty() {
        return Err(StartError::NoOutsideAddress);
    }
    let own = Arc::default();
    let (figures, seen) = watch::channel(Figures::default());
    let door = door(figures.clone());
    let mut swarm = swarm(config.seed, &config.limits, &own, Arc::clone(&door))?;
    listen_on(&mut swarm, listen)?;
    for address in outside {
        swarm.add_external_address(address);
    }
    let (guests, told) = watch::channel(Guests::default());
    let (listening, listens) = watch::channel(Vec::new());
    let gateway = Gateway { guests, listening: listens, figures: seen };
    Ok((gateway, Relay { swarm, guests: told, own, door, listening, figures }))
}

/// Counts those that came too fast; the swarm tells of handshakes that failed or lost their place.
fn door(figures: watch::Sender<Figures>) -> Arc<Door> {
    Door::new(move |why| {
        if why == serve::Refusal::Rate {
            figures.send_modify(|figures| figures.refuse(Refusal::Rate));
        }
    })
}

/// A host may lack one IP family: an address that cannot be listened on ends the start only if no other one can.
fn listen_on(swarm: &mut Swarm<Behaviour>, addresses: Vec<Multiaddr>) -> Result<(), StartError> {
    let (mut listens, mut failed) = (false, None);
    for address in addresses {
        match swarm.listen_on(address.clone()) {
            Ok(_) => listens = true,
            Err(source) => {
                tracing::warn!(%address, error = %source, "an address cannot be listened on");
                failed = Some(StartError::Listen(address, source));
            }
        }
    }
    match failed {
        Some(error) if !listens => Err(error),
        _ => Ok(()),
    }
}

fn swarm(
    seed: [u8; 32],
    limits: &Limits,
    own: &Arc<RwLock<Peers>>,
    door: Arc<Door>,
) -> Result<Swarm<Behaviour>, StartError> {
    let transport = |error: &dyn fmt::Display| StartError::Transport(error.to_string());
    let keypair = identity::Keypair::ed25519_from_bytes(seed).map_err(|error| transport(&error))?;
    let connections = connection_limits::ConnectionLimits::default()
        .with_max_established_incoming(Some(limits.connections))
        .with_max_established_per_peer(Some(CONNECTIONS_PER_MEMBER));
    let config = relay_config(limits, Arc::clone(own));
    let builder = libp2p::SwarmBuilder::with_existing_identity(keypair)
        .with_tokio()
        .with_other_transport(|keypair| Ok(guarded(keypair, door)?))
        .map_err(|error| transport(&error))?
        .with_behaviour(|keypair| Behaviour {
            limits: connection_limits::Behaviour::new(connections),
            guests: allow_block_list::Behaviour::default(),
            identify: identify::Behaviour::new(
                identify::Config::new("/coreward/1".to_owned(), keypair.public())
                    .with_cache_size(0),
            ),
            ping: ping::Behaviour::default(),
            relay: relay::Behaviour::new(keypair.public().to_peer_id(), config),
        })
        .map_err(|error| transport(&error))?;
    Ok(builder
        .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_mins(1)))
        .build())
}

fn relay_config(limits: &Limits, own: Arc<RwLock<Peers>>) -> relay::Config {
    // Every connected key is on the list already; the cluster's own members alone may be reached through it.
    let is_own = move |peer: PeerId, _: &Multiaddr, _: Instant| {
        own.read().unwrap_or_else(PoisonError::into_inner).contains(&peer)
    };
    let config = relay::Config {
        max_reservations: limits.reservations,
        max_reservations_per_peer: 1,
        reservation_duration: RESERVATION,
        reservation_rate_limiters: vec![Box::new(is_own) as Box<dyn relay::RateLimiter>],
        max_circuits: limits.circuits,
        // The library refuses one later than it says.
        max_circuits_per_peer: limits
            .circuits_per_member
            .min(MOST_CIRCUITS_PER_MEMBER.into())
            .saturating_sub(1),
        max_circuit_duration: limits.circuit_duration.min(Duration::from_secs(u32::MAX.into())),
        max_circuit_bytes: limits.circuit_bytes,
        circuit_src_rate_limiters: Vec::new(),
    };
    config
        .reservation_rate_per_peer(RESERVATION_RATE.0, RESERVATION_RATE.1)
        .circuit_src_per_peer(CIRCUIT_RATE.0, CIRCUIT_RATE.1)
}

impl Relay {
    /// Runs until `shutdown`; circuits under way are then cut.
    pub async fn run(mut self, shutdown: CancellationToken) {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                changed = self.guests.changed() => match changed {
                    Ok(()) => self.admit(),
                    Err(_) => return,
                },
                event = self.swarm.select_next_some() => self.learn(event),
            }
        }
    }

    fn admit(&mut self) {
        let guests = self.guests.borrow_and_update().clone();
        let own: Peers = guests.own.iter().filter_map(peer_of).collect();
        let wanted: Peers =
            guests.others.iter().filter_map(peer_of).chain(own.iter().copied()).collect();
        let before = std::mem::replace(
            &mut *self.own.write().unwrap_or_else(PoisonError::into_inner),
            own.clone(),
        );
        let known = wanted.iter().map(|peer| (*peer, Vec::new())).collect();
        self.door.with(|gate| gate.set_members(&known));
        allow_only(&mut self.swarm.behaviour_mut().guests, &wanted);
        // One that moved to another cluster may call, but its reservation here ends.
        for peer in before.difference(&own).filter(|peer| wanted.contains(peer)) {
            let _ = self.swarm.disconnect_peer_id(*peer);
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "libp2p's events grow; those not named are none of ours"
    )]
    fn learn(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::Behaviour(BehaviourEvent::Relay(event)) => self.relayed(event),
            SwarmEvent::NewListenAddr { address, .. } => {
                self.listening.send_modify(|list| list.push(address.to_string()));
            }
            SwarmEvent::ConnectionEstablished { peer_id, endpoint, .. } => {
                if let Some(ip) = ip_of(endpoint.get_remote_address()) {
                    self.door.with(|gate| gate.saw(peer_id, ip));
                }
                self.figures.send_modify(|figures| figures.connections += 1);
            }
            SwarmEvent::ConnectionClosed { peer_id, num_established, .. } => {
                self.figures.send_modify(|figures| figures.disconnected(peer_id, num_established));
            }
            SwarmEvent::IncomingConnectionError { peer_id, error, .. } => {
                let refusal = self.refusal(peer_id, &error);
                tracing::debug!(peer.id = ?peer_id, %error, refusal = refusal.name(), "refused a connection");
                self.figures.send_modify(|figures| figures.refuse(refusal));
            }
            _ => {}
        }
    }

    fn refusal(&self, peer: Option<PeerId>, error: &ListenError) -> Refusal {
        let allowed = self.swarm.behaviour().guests.allowed_peers();
        match (peer, error) {
            (Some(peer), ListenError::Denied { .. }) if !allowed.contains(&peer) => {
                Refusal::Stranger
            }
            (_, ListenError::Denied { .. }) => Refusal::Connections,
            _ => Refusal::Handshake,
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "what is left are failures that the library logs itself and marks as deprecated"
    )]
    fn relayed(&self, event: relay::Event) {
        use relay::Event;
        match event {
            Event::ReservationReqAccepted { src_peer_id, .. } => {
                self.figures.send_modify(|figures| figures.reserved(src_peer_id));
            }
            Event::ReservationReqDenied { src_peer_id, .. } => {
                let own = self.own.read().unwrap_or_else(PoisonError::into_inner);
                let refusal = if own.contains(&src_peer_id) {
                    Refusal::Reservations
                } else {
                    Refusal::NotOwn
                };
                self.figures.send_modify(|figures| figures.refuse(refusal));
            }
            Event::ReservationTimedOut { src_peer_id } => {
                self.figures.send_modify(|figures| figures.unreserved(src_peer_id));
            }
            Event::CircuitReqAccepted { src_peer_id, dst_peer_id } => {
                self.figures.send_modify(|figures| figures.opened(src_peer_id, dst_peer_id));
            }
            Event::CircuitReqDenied { status, .. } => {
                self.figures.send_modify(|figures| figures.refuse(Refusal::of_circuit(&status)));
            }
            Event::CircuitClosed { src_peer_id, dst_peer_id, error } => {
                let ending = Ending::of(error.as_ref());
                self.figures.send_modify(|figures| figures.ended(src_peer_id, dst_peer_id, ending));
            }
            _ => {}
        }
    }
}
