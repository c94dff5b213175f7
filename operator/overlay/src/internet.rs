//! Which addresses are on the public internet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether an address is of this host or its link: nothing that a component may ever reach, whatever name leads there.
/// The metadata services of clouds are link-local.
#[must_use]
pub fn is_of_host_or_link(address: IpAddr) -> bool {
    match canonical(address) {
        IpAddr::V4(v4) => {
            v4.is_loopback()
                || v4.is_link_local()
                || v4.is_unspecified()
                || v4.is_broadcast()
                || v4.is_multicast()
                || v4.octets()[0] == 0
        }
        IpAddr::V6(v6) => {
            // fd00:ec2::/32 is where one cloud answers for metadata.
            v6.is_loopback()
                || v6.is_unicast_link_local()
                || v6.is_unspecified()
                || v6.is_multicast()
                || v6.segments()[..2] == [0xfd00, 0x0ec2]
        }
    }
}

/// Whether an address is one of the public internet.
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    if is_of_host_or_link(address) {
        return false;
    }
    match canonical(address) {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

/// An IPv4 address in an IPv6 coat is judged as what it is.
fn canonical(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let segments = v6.segments();
    let [.., a, b, c, d] = v6.octets();
    match segments {
        // Mapped and compatible; NAT64; 6to4.
        [0, 0, 0, 0, 0, 0xffff, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => {
            IpAddr::V4(Ipv4Addr::new(a, b, c, d))
        }
        [0, 0, 0, 0, 0, 0, high, _] if high != 0 => IpAddr::V4(Ipv4Addr::new(a, b, c, d)),
        [0x2002, high, low, ..] => {
            IpAddr::V4(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)))
        }
        _ => address,
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let shared = a == 100 && (64..128).contains(&b);
    let protocol = a == 192 && b == 0 && c == 0;
    let benchmark = a == 198 && (b == 18 || b == 19);
    !(address.is_private()
        || address.is_documentation()
        || shared
        || protocol
        || benchmark
        || a >= 240)
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    let global_unicast = segments[0] & 0xe000 == 0x2000;
    let documentation =
        (segments[0] == 0x2001 && segments[1] == 0xdb8) || segments[0] & 0xfff0 == 0x3ff0;
    // 2001::/23 is for protocols (Teredo and others that hold further addresses).
    let protocol = segments[0] == 0x2001 && segments[1] < 0x200;
    global_unicast && !documentation && !protocol
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::{is_of_host_or_link, is_public};

    #[rstest]
    #[case("1.1.1.1")]
    #[case("8.8.8.8")]
    #[case("2606:4700:4700::1111")]
    #[case("::ffff:1.1.1.1")]
    fn public(#[case] address: &str) {
        assert!(is_public(address.parse().unwrap()));
    }

    #[rstest]
    #[case::this_host("127.0.0.1")]
    #[case::this_host_mapped("::ffff:127.0.0.1")]
    #[case::this_host_6("::1")]
    #[case::no_address("0.0.0.0")]
    #[case::this_network("0.1.2.3")]
    #[case::cloud_metadata("169.254.169.254")]
    #[case::cloud_metadata_mapped("::ffff:169.254.169.254")]
    #[case::cloud_metadata_by_nat64("64:ff9b::a9fe:a9fe")]
    #[case::cloud_metadata_6("fd00:ec2::254")]
    #[case::link_6("fe80::1")]
    #[case::many("224.0.0.1")]
    #[case::many_6("ff02::1")]
    fn never_reached(#[case] address: &str) {
        assert!(is_of_host_or_link(address.parse().unwrap()));
        assert!(!is_public(address.parse().unwrap()));
    }

    #[rstest]
    #[case::private_10("10.1.2.3")]
    #[case::private_172("172.16.0.1")]
    #[case::private_192("192.168.1.1")]
    #[case::private_mapped("::ffff:10.0.0.1")]
    #[case::private_by_6to4("2002:0a00:0001::")]
    #[case::shared("100.64.0.1")]
    #[case::reserved("240.0.0.1")]
    #[case::unique_local("fd12::1")]
    #[case::documentation("2001:db8::1")]
    #[case::teredo("2001:0:0:1::1")]
    fn private(#[case] address: &str) {
        let address = address.parse().unwrap();
        assert!(!is_public(address));
        assert!(!is_of_host_or_link(address));
    }
}
