//! Names under `subnet.internal`.

use alloy_primitives::{B256, U256};

use crate::orders;

/// The zone of a deal's subnet.
const ZONE: &str = "subnet.internal";

/// What a host name means to a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    /// `subnet.internal`: answered by the host.
    Subnet,
    /// `self.subnet.internal`.
    Itself,
    /// `<id in decimal>.subnet.internal`.
    Worker(B256),
    /// In the zone, but none of the above.
    Unknown,
    /// Not in the zone.
    Outside,
}

impl Name {
    /// Reads a host name without a port; case and one dot at the end do not matter.
    pub(crate) fn of(host: &str) -> Self {
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        if host == ZONE {
            return Self::Subnet;
        }
        let Some(label) = host.strip_suffix(ZONE).and_then(|rest| rest.strip_suffix('.')) else {
            return Self::Outside;
        };
        if label == "self" {
            return Self::Itself;
        }
        let digits = !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_digit());
        let number = U256::from_str_radix(label, 10).ok().filter(|_| digits);
        // One worker has one name: no leading zeros.
        let id = number.map(B256::from).filter(|id| orders::decimal(*id) == label);
        id.map_or(Self::Unknown, Self::Worker)
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::B256;
    use rstest::rstest;

    use super::Name;

    #[rstest]
    #[case::the_zone("subnet.internal", Name::Subnet)]
    #[case::itself("self.subnet.internal", Name::Itself)]
    #[case::a_worker("7.subnet.internal", Name::Worker(B256::with_last_byte(7)))]
    #[case::a_worker_in_capitals_with_a_dot("258.Subnet.INTERNAL.", Name::Worker(B256::left_padding_from(&[1, 2])))]
    #[case::leading_zeros("007.subnet.internal", Name::Unknown)]
    #[case::a_word("seven.subnet.internal", Name::Unknown)]
    #[case::a_sign("+7.subnet.internal", Name::Unknown)]
    #[case::two_labels("7.7.subnet.internal", Name::Unknown)]
    #[case::nothing_before_the_dot(".subnet.internal", Name::Unknown)]
    #[case::more_than_a_word(
        "115792089237316195423570985008687907853269984665640564039457584007913129639936.subnet.internal",
        Name::Unknown
    )]
    #[case::another_zone("example.com", Name::Outside)]
    #[case::a_name_that_only_ends_alike("notsubnet.internal", Name::Outside)]
    fn means(#[case] host: &str, #[case] name: Name) {
        assert_eq!(Name::of(host), name);
    }
}
