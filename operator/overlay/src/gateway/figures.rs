//! What a gateway counts.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use libp2p::PeerId;
use libp2p::relay::StatusCode;

/// Why a gateway refused something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refusal {
    /// A connection of a key that is not on the list.
    Stranger,
    /// A connection, before its handshake: its address, or all that no member came from, came too fast.
    Rate,
    /// A connection beyond the bounds.
    Connections,
    /// A connection whose handshake failed, took too long or made room for newer ones.
    Handshake,
    /// A reservation of a member that is not of this cluster.
    NotOwn,
    /// A reservation beyond the bounds.
    Reservations,
    /// A circuit beyond the bounds.
    Circuits,
    /// A circuit to a key that has no reservation here.
    NoReservation,
    /// A circuit whose other end did not take it.
    NotTaken,
}

impl Refusal {
    /// Every refusal.
    pub const ALL: [Self; 9] = [
        Self::Stranger,
        Self::Rate,
        Self::Connections,
        Self::Handshake,
        Self::NotOwn,
        Self::Reservations,
        Self::Circuits,
        Self::NoReservation,
        Self::NotTaken,
    ];

    /// Its name as a label.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stranger => "stranger",
            Self::Rate => "rate",
            Self::Connections => "connections",
            Self::Handshake => "handshake",
            Self::NotOwn => "not_own",
            Self::Reservations => "reservations",
            Self::Circuits => "circuits",
            Self::NoReservation => "no_reservation",
            Self::NotTaken => "not_taken",
        }
    }

    pub(super) const fn of_circuit(status: &StatusCode) -> Self {
        match status {
            StatusCode::ResourceLimitExceeded => Self::Circuits,
            StatusCode::NoReservation => Self::NoReservation,
            StatusCode::OK
            | StatusCode::ReservationRefused
            | StatusCode::PermissionDenied
            | StatusCode::ConnectionFailed
            | StatusCode::MalformedMessage
            | StatusCode::UnexpectedMessage => Self::NotTaken,
        }
    }
}

/// How a circuit ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ending {
    /// One of its ends closed it.
    Closed,
    /// It carried as many bytes as allowed.
    Bytes,
    /// It stood as long as allowed.
    Duration,
    /// A connection that it was on ended.
    Cut,
}

impl Ending {
    /// Every ending.
    pub const ALL: [Self; 4] = [Self::Closed, Self::Bytes, Self::Duration, Self::Cut];

    /// Its name as a label.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Bytes => "bytes",
            Self::Duration => "duration",
            Self::Cut => "cut",
        }
    }

    pub(super) fn of(error: Option<&io::Error>) -> Self {
        match error.map(io::Error::kind) {
            None => Self::Closed,
            Some(io::ErrorKind::TimedOut) => Self::Duration,
            // The library makes this one of a text alone: it has no cause that a connection's end would have.
            Some(io::ErrorKind::Other) if error.is_some_and(is_bytes) => Self::Bytes,
            Some(_) => Self::Cut,
        }
    }
}

fn is_bytes(error: &io::Error) -> bool {
    error.to_string().contains("circuit bytes")
}

/// A gateway's figures since its start.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// Connections that stand.
    pub connections: u64,
    /// Circuits that were opened.
    pub circuits_opened: u64,
    refused: BTreeMap<Refusal, u64>,
    circuits_ended: BTreeMap<Ending, u64>,
    reserved: BTreeSet<PeerId>,
    open: BTreeMap<(PeerId, PeerId), u64>,
}

impl Figures {
    /// Members that have a reservation.
    #[must_use]
    pub fn reservations(&self) -> usize {
        self.reserved.len()
    }

    /// Circuits that stand.
    #[must_use]
    pub fn circuits(&self) -> u64 {
        self.open.values().sum()
    }

    /// How often something was refused for this reason.
    #[must_use]
    pub fn refusals(&self, reason: Refusal) -> u64 {
        self.refused.get(&reason).copied().unwrap_or_default()
    }

    /// How many circuits ended this way.
    #[must_use]
    pub fn endings(&self, ending: Ending) -> u64 {
        self.circuits_ended.get(&ending).copied().unwrap_or_default()
    }

    pub(super) fn refuse(&mut self, reason: Refusal) {
        *self.refused.entry(reason).or_default() += 1;
    }

    pub(super) fn disconnected(&mut self, peer: PeerId, left: u32) {
        self.connections = self.connections.saturating_sub(1);
        if left == 0 {
            self.reserved.remove(&peer);
        }
    }

    pub(super) fn reserved(&mut self, peer: PeerId) {
        self.reserved.insert(peer);
    }

    pub(super) fn unreserved(&mut self, peer: PeerId) {
        self.reserved.remove(&peer);
    }

    pub(super) fn opened(&mut self, source: PeerId, target: PeerId) {
        self.circuits_opened += 1;
        *self.open.entry((source, target)).or_default() += 1;
    }

    /// Counts an end once: the library tells of a cut circuit twice.
    pub(super) fn ended(&mut self, source: PeerId, target: PeerId, ending: Ending) {
        let std::collections::btree_map::Entry::Occupied(mut open) =
            self.open.entry((source, target))
        else {
            return;
        };
        *open.get_mut() -= 1;
        if *open.get() == 0 {
            open.remove();
        }
        *self.circuits_ended.entry(ending).or_default() += 1;
    }
}

#[cfg(test)]
mod tests {
    use libp2p::identity::Keypair;

    use super::*;

    #[test]
    fn a_circuit_that_ends_twice_is_counted_once() {
        let peer = || Keypair::generate_ed25519().public().to_peer_id();
        let (source, target) = (peer(), peer());
        let mut figures = Figures::default();
        figures.opened(source, target);
        assert_eq!(figures.circuits(), 1);
        figures.ended(source, target, Ending::Cut);
        figures.ended(source, target, Ending::Closed);
        assert_eq!(figures.circuits(), 0);
        assert_eq!(figures.circuits_ended, BTreeMap::from([(Ending::Cut, 1)]));
    }
}
