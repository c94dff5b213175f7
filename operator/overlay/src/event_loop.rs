//! The loop that owns the swarm.

mod gateways;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use libp2p::allow_block_list::{self, AllowedPeers};
use libp2p::swarm::{NetworkBehaviour, Stream, Swarm, SwarmEvent};
use libp2p::{Multiaddr, PeerId, identify, identity, ping, relay};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::admission::{Door, ip_of, is_relayed};
use crate::client::{Client, Command};
use crate::connection::OpenId;
use crate::member::{Key, Member, STREAMS_PER_MEMBER, Seat, key_of, peer_of};
use crate::reservations::Reservations;
use crate::serve::{Handler, Refusal, refuse, serve};
use crate::streams::{Event, Streams};
use crate::transport::{guarded, relayed};
use crate::way::Way;

/// Commands that may wait for the loop.
const COMMANDS: usize = 256;
/// Streams under way towards one peer before the next is refused: those that a client may have, and probes.
const PENDING_OPENS: usize = 2 * STREAMS_PER_MEMBER;
/// Streams served at once, over all members.
pub(crate) const SERVED_STREAMS: usize = 1024;
/// Streams that are being told that there is no room.
const REFUSED_STREAMS: usize = 64;
/// Connections of one member: both sides may dial at once. A further one replaces the oldest, which is dead more often
/// than not.
pub(crate) const CONNECTIONS_PER_MEMBER: usize = 2;
/// Streams of one connection that are agreeing on their protocol.
pub(crate) const NEGOTIATING_STREAMS: usize = 128;

/// How to take part.
#[derive(Clone)]
pub struct Config {
    /// Seed of our ed25519 key.
    pub seed: [u8; 32],
    /// Where to listen, a multiaddr such as `/ip4/0.0.0.0/tcp/4001`.
    pub listen: String,
}

impl fmt::Debug for Config {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Config").field("listen", &self.listen).finish_non_exhaustive()
    }
}

/// Why the overlay did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The listen address is no multiaddr.
    #[error("`{0}` is not a multiaddr to listen on")]
    ListenAddress(String),
    /// The address cannot be listened on.
    #[error("listen on {0}")]
    Listen(Multiaddr, #[source] libp2p::TransportError<std::io::Error>),
    /// A gateway was given no address that it is reached at from outside.
    #[error("a gateway needs an address that it is reached at from outside: name at least one")]
    NoOutsideAddress,
    /// The seed makes no key, or the transport cannot be set up.
    #[error("set up the transport: {0}")]
    Transport(String),
}

#[derive(NetworkBehaviour)]
struct Behaviour {
    members: allow_block_list::Behaviour<AllowedPeers>,
    identify: identify::Behaviour,
    ping: ping::Behaviour,
    relay: relay::client::Behaviour,
    streams: Streams,
}

struct Pending {
    peer: PeerId,
    reply: oneshot::Sender<Result<Stream, String>>,
}

/// Owns the swarm; run it until shutdown.
pub struct EventLoop {
    swarm: Swarm<Behaviour>,
    commands: mpsc::Receiver<Command>,
    members: BTreeMap<PeerId, Seat>,
    door: Arc<Door>,
    reservations: Reservations,
    /// Whether the gateways of other members may be outside the public ranges.
    private: bool,
    reserved: watch::Sender<BTreeSet<Key>>,
    pending: BTreeMap<OpenId, Pending>,
    dialling: BTreeSet<PeerId>,
    next_open: OpenId,
    handler: Arc<dyn Handler>,
    room: Arc<Semaphore>,
    refusals: Arc<Semaphore>,
    served: JoinSet<()>,
    listening: watch::Sender<Vec<String>>,
    strangers: watch::Sender<u64>,
}

impl fmt::Debug for EventLoop {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("EventLoop").field("members", &self.members).finish_non_exhaustive()
    }
}

/// Sets up the overlay; nothing is dialled or accepted before [`EventLoop::run`].
///
/// # Errors
///
/// [`StartError`] if the address cannot be listened on or the seed makes no key: a matter of configuration.
pub fn start(
    config: &Config,
    handler: Arc<dyn Handler>,
) -> Result<(Client, EventLoop), StartError> {
    let address: Multiaddr =
        config.listen.parse().map_err(|_| StartError::ListenAddress(config.listen.clone()))?;
    let counts = Arc::clone(&handler);
    let door = Door::new(move |why| counts.refused(why));
    let mut swarm = swarm(config.seed, Arc::clone(&door))?;
    swarm.listen_on(address.clone()).map_err(|source| StartError::Listen(address, source))?;
    let (sender, commands) = mpsc::channel(COMMANDS);
    let (listening, listens) = watch::channel(Vec::new());
    let (strangers, seen) = watch::channel(0);
    let (reserved, reservations) = watch::channel(BTreeSet::new());
    let client = Client::new(sender, listens, seen, reservations);
    let event_loop = EventLoop {
        swarm,
        commands,
        members: BTreeMap::new(),
        door,
        reservations: Reservations::default(),
        private: false,
        reserved,
        pending: BTreeMap::new(),
        dialling: BTreeSet::new(),
        next_open: 0,
        handler,
        room: Arc::new(Semaphore::new(SERVED_STREAMS)),
        refusals: Arc::new(Semaphore::new(REFUSED_STREAMS)),
        served: JoinSet::new(),
        listening,
        strangers,
    };
    Ok((client, event_loop))
}

