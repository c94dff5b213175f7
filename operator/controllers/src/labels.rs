//! The words that we put on objects, and names that follow from what an object is for.

use std::collections::BTreeMap;

use alloy_primitives::Address;
use coreward_domain::id::UnitId;
use kube::ResourceExt;
use sha2::{Digest, Sha256};

use crate::stores::{COMPONENT_LABEL, MANAGED_LABEL, MANAGED_VALUE};

/// Name of the offer that an object belongs to.
pub const OFFER: &str = "coreward.dev/offer";
/// Namespace of that offer.
pub const OFFER_NAMESPACE: &str = "coreward.dev/offer-namespace";
/// Hash of the template that a pod or child was made from.
pub const TEMPLATE: &str = "coreward.dev/template";
/// Whether the standing budget keeps a pod from eviction.
pub const EVICT: &str = "coreward.dev/evict";
/// Its value on a pod that is kept.
pub const HOLD: &str = "hold";
/// Its value on a pod that may be evicted.
pub const LET_GO: &str = "let-go";
/// On a deal's namespace: the deal's address, the same in the namespaces of all offers that serve it.
pub const DEAL: &str = "coreward.dev/deal";
/// On a worker's pod and Service: its seat, in decimal.
pub const WORKER: &str = "coreward.dev/worker";
/// Annotation: units of a pod, full hex, separated by commas.
pub const UNIT_ID: &str = "coreward.dev/unit-id";
/// Annotation: the seat, full hex.
pub const WORKER_ID: &str = "coreward.dev/worker-id";
/// Annotation: the peer, full hex.
pub const PEER_ID: &str = "coreward.dev/peer-id";
/// Annotation: the node that an identity or a probe is for.
pub const NODE: &str = "coreward.dev/node";
/// Annotation: how many pods for the same role came to nothing just before.
pub const ATTEMPT: &str = "coreward.dev/attempt";
/// Annotation on an offer: lets it go with no transaction; the value is its id on chain.
pub const ORPHAN_CONFIRM: &str = "coreward.dev/orphan-confirm";
/// Annotation on an offer: so many of its deals may be left at once.
pub const EXIT_CONFIRM: &str = "coreward.dev/mass-exit-confirm";
/// Annotation on an offer: units of the provider that we do not know are no reason to stop.
pub const ACCEPT_UNKNOWN_UNITS: &str = "coreward.dev/accept-unknown-units";
/// Finalizer of offers.
pub const OFFER_FINALIZER: &str = "coreward.dev/offer";
/// Finalizer of units.
pub const UNIT_FINALIZER: &str = "coreward.dev/stake-guard";
/// Finalizer of deals.
pub const DEAL_FINALIZER: &str = "coreward.dev/deal-guard";
/// `ConfigMap` with the internal authority's certificate; owns our pods.
pub const ANCHOR: &str = "coreward-anchor";
/// Key of the certificate in it.
pub const ANCHOR_KEY: &str = "ca.crt";

/// Component of prover pods.
pub const PROVER: &str = "prover";
/// Component of probe pods.
pub const PROBE: &str = "probe";
/// Component of worker pods.
pub const WORKER_POD: &str = "worker";
/// Component of node agents.
pub const NODE_AGENT: &str = "node";
/// Component of the overlay's gateways.
pub const GATEWAY: &str = "gateway";

/// An offer by namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OfferKey {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl OfferKey {
    /// The offer that an object's labels name.
    #[must_use]
    pub fn of_labels(object: &impl ResourceExt) -> Option<Self> {
        let labels = object.labels();
        Some(Self {
            namespace: labels.get(OFFER_NAMESPACE)?.clone(),
            name: labels.get(OFFER)?.clone(),
        })
    }

    /// The key of an offer itself.
    #[must_use]
    pub fn of(offer: &coreward_crds::ProviderOffer) -> Self {
        Self { namespace: offer.namespace().unwrap_or_default(), name: offer.name_any() }
    }

    /// `namespace/name`, as in metrics.
    #[must_use]
    pub fn path(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// Labels of everything that belongs to this offer.
    #[must_use]
    pub fn labels(&self) -> BTreeMap<String, String> {
        BTreeMap::from([
            (MANAGED_LABEL.to_owned(), MANAGED_VALUE.to_owned()),
            (OFFER.to_owned(), self.name.clone()),
            (OFFER_NAMESPACE.to_owned(), self.namespace.clone()),
        ])
    }

    /// Those labels, and the component.
    #[must_use]
    pub fn labels_of(&self, component: &str) -> BTreeMap<String, String> {
        let mut labels = self.labels();
        labels.insert(COMPONENT_LABEL.to_owned(), component.to_owned());
        labels
    }

    /// Name of the `CapacityUnit` of a unit of this offer.
    #[must_use]
    pub fn unit_name(&self, unit: UnitId) -> String {
        format!("{}-{}", self.name, unit.short())
    }

    /// What names the deal's mirror (`d-…`) and namespace (`deal-…`) for this offer.
    #[must_use]
    pub fn deal_suffix(&self, network: &str, deal: Address) -> String {
        let mut hash = Sha256::new();
        hash.update(format!("{network}/{}/{}", self.namespace, self.name));
        format!("{}-{}", hex::encode(&deal.as_slice()[..5]), hex::encode(&hash.finalize()[..3]))
    }

    /// Name of the `Deal` for this offer.
    #[must_use]
    pub fn deal_name(&self, network: &str, deal: Address) -> String {
        format!("d-{}", self.deal_suffix(network, deal))
    }

    /// Namespace of this offer's workers of a deal.
    #[must_use]
    pub fn deal_namespace(&self, network: &str, deal: Address) -> String {
        format!("deal-{}", self.deal_suffix(network, deal))
    }
}

/// The component that an object's label names.
#[must_use]
pub fn component(object: &impl ResourceExt) -> Option<&str> {
    object.labels().get(COMPONENT_LABEL).map(String::as_str)
}

/// A short hash of a value as JSON, for the template label.
#[must_use]
pub fn hash_of(value: &impl serde::Serialize) -> String {
    // Plain data: the serializer has nothing to refuse.
    let bytes = serde_json::to_vec(value).unwrap_or_default();
    hex::encode(&Sha256::digest(bytes)[..6])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_deal_has_another_namespace_for_each_offer() {
        let deal = Address::repeat_byte(0x7f);
        let a = OfferKey { namespace: "provider".into(), name: "fra1".into() };
        let b = OfferKey { namespace: "other".into(), name: "fra1".into() };
        assert!(a.deal_namespace("local", deal).starts_with("deal-7f7f7f7f7f-"));
        assert_ne!(a.deal_namespace("local", deal), b.deal_namespace("local", deal));
        assert_ne!(a.deal_name("local", deal), a.deal_name("main", deal));
    }
}
