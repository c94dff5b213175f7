//! Where a gateway is, as it stands on chain and in duties.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use coreward_domain::id::PeerId;
use ed25519_dalek::VerifyingKey;

use crate::identity;

/// Ranges of IPv4 that are not of the public internet.
pub const PRIVATE: [(Ipv4Addr, u8); 10] = [
    (Ipv4Addr::UNSPECIFIED, 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    (Ipv4Addr::new(240, 0, 0, 0), 4),
];

/// A gateway's address and key; shown as `/ip4/<address>/tcp/<port>/p2p/<key>`, or with `ip6`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    /// Where it is dialled.
    pub at: SocketAddr,
    /// What it proves to be.
    pub key: PeerId,
}

impl Address {
    /// Reads the text of one; `None` for anything else, port 0 and keys that are none included.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let parts: Vec<_> = text.split('/').collect();
        let ["", family, ip, "tcp", port, "p2p", key] = parts[..] else { return None };
        let ip = match family {
            "ip4" => IpAddr::V4(ip.parse().ok()?),
            "ip6" => IpAddr::V6(ip.parse().ok()?),
            _ => return None,
        };
        let port = port.parse().ok().filter(|port| *port != 0)?;
        let key = identity::parsed(key)?;
        VerifyingKey::from_bytes(&key.0.0).ok()?;
        Some(Self { at: SocketAddr::new(ip, port), key })
    }

    /// Whether it may be a gateway of somebody else: workers judge it again, by stricter rules, before they dial.
    #[must_use]
    pub fn is_public(self) -> bool {
        match self.at.ip() {
            IpAddr::V4(ip) => !PRIVATE.iter().any(|range| is_within(ip, *range)),
            // Global unicast; the rest is of links, sites, groups, or an IPv4 address in a coat.
            IpAddr::V6(ip) => ip.segments()[0] & 0xe000 == 0x2000,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let family = if self.at.is_ipv4() { "ip4" } else { "ip6" };
        let (ip, port) = (self.at.ip(), self.at.port());
        write!(formatter, "/{family}/{ip}/tcp/{port}/p2p/{}", identity::text(self.key))
    }
}

fn is_within(ip: Ipv4Addr, (start, bits): (Ipv4Addr, u8)) -> bool {
    let shift = 32_u32.saturating_sub(bits.into());
    ip.to_bits().checked_shr(shift) == start.to_bits().checked_shr(shift)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::gateway::tests::key;

    #[rstest]
    #[case::four("/ip4/1.1.1.1/tcp/4001/p2p/KEY", true)]
    #[case::four_private("/ip4/10.1.2.3/tcp/4001/p2p/KEY", false)]
    #[case::four_shared("/ip4/100.127.0.1/tcp/4001/p2p/KEY", false)]
    #[case::four_beside_the_shared("/ip4/100.128.0.1/tcp/4001/p2p/KEY", true)]
    #[case::metadata("/ip4/169.254.169.254/tcp/80/p2p/KEY", false)]
    #[case::broadcast("/ip4/255.255.255.255/tcp/4001/p2p/KEY", false)]
    #[case::six("/ip6/2606:4700:4700::1111/tcp/30401/p2p/KEY", true)]
    #[case::six_local("/ip6/::1/tcp/4001/p2p/KEY", false)]
    #[case::six_of_a_site("/ip6/fd00::1/tcp/4001/p2p/KEY", false)]
    fn an_address_is_read_and_written_alike(#[case] text: &str, #[case] public: bool) {
        let text = text.replace("KEY", &key(1));
        let address = Address::parse(&text).unwrap();
        assert_eq!(address.to_string(), text);
        assert_eq!(address.is_public(), public);
    }

    #[rstest]
    #[case::no_key("/ip4/1.1.1.1/tcp/4001")]
    #[case::an_empty_key("/ip4/1.1.1.1/tcp/4001/p2p/")]
    #[case::a_key_of_another_kind(
        "/ip4/1.1.1.1/tcp/4001/p2p/QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N"
    )]
    #[case::no_number("/ip4/1.1.1.1/tcp/x/p2p/KEY")]
    #[case::no_port("/ip4/1.1.1.1/tcp/0/p2p/KEY")]
    #[case::beyond_all_ports("/ip4/1.1.1.1/tcp/70000/p2p/KEY")]
    #[case::a_name("/dns4/gateway.example/tcp/4001/p2p/KEY")]
    #[case::udp("/ip4/1.1.1.1/udp/4001/p2p/KEY")]
    #[case::a_range("/ip4/1.1.1.0%2F24/tcp/4001/p2p/KEY")]
    #[case::six_as_four("/ip4/::1/tcp/4001/p2p/KEY")]
    #[case::a_circuit("/ip4/1.1.1.1/tcp/4001/p2p/KEY/p2p-circuit")]
    #[case::nothing("")]
    fn anything_else_is_none(#[case] text: &str) {
        assert_eq!(Address::parse(&text.replace("KEY", &key(1))), None);
    }

    #[test]
    fn a_key_that_is_no_point_is_none() {
        // No point of the curve has this encoding.
        let mut key = [0; 32];
        key[0] = 2;
        let key = identity::text(PeerId(key.into()));
        assert_eq!(Address::parse(&format!("/ip4/1.1.1.1/tcp/4001/p2p/{key}")), None);
    }
}
