use rstest::rstest;

use super::{Config, ProverMode};

const GOOD: &str = r#"
clusterName: bed
images: { prover: "coreward.local/prover:dev", worker: "coreward.local/worker:dev" }
podsEndpoint: { url: "https://coreward-pods.coreward-system.svc:8443" }
networks:
  - name: local
    chainId: 31337
    endpoints: [ { name: anvil, url: "http://127.0.0.1:8545" } ]
    contracts: { diamond: "0x1111111111111111111111111111111111111111", multicall3: "0x2222222222222222222222222222222222222222" }
    tokens: [ { symbol: USDC, address: "0x3333333333333333333333333333333333333333", decimals: 6 } ]
    finalityBlocks: 2
    pollMilliseconds: 300
    proverMode: Light
providers: [ { address: "0x4444444444444444444444444444444444444444", name: "Example Hosting" } ]
signers:
  - { name: hot, type: Secret, network: local, address: "0x5555555555555555555555555555555555555555", secretName: hot-key, roles: [Peer] }
artifactGateways: [ "http://127.0.0.1:8088" ]
"#;

#[test]
fn a_small_file_is_enough() {
    let config = Config::parse(GOOD).unwrap();
    assert_eq!(config.networks[0].prover_mode, ProverMode::Light);
    assert!(config.networks[0].allows("anywhere"));
    assert_eq!(config.signer("hot").map(|signer| signer.secret_name.as_str()), Some("hot-key"));
}

#[rstest]
#[case::said("headStuckSeconds: 20", 20)]
#[case::not_said("", 600)]
#[case::zero("headStuckSeconds: 0", 600)]
fn a_network_says_how_long_its_head_may_stand_still(#[case] said: &str, #[case] seconds: u64) {
    let config =
        Config::parse(&GOOD.replace("    proverMode: Light", &format!("    {said}"))).unwrap();
    assert_eq!(config.networks[0].head_stuck().as_secs(), seconds);
}

#[rstest]
#[case::plain_http_for_pods("https://coreward-pods", "http://coreward-pods", "podsEndpoint.url")]
#[case::a_signer_of_no_network("network: local,", "network: mainnet,", "signers[0].network")]
#[case::no_roles("roles: [Peer]", "roles: []", "signers[0].roles")]
#[case::a_hot_poll("pollMilliseconds: 300", "pollMilliseconds: 0", "networks[0].pollMilliseconds")]
#[case::a_name_that_is_no_name("name: local", "name: Local", "networks[0].name")]
#[case::a_provider_without_name("name: \"Example Hosting\"", "name: \" \"", "providers[0].name")]
#[case::a_provider_of_no_account(
    "0x4444444444444444444444444444444444444444",
    "0x0000000000000000000000000000000000000000",
    "providers[0].address"
)]
#[case::a_token_of_no_contract(
    "0x3333333333333333333333333333333333333333",
    "0x0000000000000000000000000000000000000000",
    "networks[0].tokens[0].address"
)]
#[case::a_token_finer_than_any("decimals: 6", "decimals: 200", "networks[0].tokens[0].decimals")]
#[case::a_token_that_no_offer_can_name(
    "symbol: USDC",
    "symbol: \"US DC\"",
    "networks[0].tokens[0].symbol"
)]
#[case::a_signer_of_no_account(
    "0x5555555555555555555555555555555555555555",
    "0x0000000000000000000000000000000000000000",
    "signers[0].address"
)]
#[case::a_web_socket_that_is_none(
    "url: \"http://127.0.0.1:8545\"",
    "url: \"http://127.0.0.1:8545\", webSocketUrl: \"http://127.0.0.1:8546\"",
    "networks[0].endpoints[0].webSocketUrl"
)]
#[case::more_gateways_than_others_look_at(
    "artifactGateways:",
    "overlay: { gateways: 9 }\nartifactGateways:",
    "overlay.gateways"
)]
#[case::a_gateway_without_scheme("\"http://127.0.0.1:8088\"", "ipfs.io", "artifactGateways[0]")]
fn a_wrong_value_names_its_field(#[case] from: &str, #[case] to: &str, #[case] field: &str) {
    let error = Config::parse(&GOOD.replace(from, to)).unwrap_err();
    assert!(error.to_string().starts_with(field), "{error}");
}

#[rstest]
#[case::an_unknown_field("clusterName: bed", "clustername: bed", "clustername")]
#[case::a_missing_field("    finalityBlocks: 2\n", "", "finalityBlocks")]
#[case::an_address_that_is_too_short(
    "0x1111111111111111111111111111111111111111",
    "0x11",
    "diamond"
)]
fn a_wrong_shape_names_its_field(#[case] from: &str, #[case] to: &str, #[case] field: &str) {
    let error = Config::parse(&GOOD.replace(from, to)).unwrap_err();
    let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
    assert!(source.contains(field), "{source}");
}
