//! Two objects that want the same thing: the oldest has it.

use std::collections::BTreeSet;

use coreward_crds::ProviderOffer;
use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;

use crate::config::Config;
use crate::offer::resolve::resolve;

/// What an offer may not have, since an older one has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    /// Nodes of older offers.
    pub nodes: BTreeSet<String>,
    /// What is contested, in words; empty if nothing is.
    pub conflict: String,
    /// The object that has the offer on chain which this one names.
    pub taken_by: Option<String>,
}

/// Compares an offer with all others that are sound: a bad object takes nothing from others. Nodes are the older object's; an
/// offer on chain is the object's whose peers are in it (`holds`), and the older one's where neither has any.
#[must_use]
pub fn claims(
    offer: &ProviderOffer,
    all: &[&ProviderOffer],
    nodes: &[&Node],
    config: &Config,
    holds: &dyn Fn(&ProviderOffer, &str) -> bool,
) -> Claims {
    let others =
        all.iter().filter(|other| age(other) != age(offer) && resolve(other, config).is_ok());
    let mut claims = Claims::default();
    for other in others {
        let path = format!("{}/{}", other.namespace().unwrap_or_default(), other.name_any());
        let is_older = age(other) < age(offer);
        if let Some(id) = shared_id(offer, other)
            && !holds(offer, &id)
            && (is_older || holds(other, &id))
        {
            claims.taken_by = Some(path.clone());
        }
        if !is_older {
            continue;
        }
        let taken: Vec<_> =
            nodes.iter().filter(|node| selects(offer, node) && selects(other, node)).collect();
        if let Some(node) = taken.first() {
            claims.conflict = format!(
                "spec.capacity.nodeSelector: node {} belongs to the older offer {path}",
                node.name_any()
            );
        }
        claims.nodes.extend(taken.iter().map(|node| node.name_any()));
    }
    claims
}

fn age(offer: &ProviderOffer) -> (Option<i64>, String, String) {
    let created = offer.metadata.creation_timestamp.as_ref().map(|time| time.0.as_second());
    (created, offer.namespace().unwrap_or_default(), offer.name_any())
}

/// The offer on chain that both objects name.
fn shared_id(one: &ProviderOffer, other: &ProviderOffer) -> Option<String> {
    let id = |offer: &ProviderOffer| {
        let known = offer.status.as_ref().and_then(|status| status.offer_id.clone());
        let named = Some(offer.spec.offer_id.clone()).filter(|id| !id.is_empty());
        named.or(known).map(|id| id.to_lowercase())
    };
    id(one).filter(|shared| {
        one.spec.network == other.spec.network && id(other).as_ref() == Some(shared)
    })
}

/// Whether an offer's selector names a node.
#[must_use]
pub fn selects(offer: &ProviderOffer, node: &Node) -> bool {
    let wanted = &offer.spec.capacity.node_selector.match_labels;
    !wanted.is_empty() && wanted.iter().all(|(key, value)| node.labels().get(key) == Some(value))
}

#[cfg(test)]
#[path = "claim_tests.rs"]
mod tests;
