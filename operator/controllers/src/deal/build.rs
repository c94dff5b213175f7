//! What stands in a deal's namespace, as it is applied; pure.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use coreward_crds::EgressMode;
use coreward_domain::chain::Seat;
use serde_json::{Value, json};

use crate::config::ServiceType;
use crate::deal::observe::Place;
use crate::gateway::{Holes, PRIVATE};
use crate::labels::{
    DEAL, EVICT, GATEWAY, HOLD, NODE_AGENT, TEMPLATE, WORKER, WORKER_POD, hash_of,
};
use crate::pods::template::worker_name;
use crate::stores::COMPONENT_LABEL;

/// Port of our own gateways.
const GATEWAY_PORT: u16 = 4001;
/// Label of every namespace: its name, set by the API server.
const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

/// What the children of a deal's namespace are made from.
#[derive(Clone, Debug)]
pub struct Order<'a> {
    /// Which deal, for which offer.
    pub place: &'a Place,
    /// Namespace of the operator and the node agents.
    pub operator_namespace: &'a str,
    /// Who else may read its figures: peers of a `NetworkPolicy`.
    pub readers: &'a [Value],
    /// Seats that are served.
    pub seats: Vec<Seat>,
    /// Type of the workers' Services.
    pub service_type: ServiceType,
    /// What workers may reach outside.
    pub egress: EgressMode,
    /// The gateways that they use.
    pub gateways: Holes,
}

/// The namespace itself.
#[must_use]
pub fn namespace(place: &Place) -> Value {
    let mut labels = labels(place);
    labels.insert(DEAL.to_owned(), format!("{:x}", place.deal));
    for mode in ["enforce", "warn", "audit"] {
        labels.insert(format!("pod-security.kubernetes.io/{mode}"), "restricted".to_owned());
    }
    json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": place.namespace(), "labels": labels } })
}

fn labels(place: &Place) -> BTreeMap<String, String> {
    place.offer.labels()
}

/// All namespaced children, in the order in which they are made.
#[must_use]
pub fn children(order: &Order<'_>) -> Vec<Value> {
    let mut children = vec![account(), quota(), limits(), budget(), deny_all(), allow(order)];
    children.extend(order.seats.iter().map(|seat| service(order, *seat)));
    for child in &mut children {
        let mut own = labels(order.place);
        own.insert(TEMPLATE.to_owned(), hash_of(child));
        child["metadata"]["labels"] = json!(own);
        child["metadata"]["namespace"] = json!(order.place.namespace());
    }
    children
}

fn account() -> Value {
    json!({
        "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": "coreward-worker" },
        "automountServiceAccountToken": false,
    })
}

fn quota() -> Value {
    json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": { "name": "coreward" },
        "spec": { "hard": { "pods": "256", "services": "256", "persistentvolumeclaims": "0" } },
    })
}

fn limits() -> Value {
    json!({
        "apiVersion": "v1", "kind": "LimitRange", "metadata": { "name": "coreward" },
        "spec": { "limits": [{
            "type": "Container",
            "default": { "cpu": "100m", "memory": "64Mi" }, "defaultRequest": { "cpu": "100m", "memory": "64Mi" },
        }] },
    })
}

/// Makes a drain wait until we let a pod go.
fn budget() -> Value {
    json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": { "name": "coreward-hold" },
        "spec": { "minAvailable": 1_000_000, "selector": { "matchLabels": { EVICT: HOLD } } },
    })
}

/// Nothing in, nothing out, in both IP families.
fn deny_all() -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": { "name": "deny-all" },
        "spec": { "podSelector": {}, "policyTypes": ["Ingress", "Egress"] },
    })
}

