//! What stands around the workers of a deal, as it is applied; pure.

use std::collections::BTreeMap;

use coreward_domain::chain::Seat;
use coreward_wire::Egress;
use serde_json::{Value, json};

use crate::config::ServiceType;
use crate::labels::{DEAL, EVICT, NODE_AGENT, OfferKey, TEMPLATE, WORKER, WORKER_POD, hash_of};
use crate::pods::template::worker_name;
use crate::stores::{COMPONENT_LABEL, MANAGED_LABEL};

/// Addresses that no worker reaches: private, link-local, shared, metadata.
const NOT_PUBLIC_V4: [&str; 6] =
    ["10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"];
/// The same of IPv6.
const NOT_PUBLIC_V6: [&str; 3] = ["::1/128", "fc00::/7", "fe80::/10"];

/// What the children are made for.
#[derive(Clone, Debug)]
pub(super) struct Place<'a> {
    /// Namespace of the workers.
    pub(super) namespace: &'a str,
    /// Namespace of the operator.
    pub(super) operator: &'a str,
    /// The offer.
    pub(super) offer: &'a OfferKey,
    /// The deal, lower-case hex.
    pub(super) deal: String,
    /// What its workers may reach.
    pub(super) egress: &'a Egress,
    /// Type of the workers' Services.
    pub(super) service_type: ServiceType,
}

impl Place<'_> {
    fn labels(&self) -> BTreeMap<String, String> {
        let mut labels = self.offer.labels();
        labels.insert(DEAL.to_owned(), self.deal.clone());
        labels
    }

    fn child(&self, api_version: &str, kind: &str, name: &str, rest: Value) -> Value {
        let mut child = json!({
            "apiVersion": api_version, "kind": kind,
            "metadata": { "name": name, "namespace": self.namespace, "labels": self.labels() },
        });
        merge(&mut child, rest);
        let hash = hash_of(&child);
        child["metadata"]["labels"][TEMPLATE] = json!(hash);
        child
    }
}

fn merge(into: &mut Value, from: Value) {
    if let (Value::Object(into), Value::Object(from)) = (into, from) {
        into.extend(from);
    }
}

/// The namespace itself.
pub(super) fn namespace(place: &Place<'_>) -> Value {
    let mut labels = place.labels();
    for mode in ["enforce", "audit", "warn"] {
        labels.insert(format!("pod-security.kubernetes.io/{mode}"), "restricted".to_owned());
    }
    json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": place.namespace, "labels": labels } })
}

/// Everything in it but the anchor and the workers' Services.
pub(super) fn fixed(place: &Place<'_>) -> Vec<Value> {
    vec![
        place.child("v1", "ServiceAccount", "coreward-worker", json!({ "automountServiceAccountToken": false })),
        place.child("v1", "ResourceQuota", "coreward", json!({ "spec": { "hard": {
            "pods": "256", "services": "256", "configmaps": "8", "secrets": "0", "persistentvolumeclaims": "0",
        } } })),
        place.child("v1", "LimitRange", "coreward", json!({ "spec": { "limits": [
            { "type": "Container", "max": { "ephemeral-storage": "8Gi" }, "default": { "ephemeral-storage": "2Gi" } },
        ] } })),
        place.child("policy/v1", "PodDisruptionBudget", "coreward", json!({ "spec": {
            "minAvailable": 1_000_000, "selector": { "matchLabels": { EVICT: "hold" } },
        } })),
        place.child("networking.k8s.io/v1", "NetworkPolicy", "default-deny", json!({ "spec": {
            "podSelector": {}, "policyTypes": ["Ingress", "Egress"],
        } })),
        place.child("networking.k8s.io/v1", "NetworkPolicy", "worker", json!({ "spec": worker_policy(place) })),
    ]
}

