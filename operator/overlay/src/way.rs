//! How a member is reached: directly, or through a gateway.

use std::net::IpAddr;

use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};

use crate::admission::ip_of;
use crate::internet::is_public;

/// A relay that admits the members of a subnet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Gateway {
    pub(crate) peer: PeerId,
    ip: IpAddr,
    port: u16,
}

impl Gateway {
    /// Reads `/ip4/<address>/tcp/<port>/p2p/<key>` or the same with `ip6`; nothing else names a gateway.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let address: Multiaddr = text.parse().ok()?;
        let parts: Vec<_> = address.iter().collect();
        Self::read(&parts)
    }

    fn read(parts: &[Protocol<'_>]) -> Option<Self> {
        let [ip, Protocol::Tcp(port), Protocol::P2p(peer)] = parts else { return None };
        let ip = if let Protocol::Ip4(ip) = ip {
            IpAddr::V4(*ip)
        } else if let Protocol::Ip6(ip) = ip {
            IpAddr::V6(*ip)
        } else {
            return None;
        };
        Some(Self { peer: *peer, ip, port: *port })
    }

    /// Where it listens, without its key.
    pub(crate) fn address(&self) -> Multiaddr {
        Multiaddr::from(self.ip).with(Protocol::Tcp(self.port))
    }

    /// What to listen on to be reached through it, and what to dial for `/p2p/<member>` behind it.
    pub(crate) fn circuit(&self) -> Multiaddr {
        self.address().with(Protocol::P2p(self.peer)).with(Protocol::P2pCircuit)
    }
}

/// One way to a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// The operator knows where the member is.
    Direct(Multiaddr),
    /// Somebody else's word: no more is taken from it than a gateway's address and key.
    Through(Gateway),
}

impl Way {
    /// Reads one address of `member`; `None` if it is none, or one of somebody else.
    pub(crate) fn parse(text: &str, member: PeerId) -> Option<Self> {
        let address: Multiaddr = text.parse().ok()?;
        let parts: Vec<_> = address.iter().collect();
        let Some(circuit) = parts.iter().position(|part| *part == Protocol::P2pCircuit) else {
            return Some(Self::Direct(address.clone()));
        };
        let (gateway, rest) = parts.split_at(circuit);
        match rest {
            [_] => {}
            [_, Protocol::P2p(target)] if *target == member => {}
            _ => return None,
        }
        Gateway::read(gateway).map(Self::Through)
    }

    /// Where the member itself is, if this way leads straight to it.
    pub(crate) fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Direct(address) => ip_of(address),
            Self::Through(_) => None,
        }
    }

    /// Whether it may be dialled: a foreign gateway only at an address of the public internet, unless `private` ones are
    /// allowed too.
    pub(crate) fn is_allowed(&self, private: bool) -> bool {
        match self {
            Self::Direct(_) => true,
            Self::Through(gateway) => private || is_public(gateway.ip),
        }
    }
}

#[cfg(test)]
mod tests {
    use libp2p::identity::Keypair;
    use rstest::rstest;

    use super::*;

    fn peer() -> PeerId {
        Keypair::generate_ed25519().public().to_peer_id()
    }

    #[rstest]
    #[case::public_4("/ip4/1.1.1.1/tcp/4001", true)]
    #[case::public_6("/ip6/2606:4700:4700::1111/tcp/4001", true)]
    #[case::private_10("/ip4/10.0.0.1/tcp/4001", false)]
    #[case::private_172("/ip4/172.31.0.1/tcp/4001", false)]
    #[case::private_192("/ip4/192.168.0.1/tcp/4001", false)]
    #[case::carrier("/ip4/100.64.0.1/tcp/4001", false)]
    #[case::loopback("/ip4/127.0.0.1/tcp/4001", false)]
    #[case::metadata("/ip4/169.254.169.254/tcp/80", false)]
    #[case::multicast("/ip4/224.0.0.1/tcp/4001", false)]
    #[case::broadcast("/ip4/255.255.255.255/tcp/4001", false)]
    #[case::loopback_6("/ip6/::1/tcp/4001", false)]
    #[case::unspecified_6("/ip6/::/tcp/4001", false)]
    #[case::unique_local("/ip6/fd00::1/tcp/4001", false)]
    #[case::link_local("/ip6/fe80::1/tcp/4001", false)]
    #[case::mapped("/ip6/::ffff:10.0.0.1/tcp/4001", false)]
    #[case::nat64("/ip6/64:ff9b::a00:1/tcp/4001", false)]
    #[case::documentation("/ip6/2001:db8::1/tcp/4001", false)]
    fn a_foreign_gateway_is_dialled_in_public_ranges_unless_configured(
        #[case] at: &str,
        #[case] public: bool,
    ) {
        let (gateway, member) = (peer(), peer());
        let text = format!("{at}/p2p/{gateway}/p2p-circuit/p2p/{member}");
        let way = Way::parse(&text, member).unwrap();
        assert_eq!(way.is_allowed(false), public);
        assert!(way.is_allowed(true));
        // The gate must not take a gateway's address for the member's.
        assert_eq!((way.ip(), ip_of(&text.parse().unwrap())), (None, None));
    }

    #[test]
    fn the_operators_own_word_is_taken_in_all_ranges() {
        let way = Way::parse("/ip4/10.244.1.7/tcp/4001", peer()).unwrap();
        assert!(matches!(way, Way::Direct(_)) && way.is_allowed(false));
    }

    #[rstest]
    #[case::no_key("/ip4/1.1.1.1/tcp/4001/p2p-circuit")]
    #[case::no_address("/p2p/{gateway}/p2p-circuit")]
    #[case::a_name("/dns4/gateway.example/tcp/4001/p2p/{gateway}/p2p-circuit")]
    #[case::not_tcp("/ip4/1.1.1.1/udp/4001/quic-v1/p2p/{gateway}/p2p-circuit")]
    #[case::two_circuits(
        "/ip4/1.1.1.1/tcp/4001/p2p/{gateway}/p2p-circuit/p2p/{gateway}/p2p-circuit"
    )]
    #[case::another_member("/ip4/1.1.1.1/tcp/4001/p2p/{gateway}/p2p-circuit/p2p/{gateway}")]
    #[case::nonsense("gateway")]
    fn anything_else_is_no_way_through_a_gateway(#[case] text: &str) {
        let text = text.replace("{gateway}", &peer().to_string());
        assert_eq!(Way::parse(&text, peer()), None, "{text}");
    }

    #[test]
    fn a_gateway_is_an_address_and_a_key() {
        let text = format!("/ip4/10.0.0.9/tcp/4001/p2p/{}", peer());
        let gateway = Gateway::parse(&text).unwrap();
        assert_eq!(gateway.circuit().to_string(), format!("{text}/p2p-circuit"));
        assert_eq!(Gateway::parse("/ip4/10.0.0.9/tcp/4001"), None);
    }
}
