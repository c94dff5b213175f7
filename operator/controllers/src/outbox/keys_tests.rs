use coreward_chain::Contracts;
use coreward_chain::endpoint::{Endpoint, Pool, Timeouts, Unobserved};
use http::{Request, Response};
use kube::client::Body;
use rstest::rstest;
use tower_test::mock;

use super::*;
use crate::stores::Stores;

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

/// An API server that is silent about one secret, and knows none of the others.
fn silent_about(name: &'static str) -> kube::Client {
    let (service, mut handle) = mock::pair::<Request<Body>, Response<Body>>();
    #[expect(clippy::disallowed_methods, reason = "ends with the test's runtime")]
    tokio::spawn(async move {
        let mut unanswered = Vec::new();
        while let Some((request, send)) = handle.next_request().await {
            if request.uri().path().ends_with(name) {
                unanswered.push(send);
                continue;
            }
            let missing = r#"{"kind":"Status","status":"Failure","reason":"NotFound","code":404}"#;
            let body = Body::from(missing.as_bytes().to_vec());
            send.send_response(Response::builder().status(404).body(body).unwrap());
        }
    });
    kube::Client::new(service, "default")
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_cannot_be_read_keeps_no_other_key_waiting() {
    let other = r#"  - { name: cold, type: Secret, network: local, address: "0x6666666666666666666666666666666666666666", secretName: cold-key, roles: [Peer] }"#;
    let config = Config::parse(&format!("{FILE}{other}\n")).unwrap();
    let [hot, cold] = [0x55, 0x66].map(Address::repeat_byte);
    let endpoint = Endpoint::http("anvil", &config.networks[0].endpoints[0].url).unwrap();
    let pool = Pool::new(vec![endpoint], Timeouts::default(), Arc::new(Unobserved)).unwrap();
    let contracts = Contracts { diamond: Address::ZERO, multicall3: Address::ZERO };
    let links = BTreeMap::from([("local".to_owned(), Link { pool, contracts })]);
    let (stores, _writers) = Stores::new();
    let client = silent_about("hot-key");
    let namespace = "coreward-system".to_owned();
    let keys = Keys::new(client, namespace, Arc::new(config), links, stores.transactions);
    let begun = clock::now();
    let (silent, told) = tokio::join!(keys.of_account("local", hot), async {
        let told = keys.of_account("local", cold).await;
        (told, clock::now().saturating_duration_since(begun))
    });
    assert!(told.0.unwrap_err().to_string().contains("there is no secret `cold-key`"));
    assert!(told.1 < READ_LIMIT, "{:?}", told.1);
    assert!(silent.unwrap_err().to_string().contains("the API server is silent"));
}
