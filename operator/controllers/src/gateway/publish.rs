//! What others are told of our gateways: the details of each peer's vCPU on chain.

use std::collections::BTreeSet;

use coreward_crds::ProviderOffer;
use coreward_domain::chain::{ResourceClass, Snapshot};
use coreward_domain::id::PeerId;
use coreward_domain::offer::WantedResource;
use serde_json::{Map, Value, json};

use super::{Address, count, known};
use crate::context::Context;

/// The key of the details under which gateways stand.
const DETAIL: &str = "gateways";

/// What is known of our gateways, as others reach them.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Known {
    /// There are none.
    None,
    /// There are some, and not each has said who it is.
    InPart,
    /// All of them.
    All(BTreeSet<Address>),
}

/// Puts our gateways into the details of an offer's vCPU, if it publishes them. `peers` are those of the offer.
pub fn publish(
    (context, offer): (&Context, &ProviderOffer),
    snapshot: &Snapshot,
    peers: &[PeerId],
    wanted: &mut [WantedResource],
) {
    if offer.spec.overlay.publish_gateways {
        put(&outside(context), snapshot, peers, wanted);
    }
}

fn outside(context: &Context) -> Known {
    let count = count(context);
    if count == 0 {
        return Known::None;
    }
    let own = known(context).into_iter().filter_map(|(_, report)| {
        let address = Address::parse(report.addresses.first()?)?;
        (address.key.0 == report.key).then_some(address)
    });
    let addresses: BTreeSet<_> = own.collect();
    if addresses.len() == count { Known::All(addresses) } else { Known::InPart }
}

fn put(known: &Known, snapshot: &Snapshot, peers: &[PeerId], wanted: &mut [WantedResource]) {
    for resource in wanted {
        let kind = snapshot.resources.get(&resource.resource);
        if kind.is_none_or(|kind| kind.class != ResourceClass::Vcpu) {
            continue;
        }
        let gateways = match known {
            Known::None => continue,
            Known::All(addresses) => {
                Some(addresses.iter().map(|address| json!(address.to_string())).collect())
            }
            // Those that stand on chain stay: a restart of ours must cost nobody a transaction.
            Known::InPart => peers.iter().find_map(|peer| {
                let peer = snapshot.peers.get(peer)?.as_ref()?;
                object(&peer.resources.get(&resource.resource)?.details)?.remove(DETAIL)
            }),
        };
        resource.details = with_gateways(&resource.details, gateways);
    }
}

fn with_gateways(details: &str, gateways: Option<Value>) -> String {
    match (object(details), gateways) {
        (Some(mut fields), Some(gateways)) => {
            fields.insert(DETAIL.to_owned(), gateways);
            Value::Object(fields).to_string()
        }
        _ => details.to_owned(),
    }
}

fn object(text: &str) -> Option<Map<String, Value>> {
    serde_json::from_str(text).ok()
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{Address as Account, B256};
    use coreward_domain::chain::{Peer, PeerResource, ResourceKind};
    use coreward_domain::id::ResourceId;
    use rstest::rstest;

    use super::*;
    use crate::gateway::tests::key;
    use crate::view::tests::snapshot;

    fn one() -> String {
        format!("/ip4/203.0.113.7/tcp/4001/p2p/{}", key(1))
    }

    fn resource(number: u8) -> ResourceId {
        ResourceId(B256::with_last_byte(number))
    }

    fn peer(number: u8) -> PeerId {
        PeerId(B256::with_last_byte(number))
    }

    /// A market that knows vCPU and storage, with one peer of ours whose vCPU has these details.
    fn market(details: &str) -> Snapshot {
        let kind = |class| ResourceKind { class, metadata: String::new() };
        let vcpu = PeerResource {
            class: ResourceClass::Vcpu,
            details: details.to_owned(),
            available: 2,
            supply: 2,
        };
        let on_chain = Peer {
            offer: B256::ZERO.into(),
            owner: Account::ZERO,
            commitment: None,
            units: [].into(),
            resources: [(resource(1), vcpu)].into(),
        };
        Snapshot {
            peers: [(peer(1), None), (peer(2), Some(on_chain))].into(),
            resources: [
                (resource(1), kind(ResourceClass::Vcpu)),
                (resource(5), kind(ResourceClass::Storage)),
            ]
            .into(),
            ..snapshot()
        }
    }

    fn all() -> Known {
        Known::All(BTreeSet::from([Address::parse(&one()).unwrap()]))
    }

    /// What becomes of the details of the vCPU, where others stand on chain.
    fn details(known: &Known, spec: &str, on_chain: &str) -> String {
        let wanted = |number| WantedResource {
            resource: resource(number),
            details: spec.to_owned(),
            quantity: None,
        };
        let mut resources = [wanted(1), wanted(5), wanted(9)];
        put(known, &market(on_chain), &[peer(1), peer(2), peer(3)], &mut resources);
        let [vcpu, storage, unknown] = resources;
        assert_eq!((storage.details.as_str(), unknown.details.as_str()), (spec, spec));
        vcpu.details
    }

    #[rstest]
    #[case::alone(all(), "{}", "{}", r#"{"gateways":["ONE"]}"#)]
    #[case::beside_other_words(
        all(),
        r#"{"model":"x"}"#,
        "{}",
        r#"{"gateways":["ONE"],"model":"x"}"#
    )]
    #[case::in_place_of_others(all(), "{}", r#"{"gateways":["old"]}"#, r#"{"gateways":["ONE"]}"#)]
    #[case::in_place_of_the_specs(all(), r#"{"gateways":"mine"}"#, "{}", r#"{"gateways":["ONE"]}"#)]
    #[case::not_all_known(Known::InPart, r#"{"model":"x"}"#, "{}", r#"{"model":"x"}"#)]
    #[case::not_all_known_and_some_on_chain(
        Known::InPart,
        r#"{"model":"x"}"#,
        r#"{"gateways":["old"]}"#,
        r#"{"gateways":["old"],"model":"x"}"#
    )]
    #[case::nonsense_on_chain(Known::InPart, "{}", "gateways", "{}")]
    #[case::none_any_more(Known::None, "{}", r#"{"gateways":["old"]}"#, "{}")]
    fn gateways_stand_among_the_details_of_the_vcpu(
        #[case] known: Known,
        #[case] spec: &str,
        #[case] on_chain: &str,
        #[case] expected: &str,
    ) {
        assert_eq!(details(&known, spec, on_chain), expected.replace("ONE", &one()));
    }

    #[test]
    fn what_is_published_is_not_published_again() {
        let first = details(&all(), r#"{"model":"x"}"#, "{}");
        assert_eq!(details(&all(), r#"{"model":"x"}"#, &first), first);
        assert_eq!(details(&Known::InPart, r#"{"model":"x"}"#, &first), first);
    }
}
