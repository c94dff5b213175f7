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
}

/// Compares an offer with all older ones that are sound: a bad object takes nothing from others.
#[must_use]
pub fn claims(
    offer: &ProviderOffer,
    all: &[&ProviderOffer],
    nodes: &[&Node],
    config: &Config,
) -> Claims {
    let older =
        all.iter().filter(|other| age(other) < age(offer) && resolve(other, config).is_ok());
    let mut claims = Claims::default();
    for other in older {
        let path = format!("{}/{}", other.namespace().unwrap_or_default(), other.name_any());
        let taken: Vec<_> =
            nodes.iter().filter(|node| selects(offer, node) && selects(other, node)).collect();
        if let Some(node) = taken.first() {
            claims.conflict = format!(
                "spec.capacity.nodeSelector: node {} belongs to the older offer {path}",
                node.name_any()
            );
        }
        claims.nodes.extend(taken.iter().map(|node| node.name_any()));
        if shares_id(offer, other) {
            claims.conflict = format!("spec.offerID: the offer belongs to the older object {path}");
        }
    }
    claims
}

fn age(offer: &ProviderOffer) -> (Option<i64>, String, String) {
    let created = offer.metadata.creation_timestamp.as_ref().map(|time| time.0.as_second());
    (created, offer.namespace().unwrap_or_default(), offer.name_any())
}

fn shares_id(one: &ProviderOffer, other: &ProviderOffer) -> bool {
    let id = |offer: &ProviderOffer| {
        let known = offer.status.as_ref().and_then(|status| status.offer_id.clone());
        let named = Some(offer.spec.offer_id.clone()).filter(|id| !id.is_empty());
        named.or(known).map(|id| id.to_lowercase())
    };
    one.spec.network == other.spec.network && id(one).is_some() && id(one) == id(other)
}

/// Whether an offer's selector names a node.
#[must_use]
pub fn selects(offer: &ProviderOffer, node: &Node) -> bool {
    let wanted = &offer.spec.capacity.node_selector.match_labels;
    !wanted.is_empty() && wanted.iter().all(|(key, value)| node.labels().get(key) == Some(value))
}