fn swarm(seed: [u8; 32], door: Arc<Door>) -> Result<Swarm<Behaviour>, StartError> {
    let transport = |error: &dyn fmt::Display| StartError::Transport(error.to_string());
    let keypair = identity::Keypair::ed25519_from_bytes(seed).map_err(|error| transport(&error))?;
    let (circuits, relay) = relay::client::new(keypair.public().to_peer_id());
    let builder = libp2p::SwarmBuilder::with_existing_identity(keypair)
        .with_tokio()
        .with_other_transport(|keypair| Ok(relayed(keypair, circuits)?))
        .map_err(|error| transport(&error))?
        .with_other_transport(|keypair| Ok(guarded(keypair, door)?))
        .map_err(|error| transport(&error))?
        .with_behaviour(|keypair| Behaviour {
            members: allow_block_list::Behaviour::default(),
            // What a peer says of its addresses is not kept: it would be dialled.
            identify: identify::Behaviour::new(
                identify::Config::new("/coreward/1".to_owned(), keypair.public())
                    .with_cache_size(0),
            ),
            ping: ping::Behaviour::default(),
            relay,
            streams: Streams::default(),
        })
        .map_err(|error| transport(&error))?;
    Ok(builder
        .with_swarm_config(|config| {
            config
                .with_idle_connection_timeout(Duration::from_mins(1))
                .with_max_negotiating_inbound_streams(NEGOTIATING_STREAMS)
        })
        .build())
}