/// What a worker needs: names, the operator, its node's artifacts, its subnet, its customers.
fn allow(order: &Order<'_>) -> Value {
    let component = |name: &str| {
        json!({
            "namespaceSelector": { "matchLabels": { NAMESPACE_NAME: order.operator_namespace } },
            "podSelector": { "matchLabels": { COMPONENT_LABEL: name } },
        })
    };
    let subnet = json!({
        "namespaceSelector": { "matchLabels": { DEAL: format!("{:x}", order.place.deal) } },
        "podSelector": { "matchLabels": { COMPONENT_LABEL: WORKER_POD } },
    });
    let tcp = |port: u16| json!([{ "protocol": "TCP", "port": port }]);
    let mut readers = vec![
        json!({ "namespaceSelector": { "matchLabels": { NAMESPACE_NAME: order.operator_namespace } } }),
    ];
    readers.extend_from_slice(order.readers);
    let mut egress = vec![
        json!({
            "to": [{ "namespaceSelector": { "matchLabels": { NAMESPACE_NAME: "kube-system" } } }],
            "ports": [{ "protocol": "UDP", "port": 53 }, { "protocol": "TCP", "port": 53 }],
        }),
        json!({ "to": [component("operator")], "ports": tcp(8443) }),
        json!({ "to": [component(NODE_AGENT)], "ports": tcp(8081) }),
        json!({ "to": [subnet], "ports": tcp(4001) }),
    ];
    if order.egress != EgressMode::None {
        egress.push(internet());
    }
    if order.gateways.own {
        egress.push(json!({ "to": [component(GATEWAY)], "ports": tcp(GATEWAY_PORT) }));
    }
    egress.extend(
        order
            .gateways
            .others
            .iter()
            .map(|at| json!({ "to": [block(*at)], "ports": tcp(at.port()) })),
    );
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": { "name": "allow-worker" },
        "spec": {
            "podSelector": { "matchLabels": { COMPONENT_LABEL: WORKER_POD } },
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [
                { "ports": tcp(8080) },
                { "from": [subnet], "ports": tcp(4001) },
                { "from": readers, "ports": tcp(9090) },
            ],
            "egress": egress,
        },
    })
}

/// One address and no other.
fn block(at: SocketAddr) -> Value {
    let cidr = match at.ip() {
        IpAddr::V4(ip) => format!("{ip}/32"),
        IpAddr::V6(ip) => format!("{ip}/128"),
    };
    json!({ "ipBlock": { "cidr": cidr } })
}

/// Public addresses only. The list of names, where there is one, is kept by the worker itself.
fn internet() -> Value {
    let private = PRIVATE.map(|(start, bits)| format!("{start}/{bits}"));
    json!({ "to": [
        { "ipBlock": { "cidr": "0.0.0.0/0", "except": private } },
        { "ipBlock": { "cidr": "2000::/3" } },
    ] })
}

