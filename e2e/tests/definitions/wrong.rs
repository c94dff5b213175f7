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
    let wrong = |kind: &str, spec: Value, field: &str, fault: &str| Wrong {
        name: format!("{kind} with a wrong {field}"),
        object: json!({
            "apiVersion": "coreward.dev/v1alpha1", "kind": kind,
            "metadata": { "name": "wrong", "namespace": "default" }, "spec": spec,
        }),
        words: [field.to_owned(), fault.to_owned()],
    };
    let unit = json!({ "offerRef": { "name": "fra1" }, "unitID": "0x51", "peerID": "12D3KooW" });
    let address = "0x90F79bf6EB2c4f870365E785982E1f101E93b906";
    let deal =
        |policy: Value| json!({ "network": "local", "dealAddress": address, "policy": policy });
    let short = json!({ "network": "local", "dealAddress": "0x12" });
    let (state, grace) = (json!({ "desiredState": "Leave" }), json!({ "unpaidGraceEpochs": -1 }));
    let (exit, notice) = (json!({ "reason": "moved" }), json!({ "noticeMinutes": -1 }));
    let serving = json!({ "desiredState": "Serve", "exit": exit });
    let early = json!({ "desiredState": "Exit", "exit": notice });
    let list = json!({ "egress": { "mode": "AllowList" } });
    let number = json!({ "egress": { "mode": "AllowList", "hosts": ["10.0.0.1"] } });
    let policy = |field: &str| format!("spec.policy.{field}");
    vec![
        wrong("Deal", short, "spec.dealAddress", "should match"),
        wrong("Deal", deal(state), &policy("desiredState"), "supported values"),
        wrong("Deal", deal(grace), &policy("unpaidGraceEpochs"), "greater than or equal to 0"),
        wrong("Deal", deal(json!({ "exit": exit })), &policy("exit"), "needs desiredState: Exit"),
        wrong("Deal", deal(serving), &policy("exit"), "needs desiredState: Exit"),
        wrong("Deal", deal(early), &policy("exit.noticeMinutes"), "greater than or equal to 0"),
        wrong("Deal", deal(list), &policy("egress.hosts"), "needed with mode AllowList"),
        wrong("Deal", deal(number), &policy("egress.hosts[0]"), "should match"),
        wrong("CapacityUnit", unit, "spec.unitID", "should match"),
    ]
}
