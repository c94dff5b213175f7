//! Which addresses a bed takes: three ranges that no other bed of this machine has.

use std::net::{Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

/// Beds that one machine can hold.
const SLOTS: u8 = 64;

/// The addresses of one bed, all made from its slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addresses {
    slot: u8,
}

impl Addresses {
    /// The slot that a name suggests, or the next that is not taken.
    #[must_use]
    pub fn choose(name: &str, taken: impl Fn(Self) -> bool) -> Option<Self> {
        let sum: u32 = name
            .bytes()
            .map(u32::from)
            .fold(0, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte));
        let first = u8::try_from(sum % u32::from(SLOTS)).unwrap_or_default();
        (0..SLOTS)
            .map(|offset| Self { slot: (first + offset) % SLOTS })
            .find(|candidate| !taken(*candidate))
    }

    /// Whether an address lies in one of the three ranges.
    #[must_use]
    pub fn contain(self, address: Ipv4Addr) -> bool {
        let [first, second, third, _] = address.octets();
        match first {
            172 => second == 30 && third == self.slot,
            10 => second == 128 + self.slot || second == 192 + self.slot,
            _ => false,
        }
    }

    /// The control plane: API server, chain, gateway.
    #[must_use]
    pub fn control(self) -> Ipv4Addr {
        Ipv4Addr::new(172, 30, self.slot, 1)
    }

    /// The control plane's second address, in beds of both IP families.
    #[must_use]
    pub fn control_v6(self) -> Ipv6Addr {
        Ipv6Addr::new(0xfd30, 0, 0, u16::from(self.slot), 0, 0, 0, 1)
    }

    /// This machine, as the bed sees it.
    #[must_use]
    pub fn machine(self) -> Ipv4Addr {
        Ipv4Addr::new(172, 30, self.slot, 254)
    }

    /// The n-th node, from 1.
    #[must_use]
    pub fn node(self, number: u8) -> Ipv4Addr {
        Ipv4Addr::new(172, 30, self.slot, 10 + number)
    }

    /// The n-th node's second address, in beds of both IP families.
    #[must_use]
    pub fn node_v6(self, number: u8) -> Ipv6Addr {
        let number = u16::from(10 + number);
        Ipv6Addr::new(0xfd30, 0, 0, u16::from(self.slot), 0, 0, 0, number)
    }

    /// The range of pods of the n-th node.
    #[must_use]
    pub fn pods_of(self, number: u8) -> String {
        format!("10.{}.{number}.0/24", 128 + self.slot)
    }

    /// The second range of pods of the n-th node.
    #[must_use]
    pub fn pods_v6_of(self, number: u8) -> String {
        format!("fd44:0:0:{:x}{number:02x}::/64", self.slot)
    }

    /// The range of all pods.
    #[must_use]
    pub fn pods(self) -> String {
        format!("10.{}.0.0/16", 128 + self.slot)
    }

    /// The second range of all pods.
    #[must_use]
    pub fn pods_v6(self) -> String {
        format!("fd44:0:0:{:x}00::/56", self.slot)
    }

    /// The range of the cluster's Services.
    #[must_use]
    pub fn services(self) -> String {
        format!("10.{}.0.0/16", 192 + self.slot)
    }

    /// The second range of the cluster's Services.
    #[must_use]
    pub fn services_v6(self) -> String {
        format!("fd96::{:x}:0/112", self.slot)
    }

    /// The Service of the API server: the first of the range.
    #[must_use]
    pub fn api_service(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 192 + self.slot, 0, 1)
    }

    /// The Service of the cluster's DNS.
    #[must_use]
    pub fn dns_service(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 192 + self.slot, 0, 10)
    }

    /// The API server, for everyone.
    #[must_use]
    pub fn api_server(self) -> String {
        format!("https://{}:6443", self.control())
    }

    /// The chain's RPC endpoint, for everyone.
    #[must_use]
    pub fn chain(self) -> String {
        let (host, port) = self.chain_socket();
        format!("http://{host}:{port}")
    }

    /// Where the chain's RPC endpoint listens.
    #[must_use]
    pub fn chain_socket(self) -> (Ipv4Addr, u16) {
        (self.control(), 8545)
    }

    /// The IPFS gateway, for everyone.
    #[must_use]
    pub fn gateway(self) -> String {
        format!("http://{}:8088", self.control())
    }
}

#[cfg(test)]
mod tests {
    use super::Addresses;

    #[test]
    fn a_second_bed_of_the_same_name_gets_other_ranges() {
        let first = Addresses::choose("demo", |_| false).unwrap();
        let second = Addresses::choose("demo", |candidate| candidate == first).unwrap();
        assert_ne!(first.pods(), second.pods());
        assert_ne!(first.services(), second.services());
        assert_ne!(first.control(), second.control());
    }

    #[test]
    fn a_bed_contains_its_own_addresses_and_no_neighbours() {
        let bed = Addresses::choose("demo", |_| false).unwrap();
        let other = Addresses::choose("demo", |candidate| candidate == bed).unwrap();
        assert!(bed.contain(bed.control()) && bed.contain(bed.dns_service()));
        assert!(!bed.contain(other.control()) && !bed.contain(other.dns_service()));
    }

    #[test]
    fn a_full_machine_gives_none() {
        assert_eq!(Addresses::choose("demo", |_| true), None);
    }
}
