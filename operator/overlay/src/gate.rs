//! Which handshakes are begun: bounded by rate and number, with room kept for the addresses of members.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use futures::future::{AbortHandle, AbortRegistration};
use libp2p::PeerId;
use tokio::time::Instant;

/// Handshakes under way of addresses that are no member's; one costs at most 256 KiB, the kernel's buffers included.
pub(crate) const STRANGERS: usize = 64;
/// The same for addresses of members.
pub(crate) const KNOWN: usize = 64;
/// Handshakes that one address may begin.
pub(crate) const PER_SOURCE: Rate = Rate { every: Duration::from_millis(62), burst: 32 };
/// Handshakes that all addresses that are no member's may begin together: an admitted one has a second at least before
/// newer ones can have displaced it.
pub(crate) const OF_STRANGERS: Rate = Rate { every: Duration::from_millis(31), burst: 32 };

/// So many at once, and one more with each interval.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    pub(crate) every: Duration,
    pub(crate) burst: u32,
}

/// When a rate's use is all paid back.
#[derive(Clone, Copy, Debug)]
struct Meter(Instant);

impl Meter {
    fn has_room(self, rate: Rate, now: Instant) -> bool {
        self.0.saturating_duration_since(now) <= rate.every * rate.burst.saturating_sub(1)
    }

    fn take(&mut self, rate: Rate, now: Instant) {
        self.0 = self.0.max(now) + rate.every;
    }
}

/// Where a connection comes from: an address, or a network of IPv6 that one host may own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Source {
    net: IpAddr,
    is_known: bool,
}

#[derive(Debug)]
struct Pending {
    id: u64,
    source: Source,
    abort: AbortHandle,
}

/// Counts handshakes. A member's address gets room that strangers cannot take; where room ends, the address that holds
/// the most loses its oldest handshake, so that silence never keeps a newcomer out.
#[derive(Debug)]
pub(crate) struct Gate {
    listed: BTreeSet<IpAddr>,
    seen: BTreeMap<PeerId, IpAddr>,
    pending: VecDeque<Pending>,
    sources: HashMap<Source, Meter>,
    strangers: Meter,
    next: u64,
}

/// Leave to begin a handshake.
#[derive(Debug)]
pub(crate) struct Admitted {
    pub(crate) id: u64,
    pub(crate) abort: AbortRegistration,
}

