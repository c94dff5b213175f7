//! What the loop does with gateways: reservations at our own, circuits through those of others.

use std::collections::BTreeSet;
use std::io;

use libp2p::core::transport::ListenerId;
use libp2p::swarm::DialError;
use libp2p::swarm::dial_opts::DialOpts;
use libp2p::{Multiaddr, PeerId, relay};
use tokio::time::{Instant, sleep_until};

use super::EventLoop;
use crate::admission::allow_only;
use crate::client::Gateways;
use crate::member::key_of;
use crate::way::{Gateway, Way};

/// Waits for a moment; for ever if there is none.
pub(super) async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

impl EventLoop {
    pub(super) fn set_gateways(&mut self, gateways: &Gateways) {
        let own = gateways.own.iter().filter_map(|text| Gateway::parse(text)).collect();
        self.private = gateways.private;
        let gone = self.reservations.replace(own, Instant::now());
        self.admit();
        for peer in gone {
            // Ends the reservation as well. A listener must not be removed while its reservation is asked for: the
            // library takes the answer for impossible then.
            let _ = self.swarm.disconnect_peer_id(peer);
        }
        self.tell_reservations();
        self.reserve();
    }

    /// Lets in the members, our own gateways, and the gateways that members are behind; nobody else. Connections of those
    /// that are none of these any more are closed, and with them their streams.
    pub(super) fn admit(&mut self) {
        let ways = self
            .members
            .values()
            .flat_map(|seat| &seat.ways)
            .filter(|way| way.is_allowed(self.private));
        let relays = ways.filter_map(|way| match way {
            Way::Through(gateway) => Some(gateway.peer),
            Way::Direct(_) => None,
        });
        let wanted: BTreeSet<_> = self
            .members
            .keys()
            .copied()
            .chain(self.reservations.gateways())
            .chain(relays)
            .collect();
        allow_only(&mut self.swarm.behaviour_mut().members, &wanted);
    }

    /// Asks for the reservations that are due.
    pub(super) fn reserve(&mut self) {
        let now = Instant::now();
        for (peer, circuit) in self.reservations.due(now) {
            let listener = self.swarm.listen_on(circuit);
            if let Err(error) = &listener {
                tracing::warn!(gateway.id = %peer, %error, "a reservation cannot be asked for");
            }
            self.reservations.asked(peer, listener.ok(), now);
        }
    }

    pub(super) fn relayed(&mut self, event: &relay::client::Event) {
        match event {
            relay::client::Event::ReservationReqAccepted { relay_peer_id, renewal, .. } => {
                self.reservations.granted(*relay_peer_id);
                self.tell_reservations();
                if !renewal {
                    tracing::info!(gateway.id = %relay_peer_id, "members may come through a gateway");
                }
            }
            relay::client::Event::InboundCircuitEstablished { src_peer_id, .. } => {
                tracing::debug!(peer.id = %src_peer_id, "a peer comes through a gateway");
            }
            relay::client::Event::OutboundCircuitEstablished { relay_peer_id, .. } => {
                tracing::debug!(gateway.id = %relay_peer_id, "a circuit stands");
            }
        }
    }

    pub(super) fn listener_ended(&mut self, listener: ListenerId, reason: Result<(), io::Error>) {
        if let Some(peer) = self.reservations.ended(listener, Instant::now()) {
            let error = reason
                .err()
                .map_or_else(|| "the connection ended".to_owned(), |error| causes(&error));
            tracing::info!(gateway.id = %peer, error, "a reservation was refused or lost; it is asked for again");
            self.tell_reservations();
        }
    }

    fn tell_reservations(&self) {
        let held: BTreeSet<_> = self.reservations.held().filter_map(key_of).collect();
        self.reserved.send_if_modified(|told| {
            let news = *told != held;
            *told = held;
            news
        });
    }

    /// Dials a member by all its addresses. A gateway that it is behind is connected first, once for all of them.
    pub(super) fn dial(&mut self, peer: PeerId) {
        if self.dialling.contains(&peer) {
            return;
        }
        let (now, later) = self.addresses(peer);
        if now.is_empty() && later.is_empty() {
            return self.fail_waiting(peer, "no address of this member is known");
        }
        let mut failed = None;
        for gateway in later {
            failed = self.dial_gateway(&gateway).err().or(failed);
        }
        if now.is_empty() {
            if let Some(error) = failed.filter(|_| !self.waits_for_gateway(peer)) {
                self.fail_waiting(peer, &error.to_string());
            }
            return;
        }
        match self.swarm.dial(DialOpts::peer_id(peer).addresses(now).allocate_new_port().build()) {
            Ok(()) => {
                self.dialling.insert(peer);
            }
            // A connection is coming up already; its event will serve those who wait.
            Err(DialError::DialPeerConditionFalse(_)) => {}
            Err(error) => self.fail_waiting(peer, &error.to_string()),
        }
    }

    /// What can be dialled now, and the gateways that have to be connected first.
    fn addresses(&self, peer: PeerId) -> (Vec<Multiaddr>, Vec<Gateway>) {
        let (mut now, mut later) = (Vec::new(), Vec::new());
        let ways = self.members.get(&peer).into_iter().flat_map(|seat| &seat.ways);
        for way in ways.filter(|way| way.is_allowed(self.private)) {
            match way {
                Way::Direct(address) => now.push(address.clone()),
                Way::Through(gateway) if self.is_connected(&gateway.peer) => {
                    now.push(gateway.circuit());
                }
                Way::Through(gateway) => later.push(gateway.clone()),
            }
        }
        (now, later)
    }

    fn is_connected(&self, peer: &PeerId) -> bool {
        self.swarm.behaviour().streams.is_connected(peer)
    }

    fn dial_gateway(&mut self, gateway: &Gateway) -> Result<(), DialError> {
        let options = DialOpts::peer_id(gateway.peer)
            .addresses(vec![gateway.address()])
            .allocate_new_port()
            .build();
        match self.swarm.dial(options) {
            // Dialled for another member, or for a reservation: its event will come as well.
            Ok(()) | Err(DialError::DialPeerConditionFalse(_)) => {
                self.dialling.insert(gateway.peer);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn waits_for_gateway(&self, peer: PeerId) -> bool {
        let (_, later) = self.addresses(peer);
        later.iter().any(|gateway| self.dialling.contains(&gateway.peer))
    }

    /// A gateway is connected: dials the members that wait for it.
    pub(super) fn dial_behind(&mut self, gateway: PeerId) {
        for peer in self.waiting_behind(gateway) {
            self.dial(peer);
        }
    }

    /// A gateway is not to be had: those who wait are told, unless they still wait for something else.
    pub(super) fn fail_behind(&mut self, gateway: PeerId, why: &str) {
        for peer in self.waiting_behind(gateway) {
            if !self.dialling.contains(&peer) && !self.waits_for_gateway(peer) {
                self.fail_waiting(peer, &format!("its gateway {gateway}: {why}"));
            }
        }
    }

    fn waiting_behind(&self, gateway: PeerId) -> BTreeSet<PeerId> {
        let is_behind = |peer: &PeerId| {
            let ways = self.members.get(peer).into_iter().flat_map(|seat| &seat.ways);
            ways.filter(|way| way.is_allowed(self.private))
                .any(|way| matches!(way, Way::Through(through) if through.peer == gateway))
        };
        let waiting = self.pending.values().map(|pending| pending.peer);
        waiting.filter(|peer| !self.is_connected(peer) && is_behind(peer)).collect()
    }
}

/// An error with what caused it.
fn causes(error: &io::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}
