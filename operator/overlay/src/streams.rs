//! The behaviour that carries streams between the connections and the event loop.

use std::collections::{BTreeMap, VecDeque};
use std::task::{Context, Poll};

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::swarm::{
    ConnectionClosed, ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, NotifyHandler,
    Stream, ToSwarm,
};
use libp2p::{Multiaddr, PeerId};

use crate::connection::{Connection, FromConnection, OpenId};

/// What the event loop learns.
#[derive(Debug)]
pub(crate) enum Event {
    /// A member opened a stream.
    Inbound(PeerId, Stream),
    /// A stream that was asked for.
    Opened(OpenId, Stream),
    /// A stream that was asked for and could not be had.
    Failed(OpenId, String),
}

/// Streams of the overlay's protocol. Knows which opens are under way on which connection, so that none is forgotten
/// when a connection ends.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    under_way: BTreeMap<OpenId, ConnectionId>,
    established: BTreeMap<PeerId, Vec<ConnectionId>>,
    /// The swarm takes what is here before it hands in another event of a connection; opens are bounded by the event loop.
    told: VecDeque<ToSwarm<Event, OpenId>>,
}

impl Streams {
    /// Asks for a stream on an established connection; false if there is none.
    pub(crate) fn open(&mut self, peer: PeerId, id: OpenId) -> bool {
        let Some(connection) = self.established.get(&peer).and_then(|list| list.last().copied())
        else {
            return false;
        };
        // A second connection to the same peer must not open again what the first one is opening.
        if self.under_way.contains_key(&id) {
            return true;
        }
        self.under_way.insert(id, connection);
        self.told.push_back(ToSwarm::NotifyHandler {
            peer_id: peer,
            handler: NotifyHandler::One(connection),
            event: id,
        });
        true
    }

    /// Whether a connection to this peer stands.
    pub(crate) fn is_connected(&self, peer: &PeerId) -> bool {
        self.established.contains_key(peer)
    }

    /// The connection that a newer one replaces, where a peer has more than `most`.
    pub(crate) fn surplus(&self, peer: &PeerId, most: usize) -> Option<ConnectionId> {
        let connections = self.established.get(peer)?;
        connections.first().copied().filter(|_| connections.len() > most)
    }

    fn closed(&mut self, peer: PeerId, connection: ConnectionId) {
        if let Some(list) = self.established.get_mut(&peer) {
            list.retain(|known| *known != connection);
            if list.is_empty() {
                self.established.remove(&peer);
            }
        }
        let lost: Vec<_> =
            self.under_way.iter().filter(|(_, on)| **on == connection).map(|(id, _)| *id).collect();
        for id in lost {
            self.under_way.remove(&id);
            let event =
                Event::Failed(id, "the connection closed before the stream was open".to_owned());
            self.told.push_back(ToSwarm::GenerateEvent(event));
        }
    }
}

impl NetworkBehaviour for Streams {
    type ConnectionHandler = Connection;
    type ToSwarm = Event;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<Connection, ConnectionDenied> {
        Ok(Connection::default())
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<Connection, ConnectionDenied> {
        Ok(Connection::default())
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "libp2p's events grow; those not named are none of ours"
    )]
    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(established) => {
                self.established
                    .entry(established.peer_id)
                    .or_default()
                    .push(established.connection_id);
            }
            FromSwarm::ConnectionClosed(ConnectionClosed { peer_id, connection_id, .. }) => {
                self.closed(peer_id, connection_id);
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        _: ConnectionId,
        event: FromConnection,
    ) {
        let event = match event {
            FromConnection::Inbound(stream) => Event::Inbound(peer, stream),
            FromConnection::Opened(id, stream) => {
                self.under_way.remove(&id);
                Event::Opened(id, stream)
            }
            FromConnection::Refused(id, why) => {
                self.under_way.remove(&id);
                Event::Failed(id, why)
            }
        };
        self.told.push_back(ToSwarm::GenerateEvent(event));
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Event, OpenId>> {
        self.told.pop_front().map_or(Poll::Pending, Poll::Ready)
    }
}
