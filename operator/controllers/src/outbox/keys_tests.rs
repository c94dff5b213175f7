use rstest::rstest;

use super::*;

const FILE: &str = r#"
images: { prover: p, worker: w }
podsEndpoint: { url: "https://coreward-pods" }
networks:
  - name: local
    chainId: 31337
    endpoints: [ { name: anvil, url: "http://127.0.0.1:8545" } ]
    contracts: { diamond: "0x1111111111111111111111111111111111111111", multicall3: "0x2222222222222222222222222222222222222222" }
    finalityBlocks: 2
    pollMilliseconds: 300
signers:
  - { name: hot, type: Secret, network: local, address: "0x5555555555555555555555555555555555555555", secretName: hot-key, roles: [Peer], allowedNamespaces: [provider] }
"#;

fn using<'a>(
    network: &'a str,
    signer: &'a str,
    namespace: &'a str,
    role: KeyRole,
) -> SignerUse<'a> {
    SignerUse { network, signer, namespace, role }
}

#[rstest]
#[case::as_configured(using("local", "hot", "provider", KeyRole::Peer), None)]
#[case::no_such_name(using("local", "cold", "provider", KeyRole::Peer), Some("NotAllowed"))]
#[case::another_network(using("main", "hot", "provider", KeyRole::Peer), Some("NotAllowed"))]
#[case::another_namespace(using("local", "hot", "stranger", KeyRole::Peer), Some("NotAllowed"))]
#[case::another_role(using("local", "hot", "provider", KeyRole::Provider), Some("NotAllowed"))]
fn a_signer_is_used_as_configured_only(#[case] using: SignerUse<'_>, #[case] reason: Option<&str>) {
    let config = Config::parse(FILE).unwrap();
    assert_eq!(permitted(&config, using).err().map(|refusal| refusal.reason()), reason);
}