fn service(order: &Order<'_>, seat: Seat) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": worker_name(seat) },
        "spec": {
            "type": order.service_type.name(),
            "selector": { COMPONENT_LABEL: WORKER_POD, WORKER: seat.worker.decimal() },
            // There is one worker behind it: the way to it may be laid while it compiles, nobody else could answer.
            "publishNotReadyAddresses": true,
            "ports": [{ "name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP" }],
        },
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use alloy_primitives::{Address, B256};

    use super::*;
    use crate::labels::OfferKey;

    fn place() -> Place {
        let offer = OfferKey { namespace: "provider".into(), name: "fra1".into() };
        Place { offer, network: "local".into(), deal: Address::repeat_byte(0x7f) }
    }

    fn order(place: &Place, egress: EgressMode) -> Order<'_> {
        let seat = Seat { deal: place.deal, worker: B256::with_last_byte(3).into() };
        Order {
            place,
            operator_namespace: "coreward-system",
            readers: &[],
            seats: vec![seat],
            service_type: ServiceType::ClusterIp,
            egress,
            gateways: Holes::default(),
        }
    }

    fn child(egress: EgressMode, name: &str) -> Value {
        let place = place();
        children(&order(&place, egress))
            .into_iter()
            .find(|child| child["metadata"]["name"] == name)
            .unwrap()
    }

    #[test]
    fn the_namespace_is_restricted_and_says_its_deal() {
        let labels = &namespace(&place())["metadata"]["labels"];
        assert_eq!(labels["pod-security.kubernetes.io/enforce"], "restricted");
        assert_eq!(labels[DEAL], "7f".repeat(20));
    }

    #[test]
    fn all_is_denied_first() {
        let spec = &child(EgressMode::None, "deny-all")["spec"];
        assert_eq!(*spec, json!({ "podSelector": {}, "policyTypes": ["Ingress", "Egress"] }));
    }

    #[test]
    fn the_world_is_out_of_reach_unless_the_offer_says_otherwise() {
        let blocks = |egress| child(egress, "allow-worker").to_string().matches("ipBlock").count();
        assert_eq!((blocks(EgressMode::None), blocks(EgressMode::Internet)), (0, 2));
    }

    #[test]
    fn gateways_are_holes_of_one_address_and_port_each_and_only_where_there_are_some() {
        let place = place();
        let mut order = order(&place, EgressMode::None);
        let rules = |order: &Order<'_>| allow(order)["spec"]["egress"].as_array().unwrap().clone();
        let before = rules(&order).len();
        let others = ["203.0.113.7:4001", "[2600:1f18::5]:30401"].map(|at| at.parse().unwrap());
        order.gateways = Holes { own: true, others: others.into() };
        let with = rules(&order);
        let port = |port: u16| json!([{ "protocol": "TCP", "port": port }]);
        let own = json!({
            "namespaceSelector": { "matchLabels": { NAMESPACE_NAME: "coreward-system" } },
            "podSelector": { "matchLabels": { COMPONENT_LABEL: "gateway" } },
        });
        let expected = [
            json!({ "to": [own], "ports": port(4001) }),
            json!({ "to": [{ "ipBlock": { "cidr": "203.0.113.7/32" } }], "ports": port(4001) }),
            json!({ "to": [{ "ipBlock": { "cidr": "2600:1f18::5/128" } }], "ports": port(30_401) }),
        ];
        assert_eq!(with[before..], expected);
    }

    #[test]
    fn figures_are_for_the_operators_namespace_and_whom_the_values_name() {
        let monitoring = [json!({ "namespaceSelector": { "matchLabels": { "team": "watch" } } })];
        let place = place();
        let order = Order { readers: &monitoring, ..order(&place, EgressMode::None) };
        let ingress = allow(&order)["spec"]["ingress"].clone();
        let figures = ingress.as_array().unwrap().iter().find(|it| it["ports"][0]["port"] == 9090);
        let own = json!({ "namespaceSelector": { "matchLabels": { NAMESPACE_NAME: "coreward-system" } } });
        assert_eq!(figures.unwrap()["from"], json!([own, monitoring[0]]));
    }

    #[test]
    fn each_worker_has_a_service_of_its_own() {
        let service = child(EgressMode::None, "w-3");
        assert_eq!(service["spec"]["selector"][WORKER], "3");
        assert_eq!(service["metadata"]["namespace"], place().namespace());
    }

    #[test]
    fn every_child_carries_the_hash_of_what_it_was_made_from() {
        let place = place();
        for child in children(&order(&place, EgressMode::None)) {
            assert_eq!(
                child["metadata"]["labels"][TEMPLATE].as_str().unwrap().len(),
                12,
                "{child}"
            );
        }
    }

    /// A deal's namespace, then its policies, in a cluster that has gateways.
    fn kept(deal: u8, egress: EgressMode) -> Vec<Value> {
        let place = Place { deal: Address::repeat_byte(deal), ..place() };
        let mut order = order(&place, egress);
        order.gateways.own = true;
        let mut objects = children(&order);
        objects.retain(|object| object["kind"] == "NetworkPolicy");
        objects.insert(0, namespace(&place));
        objects
    }

    /// Those who send packets against the policies of deals read them from this file.
    #[test]
    #[expect(
        clippy::disallowed_methods,
        reason = "BLESS is a switch of the test run, not configuration"
    )]
    fn the_kept_policies_are_what_a_deal_gets() {
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../e2e/tests/isolation/deals.json");
        let deals = [kept(0xa1, EgressMode::None), kept(0xb2, EgressMode::Internet)];
        let text = serde_json::to_string_pretty(&deals).unwrap() + "\n";
        if std::env::var_os("BLESS").is_some() {
            fs::write(&path, &text).unwrap();
        }
        let written = fs::read_to_string(&path).unwrap_or_default();
        assert!(written == text, "{} is not current; `make bless` writes it", path.display());
    }
}
