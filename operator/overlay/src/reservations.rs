//! Reservations at our own gateways: which stand, which are asked for, and when to ask again.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use libp2p::core::transport::ListenerId;
use libp2p::{Multiaddr, PeerId};
use tokio::time::Instant;

use crate::way::Gateway;

/// The first pause after a refusal or a loss.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// No pause is longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

#[derive(Debug)]
enum State {
    /// Ask at this moment.
    Due(Instant),
    Asked,
    Held,
}

#[derive(Debug)]
struct Place {
    gateway: Gateway,
    state: State,
    failures: u32,
}

/// One reservation is kept at each gateway; a lost one is asked for again with pauses that double, for as long as the
/// operator names the gateway.
#[derive(Debug, Default)]
pub(crate) struct Reservations {
    places: BTreeMap<PeerId, Place>,
    listeners: HashMap<ListenerId, PeerId>,
}

impl Reservations {
    /// Replaces the gateways; gives those whose connections have to end: they are no longer ours, or moved.
    pub(crate) fn replace(&mut self, wanted: Vec<Gateway>, now: Instant) -> Vec<PeerId> {
        let mut wanted: BTreeMap<_, _> =
            wanted.into_iter().map(|gateway| (gateway.peer, gateway)).collect();
        let mut gone = Vec::new();
        self.places.retain(|peer, place| {
            let stays = wanted.get(peer) == Some(&place.gateway);
            if stays {
                wanted.remove(peer);
            } else {
                gone.push(*peer);
            }
            stays
        });
        for (peer, gateway) in wanted {
            self.places.insert(peer, Place { gateway, state: State::Due(now), failures: 0 });
        }
        self.listeners.retain(|_, peer| self.places.contains_key(peer) && !gone.contains(peer));
        gone
    }

    /// Keys of our gateways.
    pub(crate) fn gateways(&self) -> impl Iterator<Item = PeerId> {
        self.places.keys().copied()
    }

    /// When the next one is to be asked for.
    pub(crate) fn next(&self) -> Option<Instant> {
        let due = self.places.values().filter_map(|place| match place.state {
            State::Due(at) => Some(at),
            State::Asked | State::Held => None,
        });
        due.min()
    }

    /// Those to ask for now, with what to listen on.
    pub(crate) fn due(&self, now: Instant) -> Vec<(PeerId, Multiaddr)> {
        let due = self.places.iter();
        due.filter(|(_, place)| matches!(place.state, State::Due(at) if at <= now))
            .map(|(peer, place)| (*peer, place.gateway.circuit()))
            .collect()
    }

    /// A reservation was asked for, and this listener stands for it; `None` if it could not even be asked.
    pub(crate) fn asked(&mut self, peer: PeerId, listener: Option<ListenerId>, now: Instant) {
        let Some(place) = self.places.get_mut(&peer) else { return };
        match listener {
            Some(listener) => {
                place.state = State::Asked;
                self.listeners.insert(listener, peer);
            }
            None => place.fail(now),
        }
    }

    /// The gateway granted it.
    pub(crate) fn granted(&mut self, peer: PeerId) {
        // A grant of before the gateway moved is none of the place that is asked for now.
        if let Some(place) = self.places.get_mut(&peer)
            && matches!(place.state, State::Asked | State::Held)
        {
            (place.state, place.failures) = (State::Held, 0);
        }
    }

    /// A listener ended: refused, or the connection is gone. Gives the gateway if it was one of ours.
    pub(crate) fn ended(&mut self, listener: ListenerId, now: Instant) -> Option<PeerId> {
        let peer = self.listeners.remove(&listener)?;
        self.places.get_mut(&peer)?.fail(now);
        Some(peer)
    }

    /// Gateways where a reservation stands.
    pub(crate) fn held(&self) -> impl Iterator<Item = PeerId> {
        let held = self.places.iter().filter(|(_, place)| matches!(place.state, State::Held));
        held.map(|(peer, _)| *peer)
    }
}

impl Place {
    fn fail(&mut self, now: Instant) {
        let bound = FIRST_PAUSE.saturating_mul(1 << self.failures.min(8)).min(LONGEST_PAUSE);
        self.failures = self.failures.saturating_add(1);
        // At least half of it, so that the members of a gateway that comes back do not all ask at once.
        self.state = State::Due(now + bound.mul_f64(0.5 + rand::random::<f64>() / 2.0));
    }
}

#[cfg(test)]
mod tests {
    use libp2p::identity::Keypair;

    use super::*;

    fn gateway() -> Gateway {
        let peer = Keypair::generate_ed25519().public().to_peer_id();
        Gateway::parse(&format!("/ip4/10.0.0.1/tcp/4001/p2p/{peer}")).unwrap()
    }

    #[test]
    fn a_lost_reservation_is_asked_for_again_after_a_growing_pause() {
        let (now, gateway) = (Instant::now(), gateway());
        let mut reservations = Reservations::default();
        assert!(reservations.replace(vec![gateway.clone()], now).is_empty());
        assert_eq!(reservations.due(now), [(gateway.peer, gateway.circuit())]);
        let mut longest = Duration::ZERO;
        for _ in 0..20 {
            let listener = ListenerId::next();
            reservations.asked(gateway.peer, Some(listener), now);
            assert!(reservations.due(now + LONGEST_PAUSE).is_empty(), "it is asked for once");
            assert_eq!(reservations.ended(listener, now), Some(gateway.peer));
            longest = longest.max(reservations.next().unwrap() - now);
        }
        assert!(longest > LONGEST_PAUSE / 2 && longest <= LONGEST_PAUSE, "{longest:?}");
        reservations.asked(gateway.peer, Some(ListenerId::next()), now);
        reservations.granted(gateway.peer);
        assert_eq!(reservations.held().collect::<Vec<_>>(), [gateway.peer]);
        assert_eq!(reservations.next(), None);
    }

    #[test]
    fn a_gateway_that_is_named_no_longer_is_left_and_the_others_stay() {
        let (now, stays, goes) = (Instant::now(), gateway(), gateway());
        let mut reservations = Reservations::default();
        reservations.replace(vec![stays.clone(), goes.clone()], now);
        let listener = ListenerId::next();
        reservations.asked(goes.peer, Some(listener), now);
        reservations.asked(stays.peer, Some(ListenerId::next()), now);
        reservations.granted(stays.peer);
        assert_eq!(reservations.replace(vec![stays.clone()], now), [goes.peer]);
        assert_eq!(reservations.ended(listener, now), None);
        assert_eq!(reservations.held().collect::<Vec<_>>(), [stays.peer]);
    }
}
