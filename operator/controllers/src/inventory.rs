//! Whether units, identities and pods fit together, by these objects alone. What does not fit for long is a mistake of ours.

use std::collections::{BTreeMap, BTreeSet};

use coreward_crds::CapacityUnit;
use coreward_domain::id::UnitId;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;

use crate::identity;
use crate::labels::OfferKey;
use crate::pods::{Pod, fact};

/// How many do not fit, by what is wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mismatches {
    /// Units whose peer has no identity.
    pub units_without_peer: usize,
    /// Units that a pod holds and that have no object.
    pub units_without_object: usize,
    /// Units that more than one pod holds: so it is while a peer moves.
    pub units_held_twice: usize,
}

impl Mismatches {
    /// Each with its label.
    #[must_use]
    pub const fn labelled(&self) -> [(&'static str, usize); 3] {
        [
            ("unit_without_peer", self.units_without_peer),
            ("unit_without_object", self.units_without_object),
            ("unit_held_twice", self.units_held_twice),
        ]
    }
}

/// Compares what there is.
pub fn mismatches<'a>(
    units: impl Iterator<Item = &'a CapacityUnit>,
    identities: impl Iterator<Item = &'a Secret>,
    pods: impl Iterator<Item = &'a Pod>,
) -> Mismatches {
    let peers: BTreeSet<_> = identities.filter_map(identity::peer_text).collect();
    let mut objects = BTreeSet::new();
    let mut units_without_peer = 0;
    for unit in units {
        units_without_peer += usize::from(!peers.contains(unit.spec.peer_id.as_str()));
        objects.insert((unit.namespace().unwrap_or_default(), unit.name_any()));
    }
    let holders = holders(pods);
    let has_object = |(key, unit): &&(OfferKey, UnitId)| {
        objects.contains(&(key.namespace.clone(), key.unit_name(*unit)))
    };
    Mismatches {
        units_without_peer,
        units_without_object: holders.keys().filter(|held| !has_object(held)).count(),
        units_held_twice: holders.values().filter(|count| **count > 1).count(),
    }
}

/// How many pods hold each unit; one that is going or has ended counts no more.
fn holders<'a>(pods: impl Iterator<Item = &'a Pod>) -> BTreeMap<(OfferKey, UnitId), usize> {
    let mut holders = BTreeMap::new();
    for pod in pods.filter(|pod| fact::is_to_stay(pod)) {
        let (Some(key), Some(role)) = (OfferKey::of_labels(pod), fact::role(pod)) else { continue };
        for unit in role.units() {
            *holders.entry((key.clone(), unit)).or_default() += 1;
        }
    }
    holders
}

#[cfg(test)]
mod tests {
    use alloy_primitives::B256;
    use coreward_domain::id::PeerId;
    use serde_json::json;

    use super::*;

    const PEER: PeerId = PeerId(B256::repeat_byte(7));

    fn key() -> OfferKey {
        OfferKey { namespace: "provider".into(), name: "fra1".into() }
    }

    fn unit_id(byte: u8) -> UnitId {
        UnitId(B256::repeat_byte(byte))
    }

    fn unit(byte: u8) -> CapacityUnit {
        let id = unit_id(byte);
        serde_json::from_value(json!({
            "metadata": { "namespace": "provider", "name": key().unit_name(id) },
            "spec": {
                "unitID": id.to_string(), "peerID": identity::text(PEER),
                "offerRef": { "name": "fra1" },
            },
        }))
        .unwrap()
    }

    fn peer() -> Secret {
        identity::adopted_secret(&key(), ("n1", 0), PEER, [1; 32])
    }

    fn pod(bytes: &[u8], phase: &str) -> Pod {
        let units: Vec<_> = bytes.iter().map(|byte| unit_id(*byte).to_string()).collect();
        let component = if units.len() == 1 { "prover" } else { "worker" };
        serde_json::from_value(json!({
            "metadata": {
                "labels": {
                    "coreward.dev/component": component,
                    "coreward.dev/offer": "fra1", "coreward.dev/offer-namespace": "provider",
                },
                "annotations": {
                    "coreward.dev/unit-id": units.join(","),
                    "coreward.dev/deal": alloy_primitives::Address::ZERO.to_string(),
                    "coreward.dev/worker-id": B256::ZERO.to_string(),
                },
            },
            "status": { "phase": phase },
        }))
        .unwrap()
    }

    fn going(mut pod: Pod) -> Pod {
        let now = jiff::Timestamp::from_second(1).unwrap();
        let now = k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(now);
        pod.metadata.deletion_timestamp = Some(now);
        pod
    }

    const NONE: Mismatches =
        Mismatches { units_without_peer: 0, units_without_object: 0, units_held_twice: 0 };

    #[rstest::rstest]
    #[case::all_fits(vec![unit(1), unit(2)], vec![pod(&[1], "Running"), pod(&[2], "Pending")], NONE)]
    #[case::a_unit_without_a_pod_is_spare(vec![unit(1)], vec![], NONE)]
    #[case::a_worker_of_two(vec![unit(1), unit(2)], vec![pod(&[1, 2], "Running")], NONE)]
    #[case::a_pod_without_its_unit(vec![unit(1)], vec![pod(&[1, 2], "Running")], Mismatches { units_without_object: 1, ..NONE })]
    #[case::two_pods_for_a_unit(vec![unit(1), unit(2)], vec![pod(&[1], "Running"), pod(&[1, 2], "Pending")], Mismatches { units_held_twice: 1, ..NONE })]
    #[case::one_that_goes(vec![unit(1)], vec![pod(&[1], "Running"), going(pod(&[1], "Running"))], NONE)]
    #[case::one_that_has_ended(vec![unit(1)], vec![pod(&[1], "Running"), pod(&[1], "Failed")], NONE)]
    fn units_and_pods_are_compared(
        #[case] units: Vec<CapacityUnit>,
        #[case] pods: Vec<Pod>,
        #[case] expected: Mismatches,
    ) {
        assert_eq!(mismatches(units.iter(), [peer()].iter(), pods.iter()), expected);
    }

    #[test]
    fn a_unit_of_a_peer_without_identity_is_counted() {
        let found = mismatches([unit(1)].iter(), [].iter(), [].iter());
        assert_eq!(found, Mismatches { units_without_peer: 1, ..NONE });
    }
}
