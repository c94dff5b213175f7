use serde_json::json;

use super::*;

const ADDRESS: &str = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";
const ID: &str = "0x5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a";

fn config() -> Config {
    let text = format!(
        concat!(
            "images: {{ prover: p, worker: w }}\n",
            "podsEndpoint: {{ url: 'https://coreward-pods.x.svc:8443' }}\n",
            "networks:\n",
            "  - name: local\n    chainId: 31337\n    endpoints: [ {{ name: a, url: 'http://10.0.0.1:8545' }} ]\n",
            "    contracts: {{ diamond: '{0}', multicall3: '{0}' }}\n",
            "    tokens: [ {{ symbol: USDC, address: '{0}', decimals: 6 }} ]\n",
            "    finalityBlocks: 2\n    pollMilliseconds: 300\n",
            "providers: [ {{ address: '{0}', name: Example }} ]\n",
            "signers: [ {{ name: s, type: Secret, network: local, address: '{0}', secretName: t, roles: [Provider, Peer] }} ]\n",
        ),
        ADDRESS
    );
    Config::parse(&text).unwrap()
}

/// An offer of the nodes of a pool, made in this minute.
fn offer(name: &str, minute: u8, pool: &str) -> ProviderOffer {
    serde_json::from_value(json!({
        "metadata": {
            "name": name, "namespace": "provider",
            "creationTimestamp": format!("2026-01-01T00:{minute:02}:00Z"),
        },
        "spec": {
            "network": "local",
            "provider": { "address": ADDRESS, "signer": "s" },
            "peers": { "signers": ["s"] },
            "datacenter": { "id": "1" },
            "paymentToken": "USDC",
            "prices": [{ "resource": "1", "price": "0.01" }],
            "capacity": {
                "nodeSelector": { "matchLabels": { "pool": pool } },
                "resources": [{ "resource": "1" }],
            },
        },
    }))
    .unwrap()
}

fn named(mut offer: ProviderOffer) -> ProviderOffer {
    ID.clone_into(&mut offer.spec.offer_id);
    offer
}

fn recorded(mut offer: ProviderOffer) -> ProviderOffer {
    let id = ID.to_uppercase().replace('X', "x");
    offer.status = Some(serde_json::from_value(json!({ "offerID": id })).unwrap());
    offer
}

fn look(offer: &ProviderOffer, other: &ProviderOffer, holder: &str) -> Claims {
    let holds = |offer: &ProviderOffer, id: &str| offer.name_any() == holder && id == ID;
    let node: Node =
        serde_json::from_value(json!({ "metadata": { "name": "n1", "labels": { "pool": "a" } } }))
            .unwrap();
    claims(offer, &[offer, other], &[&node], &config(), &holds)
}

#[test]
fn a_node_is_the_older_offers() {
    let (first, second) = (offer("first", 1, "a"), offer("second", 2, "a"));
    let told = look(&second, &first, "");
    assert_eq!(told.nodes, ["n1".to_owned()].into());
    assert!(told.conflict.contains("node n1 belongs to the older offer provider/first"));
    assert_eq!(look(&first, &second, ""), Claims::default());
}

#[test]
fn a_wrong_offer_takes_nothing() {
    let mut first = offer("first", 1, "a");
    "nowhere".clone_into(&mut first.spec.network);
    assert_eq!(look(&offer("second", 2, "a"), &first, ""), Claims::default());
}

/// Who is older, and who has peers in it: the object that has it is told of nothing, the other is.
#[rstest::rstest]
#[case::the_older_while_neither_has_peers("", "second")]
#[case::the_older_with_peers("first", "second")]
#[case::the_younger_with_peers("second", "first")]
fn an_offer_on_chain_is_of_one_object(#[case] holder: &str, #[case] told: &str) {
    let first = named(offer("first", 1, "a"));
    let second = recorded(offer("second", 2, "b"));
    let taken = |one: &ProviderOffer, other: &ProviderOffer| {
        look(one, other, holder).taken_by == Some(format!("provider/{}", other.name_any()))
    };
    assert_eq!(
        (taken(&first, &second), taken(&second, &first)),
        (told == "first", told == "second")
    );
}
