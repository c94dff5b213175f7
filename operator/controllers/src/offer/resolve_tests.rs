use rstest::rstest;
use serde_json::{Value, json};

use super::*;

const ADDRESS: &str = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";
const HOT: &str = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";

fn config() -> Config {
    Config::parse(&format!(
        concat!(
            "images: {{ prover: p, worker: w }}\n",
            "podsEndpoint: {{ url: 'https://coreward-pods.x.svc:8443' }}\n",
            "networks:\n",
            "  - name: local\n    chainId: 31337\n    endpoints: [ {{ name: a, url: 'http://10.0.0.1:8545' }} ]\n",
            "    contracts: {{ diamond: '{0}', multicall3: '{0}' }}\n",
            "    tokens: [ {{ symbol: USDC, address: '{0}', decimals: 6 }} ]\n",
            "    finalityBlocks: 2\n    pollMilliseconds: 300\n",
            "  - name: closed\n    chainId: 31338\n    endpoints: [ {{ name: a, url: 'http://10.0.0.1:8546' }} ]\n",
            "    contracts: {{ diamond: '{0}', multicall3: '{0}' }}\n",
            "    finalityBlocks: 2\n    pollMilliseconds: 300\n    allowedNamespaces: [x]\n",
            "providers: [ {{ address: '{0}', name: Example }} ]\n",
            "signers:\n",
            "  - {{ name: treasury, type: Secret, network: local, address: '{0}', secretName: t, roles: [Provider] }}\n",
            "  - {{ name: hot, type: Secret, network: local, address: '{1}', secretName: h, roles: [Peer] }}\n",
            "  - {{ name: another, type: Secret, network: local, address: '{1}', secretName: a, roles: [Provider] }}\n",
            "  - {{ name: foreign, type: Secret, network: local, address: '{0}', secretName: f, roles: [Provider], allowedNamespaces: [x] }}\n",
            "  - {{ name: elsewhere, type: Secret, network: closed, address: '{0}', secretName: e, roles: [Provider] }}\n",
        ),
        ADDRESS, HOT
    ))
    .unwrap()
}

fn spec() -> Value {
    json!({
        "network": "local",
        "provider": { "address": ADDRESS, "signer": "treasury" },
        "peers": { "signers": ["hot"] },
        "datacenter": { "countryCode": "DE", "cityCode": "BER", "index": 1 },
        "paymentToken": "USDC",
        "prices": [{ "resource": "1", "price": "0.010" }, { "resource": "3", "price": "0.000002" }],
        "capacity": {
            "nodeSelector": { "matchLabels": { "pool": "compute" } },
            "resources": [{ "resource": "1", "details": { "model": "EPYC" } }, { "resource": "3" }],
        },
    })
}

fn offer(change: impl FnOnce(&mut Value)) -> ProviderOffer {
    let mut spec = spec();
    change(&mut spec);
    serde_json::from_value(
        json!({ "metadata": { "name": "fra1", "namespace": "provider" }, "spec": spec }),
    )
    .unwrap()
}