impl EventLoop {
    /// Runs until `shutdown`; streams under way are then cut.
    pub async fn run(mut self, shutdown: CancellationToken) {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = gateways::at(self.reservations.next()) => self.reserve(),
                // A finished stream frees its place in the set; its result is nothing.
                Some(_) = self.served.join_next() => {}
                command = self.commands.recv() => match command {
                    Some(command) => self.obey(command),
                    None => return,
                },
                event = self.swarm.select_next_some() => self.learn(event),
            }
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::SetMembers(members) => self.set_members(&members),
            Command::SetGateways(gateways) => self.set_gateways(&gateways),
            Command::Open { key, reply } => self.open(&key, reply),
        }
    }

    fn set_members(&mut self, members: &[Member]) {
        let own = *self.swarm.local_peer_id();
        let wanted: BTreeMap<_, _> =
            members.iter().filter_map(Member::resolve).filter(|(peer, _)| *peer != own).collect();
        let addresses = wanted.iter().map(|(peer, ways)| (*peer, ways.iter().filter_map(Way::ip)));
        let addresses = addresses.map(|(peer, list)| (peer, list.collect())).collect();
        self.door.with(|gate| gate.set_members(&addresses));
        let gone: Vec<_> =
            self.members.keys().filter(|peer| !wanted.contains_key(*peer)).copied().collect();
        for peer in &gone {
            // Its connections close below; that alone would leave those hanging who wait for its bytes.
            self.members.remove(peer);
        }
        for (peer, ways) in wanted {
            self.members.entry(peer).or_insert_with(Seat::new).ways = ways;
        }
        self.admit();
        for peer in gone {
            // One that is let in as a gateway still loses the streams that it had as a member.
            let _ = self.swarm.disconnect_peer_id(peer);
        }
    }

    fn open(&mut self, key: &Key, reply: oneshot::Sender<Result<Stream, String>>) {
        let Some(peer) = peer_of(key).filter(|peer| self.members.contains_key(peer)) else {
            return answer(reply, Err("not a member of this subnet".to_owned()));
        };
        if self.pending.values().filter(|pending| pending.peer == peer).count() >= PENDING_OPENS {
            return answer(reply, Err("too many streams are waiting for this member".to_owned()));
        }
        self.next_open += 1;
        let id = self.next_open;
        self.pending.insert(id, Pending { peer, reply });
        if !self.swarm.behaviour_mut().streams.open(peer, id) {
            self.dial(peer);
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "libp2p's events grow; those not named are none of ours"
    )]
    fn learn(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::Behaviour(BehaviourEvent::Streams(event)) => self.stream(event),
            SwarmEvent::Behaviour(BehaviourEvent::Ping(ping::Event {
                connection,
                result: Err(ping::Failure::Timeout | ping::Failure::Other { .. }),
                ..
            })) => {
                self.swarm.close_connection(connection);
            }
            SwarmEvent::ConnectionEstablished { peer_id, endpoint, .. } => {
                self.connected(peer_id, endpoint.get_remote_address());
            }
            SwarmEvent::OutgoingConnectionError { peer_id: Some(peer), error, .. } => {
                self.dialling.remove(&peer);
                if !self.swarm.behaviour().streams.is_connected(&peer) {
                    self.fail_waiting(peer, &error.to_string());
                    self.fail_behind(peer, &error.to_string());
                }
            }
            SwarmEvent::IncomingConnectionError { peer_id: Some(peer), error, .. } => {
                tracing::debug!(peer.id = %peer, %error, "refused a connection");
                if !self.members.contains_key(&peer) {
                    self.handler.refused(Refusal::Unlisted);
                    self.strangers.send_modify(|count| *count += 1);
                }
            }
            SwarmEvent::Behaviour(BehaviourEvent::Relay(event)) => self.relayed(&event),
            SwarmEvent::ListenerClosed { listener_id, reason, .. } => {
                self.listener_ended(listener_id, reason);
            }
            // What a gateway says of its own addresses is no place where we listen.
            SwarmEvent::NewListenAddr { address, .. } if !is_relayed(&address) => {
                self.listening.send_modify(|list| list.push(address.to_string()));
            }
            _ => {}
        }
    }

    fn connected(&mut self, peer: PeerId, address: &Multiaddr) {
        self.dialling.remove(&peer);
        if let Some(ip) = ip_of(address).filter(|_| self.members.contains_key(&peer)) {
            self.door.with(|gate| gate.saw(peer, ip));
        }
        let surplus = self.swarm.behaviour().streams.surplus(&peer, CONNECTIONS_PER_MEMBER);
        if let Some(oldest) = surplus {
            self.swarm.close_connection(oldest);
        }
        self.open_waiting(peer);
        self.dial_behind(peer);
    }

    fn stream(&mut self, event: Event) {
        match event {
            Event::Inbound(peer, stream) => self.accept(peer, stream),
            Event::Opened(id, stream) => {
                if let Some(pending) = self.pending.remove(&id) {
                    answer(pending.reply, Ok(stream));
                }
            }
            Event::Failed(id, why) => {
                if let Some(pending) = self.pending.remove(&id) {
                    answer(pending.reply, Err(why));
                }
            }
        }
    }

    fn accept(&mut self, peer: PeerId, stream: Stream) {
        let Some((seat, key)) = self.members.get(&peer).zip(key_of(peer)) else {
            // Removed from the list while its stream was on the way: dropping resets it.
            return;
        };
        let cut = seat.cut.clone();
        let room = Arc::clone(&seat.room).try_acquire_owned().ok();
        let room = room.zip(Arc::clone(&self.room).try_acquire_owned().ok());
        if let Some(room) = room {
            let handler = Arc::clone(&self.handler);
            self.served.spawn(async move {
                cut.run_until_cancelled(serve(stream, key, handler)).await;
                drop(room);
            });
        } else if let Ok(place) = Arc::clone(&self.refusals).try_acquire_owned() {
            self.handler.refused(Refusal::Busy);
            self.served.spawn(async move {
                cut.run_until_cancelled(refuse(stream)).await;
                drop(place);
            });
        } else {
            self.handler.refused(Refusal::Reset);
            tracing::debug!(peer.id = %peer, "reset a stream: no room even to refuse it");
        }
    }

    fn waiting(&self, peer: PeerId) -> Vec<OpenId> {
        self.pending.iter().filter(|(_, pending)| pending.peer == peer).map(|(id, _)| *id).collect()
    }

    fn open_waiting(&mut self, peer: PeerId) {
        for id in self.waiting(peer) {
            self.swarm.behaviour_mut().streams.open(peer, id);
        }
    }

    fn fail_waiting(&mut self, peer: PeerId, why: &str) {
        for id in self.waiting(peer) {
            if let Some(pending) = self.pending.remove(&id) {
                answer(pending.reply, Err(why.to_owned()));
            }
        }
    }
}

/// Whoever asked may have gone; then there is nobody to tell.
fn answer(reply: oneshot::Sender<Result<Stream, String>>, result: Result<Stream, String>) {
    drop(reply.send(result));
}