fn worker_policy(place: &Place<'_>) -> Value {
    let subnet = json!([{
        "namespaceSelector": { "matchLabels": { DEAL: place.deal } },
        "podSelector": { "matchLabels": { COMPONENT_LABEL: WORKER_POD } },
    }]);
    let operator = json!({ "matchLabels": { "kubernetes.io/metadata.name": place.operator } });
    let tcp = |port: u16| json!([{ "protocol": "TCP", "port": port }]);
    let mut egress = vec![
        json!({ "ports": [{ "protocol": "UDP", "port": 53 }, { "protocol": "TCP", "port": 53 }],
            "to": [{ "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": "kube-system" } } }] }),
        json!({ "ports": tcp(8443), "to": [{ "namespaceSelector": operator }] }),
        json!({ "ports": tcp(8081), "to": [{
            "namespaceSelector": operator, "podSelector": { "matchLabels": { COMPONENT_LABEL: NODE_AGENT } },
        }] }),
        json!({ "ports": tcp(4001), "to": subnet }),
    ];
    if *place.egress != Egress::None {
        egress.push(json!({ "to": [
            { "ipBlock": { "cidr": "0.0.0.0/0", "except": NOT_PUBLIC_V4 } },
            { "ipBlock": { "cidr": "::/0", "except": NOT_PUBLIC_V6 } },
        ] }));
    }
    json!({
        "podSelector": { "matchLabels": { COMPONENT_LABEL: WORKER_POD } },
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [
            { "ports": tcp(8080) },
            { "ports": tcp(4001), "from": subnet },
            { "ports": tcp(9090), "from": [{ "namespaceSelector": operator }] },
        ],
        "egress": egress,
    })
}

/// The HTTP entrance of one worker.
pub(super) fn service(place: &Place<'_>, seat: Seat) -> Value {
    place.child("v1", "Service", &worker_name(seat), json!({ "spec": {
        "type": place.service_type.name(),
        "selector": { COMPONENT_LABEL: WORKER_POD, WORKER: seat.worker.decimal() },
        "ports": [{ "name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP", "appProtocol": "http" }],
    } }))
}

/// Whether a found object was made from this child.
pub(super) fn is_current(child: &Value, labels: &BTreeMap<String, String>) -> bool {
    labels.get(TEMPLATE).map(String::as_str) == child["metadata"]["labels"][TEMPLATE].as_str()
        && labels.contains_key(MANAGED_LABEL)
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{Address, B256};
    use coreward_domain::id::OnchainWorkerId;

    use super::*;

    fn with<T>(egress: &Egress, then: impl FnOnce(&Place<'_>) -> T) -> T {
        let offer = OfferKey { namespace: "provider".into(), name: "fra1".into() };
        then(&Place {
            namespace: "deal-x",
            operator: "coreward-system",
            offer: &offer,
            deal: "0x7f".into(),
            egress,
            service_type: ServiceType::ClusterIp,
        })
    }

    #[test]
    fn nothing_is_allowed_that_is_not_named() {
        let children = with(&Egress::None, fixed);
        let deny = children.iter().find(|child| child["metadata"]["name"] == "default-deny").unwrap();
        assert_eq!(deny["spec"], json!({ "podSelector": {}, "policyTypes": ["Ingress", "Egress"] }));
        let policy = children.iter().find(|child| child["metadata"]["name"] == "worker").unwrap();
        assert!(!policy.to_string().contains("ipBlock"), "without egress no address outside is reached");
    }

    #[test]
    fn the_internet_is_without_private_ranges_in_both_families() {
        let children = with(&Egress::Internet, fixed);
        let text = children.iter().map(Value::to_string).collect::<String>();
        for range in NOT_PUBLIC_V4.iter().chain(&NOT_PUBLIC_V6) {
            assert!(text.contains(range), "{range}");
        }
    }

    #[test]
    fn the_namespace_takes_restricted_pods_only() {
        let namespace = with(&Egress::None, namespace);
        assert_eq!(namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"], "restricted");
    }

    #[test]
    fn a_service_selects_the_pods_of_its_seat() {
        let seat = Seat { deal: Address::ZERO, worker: OnchainWorkerId(B256::with_last_byte(7)) };
        let service = with(&Egress::None, |place| service(place, seat));
        assert_eq!(service["spec"]["selector"], json!({ COMPONENT_LABEL: "worker", WORKER: "7" }));
        let labels = serde_json::from_value(service["metadata"]["labels"].clone()).unwrap();
        assert!(is_current(&service, &labels));
    }
}