impl Gate {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            listed: BTreeSet::new(),
            seen: BTreeMap::new(),
            pending: VecDeque::new(),
            sources: HashMap::new(),
            strangers: Meter(now),
            next: 0,
        }
    }

    /// Replaces the addresses that members are listed with; where former members came from is forgotten.
    pub(crate) fn set_members(&mut self, members: &BTreeMap<PeerId, Vec<IpAddr>>) {
        self.listed = members.values().flatten().map(IpAddr::to_canonical).collect();
        self.seen.retain(|peer, _| members.contains_key(peer));
    }

    /// Remembers where a member came from last: its address may be another than the listed one.
    pub(crate) fn saw(&mut self, member: PeerId, address: IpAddr) {
        self.seen.insert(member, address.to_canonical());
    }

    /// Leave for a handshake from this address; `None` if it is over a rate.
    pub(crate) fn admit(&mut self, address: IpAddr, now: Instant) -> Option<Admitted> {
        let source = self.source(address.to_canonical());
        let mut meter = self.sources.get(&source).copied().unwrap_or(Meter(now));
        if !meter.has_room(PER_SOURCE, now) {
            return None;
        }
        if !source.is_known {
            if !self.strangers.has_room(OF_STRANGERS, now) {
                return None;
            }
            self.strangers.take(OF_STRANGERS, now);
        }
        meter.take(PER_SOURCE, now);
        // Only admissions make entries, and what is paid back goes: the rates bound the table.
        self.sources.retain(|_, meter| meter.0 > now);
        self.sources.insert(source, meter);
        self.make_room(source.is_known);
        self.next += 1;
        let (handle, abort) = AbortHandle::new_pair();
        self.pending.push_back(Pending { id: self.next, source, abort: handle });
        Some(Admitted { id: self.next, abort })
    }

    /// The handshake is over.
    pub(crate) fn leave(&mut self, id: u64) {
        self.pending.retain(|pending| pending.id != id);
    }

    fn source(&self, address: IpAddr) -> Source {
        let is_known =
            self.listed.contains(&address) || self.seen.values().any(|seen| *seen == address);
        let net = match address {
            IpAddr::V6(address) if !is_known => {
                Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into()
            }
            address @ (IpAddr::V4(_) | IpAddr::V6(_)) => address,
        };
        Source { net, is_known }
    }

    fn make_room(&mut self, is_known: bool) {
        let mut held: HashMap<IpAddr, usize> = HashMap::new();
        for pending in self.pending.iter().filter(|pending| pending.source.is_known == is_known) {
            *held.entry(pending.source.net).or_default() += 1;
        }
        if held.values().sum::<usize>() < if is_known { KNOWN } else { STRANGERS } {
            return;
        }
        let greediest = held.into_iter().max_by_key(|(_, count)| *count);
        let oldest = greediest.and_then(|(net, _)| {
            let source = Source { net, is_known };
            self.pending.iter().position(|pending| pending.source == source)
        });
        if let Some(displaced) = oldest.and_then(|position| self.pending.remove(position)) {
            displaced.abort.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMBER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));

    fn address(number: u16) -> IpAddr {
        let [high, low] = number.to_be_bytes();
        IpAddr::from([192, 0, high, low])
    }

    fn gate(now: Instant) -> Gate {
        let mut gate = Gate::new(now);
        gate.set_members(&BTreeMap::from([(PeerId::random(), vec![MEMBER])]));
        gate
    }

    /// Handshakes that are admitted out of so many from these addresses at one moment.
    fn admitted(gate: &mut Gate, from: impl Iterator<Item = IpAddr>, now: Instant) -> usize {
        from.filter_map(|address| gate.admit(address, now)).count()
    }

    #[test]
    fn one_address_is_admitted_at_its_rate() {
        let now = Instant::now();
        let mut gate = gate(now);
        assert_eq!(admitted(&mut gate, [MEMBER; 100].into_iter(), now), 32);
        let later = now + PER_SOURCE.every * 5;
        assert_eq!(admitted(&mut gate, [MEMBER; 100].into_iter(), later), 5);
    }

    #[test]
    fn strangers_together_are_admitted_at_their_rate_and_members_beside_them() {
        let now = Instant::now();
        let mut gate = gate(now);
        assert_eq!(admitted(&mut gate, (0..1000).map(address), now), 32);
        assert!(gate.admit(MEMBER, now).is_some());
    }

    #[test]
    fn an_ipv6_network_is_one_stranger() {
        let now = Instant::now();
        let mut gate = gate(now);
        let from = (0..16).map(|last| IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, last]));
        admitted(&mut gate, from, now);
        assert_eq!(gate.sources.len(), 1);
    }

    #[test]
    fn a_member_that_came_from_elsewhere_is_known_there_until_it_is_removed() {
        let now = Instant::now();
        let mut gate = gate(now);
        let member = PeerId::random();
        gate.set_members(&BTreeMap::from([(member, vec![])]));
        gate.saw(member, address(7));
        assert!(gate.source(address(7)).is_known);
        gate.set_members(&BTreeMap::new());
        assert!(!gate.source(address(7)).is_known);
    }

    #[test]
    fn where_room_ends_the_one_that_holds_the_most_loses_its_oldest() {
        let now = Instant::now();
        let mut gate = gate(now);
        let mut minutes = (0..).map(|minute| now + Duration::from_mins(minute));
        let other = gate.admit(address(1), minutes.next().unwrap()).unwrap();
        let greedy: Vec<_> = minutes
            .by_ref()
            .take(STRANGERS)
            .map(|moment| gate.admit(address(2), moment).unwrap().id)
            .collect();
        let ids: Vec<_> = gate.pending.iter().map(|pending| pending.id).collect();
        assert_eq!(ids.len(), STRANGERS);
        assert!(ids.contains(&other.id));
        assert!(!ids.contains(&greedy[0]));
        gate.leave(other.id);
        assert_eq!(gate.pending.len(), STRANGERS - 1);
    }

    #[test]
    fn the_table_of_sources_holds_only_what_is_not_paid_back() {
        let start = Instant::now();
        let mut gate = gate(start);
        for number in 0..10_000_u16 {
            let now = start + OF_STRANGERS.every * u32::from(number);
            assert!(gate.admit(address(number), now).is_some());
        }
        assert!(gate.sources.len() <= 4, "{}", gate.sources.len());
    }
}
