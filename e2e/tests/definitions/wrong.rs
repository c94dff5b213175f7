//! Wrong objects that the API server refuses by itself.

use serde_json::{Value, json};

/// An object with one thing wrong.
pub(crate) struct Wrong {
    pub(crate) name: String,
    pub(crate) object: Value,
    /// The field that the refusal must name, and what it must say of it.
    pub(crate) words: [String; 2],
}

/// An offer with nothing wrong, of a network that no operator has: a running one leaves it alone.
pub(crate) fn good() -> Value {
    json!({
        "apiVersion": "coreward.dev/v1alpha1",
        "kind": "ProviderOffer",
        "metadata": { "name": "wrong", "namespace": "default" },
        "spec": {
            "network": "none",
            "provider": { "address": "0x90F79bf6EB2c4f870365E785982E1f101E93b906", "signer": "treasury" },
            "peers": { "signers": ["hot"] },
            "datacenter": { "countryCode": "DE", "cityCode": "BER", "index": 1 },
            "paymentToken": "USDC",
            "prices": [
                { "resource": "1", "price": "0.010" },
                { "resource": "3", "price": "0.000002" },
            ],
            "capacity": {
                "nodeSelector": { "matchLabels": { "example.com/pool": "compute" } },
                "resources": [{ "resource": "1", "details": { "model": "EPYC" } }, { "resource": "3" }],
            },
        },
    })
}

/// The rows of the table.
pub(crate) fn offers() -> Vec<Wrong> {
    let lines = include_str!("wrong_offers.txt").lines();
    lines.filter(|line| !line.starts_with('#')).map(row).collect()
}

fn row(line: &str) -> Wrong {
    let parts: [&str; 4] = line.split(" | ").collect::<Vec<_>>().try_into().unwrap();
    let [name, changes, field, fault] = parts;
    let changes: serde_json::Map<String, Value> = serde_json::from_str(changes).unwrap();
    let mut object = good();
    for (place, value) in changes {
        change(&mut object, &place, value);
    }
    Wrong { name: name.to_owned(), object, words: [field.to_owned(), fault.to_owned()] }
}

fn change(object: &mut Value, place: &str, value: Value) {
    let (parent, field) = place.rsplit_once('/').unwrap();
    let parent = object.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    if value.is_null() {
        parent.remove(field).unwrap();
    } else {
        parent.insert(field.to_owned(), value);
    }
}

/// Wrong objects of the mirrored kinds.
pub(crate) fn mirrors() -> Vec<Wrong> {
    let wrong = |kind: &str, spec: Value, field: &str| Wrong {
        name: format!("a wrong {kind}"),
        object: json!({
            "apiVersion": "coreward.dev/v1alpha1", "kind": kind,
            "metadata": { "name": "wrong", "namespace": "default" }, "spec": spec,
        }),
        words: [field.to_owned(), "should match".to_owned()],
    };
    let unit = json!({ "offerRef": { "name": "fra1" }, "unitID": "0x51", "peerID": "12D3KooW" });
    vec![
        wrong("Deal", json!({ "network": "local", "dealAddress": "0x12" }), "spec.dealAddress"),
        wrong("CapacityUnit", unit, "spec.unitID"),
    ]
}