#[test]
fn names_become_what_the_configuration_says() {
    let resolved = resolve(&offer(|_| ()), &config()).unwrap();
    assert_eq!(resolved.wanted.provider_name, "Example");
    assert_eq!(resolved.wanted.peer_owners, vec![HOT.parse::<Address>().unwrap()]);
    assert_eq!(resolved.wanted.prices[&ResourceId(B256::with_last_byte(1))], U256::from(10_000));
    assert_eq!(resolved.wanted.resources[0].details, r#"{"model":"EPYC"}"#);
    assert_eq!(resolved.wanted.resources[1].details, "{}");
}

#[rstest]
#[case::an_unknown_network("/network", json!("other"), "spec.network: the operator's configuration has no network `other`, but local, closed")]
#[case::a_network_of_others("/network", json!("closed"), "spec.network: network `closed` may not be used from namespace `provider`")]
#[case::an_unknown_provider("/provider/address", json!("0x0000000000000000000000000000000000000001"), "spec.provider.address: the operator's configuration has no provider 0x0000000000000000000000000000000000000001: add it")]
#[case::a_slip_of_the_hand("/provider/address", json!("0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92267"), "spec.provider.address: 0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92267 has a wrong checksum")]
#[case::no_address("/provider/address", json!("0x12"), "spec.provider.address: is not 0x and 40 hex digits")]
#[case::an_unknown_signer("/provider/signer", json!("nobody"), "spec.provider.signer: the operator's configuration has no signer `nobody` for network `local`: add it")]
#[case::a_signer_of_another_account("/provider/signer", json!("another"), "spec.provider.signer: signer `another` has the address")]
#[case::a_signer_of_another_namespace("/provider/signer", json!("foreign"), "spec.provider.signer: signer `foreign` may not be used from namespace `provider`")]
#[case::a_signer_of_another_network("/provider/signer", json!("elsewhere"), "spec.provider.signer: the operator's configuration has no signer `elsewhere` for network `local`")]
#[case::a_signer_for_peers("/provider/signer", json!("hot"), "spec.provider.signer: signer `hot` does not have the role Provider")]
#[case::a_peers_signer_of_another_role("/peers/signers", json!(["treasury"]), "spec.peers.signers[0]: signer `treasury` does not have the role Peer")]
#[case::an_unknown_peers_signer("/peers/signers", json!(["hot", "nobody"]), "spec.peers.signers[1]: the operator's configuration has no signer `nobody`")]
#[case::no_peers_signer("/peers/signers", json!([]), "spec.peers.signers: at least one is needed")]
#[case::an_unknown_token("/paymentToken", json!("DAI"), "spec.paymentToken: network `local` has no token `DAI`, but USDC")]
#[case::a_price_of_wrong_decimals("/prices/0/price", json!("0.0000001"), "spec.prices[resource=1].price: `0.0000001` is finer than the smallest unit, which has 6")]
#[case::a_price_that_is_none("/prices/0/price", json!("0.000"), "spec.prices[resource=1].price: must be above zero")]
#[case::a_price_in_words("/prices/0/price", json!("cheap"), "spec.prices[resource=1].price: `cheap` is not a decimal number")]
#[case::a_price_beyond_the_chain("/prices/0/price", json!("9".repeat(80)), "is too large")]
#[case::a_resource_in_words("/prices/0/resource", json!("vcpu"), "spec.prices[resource=vcpu].resource: not a number")]
#[case::a_resource_priced_twice("/prices/1/resource", json!("1"), "spec.prices[resource=1]: stands there twice")]
#[case::a_payout_of_wrong_decimals("/payouts", json!({ "everyHours": 1, "minAmount": "0.00000001" }), "spec.payouts.minAmount: `0.00000001` is finer")]
#[case::half_a_datacenter("/datacenter", json!({ "countryCode": "DE" }), "spec.datacenter: needs either id, or countryCode, cityCode and index")]
#[case::a_datacenter_in_words("/datacenter", json!({ "id": "Berlin" }), "spec.datacenter.id: not a number")]
#[case::an_id_that_is_none("/offerID", json!("0x12"), "spec.offerID: not 0x and 64 hex digits")]
#[case::a_denied_owner_misspelt("/intake", json!({ "denyOwners": [HOT, "0x70997970C51812dc3A010C7d01b50e0d17dc79C9"] }), "spec.intake.denyOwners[1]: 0x70997970C51812dc3A010C7d01b50e0d17dc79C9 has a wrong checksum")]
fn a_mistake_names_the_field_the_fault_and_a_way_out(
    #[case] place: &str,
    #[case] value: Value,
    #[case] words: &str,
) {
    let change = |spec: &mut Value| {
        let (parent, field) = place.rsplit_once('/').unwrap();
        let parent = spec.pointer_mut(parent).unwrap();
        match parent.as_array_mut() {
            Some(items) => items[field.parse::<usize>().unwrap()] = value,
            None => parent[field] = value,
        }
    };
    let mistake = resolve(&offer(change), &config()).unwrap_err().to_string();
    assert!(mistake.contains(words), "{mistake}");
}

#[test]
fn an_address_in_one_case_is_taken_as_it_is() {
    for text in [ADDRESS.to_lowercase(), format!("0x{}", ADDRESS[2..].to_uppercase())] {
        resolve(&offer(|spec| spec["provider"]["address"] = json!(text)), &config()).unwrap();
    }
}
